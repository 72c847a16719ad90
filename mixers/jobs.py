"""The draws of a stage as jobs with windows: when each may and must be served.

Job k of a source is its draw number k. Its *window* goes from its *release*, the first position
after which more than k sequences are due to the source, to its *deadline*, the first after which
k + 1 are. At both ends the source has a weight; in between it may be switched off for a while. The
windows of a source's jobs follow each other and share at most one position.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.mixers.targets import Targets
from cuvee.mixers.weights import SHARE_UNITS

NEVER = 1 << 40  # beyond every position


class Pieces(NamedTuple):
    """Targets as the kernels read them, for p pieces and n sources."""

    bounds: NDArray[np.int64]  # [p + 1], the first position of each piece, and the end
    weights: NDArray[np.int64]  # [p, n]
    due: NDArray[np.int64]  # [p + 1, n], what is due at each bound


class Jobs(NamedTuple):
    """The next job of every source, int64[n] each: its number, its window, its release's piece."""

    number: NDArray[np.int64]
    release: NDArray[np.int64]
    deadline: NDArray[np.int64]
    piece: NDArray[np.int64]


def pieces_of(targets: Targets) -> Pieces:
    """Return the pieces of targets, with what is due where each begins."""
    zero = np.zeros((1, targets.weights.shape[1]), np.int64)
    due = np.concatenate([zero, np.cumsum(targets.lengths[:, None] * targets.weights, axis=0)])
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(targets.lengths)])
    return Pieces(bounds, np.ascontiguousarray(targets.weights), due)


@njit(nogil=True, cache=True)
def first_jobs(pieces: Pieces) -> Jobs:
    """Return job 0 of every source."""
    n = pieces.weights.shape[1]
    zero = np.zeros(n, np.int64)
    jobs = Jobs(zero, zero.copy(), zero.copy(), zero.copy())
    for source in range(n):
        set_job(pieces, jobs, source, 0)
    return jobs


@njit(nogil=True, cache=True)
def set_job(pieces: Pieces, jobs: Jobs, source: int, number: int) -> None:
    """Make `number` the next job of a source; the piece of the present one is where it looks."""
    piece = jobs.piece[source] if number >= jobs.number[source] else 0
    jobs.number[source] = number
    release, piece = _reached(pieces, source, number * SHARE_UNITS + 1, piece)
    jobs.release[source], jobs.piece[source] = release, piece
    jobs.deadline[source] = _reached(pieces, source, (number + 1) * SHARE_UNITS, piece)[0]


@njit(nogil=True, cache=True)
def window(pieces: Pieces, source: int, number: int) -> tuple[int, int]:
    """Return release and deadline of any job of a source."""
    release, piece = _reached(pieces, source, number * SHARE_UNITS + 1, 0)
    return release, _reached(pieces, source, (number + 1) * SHARE_UNITS, piece)[0]


@njit(nogil=True, cache=True)
def _reached(pieces: Pieces, source: int, level: int, piece: int) -> tuple[int, int]:
    """Return the first position after which at least `level` is due to a source, and its piece.

    The search begins at a piece where less is due. The last piece goes on beyond its end, so that
    a shorter schedule of constant weights is a prefix of a longer one.
    """
    last = len(pieces.weights) - 1
    while piece < last and pieces.due[piece + 1, source] < level:
        piece += 1
    weight = pieces.weights[piece, source]
    if weight == 0:
        return NEVER, piece
    missing = level - pieces.due[piece, source]
    return min(NEVER, pieces.bounds[piece] + (missing + weight - 1) // weight - 1), piece
