"""One page that tells what a run did: `write` makes it, report.html is its form.

The page is one HTML file without scripts that loads nothing from anywhere and says so to the
browser. It holds no clock, so the same run gives the same page. Texts of documents are clipped
and escaped. An *example* is a document that a reason dropped: the ones with the smallest ids,
which are hashes, so they are picked as if by chance and the same each time.
"""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from cuvee.corpus import accounts, charts, clusters
from cuvee.corpus.accounts import NONE, StageAccount, StepAccount, Tally
from cuvee.corpus.catalog import connect
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.templates import environment
from cuvee.corpus.whole import whole

EXAMPLES: Final = 3  # documents shown per reason
EXAMPLE_CHARS: Final = 400
MAX_QUARANTINED: Final = 20  # rows shown


class Totals(NamedTuple):
    """The run in a line: documents read and kept, tokens in the store and in the stages."""

    read: Tally
    kept: Tally
    stored_tokens: int
    stage_tokens: int
    steps: int


class Example(NamedTuple):
    """A dropped document."""

    doc_id: str
    source: str
    url: str | None
    text: str


class ReasonExamples(NamedTuple):
    """A reason of a step and some documents that it dropped."""

    step: str
    reason: str
    examples: list[Example]


def write(run: Path, out: Path) -> None:
    """Write the report of `run` to the file `out`, whole or not at all.

    RunMismatch when `run` is no run directory.
    """
    with connect(run) as connection:
        page = environment().get_template("report.html").render(_content(run, connection))
    with whole(out) as beside:
        beside.write_text(page, encoding="utf-8")


def _content(run: Path, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return everything that the page shows."""
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))["recipe"]
    steps, stages = accounts.steps_of(connection), accounts.stages_of(connection)
    hues = charts.hues_of(_sources(steps, stages))
    read = _read(steps)
    return {
        "name": recipe["name"],
        "fingerprint": fingerprint(recipe),
        "totals": _totals(connection, steps, stages),
        "hues": hues,
        "steps": [(step, charts.kept_bars(step, read, hues)) for step in steps],
        "read": read,
        "most_dropped": max((t.docs for step in steps for _, t in step.reasons), default=0),
        "stages": [(stage, _chart(connection, stage, hues)) for stage in stages],
        "duplicates": clusters.kinds_of(connection),
        "cluster_sizes": clusters.HEADS,
        "clusters": clusters.largest_of(connection),
        "contamination": connection.execute(_CONTAMINATION).fetchall(),
        "quarantine": connection.execute(_QUARANTINE, [MAX_QUARANTINED]).fetchall(),
        "quarantined": connection.execute("SELECT count(*) FROM quarantine").fetchall()[0][0],
        "rejects": _rejects(connection),
    }


_CONTAMINATION: Final = """
    SELECT benchmark, split, count(DISTINCT item_id), count(DISTINCT doc_id), count(*)
    FROM raw.contamination GROUP BY ALL ORDER BY ALL"""
_QUARANTINE: Final = """
    SELECT source, path, "row", reason, left(excerpt, 80) FROM quarantine ORDER BY ALL LIMIT ?"""
# The smallest ids first, then only those documents' texts.
_EXAMPLES: Final = """
    WITH picked AS (
        SELECT step, reason, unnest(min(doc_id, ?)) AS doc_id
        FROM raw.verdicts WHERE NOT kept GROUP BY step, reason)
    SELECT step, reason, lower(hex(doc_id)), d.source, d.url, left(d.text, ?), length(d.text)
    FROM picked JOIN raw.documents d USING (doc_id) ORDER BY step, reason, doc_id"""


def _sources(steps: list[StepAccount], stages: list[StageAccount]) -> list[str]:
    """Return every source, those with the most documents first."""
    docs = {source.source: 0 for stage in stages for source in stage.sources}
    for step in steps[:1]:
        docs |= {source: tally.docs for source, tally in step.kept_by_source.items()}
    return sorted(docs, key=lambda source: (-docs[source], source))


def _read(steps: list[StepAccount]) -> int:
    """Return how many documents came to the first step, those in quarantine included."""
    return steps[0].seen.docs if steps else 0


def _totals(
    connection: duckdb.DuckDBPyConnection, steps: list[StepAccount], stages: list[StageAccount]
) -> Totals:
    """Return the run in a line."""
    stored = connection.execute("SELECT coalesce(sum(n_tokens), 0) FROM tokens").fetchall()
    return Totals(
        steps[0].kept if steps else NONE,
        steps[-1].kept if steps else NONE,
        int(stored[0][0]),
        sum(stage.tokens for stage in stages),
        sum(stage.steps for stage in stages),
    )


def _chart(
    connection: duckdb.DuckDBPyConnection, stage: StageAccount, hues: dict[str, int]
) -> charts.MixtureChart:
    """Return a stage's mixture over its tokens."""
    return charts.mixture_chart(stage, accounts.realised_shares(connection, stage), hues)


def _rejects(connection: duckdb.DuckDBPyConnection) -> list[ReasonExamples]:
    """Return examples of every reason, in pipeline order."""
    order = "SELECT DISTINCT step, step_order FROM funnel ORDER BY step_order"
    rank = dict(connection.execute(order).fetchall())
    found: dict[tuple[str, str], list[Example]] = {}
    rows = connection.execute(_EXAMPLES, [EXAMPLES, EXAMPLE_CHARS]).fetchall()
    for step, reason, doc_id, source, url, text, length in rows:
        shown = text + ("…" if length > EXAMPLE_CHARS else "")
        found.setdefault((step, reason), []).append(Example(doc_id, source, url, shown))
    ordered = sorted(found.items(), key=lambda item: (rank.get(item[0][0], 0), item[0]))
    return [ReasonExamples(step, reason, examples) for (step, reason), examples in ordered]
