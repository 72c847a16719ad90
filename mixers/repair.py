"""Mend a schedule where serving the earliest deadline first came to a dead end.

That happens only where sources switch on and off. A whole schedule that keeps all windows exists,
since the targets themselves are a fractional one and bipartite matching is integral, and then an
*augmenting path* leads to it: a chain of draws, each of which moves to the place of the next. Both
searches are breadth first, so the paths are short. Draw k of a source is its occurrence number k,
whichever draw an exchange was about: windows are ordered, so sorting never breaks one.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.mixers.jobs import Jobs, Pieces, set_job, window
from cuvee.mixers.weights import SHARE_UNITS

Nodes = NDArray[np.int64]  # [m, 3] of a search: its position, its source, its parent's row


@njit(nogil=True, cache=True)
def _grown(nodes: Nodes, used: int) -> Nodes:
    """Return nodes with room for one more: the same, or a copy of twice the size."""
    if used < len(nodes):
        return nodes
    larger = np.empty((2 * len(nodes), 3), np.int64)
    larger[:used] = nodes
    return larger


@njit(nogil=True, cache=True)
def _piece_at(pieces: Pieces, position: int) -> int:
    """Return the piece of a position."""
    return int(np.searchsorted(pieces.bounds, position, side="right")) - 1


@njit(nogil=True, cache=True)
def _occurrence(out: NDArray[np.uint16], source: int, number: int, counted: int, end: int) -> int:
    """Return where occurrence `number` of a source is; `counted` of them lie before `end`."""
    position = end
    while counted > number:
        position -= 1
        counted -= out[position] == source
    return position


@njit(nogil=True, cache=True)
def fill(pieces: Pieces, jobs: Jobs, out: NDArray[np.uint16], position: int) -> None:
    """Fill a position for which no source that is on has a draw left.

    A draw from an earlier position moves here, one from an earlier still moves there, and so on
    to a position that a waiting draw can take. `out` is filled before `position`.
    """
    nodes, used, at = np.empty((64, 3), np.int64), 1, 0
    nodes[0] = position, -1, -1
    seen = np.zeros(position + 1, np.bool_)
    while at < used:
        free = nodes[at, 0]
        piece = _piece_at(pieces, free)
        for source in range(len(jobs.number)):
            weight = pieces.weights[piece, source]
            if weight == 0:
                continue
            due = pieces.due[piece, source] + weight * (free - pieces.bounds[piece])
            for number in range(due // SHARE_UNITS, (due + weight - 1) // SHARE_UNITS + 1):
                if number >= jobs.number[source]:
                    _move(nodes, at, source, out)
                    set_job(pieces, jobs, source, jobs.number[source] + 1)
                    return
                from_ = _occurrence(out, source, number, jobs.number[source], position)
                if not seen[from_]:
                    seen[from_] = True
                    nodes = _grown(nodes, used)
                    nodes[used] = from_, source, at
                    used += 1
        at += 1


@njit(nogil=True, cache=True)
def _move(nodes: Nodes, at: int, source: int, out: NDArray[np.uint16]) -> None:
    """Give the position of node `at` to a source, and what stood there to its parent's, and on."""
    while at >= 0:
        out[nodes[at, 0]] = source
        source, at = nodes[at, 1], nodes[at, 2]


@njit(nogil=True, cache=True)
def place(pieces: Pieces, jobs: Jobs, out: NDArray[np.uint16], source: int, position: int) -> None:
    """Find room before `position` for the next draw of a source, whose deadline lies there.

    It takes the place of a draw in its window, which takes another's, and so on to one that can
    wait: it is the last of its source, and its deadline is at `position` or later.
    """
    nodes, used, at = np.empty((64, 3), np.int64), 1, 0
    nodes[0] = -1, source, -1
    numbers = np.empty(64, np.int64)
    numbers[0] = jobs.number[source]
    seen, tally = np.zeros(position, np.bool_), np.empty(len(jobs.number), np.int64)
    while at < used:
        wanting = nodes[at, 1]
        release, deadline = window(pieces, wanting, numbers[at])
        tally[:] = 0
        for there in range(position - 1, release - 1, -1):
            other = int(np.int64(out[there]))  # 16 bits do not mix with 64
            tally[other] += 1
            on = pieces.weights[_piece_at(pieces, there), wanting] > 0
            if there > deadline or seen[there] or not on or other == wanting:
                continue
            seen[there] = True
            number = int(jobs.number[other] - tally[other])
            if tally[other] == 1 and window(pieces, other, number)[1] >= position:
                _replace(nodes, at, there, out)
                set_job(pieces, jobs, other, number)
                set_job(pieces, jobs, source, jobs.number[source] + 1)
                return
            nodes = _grown(nodes, used)
            if used == len(numbers):
                numbers = np.concatenate((numbers, numbers))
            nodes[used] = there, other, at
            numbers[used] = number
            used += 1
        at += 1


@njit(nogil=True, cache=True)
def _replace(nodes: Nodes, at: int, there: int, out: NDArray[np.uint16]) -> None:
    """Give a position to the source of node `at`, the position of that to its parent's, and on."""
    while at >= 0:
        out[there] = nodes[at, 1]
        there, at = nodes[at, 0], nodes[at, 2]
