"""A stage as the mixers see it, and its plan as columns.

A *position* counts the sequences of a stage from 0. Its *step* is position // batch_sequences, its
*slot* the remainder. An *ordinal* k says that the position reads the k-th sequence which its stage
packs from that pool. What a sequence holds is not settled here. A stage that is *stopped* reads
the first steps of what it was planned to read: its *horizon* is all of it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.mixers import quota
from cuvee.mixers.steps import steps
from cuvee.mixers.targets import Targets, first, rounded
from cuvee.mixers.weights import SHARE_UNITS


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage, or one phase of it: its budget and shape, and what it asks of every pool."""

    name: str  # of its folder
    of: str  # the stage of the recipe
    tokens: int  # the budget asked for; `sequences * seq_len` is what the stage reads
    seq_len: int  # tokens per sequence
    batch_sequences: int  # sequences per step
    ramp: Targets  # integer weights over the pools; the last piece lasts to the end and beyond
    stop_steps: int | None = None  # steps after which it ends, where that is before its horizon
    seed: int = 0  # of the order in which documents are drawn
    parents: tuple[str, ...] = ()  # folders of the stages that it goes on from
    head_of: "Stage | None" = None  # the stage that it was stopped in, whose schedule it shares

    @property
    def horizon_steps(self) -> int:
        """Steps of the whole budget: the whole number nearest to it."""
        return steps(self.tokens, self.seq_len, self.batch_sequences)

    @property
    def steps(self) -> int:
        """Steps that the stage has."""
        if self.stop_steps is None:
            return self.horizon_steps
        return min(self.horizon_steps, self.stop_steps)

    @property
    def sequences(self) -> int:
        """Positions of the stage."""
        return self.steps * self.batch_sequences

    @cached_property
    def targets(self) -> Targets:
        """The integer weights of every pool at every position."""
        return first(self.ramp, self.sequences)

    @property
    def drawn(self) -> NDArray[np.int64]:
        """The pools that have a weight somewhere, ascending."""
        return np.flatnonzero(self.targets.due)

    @cached_property
    def schedule(self) -> NDArray[np.uint16]:
        """The pool of each position, uint16[sequences]; computed once, then kept.

        It is the head of the schedule of the whole horizon. A longer budget goes on from a shorter
        one's: always, where no pool is switched off for good; else in all but 1 of 1,500 random
        plans, where an exchange near the switch was needed later.
        """
        if self.head_of is not None:
            return self.head_of.schedule[: self.sequences]
        horizon = max(self.horizon_steps * self.batch_sequences, self.ramp.positions)
        return quota.schedule(first(self.ramp, horizon))[: self.sequences]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Sequences of each pool in the schedule, int64[n]."""
        return _count(self.schedule, self.ramp.weights.shape[1])

    @cached_property
    def quota_counts(self) -> NDArray[np.int64]:
        """What is due to each pool in whole sequences, int64[n], without a schedule.

        Each is `counts` or one beside it: both are what is due rounded down or up.
        """
        return rounded(self.targets.due, SHARE_UNITS)

    def stopped(self, stop_steps: int) -> "Stage":
        """Return the stage as it is when it ends after so many steps."""
        whole = self.head_of or self
        if stop_steps >= whole.steps:
            return whole
        return replace(whole, stop_steps=stop_steps, head_of=whole)


class Plan(NamedTuple):
    """The plan of one stage; entry p of every column is about position p."""

    position: NDArray[np.int64]
    step: NDArray[np.int32]
    slot: NDArray[np.int32]
    source: NDArray[np.uint16]  # index into the plan's pools
    ordinal: NDArray[np.int64]


def plan(stage: Stage) -> Plan:
    """Return the columns of a stage's plan, each of `stage.sequences` entries (26 bytes a row)."""
    position = np.arange(stage.sequences, dtype=np.int64)
    step, slot = np.divmod(position, stage.batch_sequences)
    return Plan(
        position,
        step.astype(np.int32),
        slot.astype(np.int32),
        stage.schedule,
        _ordinals(stage.schedule, stage.ramp.weights.shape[1]),
    )


@njit(nogil=True, cache=True)
def _count(sources: NDArray[np.uint16], n: int) -> NDArray[np.int64]:
    """Return how often each of n sources occurs; unlike bincount, without a copy as int64."""
    counts = np.zeros(n, np.int64)
    for i in sources:
        counts[i] += 1
    return counts


@njit(nogil=True, cache=True)
def _ordinals(sources: NDArray[np.uint16], n: int) -> NDArray[np.int64]:
    """Return for each position how often its pool occurs before it."""
    seen, out = np.zeros(n, np.int64), np.empty(len(sources), np.int64)
    for position in range(len(sources)):
        i = sources[position]
        out[position] = seen[i]
        seen[i] += 1
    return out
