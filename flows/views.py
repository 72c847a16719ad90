"""Which documents each pool of a source has: samples of it, and views by length, condition, score.

What is not known of a document, as a score that it lacks, leaves it out of a view; in an upsampled
one it ranks last.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.configs.sources import Source, Upsample, View
from cuvee.corpus import catalog
from cuvee.corpus.whole import write_part
from cuvee.flows.exclusions import condition_refusal, refuse_no_expression
from cuvee.flows.partfiles import column
from cuvee.mixers.curve import buckets, copies, rates
from cuvee.mixers.ledger import Rows
from cuvee.mixers.order import permute, source_key

POOL = pa.schema([("doc_row", pa.int64())])
TIES, COPIES = -1, -2  # in place of an epoch, in keys that are none of a draw


@dataclass(frozen=True)
class PoolFile:
    """Where the rows of a source or view are, None for all of the source; see `Rows`."""

    path: Path | None
    whole: bool
    max_epochs: float | None = None


@dataclass(frozen=True)
class Documents:
    """A source's documents: ids and tokens, a row each."""

    source: str
    doc_id: "pa.Array[Any]"
    lengths: NDArray[np.integer]


def write_pools(
    run: Path,
    source: tuple[str, Source],
    views: Mapping[str, View],
    tokens: tuple[Path, ...],
    seed: int,
    targets: Mapping[str, Path],
) -> Mapping[str, int]:
    """Write the rows of a source of which a sample is used, and of its views, to `targets`.

    Rows are those of the source's token store, ascending, each as often as a pass has it. Memory:
    60 bytes a document of the source while a view with a condition or a score is made.
    """
    name, about = source
    stored = pa.concat_tables(
        [pq.read_table(path, columns=["doc_id", "n_tokens"]) for path in tokens]
    )
    documents = Documents(name, column(stored, "doc_id"), column(stored, "n_tokens").to_numpy())
    rows = _sampled(documents, about.sample, seed)
    found = {name: rows}
    asks = any(view.where is not None or view.upsample is not None for view in views.values())
    with catalog.connect(run) if asks else duckdb.connect() as connection:
        for view, asked in views.items():
            found[view] = _shown(connection, documents, rows, (view, asked), seed)
    for pool, path in targets.items():
        write_part(path, POOL, [pa.record_batch([pa.array(found[pool])], schema=POOL)])
    return {pool: len(found[pool]) for pool in targets}


def rows_of(file: PoolFile) -> Rows:
    """Read the rows of a pool."""
    if file.path is None:
        return Rows(None, file.whole, file.max_epochs)
    rows = column(pq.read_table(file.path), "doc_row").to_numpy()
    return Rows(rows, file.whole, file.max_epochs)


def check_view(name: str, view: View) -> None:
    """Refuse a condition that is no single expression; its columns are known only in a run."""
    if view.where is not None:
        refuse_no_expression(f"views.{name}.where", view.where)


def _sampled(documents: Documents, sample: int | None, seed: int) -> NDArray[np.int64]:
    """Return the first documents of the source's first epoch, up to `sample` tokens, ascending."""
    n = len(documents.lengths)
    rows = np.arange(n, dtype=np.int64)
    if sample is None or n == 0:
        return rows
    rows = permute(rows, n, source_key(seed, documents.source, 0))
    reached = np.cumsum(documents.lengths[rows], dtype=np.int64)
    return np.sort(rows[: int(np.searchsorted(reached, sample)) + 1])


def _shown(
    connection: duckdb.DuckDBPyConnection,
    documents: Documents,
    rows: NDArray[np.int64],
    named: tuple[str, View],
    seed: int,
) -> NDArray[np.int64]:
    """Return the rows that a view has among some of its source's."""
    name, view = named
    length = documents.lengths[rows]
    if view.min_tokens is not None:
        rows, length = rows[length >= view.min_tokens], length[length >= view.min_tokens]
    if view.max_tokens is not None:
        rows = rows[length <= view.max_tokens]
    if view.where is not None:
        rows = rows[_meeting(connection, documents, f"views.{name}.where", view.where)[rows]]
    if view.upsample is None:
        return rows
    scores = _scores(connection, documents, f"views.{name}.upsample.by", view.upsample)[rows]
    ties, chance = (source_key(seed, name, kind) for kind in (TIES, COPIES))
    bucket = buckets(scores, documents.lengths[rows], view.upsample.buckets, ties)
    return copies(rows, rates(view.upsample)[bucket], chance)


def _meeting(
    connection: duckdb.DuckDBPyConnection, documents: Documents, key: str, where: str
) -> NDArray[np.bool_]:
    """Return which documents meet a condition, bool[n]; what is not known does not."""
    query = f"""SELECT unhex(doc_id) AS id FROM documents
        LEFT JOIN signals USING (doc_id, source)
        WHERE source = ? AND coalesce(({where}\n), false)"""
    try:
        found = connection.execute(query, [documents.source]).fetchnumpy()
    except duckdb.Error as error:
        raise condition_refusal(key, where, error) from error
    ids = pa.array(found["id"].tolist(), pa.binary(16))
    return np.asarray(pc.is_in(documents.doc_id, value_set=ids))


def _scores(
    connection: duckdb.DuckDBPyConnection, documents: Documents, key: str, curve: Upsample
) -> NDArray[np.float64]:
    """Return the score of each document, float64[n], NaN where there is none."""
    query = f"""SELECT unhex(doc_id) AS id, "{curve.by}"::DOUBLE AS score
        FROM signals WHERE source = ? AND "{curve.by}" IS NOT NULL"""
    try:
        found = connection.execute(query, [documents.source]).fetchnumpy()
    except duckdb.Error as error:
        raise RecipeError(
            f"{key} is {curve.by!r}: {error}",
            "It is a column of numbers of the view signals.",
            "Ask `cuvee sql RUN 'DESCRIBE signals'` for the columns.",
        ) from error
    ids = pa.array(found["id"].tolist(), pa.binary(16))
    at: Any = pc.index_in(documents.doc_id, value_set=ids)
    scores: NDArray[np.float64] = np.append(found["score"], np.nan).astype(np.float64)
    return np.take(scores, np.asarray(pc.fill_null(at, -1)))
