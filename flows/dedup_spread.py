"""Sign the documents of a part, and spread those that rules keep over sections of equal keys.

What comes of a part is a handful of spill files: `order`, what ranking needs of each survivor (a
document that the rules keep); `exact`, `url` and `bands`, the records (key, ordinal) by section;
`sizes`, the number of shingles by row; and `scopes`, what each row is compared within. Memory is
`ROWS` rows of keys: 16 MB with 14 bands.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from cuvee.configs.deduplication import BestScore, MinHash
from cuvee.corpus.whole import whole
from cuvee.filters.buckets import Rows
from cuvee.filters.exact import exact_keys
from cuvee.filters.minhash import MinHashParams, band_hashes, signatures
from cuvee.filters.shingles import Hashes
from cuvee.filters.url_keys import url_keys
from cuvee.flows.dedup_files import Array, Layout, aligned, halves, save_arrays, write_records
from cuvee.flows.partfiles import column, map_part, texts_of

Counts = Mapping[str, int]

ROWS = 2**17  # at a time
KEY_BYTES = 20  # a record of 128 bits and an ordinal
BAND_BYTES = 12
KINDS = ("exact", "url", "bands")


def sign_part(
    documents: Path, target: Path, params: MinHashParams | None, urls: bool = False
) -> Counts:
    """Write the exact key of every document, the key of its URL, and its band hashes, as asked."""

    def work(table: pa.Table) -> pa.Table:
        texts = texts_of(table)
        found: dict[str, pa.Array[Any]] = {
            "doc_id": column(table, "doc_id"),
            "exact": exact_keys(texts),
        }
        if urls:
            found["url"] = url_keys(column(table, "url"))
        if params is not None:
            signed, n_shingles = signatures(texts, params)
            bands = band_hashes(signed, params.bands, params.rows)
            found["n_shingles"] = pa.array(n_shingles)
            for band in range(params.bands):
                hashes = np.ascontiguousarray(bands[:, band])
                found[f"band_{band:02d}"] = pa.array(hashes, mask=n_shingles == 0)
        return pa.table(found)

    columns = ["doc_id", "text", *(["url"] if urls else [])]
    return {"docs": map_part(documents, target, columns, work)}


def spread_part(layout: Layout, number: int, scores: str) -> Counts:
    """Write the spill files of one part; `scores` is the table with the score to keep by."""
    spread = _Spread(layout, number, scores)
    survivors = spread.write_order()
    for kind in spread.kinds():
        spread.write_keys(kind)
    if layout.dedup.scope == "language":
        spread.write_scopes()
    return {"docs": layout.starts[number + 1] - layout.starts[number], "survivors": survivors}


def policies(layout: Layout) -> dict[str, str | BestScore]:
    """Return by what each ranking keeps copies: `main` is that of exact and near copies."""
    near, url = layout.dedup.minhash, layout.dedup.url
    main: str | BestScore = "longest" if near is None else near.keep
    return {"main": main} | ({} if url is None else {"url": url.keep})


class _Spread:
    """One part that is being spread."""

    def __init__(self, layout: Layout, number: int, scores: str) -> None:
        self.layout, self.part, self.scores = layout, layout.parts[number], scores
        self.start = layout.starts[number]
        self.near = layout.dedup.minhash
        judged = layout.job.table("judged", self.part)
        self.kept = np.concatenate(
            [np.empty(0, bool), *(t["kept"].to_numpy() for t in aligned(judged, ["kept"], ROWS))]
        )

    def kinds(self) -> list[str]:
        """Return which kinds of keys are compared."""
        dedup = self.layout.dedup
        asked = {"exact": dedup.exact, "url": dedup.url, "bands": self.near}
        return [kind for kind in KINDS if asked[kind]]

    def tables(self, table: str, columns: list[str]) -> Iterator[tuple[int, Rows, pa.Table]]:
        """Yield (first row, rows of survivors from there, table) of a table of the part."""
        first = 0
        for rows in aligned(self.layout.job.table(table, self.part), columns, ROWS):
            yield first, np.flatnonzero(self.kept[first : first + rows.num_rows]), rows
            first += rows.num_rows

    def write_order(self) -> int:
        """Write what ranking needs; return how many survivors there are."""
        priority = self.layout.dedup.priority
        source = self.part.source
        before = priority.index(source) if source in priority else len(priority)
        columns, score = ["doc_id", "n_bytes", "date"], self._score()
        scores = self.tables(self.scores, [score]) if score else None
        path = self.layout.file("order", self.part)
        with whole(path, lasting=False) as temporary, _writer(temporary) as out:
            for first, rows, table in self.tables("documents", columns):
                high, low = halves(table["doc_id"])
                scored = None if scores is None else next(scores)[2][score]
                found = {
                    "ordinal": pa.array((self.start + first + rows).astype(np.uint32)),
                    "priority": pa.array(np.full(len(rows), before, np.int32)),
                    "high": pa.array(high[rows]),
                    "low": pa.array(low[rows]),
                    "n_bytes": table["n_bytes"].take(rows),
                    "date": table["date"].take(rows),
                    "score": pa.nulls(len(rows), pa.float64())
                    if scored is None
                    else scored.take(rows).cast(pa.float64()),
                }
                out.write_table(pa.table(found, schema=ORDER))
        return int(self.kept.sum())

    def _score(self) -> str:
        """Return the score column that a policy asks for."""
        keep = policies(self.layout)["main"]
        return keep.best if isinstance(keep, BestScore) else ""

    def write_keys(self, kind: str) -> None:
        """Write the records of one kind of keys by section."""
        path = self.layout.file(kind, self.part)
        if kind != "bands":
            write_records(path, sections_of(self.layout, kind), self._keys(kind))
            return
        sizes: list[Array] = [np.empty(0, np.uint32)]
        write_records(path, sections_of(self.layout, kind), self._bands(sizes))
        save_arrays(self.layout.file("sizes", self.part), [np.concatenate(sizes)])

    def write_scopes(self) -> None:
        """Write the salt of each row's language; documents of no known language are one scope."""
        found: list[Array] = [np.empty(0, np.uint64)]
        for _, _, table in self.tables("scores", ["language"]):
            languages = table["language"].combine_chunks().fill_null("").dictionary_encode()
            salts = [salt(f"language {name}") for name in languages.dictionary.to_pylist()]
            found.append(np.array(salts, np.uint64)[languages.indices.to_numpy()])
        save_arrays(self.layout.file("scopes", self.part), [np.concatenate(found)])

    def _keys(self, kind: str) -> Iterator[tuple[Rows, list[Array]]]:
        """Yield chunks of 128-bit keys."""
        sections = sections_of(self.layout, kind)
        for first, rows, table in self.tables("signatures", [kind]):
            keys = table[kind].combine_chunks()
            given = rows[keys.is_valid().to_numpy(zero_copy_only=False)[rows]]
            high, low = (half[given] for half in halves(keys))
            ordinals = (self.start + first + given).astype(np.uint32)
            yield section_of(high, sections), [high, low, ordinals]

    def _bands(self, sizes: list[Array]) -> Iterator[tuple[Rows, list[Array]]]:
        """Yield chunks of band hashes, and remember how many shingles each document has."""
        names = [f"band_{band:02d}" for band in range(near_of(self.layout).bands)]
        each = sections_of(self.layout, "bands") // len(names)
        for first, rows, table in self.tables("signatures", ["n_shingles", *names]):
            n_shingles = table["n_shingles"].to_numpy()
            sizes.append(n_shingles.astype(np.uint32))
            given = rows[n_shingles[rows] > 0]
            ordinals = (self.start + first + given).astype(np.uint32)
            for band, name in enumerate(names):
                hashes = _hashes(table[name])[given]
                yield band * each + section_of(hashes, each), [hashes, ordinals]


