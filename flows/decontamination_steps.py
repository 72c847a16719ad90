"""The steps of decontamination: their units, what they read, what identifies them.

`benchmarks` counts the items; `count_ngrams` counts their n-grams in the documents, where a method
needs that; `decontaminate` finds hits. None knows what other steps drop.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.configs.decontamination import Decontaminate, NgramRange
from cuvee.corpus.fingerprint import files_print
from cuvee.corpus.paths import resolve
from cuvee.filters.contamination import MIN_WORDS
from cuvee.flows import decontamination_counts as counts
from cuvee.flows.benchmarks import benchmark_items
from cuvee.flows.decontamination_parts import Search, Shared, find_part, make_search
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents, Job


def decontaminate(engine: Engine, documents: Documents) -> Prints | None:
    """Record every hit of a benchmark item; None where the recipe names no benchmarks."""
    job, spec = engine.job, engine.job.recipe.curate.decontaminate
    _remove_tables(job, spec)
    if spec is None:
        return None
    files = resolve(spec.benchmarks, [], job.base)
    read = partial(benchmark_items, spec, files)
    search = Shared(lambda: make_search(spec, read()))
    reads = [files_print(files)]
    target = _table(job, "benchmarks")
    unit = Unit("all", (*reads,), counts.count_items, (target, read, search), (target,))
    engine.run(Step("benchmarks", 1, _parameters(spec)), [unit])
    _say_items(engine, spec, target)
    if isinstance(spec.ngram, NgramRange):
        counted = _count_ngrams(engine, documents, reads[0], search)
        reads.append(_common_ngrams(engine, documents, counted, search))
        common, whole = _table(job, "common_ngrams"), search
        search = Shared(lambda: counts.without_common(whole.take(), common))
    if spec.method == "token8":
        counted = _count_ngrams(engine, documents, reads[0], search)
        _cover_items(engine, documents, counted, search)
    units = []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        hits = job.table("contamination", part)
        cuts = job.table("contamination_cuts", part) if spec.cuts else None
        outputs = (hits,) if cuts is None else (hits, cuts)
        arguments = (job.table("documents", part), hits, cuts, search)
        units.append(Unit(str(part), (print_, *reads), find_part, arguments, outputs))
    return engine.run(Step("decontaminate", 2, _parameters(spec)), units)


def _table(job: Job, name: str) -> Path:
    """Return where a table of all parts together lies."""
    return job.run / "tables" / name / "all.parquet"


def _parameters(spec: Decontaminate) -> list[Any]:
    """Return what decides the hits of given items in given documents."""
    return [UNICODE, spec.model_dump(mode="json", exclude={"benchmarks"})]


def _remove_tables(job: Job, spec: Decontaminate | None) -> None:
    """Remove what an earlier recipe asked for and this one does not."""
    ranged = spec is not None and isinstance(spec.ngram, NgramRange)
    token8 = spec is not None and spec.method == "token8"
    wanted = {
        "benchmarks": spec is not None,
        "contamination_cuts": spec is not None and spec.cuts,
        "ngram_counts": ranged or token8,
        "common_ngrams": ranged,
        "benchmark_overlap": token8,
        "benchmark_coverage": token8,
    }
    for name in (name for name, asked in wanted.items() if not asked):
        shutil.rmtree(job.run / "tables" / name, ignore_errors=True)


def _say_items(engine: Engine, spec: Decontaminate, target: Path) -> None:
    """Say how many items are never found, and warn of items so short that chance finds them."""
    table = pq.read_table(target)
    items, unmatched, letterless = (
        pc.sum(table.column(name)).as_py() or 0 for name in ("items", "unmatched", "letterless")
    )
    if unmatched:
        engine.screen.say(
            f"decontaminate: {unmatched:,} of {items:,} items match nothing: "
            f"{unmatched - letterless:,} have fewer than {spec.least_words} words, {letterless:,} "
            "no letter; the view benchmarks has them by benchmark"
        )
    if spec.shortest is None and spec.least_words < min(MIN_WORDS, spec.longest):
        engine.screen.say(
            f"decontaminate: items of {spec.least_words} words match; questions as short as that "
            "stand in documents that never saw the benchmark"
        )


def _count_ngrams(
    engine: Engine, documents: Documents, reads: str, search: Shared[Search]
) -> Prints:
    """Count the n-grams of items in every part, and what they cover where that is asked for."""
    job, spec = engine.job, engine.job.recipe.curate.decontaminate
    assert spec is not None  # what `decontaminate` found
    units = []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("ngram_counts", part)
        overlap = job.table("benchmark_overlap", part) if spec.method == "token8" else None
        outputs = (target,) if overlap is None else (target, overlap)
        arguments = (job.table("documents", part), target, overlap, search)
        units.append(Unit(str(part), (print_, reads), counts.count_part, arguments, outputs))
    shape = [UNICODE, spec.method, spec.shortest, spec.longest, sorted(spec.fields.items())]
    return engine.run(Step("count_ngrams", 1, shape), units)


def _common_ngrams(
    engine: Engine, documents: Documents, counted: Prints, search: Shared[Search]
) -> str:
    """Find the n-grams in common usage; return their fingerprint."""
    job, spec = engine.job, engine.job.recipe.curate.decontaminate
    assert spec is not None  # what `decontaminate` found
    assert isinstance(spec.ngram, NgramRange)
    target, parts = _table(job, "common_ngrams"), _counts_of(job, documents)
    arguments = (parts, target, spec.ngram.common, search)
    unit = Unit("all", tuple(counted), counts.common_ngrams, arguments, (target,))
    (print_,) = engine.run(Step("common_ngrams", 1, spec.ngram.common), [unit])
    return print_


def _cover_items(
    engine: Engine, documents: Documents, counted: Prints, search: Shared[Search]
) -> None:
    """Write how much of each item the documents have."""
    target = _table(engine.job, "benchmark_coverage")
    arguments = (_counts_of(engine.job, documents), target, search)
    unit = Unit("all", tuple(counted), counts.cover_items, arguments, (target,))
    engine.run(Step("cover_items", 1), [unit])


def _counts_of(job: Job, documents: Documents) -> list[Path]:
    """Return the tables of counts of all parts."""
    return [job.table("ngram_counts", part) for part in documents.parts]
