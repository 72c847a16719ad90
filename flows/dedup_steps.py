"""The steps of deduplication: which units each has, what they read, what identifies them."""

from pathlib import Path

from cuvee.configs.deduplication import BestScore
from cuvee.filters.minhash import MinHashParams
from cuvee.flows import curate_parts as work
from cuvee.flows.deduplication import Survivors, exact_duplicates, near_duplicates
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents, Job


def sign(engine: Engine, documents: Documents) -> Prints:
    """Hash every document for deduplication: its whole text, and its bands."""
    job, spec = engine.job, engine.job.recipe.curate.dedup.minhash
    params = None
    if spec is not None:
        params = MinHashParams(spec.ngram, spec.bands, spec.rows)
    units = []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("signatures", part)
        arguments = (job.table("documents", part), target, params)
        units.append(Unit(str(part), (print_,), work.sign_part, arguments, (target,)))
    shape = [UNICODE] if spec is None else [UNICODE, spec.ngram, spec.bands, spec.rows]
    return engine.run(Step("sign", 1, shape), units)


def deduplicate(
    engine: Engine, documents: Documents, signatures: Prints, judged: Prints
) -> dict[str, str]:
    """Find exact and near copies among what the rules kept; the fingerprint of each kind."""
    job, dedup = engine.job, engine.job.recipe.curate.dedup
    near = dedup.minhash
    keep = "longest" if near is None else near.keep
    ranked = [f"score_{ensemble.name}" for ensemble in job.recipe.curate.ensembles]
    table = "ensembles" if isinstance(keep, BestScore) and keep.best in ranked else "scores"
    survivors = Survivors(job.run / "tables", tuple(job.recipe.sources), keep, table)
    reads = (*documents.prints, *signatures, *judged, repr(keep), repr(survivors.sources))
    found: dict[str, str] = {}
    if dedup.exact:
        target = duplicates_table(job, "exact")
        unit = Unit("all", reads, exact_duplicates, (survivors, target), (target,))
        (found["exact"],) = engine.run(Step("exact", 1), [unit])
    if near is not None:
        target, exact = duplicates_table(job, "minhash"), None
        if dedup.exact:
            exact = duplicates_table(job, "exact")
        work_ = (survivors, exact, near, target)
        unit = Unit("all", (*reads, *found.values()), near_duplicates, work_, (target,))
        (found["minhash"],) = engine.run(Step("minhash", 1, near.model_dump(mode="json")), [unit])
    return found


def duplicates_table(job: Job, kind: str) -> Path:
    """Return where the duplicates of one kind are listed."""
    return job.run / "tables" / "duplicates" / f"{kind}.parquet"