_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("ordinal", pa.uint32()),
    pa.field("priority", pa.int32()),
    pa.field("high", pa.uint64()),
    pa.field("low", pa.uint64()),
    pa.field("n_bytes", pa.int64()),
    pa.field("date", pa.string()),
    pa.field("score", pa.float64()),
]
ORDER = pa.schema(_FIELDS)  # what ranking reads, a row a survivor


def _writer(path: Path) -> pq.ParquetWriter:
    """Open a spill file of the order: read once, so it is not compressed."""
    return pq.ParquetWriter(path, ORDER, compression="none", use_dictionary=False)


def _hashes(column_: "pa.ChunkedArray[Any]") -> Hashes:
    """View a column of hashes; null is 0."""
    found: NDArray[np.uint64] = column_.combine_chunks().fill_null(0).to_numpy()
    return found


def near_of(layout: Layout) -> MinHash:
    """Return what the recipe says of near-duplicates."""
    near = layout.dedup.minhash
    assert near is not None  # no unit that asks is made without it
    return near


def sections_of(layout: Layout, kind: str) -> int:
    """Return how many sections the records of a kind have; each band has as many."""
    if kind != "bands":
        return layout.sections(KEY_BYTES)
    return near_of(layout).bands * layout.sections(BAND_BYTES)


def units_of(layout: Layout) -> list[range]:
    """Return the sections of band hashes that are read by one unit each, one after the other."""
    sections = sections_of(layout, "bands")
    held = 4 * layout.documents * BAND_BYTES * near_of(layout).bands
    units = min(sections, max(1, -(-held // layout.budget.section)))
    bounds = [unit * sections // units for unit in range(units + 1)]
    return [range(first, last) for first, last in pairwise(bounds)]


def section_of(keys: Hashes, sections: int) -> Rows:
    """Return the section of each key by its top bits; `sections` is a power of two."""
    bits = sections.bit_length() - 1
    return (
        (keys >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(keys), np.int64)
    )


def scope_of(layout: Layout, source: str) -> str:
    """Return the name of what documents of a source are compared within, if it is by source."""
    scope = layout.dedup.scope
    if scope == "source":
        return source
    if isinstance(scope, str):
        return ""
    return next((f"{n}" for n, group in enumerate(scope) if source in group), "")


def salt(scope: str) -> int:
    """Return what tells the keys of a scope from equal keys of others; 0 for the scope of all."""
    return xxh3_64_intdigest(scope.encode()) if scope else 0
