"""Which documents are copies: the steps of deduplication that must see all parts at once.

DuckDB joins and groups out of core (`MEMORY_LIMIT`, spilling below the run directory), so what is
held in memory is bounded, but for the shingle sets of near-duplicate *candidates*: about 8 bytes a
word of every document that shares a band with another.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.deduplication import BestScore, MinHash
from cuvee.corpus.schemas import DUPLICATES
from cuvee.corpus.whole import MAX_GROUP_ROWS, write_part
from cuvee.filters.dedup import Buckets, resolve_minhash
from cuvee.filters.shingles import shingle_sets
from cuvee.flows.partfiles import texts_sql

MEMORY_LIMIT = "1GB"  # of DuckDB, the rest spills
TEXTS_AT_ONCE = 2048  # candidates whose text is held while their shingles are hashed

# A policy is a total order of documents, the best first; doc_id decides what is left open.
_ORDERS = {
    "longest": "n_bytes DESC, doc_id",
    "newest": "date DESC NULLS LAST, doc_id",
    "first": "source_rank, filename, file_row_number",
}


@dataclass(frozen=True)
class Survivors:
    """Where the tables lie that deduplication reads, and the order that says which copy stays."""

    tables: Path
    sources: tuple[str, ...]
    keep: str | BestScore
    score_table: str = "scores"  # the table with the score of `keep`


def exact_duplicates(survivors: Survivors, target: Path) -> Mapping[str, int]:
    """Write a row for every document whose text, white space folded, another one has, too."""
    with scratch_database(target) as connection:
        _read_survivors(connection, survivors, bands=0)
        connection.execute(
            """CREATE TABLE duplicates AS
            SELECT doc_id, kept_doc_id, 'exact' AS kind, 1.0::DOUBLE AS similarity FROM (
                SELECT doc_id, first_value(doc_id) OVER (PARTITION BY exact ORDER BY rank)
                    AS kept_doc_id FROM survivors)
            WHERE doc_id <> kept_doc_id"""
        )
        return _write(connection, target)


def near_duplicates(
    survivors: Survivors, exact: Path | None, spec: MinHash, target: Path
) -> Mapping[str, int]:
    """Write a row for every document that is similar enough to one that is kept.

    Candidates share a band; the similarity is Jaccard's over the true shingle sets.
    """
    with scratch_database(target) as connection:
        _read_survivors(connection, survivors, spec.bands)
        if exact is not None:
            connection.execute(
                "DELETE FROM survivors WHERE doc_id IN (SELECT doc_id FROM read_parquet(?))",
                [str(exact)],
            )
        _find_buckets(connection, spec.bands)
        buckets = Buckets(*_bucket_members(connection))
        offsets, hashes = _candidate_shingles(connection, survivors.tables, spec.ngram)
        rank = np.arange(len(offsets) - 1)  # candidates are numbered by rank
        found = resolve_minhash(buckets, rank, (offsets, hashes), spec.verify)
        connection.register("removed", pa.table(found._asdict()))
        connection.execute(
            """CREATE TABLE duplicates AS
            SELECT a.doc_id, b.doc_id AS kept_doc_id, 'minhash' AS kind, r.similarity
            FROM removed r JOIN candidates a ON a.number = r.removed
            JOIN candidates b ON b.number = r.kept"""
        )
        return {"candidates": len(offsets) - 1, **_write(connection, target)}


@contextmanager
def scratch_database(target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database beside `target` that spills there and leaves nothing behind."""
    scratch = target.parent / f".{target.stem}.duckdb"
    scratch.unlink(missing_ok=True)
    connection = duckdb.connect(str(scratch), config={"memory_limit": MEMORY_LIMIT})
    try:
        yield connection
    finally:
        connection.close()
        scratch.unlink(missing_ok=True)


