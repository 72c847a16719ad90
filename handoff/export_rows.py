"""Read a finished stage for an export: every row, in training order, a row group at a time.

An export is read where no manifest guards it any more, so every byte is checked before: the size of
all files first, and the sha256 of each before its rows are read, at 1.4 GB of shard a second.
A *target* is the token after an input slot, where it is to be trained on.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuvee.configs.errors import CorruptShard
from cuvee.handoff.batches import own_document
from cuvee.handoff.manifest import MANIFEST, ShardFile, manifest_sha, read_manifest
from cuvee.handoff.reader import ShardGroup, open_shard


class ExportRows(NamedTuple):
    """The n rows of a row group, as `StageLoader` gives them.

    shard: which file of the stage they are from, from 0.
    tokens: uint16 or uint32 [n, seq_len + 1], lookahead included.
    n_tokens: int32 [n], real input tokens of each row.
    cu_seqlens, cu_offsets: int32 and int64 [n + 1]; row i owns
        cu_seqlens[cu_offsets[i]:cu_offsets[i + 1]]: 0, then the end of each of its segments.
    source_ids: int64 [n], indices into the manifest's sources.
    positions: int64 [n], the places of the rows in the stage.
    loss_mask: bool [n, seq_len], True at a slot whose target is trained on.
    goes_on: bool [n], True where the lookahead is the next token of the row's last document.
    """

    shard: int
    tokens: npt.NDArray[np.unsignedinteger]
    n_tokens: npt.NDArray[np.int32]
    cu_seqlens: npt.NDArray[np.int32]
    cu_offsets: npt.NDArray[np.int64]
    source_ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    loss_mask: npt.NDArray[np.bool_]
    goes_on: npt.NDArray[np.bool_]

    def segment_counts(self) -> npt.NDArray[np.int64]:
        """Return int64 [n], the segments of each row."""
        return np.diff(self.cu_offsets) - 1

    def segment_bounds(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the first slot of every segment of all rows, and the slot behind its last."""
        starts, ends = np.ones((2, len(self.cu_seqlens)), np.bool_)
        starts[self.cu_offsets[1:] - 1] = False
        ends[self.cu_offsets[:-1]] = False
        return self.cu_seqlens[starts], self.cu_seqlens[ends]


class StageRows:
    """A stage to iterate over once; what was counted on the way is right when that is done.

    tokens: real input tokens. targets: slots of which the loss mask is True; last_targets: those
    among them that are a row's last slot.

    Raises RequestError where the directory holds no stage, and CorruptShard, which names the file,
    where one is missing, or is not the one that the manifest describes.
    """

    def __init__(self, directory: Path, done: Callable[[], None]) -> None:
        self._directory, self._done = directory, done
        self.manifest = read_manifest(directory)
        self.sha = manifest_sha(directory / MANIFEST)
        self.tokens = self.targets = self.last_targets = 0
        for file in self.manifest.files:
            _check_size(directory / file.path, file)

    def __iter__(self) -> Iterator[ExportRows]:
        """Yield the rows of every row group; `done` is called after each file."""
        for shard, file in enumerate(self.manifest.files):
            path = self._directory / file.path
            _check_bytes(path, file)
            with open_shard(path, self.manifest) as reader:
                for number in range(len(reader.starts) - 1):
                    yield self._rows(shard, reader.read(number))
            self._done()

    def _rows(self, shard: int, group: ShardGroup) -> ExportRows:
        """Bring a row group to the manifest's sources and make its loss mask; count it."""
        names = [source.name for source in self.manifest.sources]
        source_of = np.array([names.index(name) for name in group.source_names], np.int64)
        sizes, special = np.diff(group.cu_offsets), self.manifest.special_ids
        mask = own_document(group.cu_seqlens, sizes, group.tokens, special)
        goes_on = mask[:, -1].copy()
        if group.mask_bits is not None:
            bits = np.unpackbits(group.mask_bits, axis=1, count=mask.shape[1], bitorder="little")
            mask &= bits.view(np.bool_)
        self.tokens += int(group.n_tokens.sum())
        self.targets += int(mask.sum())
        self.last_targets += int(mask[:, -1].sum())
        return ExportRows(
            shard=shard,
            tokens=group.tokens,
            n_tokens=group.n_tokens,
            cu_seqlens=group.cu_seqlens,
            cu_offsets=group.cu_offsets,
            source_ids=source_of[group.source_ids],
            positions=group.positions,
            loss_mask=mask,
            goes_on=goes_on,
        )


def _check_size(path: Path, file: ShardFile) -> None:
    """Refuse a file that is missing or has another size than the manifest says."""
    if not path.is_file():
        raise _corrupt(path, "it is missing")
    if path.stat().st_size != file.bytes:
        raise _corrupt(path, f"{path.stat().st_size} bytes where {file.bytes} were written")


def _check_bytes(path: Path, file: ShardFile) -> None:
    """Refuse a file that is not, byte for byte, the one that the manifest names."""
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
            raise _corrupt(path, "its sha256 is not the manifest's")


def _corrupt(path: Path, fault: str) -> CorruptShard:
    """Name the file and what is wrong with it."""
    return CorruptShard(f"{path}: {fault}.", do="Copy it again, or build the stage again.")
