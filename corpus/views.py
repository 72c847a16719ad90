"""The views of a run, as SQL over the Parquet tables that lie in its directory.

Two layers. Schema `raw` holds the tables as they are stored, ids as 16 bytes, for look-ups by id
that the Parquet reader can push down. The main schema holds what people ask, ids as lower-case
hex. A *branch* is one source's (or stage's) files of a table; the branches of a table are united
by column name behind a *skeleton*, an empty row set with every promised column and its type, so
that a table that is not there yet is an empty view, and a source without a column has NULLs.

The directory's path is in each view once, as `coalesce(getvariable('run'), '<where it was>')`:
after the directory has moved, `SET VARIABLE run = '<where it is>'` makes the views work again. It
is a glob, so a bracket in it is written `[[]`.

Nothing is read here but the names of files and steps.json.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from cuvee.configs.errors import RunMismatch
from cuvee.corpus.questions import FUNNEL, MAIN, SEGMENTS
from cuvee.corpus.schemas import (
    BENCHMARKS,
    CONTAMINATION,
    COVERAGE,
    DOC_ID,
    DOCUMENTS,
    DUPLICATES,
    EDITED,
    EDITS,
    FINISHED,
    MEMBERS,
    OVERLAP,
    PACKS,
    PLAN,
    QUARANTINE,
    TOKENS,
    VERDICTS,
)


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Make a schema of columns in the order given."""
    return pa.schema(columns)


# The promised columns of RUN/plan/{stages,mixture}.parquet; `meta` is the stage's, as JSON.
STAGES: Final = _schema(
    stage=pa.string(),
    seq_len=pa.int64(),
    sequences=pa.int64(),
    tokens=pa.int64(),
    steps=pa.int64(),
    batch_sequences=pa.int64(),
    meta=pa.string(),
    after=pa.list_(pa.string()),
    gate=pa.string(),
    built=pa.bool_(),
)
MIXTURE: Final = _schema(
    stage=pa.string(),
    source=pa.string(),
    planned_tokens=pa.int64(),
    realised_tokens=pa.int64(),
    share=pa.float64(),
    epochs=pa.float64(),
    unique_tokens=pa.int64(),
    max_deviation=pa.float64(),
    of=pa.string(),
    cumulative_epochs=pa.float64(),
    most_seen=pa.int64(),
)

_SOURCE: Final = pa.field("source", pa.string())
_STAGE: Final = pa.field("stage", pa.string())
_SIGNALS: Final = _schema(doc_id=DOC_ID, source=pa.string())
_SCORES: Final = _schema(
    doc_id=DOC_ID, source=pa.string(), language=pa.string(), language_score=pa.float32()
)
_SHARDS: Final = _schema(
    stage=pa.string(), position=pa.int64(), n_tokens=pa.int32(), tokens=pa.binary()
)
SKELETONS: Final[dict[str, pa.Schema]] = {
    "documents": DOCUMENTS,
    "quarantine": QUARANTINE,
    "edited": EDITED.append(_SOURCE),
    "edits": EDITS.append(_SOURCE),
    "finished": FINISHED.append(_SOURCE),
    "finish_edits": EDITS.append(_SOURCE),
    "signals": _SIGNALS,
    "scores": _SCORES,
    "ensembles": _SIGNALS,
    "lists": _SIGNALS,
    "token_kl": _SIGNALS,
    "verdicts": VERDICTS,
    "contamination": CONTAMINATION.append(_SOURCE),
    "benchmark_overlap": OVERLAP.append(_SOURCE),
    "benchmarks": BENCHMARKS,
    "benchmark_coverage": COVERAGE,
    "duplicates": DUPLICATES,
    "tokens": TOKENS.insert(1, _SOURCE),
    "members": MEMBERS.append(_SOURCE),
    "packs": PACKS.insert(0, _SOURCE).insert(0, _STAGE),
    "plan": PLAN,
    "shards": _SHARDS,
    "stages": STAGES,
    "mixture": MIXTURE,
}
_PER_PART: Final = (
    *("documents", "quarantine", "edited", "edits", "finished", "finish_edits", "signals"),
    *("scores", "ensembles", "lists", "token_kl", "verdicts", "contamination", "benchmark_overlap"),
    "members",
)
_ONE_FILE: Final = ("stages", "mixture")  # of RUN/plan; its other files are a stage each


class Branch(NamedTuple):
    """One source's or stage's files of a table: a glob below the run, and columns it implies."""

    glob: str
    implied: dict[str, str]


