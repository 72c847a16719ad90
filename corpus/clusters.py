"""Duplicates by cluster: how many there are of which size, and the largest of them.

A *cluster* is a kept document and the copies of one kind that were removed in its favour; its size
counts the kept one, too. Both forms, the page's and the terminal's, are made from these values.
"""

from pathlib import Path
from typing import Final, NamedTuple

import duckdb
from rich.table import Table

from cuvee.corpus import figures
from cuvee.corpus.catalog import connect
from cuvee.corpus.terminal import house_table

LARGEST: Final = 5  # clusters shown of each kind
EXCERPT_CHARS: Final = 120
#: Clusters are counted together from so many removed copies on: those of 2 documents first.
_FROM: Final = (2, 4, 8, 16, 64)
HEADS: Final = ("2", "3-4", "5-8", "9-16", "17-64", "65+")


class KindAccount(NamedTuple):
    """Copies of one kind: what was removed, the clusters, and how many are of which size.

    `sizes` counts clusters by `HEADS`. Similarities are None where none was removed.
    """

    kind: str
    docs: int
    n_bytes: int
    clusters: int
    sizes: list[int]
    least: float | None
    mean: float | None


class Cluster(NamedTuple):
    """A large cluster: its kept document and how its text begins, and what was removed."""

    kind: str
    kept_doc_id: str
    docs: int
    n_bytes: int
    excerpt: str


_ORDER: Final = "CASE kind WHEN 'url' THEN 0 WHEN 'exact' THEN 1 ELSE 2 END, kind"
_KINDS: Final = f"""
    WITH alike AS (
        SELECT kind, min(similarity) AS least, avg(similarity) AS mean
        FROM raw.duplicates GROUP BY kind),
    sized AS (
        SELECT kind, documents, bytes,
               {" + ".join(f"(documents >= {n})::INT" for n in _FROM)} AS bin FROM clusters)
    SELECT kind, sum(documents)::BIGINT, sum(bytes)::BIGINT, count(*),
           [{", ".join(f"count(*) FILTER (bin = {n})" for n in range(len(HEADS)))}],
           any_value(least), any_value(mean)
    FROM sized JOIN alike USING (kind) GROUP BY kind ORDER BY {_ORDER}"""
_LARGEST: Final = f"""
    WITH ranked AS (
        SELECT *, row_number() OVER (
            PARTITION BY kind ORDER BY documents DESC, bytes DESC, kept_doc_id) AS n
        FROM clusters),
    picked AS (SELECT *, unhex(kept_doc_id) AS raw_id FROM ranked WHERE n <= ?)
    SELECT p.kind, p.kept_doc_id, p.documents, p.bytes, left(coalesce(d.text, ''), 4 * ?)
    FROM picked p LEFT JOIN raw.documents d ON d.doc_id = p.raw_id ORDER BY {_ORDER}, n"""


def kinds_of(connection: duckdb.DuckDBPyConnection) -> list[KindAccount]:
    """Return the account of every kind of copies that has any."""
    return [KindAccount(*row) for row in connection.execute(_KINDS).fetchall()]


def largest_of(connection: duckdb.DuckDBPyConnection) -> list[Cluster]:
    """Return the `LARGEST` clusters of each kind, the largest first; an earlier run's is empty."""
    rows = connection.execute(_LARGEST, [LARGEST, EXCERPT_CHARS]).fetchall()
    return [
        Cluster(kind, kept, docs, n_bytes, _one_line(text))
        for kind, kept, docs, n_bytes, text in rows
    ]


def _one_line(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    short = len(line) <= EXCERPT_CHARS
    return line if short else line[: EXCERPT_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def cluster_table(run: Path) -> Table | None:
    """Return what was removed by kind, and clusters by size; None where no copy was found."""
    with connect(run) as connection:
        kinds = kinds_of(connection)
    if not kinds:
        return None
    table = house_table("copies")
    for name in ("removed", "bytes", "clusters", *(f"of {head}" for head in HEADS)):
        table.add_column(name, justify="right", no_wrap=True)
    for kind in kinds:
        counts = [figures.count(size) if size else "" for size in kind.sizes]
        clusters = figures.count(kind.clusters)
        table.add_row(
            kind.kind, figures.count(kind.docs), figures.size(kind.n_bytes), clusters, *counts
        )
    return table
