"""What a stage asks of its pools at every position: integer weights, constant over pieces.

A *piece* is a run of positions with the same weights. A mixture that stays is one piece; a ramp is
many (`cuvee.mixers.ramps`). What is *due* to a pool before position t is the sum of its weights
over the positions below t, in units of 1 / 2**32 of a sequence: an exact integer.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.mixers.weights import SHARE_UNITS


class Targets(NamedTuple):
    """The weights of a stage, piece by piece, for p pieces and n pools."""

    lengths: NDArray[np.int64]  # [p], positions of each piece
    weights: NDArray[np.int64]  # [p, n], each row sums to 2**32 (`weights.integerise`)

    @property
    def positions(self) -> int:
        """Positions of all pieces together."""
        return int(self.lengths.sum())

    @property
    def due(self) -> NDArray[np.int64]:
        """What is due to each pool over all positions, int64[n], in 1 / 2**32 sequences."""
        return np.asarray(self.lengths @ self.weights)

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of the whole that is due to each pool, float64[n]."""
        return self.due / (self.positions * SHARE_UNITS)


def constant(weights: NDArray[np.int64], length: int) -> Targets:
    """Return the targets of a mixture, int64[n], that stays for `length` positions."""
    return Targets(np.array([length], np.int64), weights.reshape(1, -1))


def first(targets: Targets, length: int) -> Targets:
    """Return the targets of the first `length` positions; the last piece lasts beyond its end."""
    ends = np.cumsum(targets.lengths)
    kept = int(np.searchsorted(ends[:-1], length)) + 1
    lengths = targets.lengths[:kept].copy()
    lengths[-1] = length - (int(ends[kept - 2]) if kept > 1 else 0)
    return Targets(lengths, targets.weights[:kept])


def rounded(due: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Return what is due in whole `unit`s, int64[n], each rounded down or up; the sum is exact.

    Largest remainder: the units left over go to the largest remainders, of equal ones to the first.
    `due` sums to a whole number of units.
    """
    whole, part = np.divmod(due, unit)
    whole[np.argsort(-part, kind="stable")[: int(part.sum()) // unit]] += 1
    return whole