def definitions(run: Path) -> Iterator[str]:
    """Yield the statements that make every view of `run` in an empty database."""
    yield "CREATE SCHEMA raw"
    for table, branches in _branches(run).items():
        yield f"CREATE VIEW raw.{table} AS {_union(run, SKELETONS[table], branches)}"
    yield f"CREATE VIEW raw.segments AS {SEGMENTS}"
    for view, sql in MAIN.items():
        yield f"CREATE VIEW {view} AS {sql}"
    yield f"CREATE VIEW funnel AS {FUNNEL.format(pipeline=_pipeline(run))}"


def _branches(run: Path) -> Mapping[str, list[Branch]]:
    """Return every stored table's branches, in the order of their names."""
    per_part = {table: _by_folder(run, f"tables/{table}", "source") for table in _PER_PART}
    return per_part | {
        "duplicates": [
            Branch(f"tables/duplicates/{file.name}", {})
            for file in sorted((run / "tables" / "duplicates").glob("*.parquet"))
        ],
        "benchmarks": _single(run, "tables/benchmarks/all.parquet"),
        "benchmark_coverage": _single(run, "tables/benchmark_coverage/all.parquet"),
        "tokens": _by_folder(run, "tokens", "source"),
        "packs": [
            Branch(f"packs/{stage.name}/{file.name}", {"stage": stage.name, "source": file.stem})
            for stage in _folders(run / "packs")
            for file in sorted(stage.glob("*.parquet"))
        ],
        "plan": [
            Branch(f"plan/{file.name}", {"stage": file.stem})
            for file in sorted((run / "plan").glob("*.parquet"))
            if file.stem not in _ONE_FILE
        ],
        "shards": _by_folder(run, "shards", "stage"),
        **{name: _single(run, f"plan/{name}.parquet") for name in _ONE_FILE},
    }


def _by_folder(run: Path, table: str, column: str) -> list[Branch]:
    """Return one branch per folder of `table` that holds a file; the folder's name is `column`."""
    return [
        Branch(f"{table}/{folder.name}/*.parquet", {column: folder.name})
        for folder in _folders(run / table)
        if next(folder.glob("*.parquet"), None)
    ]


def _single(run: Path, path: str) -> list[Branch]:
    """Return the branch of a table that is one file, none when it is not there."""
    return [Branch(path, {})] if (run / path).exists() else []


def _folders(path: Path) -> list[Path]:
    """Return the folders in `path` by name, none when it does not exist."""
    return sorted(folder for folder in path.glob("*") if folder.is_dir())


def _union(run: Path, skeleton: pa.Schema, branches: Iterable[Branch]) -> str:
    """Return the SQL that unites a table's branches behind its skeleton."""
    columns = ", ".join(f'NULL::{_sql_type(field.type)} AS "{field.name}"' for field in skeleton)
    selects = [f"SELECT {columns} WHERE false"]
    root = f"coalesce(getvariable('run'), {_text(_literal_glob(run))})"
    for glob, implied in branches:
        # What the path says is a constant of the branch: a filter on it skips the other files.
        constants = "".join(f'{_text(value)} AS "{name}", ' for name, value in implied.items())
        kept = f"COLUMNS(lambda name: NOT list_contains({list(implied)}, name))" if implied else "*"
        selects.append(f"SELECT {constants}{kept} FROM read_parquet({root} || {_text('/' + glob)})")
    return "\nUNION ALL BY NAME\n".join(selects)


def _sql_type(kind: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type that a skeleton uses."""
    if isinstance(kind, pa.ListType):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "VARCHAR"
    names = {"int64": "BIGINT", "int32": "INTEGER", "double": "DOUBLE", "float": "FLOAT"}
    return {"bool": "BOOLEAN", **names}.get(str(kind), "BLOB")


def _literal_glob(run: Path) -> str:
    """Return the absolute path of `run` as a glob that matches it alone."""
    return re.sub(r"([*?\[])", r"[\1]", str(run.resolve()))


def _text(value: str) -> str:
    """Return `value` as a string literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def _pipeline(run: Path) -> str:
    """Return SQL for (step, step_order) as RUN/steps.json lists them; ingest is always first."""
    path = run / "steps.json"
    names = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunMismatch(f"{path} holds no list of step names.", do="Run `cuvee curate` again.")
    later = [name for name in names if name != "ingest"]
    rows = [f"({_text(name)}, {order})" for order, name in enumerate(later, 1)]
    if not rows:
        return "SELECT NULL::VARCHAR AS step, NULL::INTEGER AS step_order WHERE false"
    return f"SELECT * FROM (VALUES {', '.join(rows)}) AS listed(step, step_order)"
