"""How far the plans of two runs agree, by their hash chains (`cuvee.flows.chains`)."""

from pathlib import Path
from typing import NamedTuple

from cuvee.flows.chains import difference, stored_plan


class Agreement(NamedTuple):
    """How far the plans of a phase agree: `position` is the first at which they do not.

    It is None where one is the head of the other, or both are the same. `step` counts from 1.
    `sequences` and `heads`, the ends of the hash chains, are of both sides.
    """

    position: int | None
    step: int | None
    sequences: tuple[int, int]
    heads: tuple[str, str]

    @property
    def identical(self) -> bool:
        """Whether both plans are the same."""
        return self.heads[0] == self.heads[1] and self.sequences[0] == self.sequences[1]


def agreement(a: Path, b: Path, phase: str) -> Agreement | None:
    """Return how far the plans of a phase agree in two runs; None where a run has no plan of it."""
    mine, theirs = stored_plan(a, phase), stored_plan(b, phase)
    if not (mine.chain.exists() and theirs.chain.exists()):
        return None
    held = (mine.read(), theirs.read())
    one, other = (chain["steps"] * chain["batch_sequences"] for chain in held)
    first = difference(mine, theirs)
    if first is not None and first >= min(one, other):
        first = None  # one ends where the other goes on
    step = None if first is None else first // held[1]["batch_sequences"] + 1
    return Agreement(first, step, (one, other), (held[0]["head"], held[1]["head"]))
