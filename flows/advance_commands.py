"""What `cuvee advance` says: what was written, what is open now, and what to do next."""

from pathlib import Path

from cuvee.configs.lineage import ancestors
from cuvee.flows.advances import advance as write_advance
from cuvee.flows.advances import advances, built_steps, closed
from cuvee.flows.consumed import keep_consumed
from cuvee.flows.job import load_job
from cuvee.flows.screen import make_console


def advance(run: Path, stage: str, step: int | None, note: str) -> None:
    """Write an advance, and print what it opens."""
    job, console = load_job(run), make_console()
    before = closed(job.recipe, advances(run))
    made = write_advance(job, stage, step, note)
    keep_consumed(run, job.recipe, advances(run))
    after = closed(job.recipe, advances(run))
    about = next(s for s in job.recipe.stages if s.name == stage)
    steps, gate = built_steps(job, about), about.gate
    console.print(f"  [green]✓[/] {stage} is read up to step {made.step:,} of {steps:,}")
    for name in before:
        if name not in after:
            console.print(f"    open:   {name}")
    for name, gates in after.items():
        console.print(f"    closed: {name}, until {' and '.join(gates)} is advanced")
    opened = [name for name in before if name not in after]
    stopped = made.step < steps and gate is not None
    if stopped:
        below = [name for name, above in ancestors(job.recipe.stages).items() if stage in above]
        opened = [name for name in below if name not in after]
    if opened:
        changed = " --update" if stopped else ""
        command = f"cuvee build RECIPE --out {run}{changed}"
        console.print(f"  Write {', '.join(opened)}: {command}", soft_wrap=True)
