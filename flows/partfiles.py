"""Read and write the Parquet file of one part, a row group at a time.

A document's *edited text* takes the place of its text for every step that curates, and its
*finished text*, what is left of that when all is cut and masked, for every step that builds. What
reads the text of documents reads it here.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.corpus.whole import part_writer


def row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a part; memory is one row group of the asked columns."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, list(columns), use_threads=False).combine_chunks()


def edited_table(documents: Path) -> Path:
    """Return where the edited texts of a part's documents lie, if its source is edited."""
    return documents.parents[2] / "edited" / documents.parent.name / documents.name


def document_groups(documents: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a part's documents, each `text` the edited one where there is one."""
    edited = edited_table(documents)
    if "text" not in columns or not edited.exists():
        yield from row_groups(documents, columns)
        return
    yield from _changed(row_groups(documents, columns), edited)


def finished_table(documents: Path) -> Path:
    """Return where the finished texts of a part's documents lie, if the recipe cuts or masks."""
    return documents.parents[2] / "finished" / documents.parent.name / documents.name


def finished_groups(documents: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a part's documents, each `text` as it is to be trained on."""
    groups, finished = document_groups(documents, columns), finished_table(documents)
    yield from _changed(groups, finished) if finished.exists() else groups


def _changed(groups: Iterator[pa.Table], changes: Path) -> Iterator[pa.Table]:
    """Yield row groups with the texts of a row-aligned table where it has one.

    What writes such a table ends its row groups where those of the documents end.
    """
    for table, change in zip(groups, row_groups(changes, ["text"]), strict=True):
        texts = pc.coalesce(texts_of(change), texts_of(table))
        yield table.set_column(table.schema.get_field_index("text"), "text", texts)


def texts_sql(documents: Sequence[Path]) -> str:
    """Return SQL for (doc_id, text) of parts' documents, the edited text where there is one."""
    original = f"SELECT doc_id, text FROM {_files_sql(documents)}"
    edited = [path for path in map(edited_table, documents) if path.exists()]
    if not edited:
        return original
    return f"""SELECT d.doc_id, coalesce(e.text, d.text) AS text FROM ({original}) d
        LEFT JOIN {_files_sql(edited)} e ON d.doc_id = e.doc_id"""


def _files_sql(files: Sequence[Path]) -> str:
    """Return SQL that reads Parquet files."""
    quoted = ["'" + str(file).replace("'", "''") + "'" for file in files]
    return f"read_parquet([{', '.join(quoted)}])"


def texts_of(table: pa.Table) -> pa.LargeStringArray:
    """Return the text column of a row group."""
    return cast(pa.LargeStringArray, column(table, "text"))


def column(table: pa.Table, name: str) -> "pa.Array[Any]":
    """Return a column of a row group as one array."""
    whole = table.column(name)
    joined: Any = whole.chunk(0) if whole.num_chunks == 1 else whole.combine_chunks()
    return cast("pa.Array[Any]", joined)


def map_part(
    source: Path,
    target: Path,
    columns: Sequence[str],
    work: Callable[[pa.Table], pa.Table],
) -> int:
    """Write `work` of every row group of `source` to `target`; return the number of rows.

    Where `source` is a documents table, `work` gets edited texts, as `document_groups` says.
    `work` must take a table without rows: a part without documents has columns, too.
    """
    with pq.ParquetFile(source) as file:
        empty = file.schema_arrow.empty_table().select(list(columns))
    schema = work(empty).schema
    rows = 0
    with part_writer(target, schema) as writer:
        for table in document_groups(source, columns):
            result = work(table).cast(schema)
            for batch in result.combine_chunks().to_batches():
                writer.write(batch)
            rows += result.num_rows
    return rows
