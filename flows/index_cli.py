"""The command line of the index of earlier documents: `cuvee index add` and `cuvee index show`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Keep what runs have kept, so that the next crawl brings none of it again.",
)

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")]


@app.command()
def add(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run directory whose curation is finished.")
    ],
    index: Index,
    name: Annotated[
        str | None, typer.Option(help="What to call it; the run directory's name if not given.")
    ] = None,
) -> None:
    """Add the documents that a run kept.

    The texts stay where they are: the run directory must be kept as long as the index is used.
    """
    from cuvee.flows import index_commands as commands

    commands.add(run_folder, index, name)


@app.command()
def show(index: Index) -> None:
    """Show the runs of an index, in the order in which they were added."""
    from cuvee.flows import index_commands as commands

    commands.show(index)
