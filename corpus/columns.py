"""The fields of a Parquet file's rows, batch by batch, whatever damage it has.

A *fault* is what takes the place of something that cannot be read: a file, a row group (`Fault`),
or the text of one row (`CellFault`).

What a row means is told in `cuvee.corpus.readers`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.corpus.paths import SourceFile
from cuvee.corpus.streams import MAX_DOCUMENT_BYTES, damage, open_source

BATCH_ROWS: Final = 256  # of a few KB each: about a MiB at once
BUFFER_BYTES: Final = 2**20


class Fault(NamedTuple):
    """Why something cannot be read, in a stable word and in detail, and its size if known."""

    reason: str
    detail: str = ""
    n_bytes: int = 0


class CellFault(NamedTuple):
    """Why a row has no text, and the bytes that stand in its place."""

    reason: str
    data: bytes


class Cells(NamedTuple):
    """Some rows: their texts, or what stands in their place, and a list a field of the others.

    Where other values than texts were asked for, `texts` holds them as they are.
    """

    first_row: int
    texts: list[Any]
    others: list[list[str | None]]


def columns_of(
    file: SourceFile, names: Sequence[str], texts: bool = True
) -> Iterator[Cells | Fault]:
    """Give the fields called `names` of a Parquet file's rows; the first of them is the text.

    Where no `texts` are asked for, the first is a value of any kind.

    A file that is no Parquet, or has no such text column, is one fault, and so is each row group
    that is corrupt (page checksums are verified where there are any). Memory: a few MiB and about
    four times the largest 256 rows. Raises RunError where a remote file fails in a way that may
    pass.
    """
    try:
        with open_source(file.url) as raw:
            try:
                parquet = pq.ParquetFile(
                    raw, buffer_size=BUFFER_BYTES, page_checksum_verification=True
                )
            except (pa.ArrowException, OSError) as error:
                yield Fault(_reason(file, error), str(error), file.n_bytes)
                return
            yield from _row_groups(file, parquet, names, texts)
    except OSError as error:
        yield Fault(damage(file, error), str(error), file.n_bytes)


def _row_groups(
    file: SourceFile, parquet: pq.ParquetFile, names: Sequence[str], texts: bool
) -> Iterator[Cells | Fault]:
    """Give the rows of each row group, or its fault."""
    schema = parquet.schema_arrow
    paths = [_path(schema, name) for name in names]
    fault = _text_fault(schema, paths[0], texts)
    if fault:
        detail = f"{parquet.metadata.num_rows} rows of columns {', '.join(schema.names)}"
        yield Fault(fault, detail, file.n_bytes)
        return
    wanted = list(dict.fromkeys(path[0] for path in paths if path))
    first_row = 0
    for group in range(parquet.num_row_groups):
        metadata = parquet.metadata.row_group(group)
        row = first_row
        first_row += metadata.num_rows
        try:
            for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=wanted):
                yield _cells(batch, paths, row, texts)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            detail = f"rows {row} to {first_row - 1}: {error}"
            yield Fault(_reason(file, error), detail, metadata.total_byte_size)


def _reason(file: SourceFile, error: Exception) -> str:
    """Give the reason for an error in reading; Arrow calls corrupt data an OSError of no number."""
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        return damage(file, error)
    return "unreadable_parquet"


def _path(schema: pa.Schema, name: str) -> list[str]:
    """Give the way to a field through structs, empty where there is none."""
    if schema.get_field_index(name) >= 0:
        return [name]
    parts = name.split(".")
    if schema.get_field_index(parts[0]) < 0:
        return []
    kind = schema.field(parts[0]).type
    for part in parts[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return []
        kind = kind.field(part).type
    return parts


def _text_fault(schema: pa.Schema, path: list[str], texts: bool) -> str | None:
    """Say why a file's text column gives no text at all, if so."""
    if not path:
        return "missing_text"
    if not texts:
        return None
    kind = schema.field(path[0]).type
    for part in path[1:]:
        kind = kind.field(part).type
    return None if _is_text(_plain_type(kind)) or pa.types.is_null(kind) else "text_not_string"


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Give a type's own type, or that of its values where it is a dictionary."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _is_text(kind: pa.DataType) -> bool:
    """Say whether values of a type are text, or bytes that may be."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _cells(batch: pa.RecordBatch, paths: list[list[str]], first_row: int, texts: bool) -> Cells:
    """Give the fields of a batch of rows as Python values."""
    first = _column(batch, paths[0])
    values = [_text(data) for data in _bytes(first)] if texts else first.to_pylist()
    nulls: list[str | None] = [None] * batch.num_rows
    others = [_plain_values(_column(batch, path)) if path else nulls for path in paths[1:]]
    return Cells(first_row, values, others)


def _column(batch: pa.RecordBatch, path: list[str]) -> "pa.Array[Any]":
    """Give the column at the end of a path."""
    column: pa.Array[Any] = batch.column(path[0])
    if len(path) > 1:
        column = pc.struct_field(cast("pa.StructArray", column), path[1:])
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _bytes(column: "pa.Array[Any]") -> list[bytes | None]:
    """Give a column's values as bytes; what a file calls text need not be UTF-8."""
    return column.cast(pa.large_binary()).to_pylist()


def _text(data: bytes | None) -> str | CellFault:
    """Give bytes as text, or why they are none."""
    if data is None:
        return CellFault("missing_text", b"")
    if len(data) > MAX_DOCUMENT_BYTES:
        return CellFault("too_large", data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return CellFault("invalid_utf8", data)


def _plain_values(column: "pa.Array[Any]") -> list[str | None]:
    """Give a column's values as text: numbers and dates as Arrow writes them, the rest as JSON."""
    if _is_text(column.type):
        return [v if v is None else v.decode(errors="replace") for v in _bytes(column)]
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        return [
            None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values
        ]
    return column.cast(pa.string()).to_pylist()