def _read_survivors(
    connection: duckdb.DuckDBPyConnection, survivors: Survivors, bands: int
) -> None:
    """Make `survivors(doc_id, exact, band_.., rank)`: what the rules kept, ranked by policy."""
    tables, keep = survivors.tables, survivors.keep
    score = keep.best if isinstance(keep, BestScore) else None
    order = f'"{score}" DESC NULLS LAST, doc_id' if score else _ORDERS[str(keep)]
    scores = f"{tables}/{survivors.score_table}/*/*.parquet"
    joined = f"JOIN read_parquet('{scores}') c USING (doc_id)" if score else ""
    whens = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(survivors.sources))
    columns = "".join(f", s.band_{band:02d}" for band in range(bands))
    connection.execute(
        f"""CREATE TABLE survivors AS
        SELECT doc_id, exact {columns}, row_number() OVER (ORDER BY {order}) AS rank FROM (
            SELECT s.doc_id, s.exact {columns}, d.n_bytes, d.date, d.filename,
                d.file_row_number, CASE d.source {whens} END AS source_rank
                {f', c."{score}"' if score else ""}
            FROM read_parquet('{tables}/signatures/*/*.parquet') s
            JOIN read_parquet('{tables}/judged/*/*.parquet') j USING (doc_id)
            JOIN read_parquet('{tables}/documents/*/*.parquet', filename=true,
                file_row_number=true) d USING (doc_id) {joined}
            WHERE j.kept) s"""
    )


def _find_buckets(connection: duckdb.DuckDBPyConnection, bands: int) -> None:
    """Make `members(bucket, rank)` of the bands that several survivors share."""
    connection.execute("CREATE TABLE shared (band INTEGER, hash UBIGINT, rank BIGINT)")
    for band in range(bands):
        name = f"band_{band:02d}"
        connection.execute(
            f"""INSERT INTO shared SELECT {band}, {name}, rank FROM survivors WHERE {name} IN (
                SELECT {name} FROM survivors WHERE {name} IS NOT NULL
                GROUP BY {name} HAVING count(*) > 1)"""
        )
    connection.execute(
        """CREATE TABLE candidates AS
        SELECT doc_id, rank, row_number() OVER (ORDER BY rank) - 1 AS number
        FROM survivors WHERE rank IN (SELECT rank FROM shared)"""
    )


def _bucket_members(
    connection: duckdb.DuckDBPyConnection,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (bucket, candidate number) of every membership, sorted; int64 both."""
    found = connection.execute(
        """SELECT dense_rank() OVER (ORDER BY band, hash) - 1 AS bucket, number
        FROM shared JOIN candidates USING (rank) ORDER BY bucket, number"""
    ).fetchnumpy()
    return found["bucket"].astype(np.int64), found["number"].astype(np.int64)


def _candidate_shingles(
    connection: duckdb.DuckDBPyConnection, tables: Path, ngram: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the shingle sets of all candidates by number: offsets and sorted hashes."""
    documents = sorted((tables / "documents").glob("*/*.parquet"))
    batches = connection.sql(
        f"""SELECT d.text FROM ({texts_sql(documents)}) d
        JOIN candidates c USING (doc_id) ORDER BY c.number"""
    ).to_arrow_reader(TEXTS_AT_ONCE)
    offsets, hashes = [np.zeros(1, np.int64)], [np.empty(0, np.uint64)]
    for batch in batches or ():
        texts = cast(pa.LargeStringArray, batch.column(0).cast(pa.large_string()))
        ends, found = shingle_sets(texts, ngram)
        offsets.append(ends[1:] + offsets[-1][-1])
        hashes.append(found)
    return np.concatenate(offsets), np.concatenate(hashes)


def _write(connection: duckdb.DuckDBPyConnection, target: Path) -> Mapping[str, int]:
    """Write the table `duplicates` by document, whole, and count it."""
    names = ", ".join(DUPLICATES.names)
    batches = connection.sql(f"SELECT {names} FROM duplicates ORDER BY doc_id").to_arrow_reader(
        MAX_GROUP_ROWS
    )
    rows = (pa.Table.from_batches([batch]).cast(DUPLICATES) for batch in batches or ())
    return {
        "duplicates": write_part(
            target, DUPLICATES, (b for table in rows for b in table.to_batches())
        )
    }
