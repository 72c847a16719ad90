"""The command line of deduplication: `cuvee dedup eval`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="See what deduplication finds and misses.")


@app.callback()
def dedup() -> None:
    """See what deduplication finds and misses."""


@app.command(name="eval")
def evaluate(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Documents with id and text, .jsonl or .parquet (.gz, .zst); a path or a pattern.",
        ),
    ],
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Judged pairs, JSON lines of a, b (ids) and duplicate (true or false); "
            "precision and recall are shown for them."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A key of curate.dedup.minhash, like bands=20."
        ),
    ] = None,
) -> None:
    """Find near-duplicates in some documents; show which of all similar pairs are found.

    Every pair is compared, so this is for thousands of documents, not for a corpus.
    """
    from cuvee.flows import dedup_commands as commands

    commands.evaluate(documents, pairs, overrides or [])
