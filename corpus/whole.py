"""Write a file whole or not at all.

*Whole*: a file is written beside its place under a hidden name and renamed when it is complete, so
a reader sees the old file, the new file, or none, and never a part of one. After a kill a hidden
`.NAME.<hex>.tmp` may stay behind; it is no output and may be deleted while no run is going on.
*Row group*: the rows of a Parquet file that are read at once. They are cut by row count and text
size alone, so the same rows give the same bytes however they were batched.

Nothing here decides whether a file must be written: that is `cuvee.corpus.records`.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_GROUP_ROWS: Final = 8192
MAX_GROUP_BYTES: Final = 32 * 2**20  # of text and binary values; a longer value is a group alone
ZSTD_LEVEL: Final = 3


@contextmanager
def whole(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path in `path`'s folder (made if needed); it becomes `path` on success.

    The file is synced to disk before the rename and the folder after it, unless it is not
    `lasting`: then a kill leaves it whole, a crash of the machine may not. On any error or
    interrupt the temporary file is removed and `path` stays as it was. Two writers of one path do
    not meet: the last to finish wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if lasting:
            _sync(temporary)
        temporary.replace(path)
        if lasting:
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, whole; keys stay in their order, NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


class PartWriter:
    """Write rows into one Parquet file in bounded row groups; made by `part_writer`.

    A row group ends before the row that would bring it past `MAX_GROUP_ROWS` rows or
    `MAX_GROUP_BYTES` of text, so one file never needs more memory than a few of these.
    """

    def __init__(self, out: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._out, self._schema = out, schema
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows of the file's schema; they may reach the disk later."""
        ends = np.concatenate([[0], np.cumsum(_text_bytes(rows))])
        start = 0
        while start < rows.num_rows:
            limit = ends[start] + MAX_GROUP_BYTES - self._held_bytes
            fitting = int(np.searchsorted(ends, limit, side="right")) - 1
            stop = min(fitting, start + MAX_GROUP_ROWS - self._held_rows, rows.num_rows)
            if stop <= start and self._held:
                self.flush()
                continue
            stop = max(stop, start + 1)
            self._held.append(rows.slice(start, stop - start))
            self._held_rows += stop - start
            self._held_bytes += int(ends[stop] - ends[start])
            start = stop
            if self._held_rows == MAX_GROUP_ROWS:
                self.flush()

    def flush(self) -> None:
        """Write the rows that are held as one row group; nothing where none are held."""
        if self._held:
            group = pa.Table.from_batches(self._held, self._schema).combine_chunks()
            self._out.write_table(group, row_group_size=group.num_rows)
        self._held, self._held_rows, self._held_bytes = [], 0, 0


def _text_bytes(rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Give the bytes of text and binary values in each row."""
    total = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_binary(kind):
            lengths = pc.binary_length(cast("pa.LargeBinaryArray", column)).fill_null(0)
            total += lengths.to_numpy(zero_copy_only=False)
    return total


def _is_binary(kind: pa.DataType) -> bool:
    """Say whether values of a type are byte strings of any length."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


@contextmanager
def part_writer(path: Path, schema: pa.Schema) -> Iterator[PartWriter]:
    """Open a Parquet file that comes to be whole: zstd 3, page checksums, no timestamps.

    The bytes depend on the rows, the schema and the version of pyarrow, on nothing else. Columns of
    long values (large_string, large_binary) have no statistics: these would hold two whole values.
    Memory: about three times `MAX_GROUP_BYTES`, or the longest value where that is more.
    """
    long = [f.name for f in schema if pa.types.is_large_string(f.type) or _is_binary(f.type)]
    with (
        whole(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=[f.name for f in schema if pa.types.is_string(f.type)],  # type: ignore[arg-type]  # the stubs lack the list form
            write_statistics=[f.name for f in schema if f.name not in long],
            write_page_checksum=True,
        ) as out,
    ):
        writer = PartWriter(out, schema)
        yield writer
        writer.flush()


def write_part(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write record batches as one whole Parquet file and give the number of rows."""
    n_rows = 0
    with part_writer(path, schema) as writer:
        for batch in batches:
            writer.write(batch)
            n_rows += batch.num_rows
    return n_rows
