"""Which documents a stage passes over, from what is stored about them.

Their turn in an epoch is lost: they are not held back for later stages. Pieces that an earlier
stage drew and did not place wait on for the next stage that takes them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Exclude
from cuvee.corpus import catalog
from cuvee.corpus.whole import whole


def exclude_documents(
    run: Path, source: str, tokens: list[Path], asked: Mapping[str, Exclude], target: Path
) -> Mapping[str, int]:
    """Write for every stage of `asked` which rows of a source's token store it passes over.

    `target` gets a bool column a stage, a row for each document of the store. Memory: 16 bytes a
    document of the source.
    """
    stored = pa.concat_tables([pq.read_table(path, columns=["doc_id"]) for path in tokens])
    columns: dict[str, Any] = {}
    with catalog.connect(run) as connection:
        for stage, exclude in asked.items():
            out = _excluded(connection, source, stage, exclude)
            columns[stage] = pc.is_in(stored.column("doc_id"), value_set=out)
    with whole(target) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
    return {stage: int(pc.sum(column).as_py() or 0) for stage, column in columns.items()}


def read_excluded(table: Path, stage: str) -> NDArray[np.bool_]:
    """Return which documents of a source a stage passes over: bool[n]."""
    excluded: NDArray[np.bool_] = pq.read_table(table, columns=[stage]).column(stage).to_numpy()
    return excluded


def check_condition(stage: str, exclude: Exclude) -> None:
    """Refuse a condition that is no single expression; its columns are known only in a run."""
    if exclude.where is not None:
        refuse_no_expression(_key(stage), exclude.where)


def refuse_no_expression(key: str, where: str) -> None:
    """Raise RecipeError for a condition, which the recipe has under `key`, of another form."""
    statement = f"SELECT 1 WHERE ({where}\n)"
    try:
        with duckdb.connect() as connection:
            kinds = [found.type for found in connection.extract_statements(statement)]
    except duckdb.Error as error:
        raise condition_refusal(key, where, error) from error
    if kinds != [duckdb.StatementType.SELECT]:
        raise condition_refusal(key, where, "it is more than one expression")


def condition_refusal(key: str, where: str, fault: object) -> RecipeError:
    """Say what is wrong with a condition."""
    return RecipeError(
        f"{key} is {where!r}: {fault}",
        "It is one condition in SQL over columns of documents and signals, like language = 'zh'.",
        "Ask `cuvee sql RUN 'DESCRIBE signals'` for the columns.",
    )


def _key(stage: str) -> str:
    """Return the key of a stage's condition."""
    return f"stages.{stage}.exclude.where"


def _excluded(
    connection: duckdb.DuckDBPyConnection, source: str, stage: str, exclude: Exclude
) -> "pa.ChunkedArray[Any]":
    """Return the ids of the documents of a source that a stage passes over."""
    queries, values = list[str](), list[object]()
    if exclude.hits:
        queries.append(
            """SELECT unhex(doc_id) AS id FROM contamination WHERE source = ?
            AND (list_contains(?, benchmark) OR list_contains(?, benchmark || '/' || split))"""
        )
        values += [source, exclude.hits, exclude.hits]
    if exclude.where is not None:
        queries.append(
            f"""SELECT unhex(doc_id) AS id FROM documents
            LEFT JOIN signals USING (doc_id, source)
            WHERE source = ? AND coalesce(({exclude.where}\n), true)"""
        )
        values.append(source)
    try:
        found = connection.execute(" UNION ".join(queries), values).fetchnumpy()
    except duckdb.Error as error:
        raise condition_refusal(_key(stage), str(exclude.where), error) from error
    return pa.chunked_array([pa.array(found["id"].tolist(), pa.binary(16))])
