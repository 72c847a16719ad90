"""The steps of deduplication: which units each has, what they read, what identifies them.

Copies of a kind are known when its last step has written their table (`url`, `exact`, `minhash`).
The steps before it work on spilled files; while all tables are there they are not run again.
"""

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cuvee.configs.deduplication import BestScore, MinHash
from cuvee.configs.recipe import Recipe
from cuvee.corpus.dedup_index import Earlier, earlier
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.whole import write_json
from cuvee.filters.minhash import MinHashParams, candidate_probability
from cuvee.flows import dedup_buckets as buckets_
from cuvee.flows import dedup_keys as keys
from cuvee.flows import dedup_near as near_
from cuvee.flows import dedup_spread as spread
from cuvee.flows.dedup_files import SPILL, Budget, Layout, starts_of
from cuvee.flows.deduplication import rank_all
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.index_keys import identity_of, parameters_of
from cuvee.flows.job import Documents, Job

KINDS = ("url", "exact", "minhash")  # of copies, in the order in which they are removed
VERSION = 2  # of all that is between signatures and tables of duplicates
Work = Callable[..., Any]


def sign(engine: Engine, documents: Documents) -> Prints:
    """Hash every document for deduplication: its text, its URL, and its bands."""
    job, dedup = engine.job, engine.job.recipe.curate.dedup
    spec = dedup.minhash
    params = None if spec is None else MinHashParams(spec.ngram, spec.bands, spec.rows)
    units = []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("signatures", part)
        arguments = (job.table("documents", part), target, params, dedup.url is not None)
        units.append(Unit(str(part), (print_,), spread.sign_part, arguments, (target,)))
    shape = [UNICODE] if spec is None else [UNICODE, spec.ngram, spec.bands, spec.rows]
    return engine.run(Step("sign", 1, [*shape, *(["url"] if dedup.url else [])]), units)


def deduplicate(
    engine: Engine,
    documents: Documents,
    signatures: Prints,
    judged: Prints,
    budget: Budget | None = None,
) -> dict[str, str]:
    """Find the copies among what the rules kept; the fingerprint of each kind, in their order."""
    job, asked = engine.job, _earlier(engine.job, documents)
    reads = (*documents.prints, *signatures, *judged, *_settings(job, asked))
    budget = budget or Budget()
    spill = fingerprint([VERSION, list(reads), list(budget), _boot()])[:16]
    _sweep(job, spill)
    paths = [job.table("documents", part) for part in documents.parts]
    starts = starts_of(paths)
    layout = Layout(job, tuple(documents.parts), starts, spill, budget, asked)
    steps = _Steps(engine, layout, reads)
    found = {kind: steps.last(kind) for kind in kinds(job.recipe)}
    if not all(engine.is_finished(step, unit) for step, unit in found.values()):
        steps.run_all(found)
    prints = {kind: engine.run(step, [unit])[0] for kind, (step, unit) in found.items()}
    shutil.rmtree(job.run / SPILL, ignore_errors=True)
    return prints


