"""What `cuvee plan` shows."""

from dataclasses import replace
from pathlib import Path

from cuvee.corpus.plan_accounts import PlanAccount
from cuvee.corpus.plan_tables import render
from cuvee.flows.bindings import with_bindings
from cuvee.flows.commands import Request, recipe_file
from cuvee.flows.commands import plan as run_plan
from cuvee.flows.screen import make_console

Given = tuple[tuple[str, ...], tuple[str, ...], float]  # overrides, bindings, scale


def examine(recipe: Path, given: Given, html: Path | None, against: Path | None) -> int:
    """Show the plan of a recipe from the sizes that it declares; return the exit status.

    1 where the sources cannot give what is asked.
    """
    from cuvee.flows.plan_report import account_of_recipe

    path = recipe_file(recipe)
    overrides = with_bindings(path, *given[:2])
    found = account_of_recipe(path, overrides, given[2])
    if against is None:
        return _show(found, html)
    from cuvee.flows import diff_commands

    mine = diff_commands.recipe_side(path, overrides, given[2])
    mine = mine._replace(name=" --set ".join([mine.name, *given[0]]))
    diff_commands.show(diff_commands.side(against), mine, "table")
    return _status(found, html)


def plan(request: Request, html: Path | None, against: Path | None) -> int:
    """Tokenise and plan a run, and show its plan from measured sizes; return the exit status."""
    from cuvee.configs.marks import read
    from cuvee.flows.job import load_job
    from cuvee.flows.plan_marks import Marks
    from cuvee.flows.plan_of_run import account_of_run

    run_plan(request)
    marks = Marks(read(recipe_file(request.recipe)), request.overrides)
    assumed = tuple(slot for slot in marks.assumed() if not slot.key.startswith("sources."))
    found = account_of_run(load_job(request.out))
    if against is None:
        return _show(replace(found, assumed=assumed, marks=marks.counts()), html)
    from cuvee.flows import diff_commands

    diff_commands.diff(against, request.out, "table")
    return _status(found, html)


def _show(plan: PlanAccount, html: Path | None) -> int:
    """Print a plan, and write its page where that is asked for; return the exit status."""
    make_console().print("", render(plan), "", sep="\n")
    return _status(plan, html)


def _status(plan: PlanAccount, html: Path | None) -> int:
    """Write the page of a plan where that is asked for; return the exit status."""
    if html is not None:
        from cuvee.corpus.plan_page import write

        write(plan, html)
        make_console().print(f"  [green]✓[/] page               {html}")
    return 1 if plan.feasible is False else 0
