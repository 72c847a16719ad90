"""The command line. Every heavy import waits for the command that needs it."""

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cuvee.configs.errors import CuveeError
from cuvee.flows import (
    classifier_cli,
    contamination_cli,
    dedup_cli,
    export_cli,
    index_cli,
    plan_cli,
)
from cuvee.flows.kernels import drop_stale
from cuvee.flows.options import (
    DEFAULT_WORKERS,
    Bindings,
    Out,
    Overrides,
    RecipeFile,
    RunFolder,
    Scale,
    Update,
    Workers,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes around the help costs a quarter of a second
    help="Raw text in, the exact batches of every training stage out.",
)

app.add_typer(classifier_cli.app, name="classifier")
app.add_typer(contamination_cli.app, name="contamination")
app.add_typer(dedup_cli.app, name="dedup")
app.add_typer(index_cli.app, name="index")

INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended: 128 + SIGINT


# The commands that work on a recipe, and their help; they take the same arguments.
ON_RECIPE = {
    "run": """Do everything, from raw text to shards.

    Curate, plan, build, verify, read back, and say what to look at next.""",
    "curate": """Give every document a verdict.

    Measure, judge, deduplicate and decontaminate; nothing is dropped without a reason.""",
    "build": "Write the shards of every stage, verified.",
}


def _on_recipe(name: str) -> Callable[..., None]:
    """Return the command `name`, which does to a recipe what its namesake in `commands` does."""

    def command(
        recipe: RecipeFile,
        out: Out,
        overrides: Overrides = None,
        scale: Scale = 1.0,
        workers: Workers = DEFAULT_WORKERS,
        update: Update = False,
        bindings: Bindings = None,
    ) -> None:
        from cuvee.flows import commands

        given = (tuple(overrides or ()), tuple(bindings or ()))
        request = commands.Request(recipe, out, *given, scale, workers, update)
        commands.ON_RECIPE[name](request)

    return command


for _name, _help in ON_RECIPE.items():
    app.command(_name, help=_help)(_on_recipe(_name))

for _command in (plan_cli.plan, plan_cli.diff, plan_cli.advance):
    app.command()(_command)


@app.command()
def sql(
    run_folder: RunFolder,
    query: Annotated[str, typer.Argument(help="A DuckDB query over the run's views.")],
    output: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
) -> None:
    """Ask a question in SQL."""
    from cuvee.flows import commands

    commands.sql(run_folder, query, output)


@app.command()
def explain(
    run_folder: RunFolder,
    doc: Annotated[str | None, typer.Option(help="A document's id.")] = None,
    stage: Annotated[str | None, typer.Option(help="A stage, with --position.")] = None,
    position: Annotated[int | None, typer.Option(help="A sequence of the stage.")] = None,
) -> None:
    """Follow a sequence or a document.

    A sequence back to its documents, or a document to where it is trained on.
    """
    from cuvee.flows import commands

    commands.explain(run_folder, doc, stage, position)


@app.command()
def retune(
    run_folder: RunFolder,
    overrides: Overrides = None,
) -> None:
    """Show what other limits would change.

    Documents are judged again from what was measured, in seconds, without their text.
    """
    from cuvee.flows import commands

    commands.retune(run_folder, overrides or [])


@app.command()
def verify(
    run_folder: RunFolder,
) -> None:
    """Check every shard and every prefix.

    Hashes, positions, token ids, boundaries, and each source's share at every prefix.
    """
    from cuvee.flows import commands

    commands.verify(run_folder)


@app.command()
def report(
    run_folder: RunFolder,
    out: Annotated[
        Path | None, typer.Option(help="The page; RUN/report.html if not given.")
    ] = None,
) -> None:
    """Write one page about a run.

    Funnel, stages and mixture over tokens, in a file that needs nothing else.
    """
    from cuvee.flows import commands

    commands.report(run_folder, out)


app.command()(export_cli.export)


@app.command()
def recipes(
    action: Annotated[str | None, typer.Argument(help="`show`, to print a recipe.")] = None,
    name: Annotated[str | None, typer.Argument(help="The recipe to print.")] = None,
) -> None:
    """List or print the shipped recipes."""
    from cuvee.flows import commands

    commands.recipes(action, name)


def main() -> None:
    """Run the command line: status 0 done, 1 the run failed, 2 the request was wrong."""
    ended = [1]
    atexit.register(_leave, ended)  # what is registered first runs last
    drop_stale()
    ended[0] = guarded(app)
    sys.exit(ended[0])


def _leave(ended: Sequence[int]) -> None:
    """End the process before the interpreter is taken down.

    Threads of Prefect's still hold modules then, and DuckDB's binding would list all of its objects
    as leaked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended[0])


def guarded(command: Callable[[], Any]) -> int:
    """Run `command`; print an error as sentences, never as a traceback, and return the status."""
    try:
        command()
    except CuveeError as error:
        print(f"\n{type(error).__name__}: {error.got}", file=sys.stderr)
        for line in (error.allowed, error.do):
            if line:
                print(f"  {line}", file=sys.stderr)
        return error.status
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"\nThe run stopped: {error}", file=sys.stderr)
        print("  Finished parts are kept; mend this and give the same command.", file=sys.stderr)
        return 1
    except SystemExit as end:  # typer ends every command with one, an interrupted one with 130
        if end.code == INTERRUPTED:
            print("\nStopped. Finished parts are kept; the same command goes on.", file=sys.stderr)
        return end.code if isinstance(end.code, int) else 0
    return 0
