"""Judge a run's documents again under other limits, from what was measured; no text is read.

The judging steps run as they do in a run, on a shadow of it: a folder whose signals and scores are
the run's own and whose verdicts are new. What they say is compared with what the run says; the run
stays as it is. Deduplication and decontamination come after judging and are not asked again, so a
document that is newly kept may still turn out to be a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from cuvee.configs.errors import RequestError
from cuvee.configs.load import apply_override, parse
from cuvee.configs.recipe import Recipe
from cuvee.corpus import catalog
from cuvee.flows import curate_steps as steps
from cuvee.flows.build_steps import curated
from cuvee.flows.checks import check_names
from cuvee.flows.divergence_steps import same_divergence
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.job import Documents, Job, load_job
from cuvee.flows.list_rules import same_look_ups
from cuvee.flows.screen import Screen, make_console

MEASURED = ("signals", "edited", "scores", "lists", "token_kl")  # tables that judging reads
EXAMPLES = 3  # documents shown of those newly kept, and of those newly dropped


@dataclass
class Direct(Engine):
    """An engine for work of seconds: units one after the other, without Prefect, unrecorded."""

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        """Run every unit here; the fingerprints are empty, since nothing is kept."""
        for unit in units:
            for output in unit.outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
            unit.work(*unit.arguments)
        return [""] * len(units)


@dataclass(frozen=True)
class Change:
    """What other limits would do; rows as dictionaries, sizes in documents, bytes and tokens.

    Tokens are of the run's own token store where a document is in it, else by the tokens a byte of
    its source.
    """

    sources: list[dict[str, Any]]
    reasons: list[dict[str, Any]]
    newly_kept: list[dict[str, Any]]
    newly_dropped: list[dict[str, Any]]


def retune(run: Path, overrides: Sequence[str]) -> Change:
    """Return what changes when the documents of `run` are judged with `overrides` applied."""
    job = load_job(run)
    document = job.recipe.model_dump(mode="json")
    for override in overrides:
        apply_override(document, override)
    recipe = parse(document)
    _refuse_more_than_judging(job.recipe, recipe)
    check_names(recipe)
    parts, prints = curated(job)
    documents = Documents(
        [part for of_source in parts.values() for part in of_source],
        [print_ for of_source in prints.values() for print_ in of_source],
    )
    with TemporaryDirectory(prefix=".retune.", dir=run) as folder:
        shadow = Path(folder)
        (shadow / "tables").mkdir()
        for name in MEASURED:
            if (run / "tables" / name).exists():
                (shadow / "tables" / name).symlink_to((run / "tables" / name).resolve())
        engine = Direct(Job(recipe, shadow, job.base), 1, Screen(make_console()))
        nothing = [""] * len(documents.parts)
        others = {
            name: nothing if (run / "tables" / name).exists() else None
            for name in ("lists", "token_kl")
        }
        steps.judge(engine, documents, nothing, nothing, others)
        with duckdb.connect() as connection:
            return _compare(connection, run, shadow)


def _refuse_more_than_judging(old: Recipe, new: Recipe) -> None:
    """Refuse an override of what judging does not decide: it would need the text."""
    untouched = {"rules", "language", "classifiers", "ensembles"}
    untouched |= {"urls", "bad_words", "pii", "token_kl"}
    for name in Recipe.model_fields:
        if name != "curate" and getattr(old, name) != getattr(new, name):
            raise RequestError(
                f"Retuning does not change {name}.",
                f"It judges again: curate.{', curate.'.join(sorted(untouched))}.",
                "Use `cuvee run RECIPE --out RUN --update` for the rest.",
            )
    for name in type(old.curate).model_fields:
        if name not in untouched and getattr(old.curate, name) != getattr(new.curate, name):
            raise RequestError(
                f"Retuning does not change curate.{name}.",
                do="Use `cuvee run RECIPE --out RUN --update` for it.",
            )
    if _paragraphs(new) and not _paragraphs(old):
        raise RequestError(
            "Retuning does not measure the languages of paragraphs, which the run did not.",
            do="Use `cuvee run RECIPE --out RUN --update` for it.",
        )
    if not same_divergence(old.curate, new.curate):
        raise RequestError(
            "Retuning changes what curate.token_kl measures.",
            "It may change its max and sources, or turn it off.",
            "Use `cuvee run RECIPE --out RUN --update` for the rest.",
        )
    if not same_look_ups(old.curate, new.curate):
        raise RequestError(
            "Retuning changes what curate.urls, curate.bad_words or curate.pii look for.",
            "It may change their max and sources, or turn them off.",
            "Use `cuvee run RECIPE --out RUN --update` for the rest.",
        )


def _paragraphs(recipe: Recipe) -> bool:
    """Say whether a recipe asks for the languages of paragraphs."""
    return recipe.curate.language is not None and recipe.curate.language.paragraphs


def _compare(connection: duckdb.DuckDBPyConnection, run: Path, shadow: Path) -> Change:
    """Compare the verdicts of the run's judging with the shadow's."""
    # A run that was only curated has no token store.
    stored = any((run / "tokens").glob("*/*.parquet"))
    counted = f"read_parquet('{run}/tokens/*/*.parquet')"
    nothing = "(SELECT NULL::BLOB AS doc_id, NULL::INTEGER AS n_tokens)"
    connection.execute(
        f"""CREATE TEMP TABLE compared AS
        WITH sizes AS (
            SELECT v.doc_id, v.source, v.n_bytes, t.n_tokens
            FROM read_parquet('{run}/tables/verdicts/*/*.parquet') v
            LEFT JOIN {counted if stored else nothing} t USING (doc_id)),
        rates AS (
            SELECT source, sum(n_tokens) / sum(n_bytes) FILTER (n_tokens IS NOT NULL) AS rate
            FROM sizes GROUP BY source)
        SELECT lower(hex(s.doc_id)) AS doc_id, s.source, s.n_bytes,
            coalesce(s.n_tokens, round(s.n_bytes * r.rate))::BIGINT AS n_tokens,
            o.kept AS was_kept, o.step AS old_step, o.reason AS old_reason,
            n.kept AS is_kept, n.step AS new_step, n.reason AS new_reason
        FROM sizes s JOIN rates r USING (source)
        JOIN ({_judged(run)}) o USING (doc_id) JOIN ({_judged(shadow)}) n USING (doc_id)"""
    )
    sources = """SELECT source, count(*) FILTER (was_kept) AS docs_before,
        count(*) FILTER (is_kept) AS docs_after,
        sum(n_bytes) FILTER (was_kept) AS bytes_before,
        sum(n_bytes) FILTER (is_kept) AS bytes_after,
        sum(n_tokens) FILTER (was_kept) AS tokens_before,
        sum(n_tokens) FILTER (is_kept) AS tokens_after
        FROM compared GROUP BY source ORDER BY source"""
    reasons = """SELECT step, reason, sum(before)::BIGINT AS before, sum(after)::BIGINT AS after
        FROM (SELECT old_step AS step, old_reason AS reason, 1 AS before, 0 AS after FROM compared
        WHERE NOT was_kept
        UNION ALL SELECT new_step, new_reason, 0, 1 FROM compared WHERE NOT is_kept)
        GROUP BY ALL HAVING sum(before) <> sum(after)
        ORDER BY abs(sum(after) - sum(before)) DESC, reason"""
    return Change(
        _rows(connection, sources),
        _rows(connection, reasons),
        _examples(connection, run, "is_kept AND NOT was_kept", "old"),
        _examples(connection, run, "was_kept AND NOT is_kept", "new"),
    )


def _judged(run: Path) -> str:
    """Return the query of a run's judgements."""
    return f"SELECT * FROM read_parquet('{run}/tables/judged/*/*.parquet')"


def _examples(
    connection: duckdb.DuckDBPyConnection, run: Path, which: str, side: str
) -> list[dict[str, Any]]:
    """Return some changed documents, spread by their ids, with a bit of text where it is there."""
    found = _rows(
        connection,
        f"""SELECT doc_id, source, {side}_step AS step, {side}_reason AS reason FROM compared
        WHERE {which} ORDER BY doc_id LIMIT {EXAMPLES}""",
    )
    ids = [row["doc_id"] for row in found]
    try:
        with catalog.connect(run) as views:
            query = "SELECT doc_id, left(text, 200) FROM documents WHERE list_contains(?, doc_id)"
            texts = dict(views.execute(query, [ids]).fetchall())
    except duckdb.Error:  # the text may be gone: what is judged are signals
        return found
    return [row | {"text": texts.get(row["doc_id"])} for row in found]


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Return a query's rows as dictionaries."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
