"""The catalogue: every decision of a run as views that SQL can ask.

`connect` makes the views in memory each time, which costs one footer per source and table: so it
always shows what is on disk now, works on a read-only or moved directory and holds no lock while
a flow runs. `build` writes the same views to RUN/catalog.duckdb for other programs. `query` runs
one question for the command line. None of them ever writes to the tables.
"""

import csv
import datetime
import decimal
import io
import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.corpus.questions import MAIN
from cuvee.corpus.views import definitions

CATALOG = "catalog.duckdb"
VIEWS = (*MAIN, "funnel")
CELL_CHARS = 60  # a longer text is clipped in a table; csv and json keep all of it

Format = Literal["table", "csv", "json"]


def connect(run: Path) -> duckdb.DuckDBPyConnection:
    """Return a new connection that shows the views of `run` as its tables are on disk now.

    The views are those of `VIEWS`, ids as hex; schema `raw` has the tables behind them with ids
    of 16 bytes. What a caller creates is in memory and gone with the connection. RunMismatch when
    `run` is no run directory.
    """
    _require_run(run)
    connection = duckdb.connect()
    _define(connection, run)
    return connection


def build(run: Path) -> None:
    """Write RUN/catalog.duckdb, whole or not, with every view and no data.

    It shows the sources and stages of this moment, so it is built again after each step. Moved
    with its directory, it works after `SET VARIABLE run = '<the new path>'`.
    """
    _require_run(run)
    beside = run / f".{CATALOG}.{os.getpid()}"
    beside.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(beside)) as connection:
            _define(connection, run)
        beside.replace(run / CATALOG)
    finally:
        beside.unlink(missing_ok=True)


def query(run: Path, sql: str, format: Format = "table") -> str:  # noqa: A002 (the flag's name)
    """Return the answer to one SELECT over the views of `run`, without a last line break.

    `table` is aligned for reading, long texts clipped; `csv` has a header and empty NULLs; `json`
    is one array of objects. RequestError with DuckDB's own words for wrong SQL, and for anything
    that is not a single query; RunMismatch when `run` is no run directory.
    """
    with connect(run) as connection:
        try:
            _require_select(connection, sql)
            cursor = connection.execute(sql)
            rows = cursor.fetchall()
        except duckdb.Error as error:
            allowed = f"The views: {', '.join(VIEWS)}." if "does not exist" in str(error) else ""
            raise RequestError(str(error).strip(), allowed) from error
        names = _distinct([str(column[0]) for column in cursor.description or []])
    forms = {"table": _as_table, "csv": _as_csv, "json": _as_json}
    return forms[format](names, rows).removesuffix("\n")


def _require_run(run: Path) -> None:
    """Refuse a directory that no run was written to."""
    if not (run / "recipe.json").is_file():
        raise RunMismatch(
            f"{run} is no run directory: it has no recipe.json.",
            do="Name a directory that `cuvee run RECIPE --out DIRECTORY` wrote.",
        )


def _define(connection: duckdb.DuckDBPyConnection, run: Path) -> None:
    """Make every view of `run` in an empty database."""
    for statement in definitions(run):
        connection.execute(statement)


def _require_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what is not exactly one query: a COPY could write over the run's own tables."""
    kinds = [statement.type for statement in connection.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        got = ", ".join(kind.name for kind in kinds) or "no statement"
        raise RequestError(
            f"The query is {got}.",
            "A run is only read: one SELECT, FROM, DESCRIBE or SUMMARIZE at a time.",
        )


def _distinct(names: list[str]) -> list[str]:
    """Give numbers to the second and later columns of one name, so that an object can hold all."""
    return [
        f"{name}_{names[:at].count(name)}" if name in names[:at] else name
        for at, name in enumerate(names)
    ]


def _as_table(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return rows as aligned columns, numbers to the right, as wide as their cells."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(names):
        numeric = any(_is_number(row[at]) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_clipped(_plain(value))) for value in row))
    sink = io.StringIO()
    # Wide enough for any row: a terminal wraps better than a table that drops columns.
    Console(file=sink, width=len(names) * (CELL_CHARS + 40), color_system=None).print(table)
    return "".join(line.rstrip() + "\n" for line in sink.getvalue().splitlines())


def _as_csv(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return rows as RFC 4180 CSV with a header; NULL is an empty field."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return sink.getvalue()


def _as_json(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return rows as one JSON array, an object a line."""
    objects = (dict(zip(names, map(_json_value, row), strict=True)) for row in rows)
    lines = ",\n ".join(json.dumps(value, ensure_ascii=False) for value in objects)
    return f"[{lines}]\n"


def _plain(value: Any) -> str:
    """Return a value as text: NULL empty, bytes in hex, a nested value as JSON."""
    if isinstance(value, str):
        return value
    shaped = _json_value(value)
    if shaped is None:
        return "" if value is None else str(value)
    return shaped if isinstance(shaped, str) else json.dumps(shaped, ensure_ascii=False)


def _json_value(value: Any) -> Any:
    """Return a value as JSON can say it; a float that is no number has no other form than null."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _json_value(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(below) for below in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _is_number(value: Any) -> bool:
    """Tell numbers, which align to the right; a truth value is a word."""
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool)


def _clipped(text: str) -> str:
    """Return `text` on one line, its end cut when it is too long for a cell."""
    line = " ".join(text[: 4 * CELL_CHARS].split())
    line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    whole = len(line) <= CELL_CHARS and len(text) <= 4 * CELL_CHARS
    return line if whole else line[: CELL_CHARS - 1] + "…"
