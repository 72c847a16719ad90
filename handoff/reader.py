"""Read stage shards, one row group at a time.

Page checksums are verified on the way, and whatever Arrow finds wrong with a file is a
`CorruptShard` that names it. The arrays of a `ShardGroup` are views of Arrow's memory: read only.
"""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.configs.errors import CorruptShard
from cuvee.handoff.manifest import Manifest
from cuvee.handoff.shards import PLAIN, Columns, mask_bytes, shard_schema

# What Arrow raises on a damaged file. Checksum failures are OSError, bad text is UnicodeDecodeError
# (a ValueError); numpy says ValueError of a buffer that is too short.
DAMAGE = (pa.ArrowException, OSError, ValueError)
_PROBABILITY = np.dtype("<f2")


class ShardGroup(NamedTuple):
    """The n rows of a row group; the fields are those of `ShardRows`, with one difference.

    mask_bits: uint8 [n, ceil(seq_len / 8)], the stored loss mask at one bit a slot, lowest bit
        first; None where no row has one. Rows without one are all ones.

    Teacher and media are None in a stage without them.
    """

    tokens: npt.NDArray[np.unsignedinteger]
    positions: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int32]
    source_ids: npt.NDArray[np.int32]
    source_names: tuple[str, ...]
    cu_seqlens: npt.NDArray[np.int32]
    cu_offsets: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    mask_bits: npt.NDArray[np.uint8] | None
    teacher_ids: npt.NDArray[np.unsignedinteger] | None = None
    teacher_probs: npt.NDArray[np.float16] | None = None
    media: "pa.Array[Any] | None" = None


class ShardReader:
    """An open shard: `starts` int64 [groups + 1] holds each row group's first row, and the end."""

    def __init__(self, path: Path, seq_len: int, dtype: str, columns: Columns = PLAIN) -> None:
        self.path, self._seq_len, self._dtype = path, seq_len, np.dtype(dtype).newbyteorder("<")
        self._columns = columns
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
            schema, footer = self._file.schema_arrow, self._file.metadata
            sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        except DAMAGE as error:
            raise _damaged(path, error) from error
        if not schema.equals(shard_schema(seq_len, dtype, columns)):
            raise CorruptShard(
                f"{path}: its columns are not those of a shard of {seq_len} {dtype} tokens."
                if columns == PLAIN
                else f"{path}: its columns are not those of {seq_len} {dtype} tokens and {columns}."
            )
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def group_of(self, row: int) -> int:
        """Return the row group that holds `row`, counted from the file's first row."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def read(self, group: int) -> ShardGroup:
        """Read one row group. Raises CorruptShard where its bytes are not what was written."""
        try:
            table = self._file.read_row_group(group, use_threads=False)
            return self._arrays([_one(column) for column in table.itercolumns()])
        except DAMAGE as error:
            raise _damaged(self.path, error) from error

    def _arrays(self, columns: list[Any]) -> ShardGroup:
        """View the columns of `shard_schema`, in its order, as numpy arrays."""
        position, step, source, tokens, cu_seqlens, loss_mask, n_tokens, *others = columns
        shape, k = (len(position), self._seq_len, self._columns.teacher_k), self._columns.teacher_k
        ids, probs = others[:2] if k else (None, None)
        bounds, offsets = _split(cu_seqlens)
        if (offsets % 4).any():
            raise ValueError("cu_seqlens holds a broken int32")
        return ShardGroup(
            tokens=_fixed(tokens, self._dtype).reshape(-1, self._seq_len + 1),
            positions=position.to_numpy(),
            steps=step.to_numpy(),
            source_ids=source.indices.to_numpy(),
            source_names=tuple(source.dictionary.to_pylist()),
            cu_seqlens=bounds.view("<i4"),
            cu_offsets=offsets // 4,
            n_tokens=n_tokens.to_numpy(),
            mask_bits=self._mask_bits(loss_mask),
            teacher_ids=None if ids is None else _fixed(ids, self._dtype).reshape(shape),
            teacher_probs=None if probs is None else _fixed(probs, _PROBABILITY).reshape(shape),
            media=others[-1] if self._columns.media else None,
        )

    def _mask_bits(self, column: "pa.Array[Any]") -> npt.NDArray[np.uint8] | None:
        """Return the stored masks as rows of bytes, rows without one as all ones."""
        if column.null_count == len(column):
            return None
        width = mask_bytes(self._seq_len)
        values, offsets = _split(column)
        held = column.is_valid().to_numpy(zero_copy_only=False)
        if (np.diff(offsets)[held] != width).any():
            raise ValueError(f"a loss_mask is not {width} bytes long")
        bits = np.full((len(column), width), 0xFF, np.uint8)
        bits[held] = values.reshape(-1, width)
        return bits


def open_shard(path: Path, manifest: Manifest) -> ShardReader:
    """Open a shard of the manifest's stage."""
    return ShardReader(path, manifest.seq_len, manifest.dtype, manifest.columns)


def _one(column: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    """Return a column as one array; a row group's column almost always is one."""
    chunks = column.chunks
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _split(column: "pa.Array[Any]") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the bytes of a binary column and where each row's begin, from 0, and end."""
    _, offsets_buffer, values = column.buffers()
    offsets = _bytes(offsets_buffer).view(np.int32)[column.offset :][: len(column) + 1]
    return _bytes(values)[offsets[0] : offsets[-1]], (offsets - offsets[0]).astype(np.int64)


def _fixed(column: "pa.Array[Any]", dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """View a column of fixed-length bytes as numbers."""
    return _bytes(column.buffers()[1]).view(dtype)


def _bytes(buffer: pa.Buffer | None) -> npt.NDArray[np.uint8]:
    """View Arrow's memory; no buffer is what Arrow makes of no bytes."""
    return np.frombuffer(b"" if buffer is None else memoryview(buffer), np.uint8)


def _damaged(path: Path, error: BaseException) -> CorruptShard:
    """Say that a file could not be read, and why."""
    return CorruptShard(
        f"{path} cannot be read: {error}.",
        do="Copy it again, or build the stage again.",
    )
