"""What both flows begin with: the recipe read and checked, its directory held, an engine open."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cuvee.configs.load import base_of, load
from cuvee.flows.checks import begin
from cuvee.flows.engine import Engine, open_engine
from cuvee.flows.job import open_job
from cuvee.flows.screen import Screen, make_console


@contextmanager
def session(
    recipe: str, out: str, overrides: Sequence[str], scale: float, update: bool, workers: int
) -> Iterator[Engine]:
    """Yield the engine of a flow run; its parameters are a flow's."""
    chosen = load(Path(recipe), overrides, scale)
    job = open_job(chosen, Path(out), base_of(Path(recipe)), update)
    begin(job)
    with open_engine(job, workers, Screen(make_console())) as engine:
        yield engine
