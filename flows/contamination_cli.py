"""The command line of decontamination: `cuvee contamination eval`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="See what decontamination finds and misses.")


@app.callback()
def contamination() -> None:
    """See what decontamination finds and misses."""


@app.command(name="eval")
def evaluate(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe with curate.decontaminate, or a shipped one's name.")
    ],
    items: Annotated[int, typer.Option(min=1, help="Items planted of each benchmark.")] = 200,
    documents: Annotated[
        int, typer.Option(min=1, help="Documents read of each source, at most.")
    ] = 10_000,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a key, like curate.decontaminate.ngram=8."
        ),
    ] = None,
) -> None:
    """Plant benchmark items into documents of the sources; show which are found.

    Changed as the web changes them: case, spacing, marks, numbers, words. And show what is
    found where nothing was planted.
    """
    from cuvee.flows import contamination_commands as commands

    commands.evaluate(recipe, items, documents, overrides or [])
