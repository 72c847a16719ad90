"""What `cuvee diff` does: two runs or recipes side by side."""

import json
from collections.abc import Sequence
from pathlib import Path

from cuvee.configs.errors import RecipeError, RequestError
from cuvee.configs.load import load
from cuvee.flows.commands import recipe_file
from cuvee.flows.diff_plans import Side, phase_changes, recipe_changes
from cuvee.flows.diff_positions import Agreement, agreement
from cuvee.flows.diff_tables import document, render
from cuvee.flows.job import RECIPE, load_job
from cuvee.flows.screen import make_console


def diff(a: Path, b: Path, output: str) -> None:
    """Print what differs between two runs or recipes."""
    if output not in ("table", "json"):
        raise RequestError(f"--format is {output!r}.", "It is one of table, json.")
    show(side(a), side(b), output)


def side(path: Path) -> Side:
    """Return a run directory or a recipe as a side of a difference."""
    if (path / RECIPE).exists() or path.is_dir():
        return _run_side(path)
    return recipe_side(recipe_file(path), (), 1.0)


def recipe_side(path: Path, overrides: Sequence[str], scale: float) -> Side:
    """Return a recipe as a side; without a plan where it does not declare its sources' sizes."""
    from cuvee.flows.plan_report import account_of_recipe

    recipe = load(path, overrides, scale)
    try:
        plan = account_of_recipe(path, overrides, scale)
    except RecipeError:
        if all(source.tokens is not None for source in recipe.sources.values()):
            raise
        plan = None
    return Side(str(path), recipe, plan, None)


def _run_side(path: Path) -> Side:
    """Return a run directory as a side; without a plan where none is written yet."""
    from cuvee.flows.plan_of_run import account_of_run

    job = load_job(path)
    planned = (path / "plan" / "stages.parquet").exists()
    return Side(str(path), job.recipe, account_of_run(job) if planned else None, path)


def show(a: Side, b: Side, output: str) -> None:
    """Print what differs between two sides."""
    keys = recipe_changes(a.recipe, b.recipe, planned=bool(a.plan and b.plan))
    phases = phase_changes(a.plan, b.plan) if a.plan and b.plan else []
    plans: dict[str, Agreement] = {}
    if a.plan and b.plan and a.run and b.run:
        for phase in a.plan.phases:
            held = agreement(a.run, b.run, phase.name)
            plans |= {} if held is None else {phase.name: held}
    names = (a.name, b.name)
    if output == "json":
        print(json.dumps(document(names, keys, phases, plans), indent=1, ensure_ascii=False))
    else:
        make_console().print("", render(names, keys, phases, plans), "", sep="\n")
