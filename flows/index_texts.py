"""Texts of documents that earlier runs kept, read where those runs have them.

An index holds keys and places, no texts (`cuvee.corpus.dedup_index`). A text is taken only as it
was when the index was made: the run must have that part, made by the same steps of the same
files, and the same document in that row. Anything else is an error, never a document passed over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.configs.errors import RunMismatch
from cuvee.corpus.dedup_index import Earlier, Entry, Numbers, locate, read_parts
from cuvee.flows.index_keys import texts_print
from cuvee.flows.partfiles import column, edited_table, texts_of


class Texts(NamedTuple):
    """Texts of some documents of an entry: their numbers, int64 [n], and as many texts."""

    numbers: Numbers
    texts: pa.LargeStringArray


def kept_texts(asked: Earlier, entry: int, numbers: Numbers) -> Iterator[Texts]:
    """Yield the texts of documents of an entry, edited ones where they were edited.

    `numbers` int64, none twice, in any order. They come by part and row group, not in the order
    asked for; row groups without any of them are not read. Memory is one row group, 32 MB of text.
    RunMismatch, with the path, when the earlier run's text is gone or is another one.
    """
    held = asked.entries[entry]
    prints = dict(zip(*read_parts(asked, entry).to_pydict().values(), strict=True))
    places = locate(asked, entry, numbers)
    parts, rows = places["part"].to_numpy(), places["row"].to_numpy()
    for part in sorted(set(parts)):
        documents = Path(held.run) / "tables" / "documents" / f"{part}.parquet"
        if texts_print(Path(held.run), part) != prints[part] or not documents.exists():
            raise _gone(held, documents)
        here = np.flatnonzero(parts == part)
        here = here[np.argsort(rows[here])]
        for picked, table in _picked(documents, rows[here]):
            chosen = here[picked]
            if not table.column("doc_id").equals(places["doc_id"].take(chosen)):
                raise _gone(held, documents)
            yield Texts(numbers[chosen], texts_of(table))


def _picked(documents: Path, rows: Numbers) -> Iterator[tuple[Numbers, pa.Table]]:
    """Yield (which of the ascending `rows`, their doc_id and text) by row group."""
    edited = edited_table(documents)
    with pq.ParquetFile(documents, page_checksum_verification=True) as file:
        groups = range(file.num_row_groups)
        ends = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in groups)])
        bounds = np.searchsorted(rows, ends)
        for group in groups:
            picked = np.arange(bounds[group], bounds[group + 1])
            if len(picked):
                at = pa.array(rows[picked] - ends[group])
                table = file.read_row_group(group, ["doc_id", "text"], use_threads=False).take(at)
                if edited.exists():
                    table = _with_edits(edited, group, at, table)
                yield picked, table


def _with_edits(edited: Path, group: int, at: "pa.Array[Any]", table: pa.Table) -> pa.Table:
    """Put edited texts in the place of texts; row groups end where those of the documents end."""
    with pq.ParquetFile(edited, page_checksum_verification=True) as file:
        changed = texts_of(file.read_row_group(group, ["text"], use_threads=False).take(at))
    texts = cast("pa.Array[Any]", pc.coalesce(changed, texts_of(table)))
    return pa.table({"doc_id": column(table, "doc_id"), "text": texts})


def _gone(entry: Entry, documents: Path) -> RunMismatch:
    """Say that a text is not there any more."""
    return RunMismatch(
        f"Entry {entry.number} ({entry.name}) of the index needs the texts of {documents}, "
        "which are gone or were made anew since it was added.",
        "Near-duplicates are removed only when the texts are really alike, so both must be there.",
        f"Put the run back at {entry.run} as it was, or deduplicate against another index.",
    )
