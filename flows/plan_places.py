"""Where the files of a plan lie in a run directory."""

from pathlib import Path

from cuvee.flows.chains import stored_plan
from cuvee.flows.job import Job
from cuvee.flows.plan_parts import PlanFiles
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool


def plan_table(job: Job, stage: str) -> Path:
    """Return where a stage's plan is."""
    return stored_plan(job.run, stage).plan


def plan_files(job: Job, stage: str) -> PlanFiles:
    """Return where a stage's plan, its hash chain and its certificate are."""
    stored = stored_plan(job.run, stage)
    certificate = job.run / "plan" / f"{stage}.certificate.json"
    return PlanFiles(stored.plan, stored.chain, certificate)


def packs_table(job: Job, stage: str, pool: str) -> Path:
    """Return where a stage's packs of one pool are."""
    return stored_plan(job.run, stage).packs / f"{pool}.parquet"


def pool_table(job: Job, pool: str) -> Path:
    """Return where the rows of a source or view are, where it has not all of its source."""
    return job.run / "pools" / f"{pool}.parquet"


def excluded_table(job: Job, source: str) -> Path:
    """Return where it is said which documents of a source stages pass over."""
    return job.run / "packs" / f"{source}.excluded.parquet"


def statistics_of(job: Job, source: str) -> Path:
    """Return where the packing statistics of one source are."""
    return job.run / "packs" / f"{source}.json"


def drawn_from(stage: Stage, pools: list[Pool]) -> list[Pool]:
    """Return the pools that a stage gives a weight, in the plan's order."""
    return [pools[number] for number in stage.drawn.tolist()]
