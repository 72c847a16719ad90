"""A stage as the mixers see it, and its plan as columns.

A *position* counts the sequences of a stage from 0. Its *step* is position // batch_sequences, its
*slot* the remainder. An *ordinal* k says that the position reads the k-th sequence which its stage
packs from that source. What a sequence holds is not settled here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.mixers import quota
from cuvee.mixers.steps import steps
from cuvee.mixers.targets import Targets, first


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage: its budget and shape, and what it asks of every source of the recipe."""

    name: str
    tokens: int  # the budget asked for; `sequences * seq_len` is what the stage reads
    seq_len: int  # tokens per sequence
    batch_sequences: int  # sequences per step
    ramp: Targets  # integer weights over the recipe's sources; the last piece lasts to the end

    @property
    def steps(self) -> int:
        """Steps of the stage: the whole number nearest to its budget."""
        return steps(self.tokens, self.seq_len, self.batch_sequences)

    @property
    def sequences(self) -> int:
        """Positions of the stage."""
        return self.steps * self.batch_sequences

    @cached_property
    def targets(self) -> Targets:
        """The integer weights of every source at every position."""
        return first(self.ramp, self.sequences)

    @property
    def drawn(self) -> NDArray[np.int64]:
        """The sources that have a weight somewhere, ascending."""
        return np.flatnonzero(self.targets.due)

    @cached_property
    def schedule(self) -> NDArray[np.uint16]:
        """The source of each position, uint16[sequences]; computed once, then kept."""
        return quota.schedule(self.targets)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Sequences of each source, int64[n]."""
        return _count(self.schedule, self.ramp.weights.shape[1])


class Plan(NamedTuple):
    """The plan of one stage; entry p of every column is about position p."""

    position: NDArray[np.int64]
    step: NDArray[np.int32]
    slot: NDArray[np.int32]
    source: NDArray[np.uint16]  # index into the recipe's sources
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
    """Return for each position how often its source occurs before it."""
    seen, out = np.zeros(n, np.int64), np.empty(len(sources), np.int64)
    for position in range(len(sources)):
        i = sources[position]
        out[position] = seen[i]
        seen[i] += 1
    return out
