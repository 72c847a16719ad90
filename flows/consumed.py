"""What training has read stays as it was: kept when a plan is made again, and compared with it.

An *advance* says up to which step a stage was read, over all its phases. The plan that was read is
kept at RUN/consumed/<stage>/<folder> by hard links, which cost nothing while the plan is the same.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cuvee.configs.errors import RunMismatch
from cuvee.configs.recipe import Recipe
from cuvee.corpus.whole import write_json
from cuvee.flows.advances import Advance
from cuvee.flows.chains import StoredPlan, difference, stored_plan


def keep_consumed(run: Path, recipe: Recipe, made: Sequence[Advance]) -> None:
    """Keep the plan of every stage that was advanced, as it is, unless that is done.

    To be called before anything of the plan is written again.
    """
    folders = {stage.name: stage.folders for stage in recipe.stages}
    for stage, step in _read_up_to(made).items():
        kept = run / "consumed" / stage
        if _steps_kept(kept) == step:
            continue
        there = [f for f in folders.get(stage, []) if stored_plan(run, f).chain.exists()]
        stopped = set(stops_of(run, recipe))
        shutil.rmtree(kept, ignore_errors=True)
        held: dict[str, dict[str, int | bool]] = {}
        left = step
        for folder in there:
            plan = stored_plan(run, folder)
            steps = int(plan.read()["steps"])
            read = min(left, steps)
            left -= read
            if read:
                _link(plan, kept / folder)
                held[folder] = {"steps": read, "stopped": read < steps or folder in stopped}
        write_json(kept / "kept.json", {"step": step, "folders": held})


def stops_of(run: Path, recipe: Recipe) -> dict[str, int]:
    """Return the steps after which folders end, since their gate was passed before their end."""
    found: dict[str, int] = {}
    for stage in recipe.stages:
        if stage.gate is None:
            continue
        for folder, held in _kept(run / "consumed" / stage.name).items():
            if held["stopped"]:
                found[folder] = int(held["steps"])
    return found


def refuse_changed(run: Path, recipe: Recipe, made: Sequence[Advance]) -> None:
    """Refuse a plan that changes what was read, with the first position that would differ."""
    known = {folder for stage in recipe.stages for folder in stage.folders}
    for stage in _read_up_to(made):
        for folder, held in _kept(run / "consumed" / stage).items():
            new, old = stored_plan(run, folder), _kept_plan(run / "consumed" / stage / folder)
            first = difference(old, new) if folder in known and new.chain.exists() else 0
            batch = int(old.read()["batch_sequences"])
            if first is not None and first < int(held["steps"]) * batch:
                raise RunMismatch(
                    f"Training has read stage {folder!r} up to step {held['steps']:,}, and this "
                    f"plan changes it from position {first:,} on, in step {first // batch + 1:,}.",
                    do="Undo the change of the recipe, and change only what is not read yet.",
                )


def _read_up_to(made: Sequence[Advance]) -> dict[str, int]:
    """Return the last step that was read of each stage that was advanced."""
    found: dict[str, int] = {}
    for one in made:
        found[one.stage] = max(one.step, found.get(one.stage, 0))
    return found


def _kept(kept: Path) -> dict[str, dict[str, int | bool]]:
    """Return what is kept of a stage: steps by folder, and whether it was left there."""
    path = kept / "kept.json"
    held: dict[str, dict[str, int | bool]] = {}
    if path.exists():
        held = json.loads(path.read_text())["folders"]
    return held


def _steps_kept(kept: Path) -> int:
    """Return up to which step a stage's plan is kept; 0 where it is not."""
    path = kept / "kept.json"
    return int(json.loads(path.read_text())["step"]) if path.exists() else 0


def _kept_plan(folder: Path) -> StoredPlan:
    """Return a plan that is kept."""
    return StoredPlan(folder / "plan.parquet", folder / "chain.json", folder / "packs")


def _link(plan: StoredPlan, folder: Path) -> None:
    """Keep a plan in a folder; what replaces its files later leaves these as they are."""
    kept = _kept_plan(folder)
    kept.packs.mkdir(parents=True, exist_ok=True)
    os.link(plan.plan, kept.plan)
    os.link(plan.chain, kept.chain)
    for path in plan.packs.glob("*.parquet"):
        os.link(path, kept.packs / path.name)
