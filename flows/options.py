"""The arguments that several commands take."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

RecipeFile = Annotated[
    Path, typer.Argument(help="A recipe: a YAML file, or the name of a shipped one.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Out = Annotated[Path, typer.Option(help="The run directory to write or to go on with.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a recipe key, like stages.core.tokens=4M."
    ),
]
Bindings = Annotated[
    list[str] | None,
    typer.Option(
        "--bind",
        metavar="SOURCE=PATH",
        help="Read a source from files, like web=texts/*.jsonl; or a YAML file of such bindings.",
    ),
]
Scale = Annotated[float, typer.Option(help="Multiply every stage's token budget.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Parts worked on at once; never changes the result.")
]
Update = Annotated[
    bool, typer.Option("--update", help="Go on in the run directory of a recipe that has changed.")
]

DEFAULT_WORKERS: Final = os.cpu_count() or 1
