"""What training has read: the stages that a person has declared done, and what that opens.

An *advance* says that training has read a stage up to a step, by default its last; no later plan
may change that. A stage with a *gate* keeps its descendants closed until it is advanced, and ends
at that step. Advances are lines of RUN/advances.jsonl, in the order in which they were given.
"""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.configs.lineage import ancestors
from cuvee.configs.recipe import Recipe
from cuvee.configs.stages import Stage
from cuvee.corpus.whole import whole
from cuvee.flows.job import Job, alone, require

ADVANCES: Final = "advances.jsonl"


class Advance(NamedTuple):
    """Training has read `stage` up to `step`: that many of its steps, over all its phases."""

    stage: str
    step: int
    note: str


def advances(run: Path) -> list[Advance]:
    """Return the advances of a run, in order; none where none was given."""
    path = run / ADVANCES
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        return [Advance(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise RunMismatch(f"{path} is no list of advances: {error}.") from error


def advance(job: Job, name: str, step: int | None, note: str) -> Advance:
    """Write that training has read a stage up to a step, None for its end, and return it.

    Raises RequestError for a stage that is none or is not built, for a step outside of it, and for
    one before an earlier advance.
    """
    stage = _stage(job.recipe, name)
    with alone(job.run):
        before = advances(job.run)
        steps = built_steps(job, stage)
        made = Advance(name, steps if step is None else step, note)
        if not 1 <= made.step <= steps:
            raise RequestError(
                f"Stage {name!r} has no step {made.step:,}.", f"It has steps 1 to {steps:,}."
            )
        last = max((one.step for one in before if one.stage == name), default=0)
        if made.step < last:
            raise RequestError(
                f"Stage {name!r} was advanced to step {last:,} before; {made.step:,} is behind it.",
                do="What was read stays read: give a later step.",
            )
        with whole(job.run / ADVANCES) as beside:
            rows = [json.dumps(one._asdict(), ensure_ascii=False) for one in (*before, made)]
            beside.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return made


def closed(recipe: Recipe, made: Sequence[Advance]) -> dict[str, list[str]]:
    """Return the stages that are closed, each with the stages whose gates keep it so."""
    advanced = {one.stage for one in made}
    gates = [s.name for s in recipe.stages if s.gate is not None and s.name not in advanced]
    found = {
        stage: [name for name in above if name in gates]
        for stage, above in ancestors(recipe.stages).items()
    }
    return {stage: names for stage, names in found.items() if names}


def open_folders(job: Job) -> list[str]:
    """Return the folders of the stages that no gate keeps closed, one for each phase."""
    waiting = closed(job.recipe, advances(job.run))
    return [f for stage in job.recipe.stages if stage.name not in waiting for f in stage.folders]


def built_steps(job: Job, stage: Stage) -> int:
    """Return the steps of a stage whose shards are written; RequestError where they are not."""
    from cuvee.handoff.manifest import read_manifest

    steps = 0
    for folder in stage.folders:
        shards = job.run / "shards" / folder
        require(shards / "manifest.json", f"Stage {folder}", f"cuvee build RECIPE --out {job.run}")
        manifest = read_manifest(shards)
        steps += manifest.sequences // manifest.global_batch.sequences
    return steps


def _stage(recipe: Recipe, name: str) -> Stage:
    """Return a stage of a recipe by name."""
    known = {stage.name: stage for stage in recipe.stages}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise RequestError(
            f"There is no stage {name!r}.",
            f"Stages: {', '.join(known)}.",
            f"Did you mean {near[0]!r}?" if near else "",
        )
    return known[name]