def _boot() -> str:
    """Identify the start of this machine: after a crash of it, no spilled file is relied upon."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return secrets.token_hex()


def _settings(job: Job, asked: Earlier | None) -> list[str]:
    """Return what decides which copies are removed, beside the documents."""
    asked_for = {*KINDS, "scope", "priority"}
    settings = job.recipe.curate.dedup.model_dump(mode="json", include=asked_for)
    found = [repr(settings), repr(list(job.recipe.sources))]
    return found if asked is None else [*found, asked.fingerprint]


def _sweep(job: Job, spill: str) -> None:
    """Say how near-duplicates are found, and remove what other recipes left in the run."""
    near, told = job.recipe.curate.dedup.minhash, job.run / "dedup.json"
    if near is None:
        told.unlink(missing_ok=True)
    else:
        write_json(told, scheme(near))
    for kind in KINDS:
        if kind not in kinds(job.recipe):
            duplicates_table(job, kind).unlink(missing_ok=True)
    for folder in (job.run / SPILL).glob("*"):
        if folder.name != spill:
            shutil.rmtree(folder)


def kinds(recipe: Recipe) -> list[str]:
    """Return the kinds of copies that a recipe removes, in their order."""
    dedup = recipe.curate.dedup
    return [kind for kind in KINDS if getattr(dedup, kind)]


def scheme(near: MinHash) -> dict[str, Any]:
    """Return how near-duplicates are found, as a run's dedup.json says it.

    `found` is the share of pairs of a similarity that become candidates.
    """
    curve = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    chances = {f"{s:g}": round(candidate_probability(s, near.bands, near.rows), 4) for s in curve}
    return near.model_dump(mode="json") | {"hashes": "affine32", "found": chances}


def duplicates_table(job: Job, kind: str) -> Path:
    """Return where the duplicates of one kind are listed."""
    return job.run / "tables" / "duplicates" / f"{kind}.parquet"


def _earlier(job: Job, documents: Documents) -> Earlier | None:
    """Return what the index of earlier documents answers, if the recipe names one."""
    dedup = job.recipe.curate.dedup
    if dedup.against is None:
        return None
    identity = identity_of(job.run, [str(part) for part in documents.parts])
    return earlier(job.base / dedup.against, identity, parameters_of(dedup))


class _Steps:
    """The steps of one deduplication; `reads` are the fingerprints of all that it reads."""

    def __init__(self, engine: Engine, layout: Layout, reads: tuple[str, ...]) -> None:
        self.engine, self.layout, self.reads = engine, layout, reads
        self.job, self.dedup = layout.job, layout.dedup

    def last(self, kind: str) -> tuple[Step, Unit]:
        """Return the step that writes the table of one kind; its unit is made for `removals`."""
        target = duplicates_table(self.job, kind)
        work = (kind, self._removals(kind), target)
        unit = Unit("all", self.reads, keys.write_duplicates, work, (target,))
        return Step(kind, VERSION), unit

    def run_all(self, found: dict[str, tuple[Step, Unit]]) -> None:
        """Run every step before the last ones; what a kill left of them is not done again."""
        parts = range(len(self.layout.parts))
        files = [self._spread_files(number) for number in parts]
        arguments = [(self.layout, number, self._score_table()) for number in parts]
        self._run("spread", spread.spread_part, arguments, files)
        names = [f"rank_{name}" for name in spread.policies(self.layout)]
        names += ["ids", *(["sizes"] if self.dedup.minhash else [])]
        names += ["scopes"] if self.dedup.scope == "language" else []
        self._run("rank", rank_all, [(self.layout,)], [[self._all(name) for name in names]])
        for kind in found:
            if kind == "minhash":
                self._run_minhash(found)
            else:
                self._run_keys(kind)

    def _run_keys(self, kind: str) -> None:
        """Find copies by key, and what is left after them."""
        targets = self._removals(kind)
        arguments = [(self.layout, kind, n, target) for n, target in enumerate(targets)]
        self._run(f"{kind}_keys", keys.equal_keys, arguments, [[target] for target in targets])
        self._remaining(kind, targets)

    def _remaining(self, kind: str, removals: list[Path]) -> None:
        """Mark what is left after the copies of a kind."""
        before = self._removals("url") if kind == "exact" and self.dedup.url else []
        target = self._all(f"after_{kind}")
        arguments = [(self.layout, [*before, *removals], target)]
        self._run(f"after_{kind}", keys.mark_remaining, arguments, [[target]])

    def _run_minhash(self, found: dict[str, tuple[Step, Unit]]) -> None:
        """Find near-duplicates; how many units resolve them is known only when all are linked."""
        layout = self.layout
        if not self.dedup.exact:
            self._remaining("exact", [])
        units = range(len(spread.units_of(layout)))
        arguments: list[tuple[Any, ...]] = [(layout, unit) for unit in units]
        buckets = [[layout.file("buckets", unit)] for unit in units]
        self._run("buckets", buckets_.find_unit, arguments, buckets)
        grouped = [layout.file("grouped", unit) for unit in units]
        self._run("cluster", buckets_.cluster, [(layout,)], [[*grouped, self._all("groups")]])
        arguments = [(layout, number) for number in range(len(layout.parts))]
        targets = [self._set_files(str(part)) for part in layout.parts]
        self._run("shingle", near_.shingle_part, arguments, targets)
        if layout.earlier is not None:
            foreign = [self._set_files(near_.FOREIGN)]
            self._run("shingle_earlier", near_.shingle_foreign, [(layout,)], foreign)
        removals = [
            layout.file("removed_minhash", group) for group in range(buckets_.groups_of(layout))
        ]
        arguments = [(layout, group) for group in range(len(removals))]
        self._run("resolve", near_.resolve_group, arguments, [[target] for target in removals])
        step, unit = found["minhash"]
        target = duplicates_table(self.job, "minhash")
        found["minhash"] = (step, replace(unit, arguments=("minhash", removals, target)))

    def _run(
        self, name: str, work: Work, arguments: Sequence[tuple[Any, ...]], outputs: list[list[Path]]
    ) -> None:
        """Run one step, a unit for each of `arguments`."""
        units = [
            Unit(f"{number:05d}", (self.layout.spill,), work, given, tuple(written))
            for number, (given, written) in enumerate(zip(arguments, outputs, strict=True))
        ]
        self.engine.run(Step(name, VERSION), units)

    def _removals(self, kind: str) -> list[Path]:
        """Return where the removals of a kind are spilled by section."""
        sections = 0 if kind == "minhash" else spread.sections_of(self.layout, kind)
        return [self.layout.file(f"removed_{kind}", section) for section in range(sections)]

    def _all(self, name: str) -> Path:
        """Return where an array of all documents lies."""
        return self.layout.file("all", name)

    def _spread_files(self, number: int) -> list[Path]:
        """Return what is spilled of a part."""
        part = self.layout.parts[number]
        names = ["order", *(["exact"] if self.dedup.exact else [])]
        names += ["url"] if self.dedup.url else []
        names += ["bands", "sizes"] if self.dedup.minhash else []
        names += ["scopes"] if self.dedup.scope == "language" else []
        return [self.layout.file(name, part) for name in names]

    def _set_files(self, name: str) -> list[Path]:
        """Return where the shingle sets of a part are, and where each of them is there."""
        return [self.layout.file("sets", name), self.layout.file("places", name)]

    def _score_table(self) -> str:
        """Return the table with the score of `keep`."""
        keep = self.dedup.minhash.keep if self.dedup.minhash else "longest"
        ranked = [f"score_{ensemble.name}" for ensemble in self.job.recipe.curate.ensembles]
        return "ensembles" if isinstance(keep, BestScore) and keep.best in ranked else "scores"
