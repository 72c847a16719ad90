"""Schedule the sources of a stage so that every prefix has its quota, and certify it.

After t positions a source is due A(t) sequences (`cuvee.mixers.targets`); its *quota* there is that
number rounded down or up. Its draws are jobs with windows (`cuvee.mixers.jobs`). Serving, at each
position, the open window that closes first (earliest deadline first, EDF) keeps all windows where
no source is switched off within one: the targets themselves are a fractional schedule that keeps
them, so a whole one exists, and EDF finds it for unit jobs. Where sources switch on and off EDF may
come to a dead end; then an exchange mends it (`cuvee.mixers.repair`). Each source then has its
quota at every prefix, and none is drawn where its weight is 0:

    floor(A(t)) <= drawn(t) <= ceil(A(t))

With weights that stay, windows do not depend on the stage's length, so a shorter schedule is a
prefix of a longer one. A *deviation* is drawn(t) - A(t), in sequences; the quota holds where it
lies within (-1, 1).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.mixers.jobs import Jobs, Pieces, first_jobs, pieces_of, set_job
from cuvee.mixers.repair import fill, place
from cuvee.mixers.targets import Targets
from cuvee.mixers.weights import SHARE_UNITS

MAX_POSITIONS = 2**31 - 2  # what is due after one position more must fit an int64
SOURCE_BITS = 16  # a heap key is time << 16 | source: ties go to the lower source
MAX_SOURCES = 2**SOURCE_BITS


class Certificate(NamedTuple):
    """How close a schedule stays to its targets, over all prefixes."""

    max_deviation: NDArray[np.float64]  # per source, absolute, in sequences; exact
    holds: bool  # every source has its quota at every prefix
    leaks: int  # positions that draw a source of weight 0, or one that has no weight


class Waiting(NamedTuple):
    """Sources whose next draw waits, in two heaps, and how many are in each.

    `open` has those that may be served, by deadline; `later` those that are on and whose window
    begins later, by release. A source that is off is in neither.
    """

    open: NDArray[np.int64]
    later: NDArray[np.int64]
    size: NDArray[np.int64]  # [2], of `open` and of `later`


def schedule(targets: Targets) -> NDArray[np.uint16]:
    """Return the source of each position, uint16[positions], with its quota at every prefix.

    A source is never drawn where its weight is 0; equal deadlines go to the lower source. Memory
    beside the output is O(n) a piece. Raises RecipeError for more than 65,536 sources or 2**31 - 2
    positions.
    """
    length, n = targets.positions, targets.weights.shape[1]
    if n > MAX_SOURCES:
        raise RecipeError(f"A stage mixes {n:,} sources.", f"It can mix at most {MAX_SOURCES:,}.")
    if length > MAX_POSITIONS:
        raise too_long(length)
    out = np.empty(length, np.uint16)
    _serve(pieces_of(targets), out)
    return out


def too_long(sequences: int) -> RecipeError:
    """Return the error about a stage of more sequences than can be counted."""
    return RecipeError(
        f"A stage has {sequences:,} sequences.",
        f"It can have at most {MAX_POSITIONS:,}.",
        "Split it in two stages; the second inherits the mixture of the first.",
    )


def certificate(sources: NDArray[np.uint16], targets: Targets) -> Certificate:
    """Certify the source of each position, uint16[T] with T = `targets.positions`.

    Deviations are computed in integers at every draw, where each is at its largest, and divided
    by 2**32 at the end, which a float64 holds exactly while the quota holds.
    """
    deviation, leaks = _extremes(sources, pieces_of(targets))
    holds = leaks == 0 and bool((deviation < SHARE_UNITS).all())
    return Certificate(deviation / SHARE_UNITS, holds, int(leaks))


@njit(nogil=True, cache=True)
def _push(heap: NDArray[np.int64], size: int, key: int) -> int:
    """Add `key` to the min-heap in heap[:size]; return the new size."""
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return size + 1


@njit(nogil=True, cache=True)
def _replace_top(heap: NDArray[np.int64], size: int, key: int) -> None:
    """Put `key` in the place of the least key of the min-heap in heap[:size]."""
    at, child = 0, 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = key


@njit(nogil=True, cache=True)
def _key(time: int, source: int) -> int:
    """Return the heap key of a source at a time."""
    return time << SOURCE_BITS | source


@njit(nogil=True, cache=True)
def _sort_in(pieces: Pieces, piece: int, jobs: Jobs, position: int, waiting: Waiting) -> None:
    """Put every source that is on in a piece where it waits at a position."""
    waiting.size[:] = 0
    for i in range(len(jobs.number)):
        if pieces.weights[piece, i] == 0:
            continue
        if jobs.release[i] <= position:
            key = _key(jobs.deadline[i], i)
            waiting.size[0] = _push(waiting.open, waiting.size[0], key)
        else:
            key = _key(jobs.release[i], i)
            waiting.size[1] = _push(waiting.later, waiting.size[1], key)


@njit(nogil=True, cache=True)
def _place_missed(pieces: Pieces, jobs: Jobs, out: NDArray[np.uint16], position: int) -> None:
    """Find room for every draw whose deadline lies before a position and that has none."""
    for i in range(len(jobs.number)):
        while jobs.deadline[i] < position:
            place(pieces, jobs, out, i, position)


@njit(nogil=True, cache=True)
def _serve(pieces: Pieces, out: NDArray[np.uint16]) -> None:
    """Fill `out` piece by piece."""
    n = pieces.weights.shape[1]
    jobs = first_jobs(pieces)
    waiting = Waiting(np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(2, np.int64))
    for piece in range(len(pieces.weights)):
        position, end = pieces.bounds[piece], pieces.bounds[piece + 1]
        while position < end:
            _place_missed(pieces, jobs, out, position)
            _sort_in(pieces, piece, jobs, position, waiting)
            position = _serve_piece(pieces, jobs, waiting, out, (position, end))
            if position < end and waiting.size[0] == 0:
                fill(pieces, jobs, out, position)
                position += 1
    _place_missed(pieces, jobs, out, len(out))


@njit(nogil=True, cache=True)
def _serve_piece(
    pieces: Pieces, jobs: Jobs, waiting: Waiting, out: NDArray[np.uint16], span: tuple[int, int]
) -> int:
    """Serve a piece by earliest deadline first; return where it ends or came to a dead end.

    A dead end is a position with no source to serve, or with a draw whose deadline has gone by.
    Two windows of one source share at most one position, so each waits with one draw at a time.
    """
    open_, later = waiting.open, waiting.later
    n_open, n_later = waiting.size[0], waiting.size[1]
    position, end = span
    while position < end:
        while n_later > 0 and later[0] >> SOURCE_BITS <= position:
            i = later[0] & (MAX_SOURCES - 1)
            n_later -= 1
            _replace_top(later, n_later, later[n_later])
            n_open = _push(open_, n_open, _key(jobs.deadline[i], i))
        if n_open == 0 or open_[0] >> SOURCE_BITS < position:
            break
        i = open_[0] & (MAX_SOURCES - 1)
        out[position] = i
        position += 1
        set_job(pieces, jobs, i, jobs.number[i] + 1)
        if jobs.release[i] <= position:
            _replace_top(open_, n_open, _key(jobs.deadline[i], i))
        else:
            n_open -= 1
            _replace_top(open_, n_open, open_[n_open])
            n_later = _push(later, n_later, _key(jobs.release[i], i))
    waiting.size[0], waiting.size[1] = n_open, n_later
    return position


@njit(nogil=True, cache=True)
def _extremes(sources: NDArray[np.uint16], pieces: Pieces) -> tuple[NDArray[np.int64], int]:
    """Return the largest |drawn * D - due| per source over all prefixes, and the number of leaks.

    Between draws a source only falls behind, so its extremes lie just before a draw, just after
    one, and at the end.
    """
    n, leaks = pieces.weights.shape[1], 0
    drawn, largest = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for piece in range(len(pieces.weights)):
        weights, due = pieces.weights[piece], pieces.due[piece]
        for position in range(pieces.bounds[piece], pieces.bounds[piece + 1]):
            i = np.int64(sources[position])
            if i >= n:
                leaks += 1
                continue
            leaks += weights[i] == 0
            before = due[i] + weights[i] * (position - pieces.bounds[piece])
            behind = before - drawn[i] * SHARE_UNITS
            drawn[i] += 1
            ahead = drawn[i] * SHARE_UNITS - before - weights[i]
            largest[i] = max(largest[i], abs(behind), abs(ahead))
    for source in range(n):
        last = abs(drawn[source] * SHARE_UNITS - pieces.due[-1, source])
        largest[source] = max(largest[source], last)
    return largest, leaks
