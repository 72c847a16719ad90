"""Export as Megatron's `.bin` and `.idx`, which megatron-core's `IndexedDataset` opens.

The format knows *sequences*, runs of tokens, and *documents*, runs of sequences. Here a Megatron
sequence is a segment of a training row, its tokens one after the other, and a Megatron document is
a training row. Padding is left out. Where the document of a row's last segment goes on, that
segment carries the lookahead, too, so no target is lost: the targets are all tokens of a segment
but its first, without exception.

tokens.bin: the segments, back to back. tokens.idx, little-endian: "MMIDIDX", two zero bytes,
version uint64 = 1, dtype code uint8 (8 is uint16, 4 is int32), count of segments uint64, count of
rows + 1 uint64; then int32 lengths of the segments in tokens, int64 places of the segments in
bytes, and int64 [rows + 1] the first segment of each row, and their end.
(Format: megatron/core/datasets/indexed_dataset.py of megatron-core 0.16.1.)
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cuvee.configs.errors import RequestError
from cuvee.handoff.export_folder import Array, ExportFolder, HashedFile, Written
from cuvee.handoff.export_rows import ExportRows, StageRows

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
CODES = {"uint16": 8, "int32": 4}
CHUNK = 1 << 20  # numbers read back at once: 8 MiB of places


def write_megatron(stage: StageRows, folder: ExportFolder) -> Written:
    """Write a stage. Memory: one row group; the index is made from scratch files.

    Raises RequestError for a vocabulary that int32, the widest type of ids there, cannot hold.
    """
    manifest = stage.manifest
    if manifest.vocabulary_size > 1 << 31:
        raise RequestError(
            f"a vocabulary of {manifest.vocabulary_size} ids does not fit Megatron's int32.",
            "Format memmap keeps them as uint32.",
        )
    dtype = "uint16" if manifest.dtype == "uint16" else "int32"
    with folder.scratch("lengths") as lengths, folder.scratch("counts") as counts:
        with folder.file("tokens.bin") as tokens:
            for rows in stage:
                little = np.dtype(dtype).newbyteorder("<")
                tokens.write(_tokens(rows).astype(little, copy=False))
                lengths.write(_lengths(rows).tobytes())
                counts.write(rows.segment_counts().tobytes())
            total = tokens.bytes // np.dtype(dtype).itemsize
        with folder.file("tokens.idx") as index:
            _write_index(index, lengths, counts, dtype)
    lost = "The loss masks that the stage stores are not carried: the format has no room for them."
    return Written(
        {"tokens.bin": Array(dtype, (total,))},
        "The targets are all tokens of a Megatron sequence but its first.",
        (lost,) if manifest.columns.loss_mask else (),
    )


def _tokens(rows: ExportRows) -> npt.NDArray[np.unsignedinteger]:
    """Return the real tokens of all rows, each with its lookahead where that is real."""
    taken = rows.n_tokens + rows.goes_on
    return rows.tokens[np.arange(rows.tokens.shape[1]) < taken[:, None]]


def _lengths(rows: ExportRows) -> npt.NDArray[np.int32]:
    """Return the tokens of every segment, with the lookahead in a row's last."""
    starts, ends = rows.segment_bounds()
    lengths = (ends - starts).astype("<i4")
    lengths[np.cumsum(rows.segment_counts()) - 1] += rows.goes_on
    return lengths


def _write_index(index: HashedFile, lengths: BinaryIO, counts: BinaryIO, dtype: str) -> None:
    """Write the index of segments of these `lengths` (int32), `counts` (int64) of them a row."""
    segments, rows = lengths.tell() // 4, counts.tell() // 8
    index.write(MAGIC + struct.pack("<QBQQ", VERSION, CODES[dtype], segments, rows + 1))
    for chunk in _read_back(lengths, "<i4"):
        index.write(chunk)
    place = 0
    for chunk in _read_back(lengths, "<i4"):
        ends = np.cumsum(chunk, dtype="<i8") * np.dtype(dtype).itemsize + place
        index.write(np.concatenate([[place], ends[:-1]]).astype("<i8"))
        place = int(ends[-1])
    row = np.zeros(1, "<i8")
    index.write(row)
    for chunk in _read_back(counts, "<i8"):
        row = np.cumsum(chunk, dtype="<i8") + row[-1]
        index.write(row)


def _read_back(scratch: BinaryIO, dtype: str) -> Iterator[npt.NDArray[Any]]:
    """Yield the numbers of a scratch file from its start."""
    scratch.seek(0)
    while data := scratch.read(CHUNK * np.dtype(dtype).itemsize):
        yield np.frombuffer(data, dtype)
