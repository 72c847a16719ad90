"""The commands about plans: `cuvee plan`, `cuvee diff` and `cuvee advance`."""

from pathlib import Path
from typing import Annotated

import typer

from cuvee.flows.options import (
    DEFAULT_WORKERS,
    Bindings,
    Overrides,
    RecipeFile,
    RunFolder,
    Scale,
    Update,
    Workers,
)

Side = Annotated[Path, typer.Argument(help="A run directory, or a recipe.")]
Format = Annotated[str, typer.Option("--format", help="table or json.")]


def plan(
    recipe: RecipeFile,
    out: Annotated[
        Path | None,
        typer.Option(help="A run directory: tokenise what it kept, and plan from measured sizes."),
    ] = None,
    overrides: Overrides = None,
    scale: Scale = 1.0,
    workers: Workers = DEFAULT_WORKERS,
    update: Update = False,
    bindings: Bindings = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the plan as a page, too, with a chart.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Show what changes from this recipe or run instead.")
    ] = None,
) -> None:
    """Plan the stages, and show the plan.

    Without --out from the sizes that the recipe declares: nothing is read or written. With --out
    what was kept is tokenised, and the plan says which source is read at which position.
    """
    from cuvee.flows import plan_commands
    from cuvee.flows.commands import Request

    given = (tuple(overrides or ()), tuple(bindings or ()), scale)
    if out is None:
        status = plan_commands.examine(recipe, given, html, against)
    else:
        request = Request(recipe, out, *given, workers, update)
        status = plan_commands.plan(request, html, against)
    raise typer.Exit(status)


def diff(a: Side, b: Side, output: Format = "table") -> None:
    """Compare two plans.

    Which stages, budgets, shapes and weights differ; of two runs, from which position on.
    """
    from cuvee.flows import diff_commands

    diff_commands.diff(a, b, output)


def advance(
    run_folder: RunFolder,
    stage: Annotated[str, typer.Argument(help="The stage that training has read.")],
    step: Annotated[
        int | None, typer.Option(help="Up to this step of it; its last by default.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why: what was evaluated, by whom.")] = "",
) -> None:
    """Say that training has read a stage.

    No later plan may change what was read. A stage with a gate ends there, and what comes after it
    can be built.
    """
    from cuvee.flows import advance_commands

    advance_commands.advance(run_folder, stage, step, note)
