"""The command `cuvee export`: a finished stage in the format of another trainer."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from cuvee.configs.errors import RequestError


def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    stage: Annotated[str, typer.Option(help="The stage; of one with phases, STAGE_NUMBER.")],
    export_format: Annotated[str, typer.Option("--format", help="megatron, npy, mds or memmap.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
) -> None:
    """Write a stage for another trainer.

    For Megatron, OLMo-core (npy) or MosaicML streaming (mds), or as arrays to map into memory; rows
    in training order, every byte checked.
    """
    from cuvee.corpus import figures
    from cuvee.flows.screen import Screen, make_console
    from cuvee.handoff.exports import export_stage
    from cuvee.handoff.manifest import read_manifest

    directory = _stage_of(run_folder, stage)
    console = make_console()
    with Screen(console).step(f"export {stage}", len(read_manifest(directory).files), 0) as done:
        made = export_stage(directory, export_format, out, done)
    console.print(
        f"  [green]✓[/] {out}: {made.sequences:,} sequences, {made.tokens:,} tokens, "
        f"{figures.size(made.bytes)} in {made.files:,} files",
        soft_wrap=True,
    )
    for sentence in made.lost:
        console.print(f"  [yellow]![/] {sentence}", soft_wrap=True)


def _stage_of(run: Path, stage: str) -> Path:
    """Return the folder of a finished stage. Raises RequestError, which names those there are."""
    held = sorted(manifest.parent.name for manifest in run.glob("shards/*/manifest.json"))
    if stage in held:
        return run / "shards" / stage
    if not held:
        raise RequestError(
            f"{run} holds no finished stage.", do=f"Run `cuvee build RECIPE --out {run}` first."
        )
    near = difflib.get_close_matches(stage, held, 1)
    raise RequestError(
        f"{run} holds no finished stage {stage!r}.",
        f"It holds {', '.join(held)}.",
        f"Did you mean {near[0]}?" if near else "",
    )
