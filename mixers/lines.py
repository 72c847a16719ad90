"""Pieces of documents in line: drawn, and not yet placed in a sequence.

A *line* is in draw order. A *window* is how many sequences are drawn and packed together; its size
depends on the first of them alone, so that what a sequence holds does not depend on how many behind
it are wanted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.mixers.cursor import MOST_SEEN

FIRST_WINDOW = 64  # sequences; windows double from there
# Enough for best fit to pad 0.02 % (measured), and bounded in memory for long sequences.
MOST_WINDOW, LEAST_WINDOW, WINDOW_TOKENS = 4096, 16, 2**24


class Line(NamedTuple):
    """Pieces in the order drawn: `length` tokens of document `doc_row` from token `start` on."""

    doc_row: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    epoch: NDArray[np.int32]


# Place the first (int, the third) of a window's (the second) sequences from a line. Returns what
# is not placed, in the same order, and the rows of documents of which something is.
Place = Callable[[Line, int, int], tuple[Line, NDArray[np.int64]]]

NOTHING = np.empty(0, np.int64)
EMPTY = Line(NOTHING, NOTHING, NOTHING, np.empty(0, np.int32))


def window_sequences(ordinal: int, seq_len: int) -> int:
    """Return the sequences of the window that begins with sequence `ordinal` of its pool.

    >>> [window_sequences(ordinal, 4096) for ordinal in (0, 64, 192, 448, 10**6)]
    [64, 128, 256, 512, 4096]
    """
    most = max(LEAST_WINDOW, min(MOST_WINDOW, WINDOW_TOKENS // seq_len))
    doubled = (ordinal // FIRST_WINDOW + 1).bit_length() - 1
    return min(most, FIRST_WINDOW << doubled)


@njit(nogil=True, cache=True)
def count_again(
    rows: NDArray[np.int64], fresh: NDArray[np.bool_], seen: NDArray[np.uint16], cap: int
) -> NDArray[np.bool_]:
    """Count the fresh documents of a line as seen; return which pieces stay, bool[pieces].

    A fresh one that is at its cap does not.
    """
    stays = np.ones(len(rows), np.bool_)
    for at in range(len(rows)):
        if fresh[at]:
            stays[at] = seen[rows[at]] < cap
            seen[rows[at]] += stays[at] and seen[rows[at]] < MOST_SEEN
    return stays


def some(line: Line, which: NDArray[np.integer] | NDArray[np.bool_]) -> Line:
    """Return some pieces of a line, by a mask or by their places."""
    return Line(line.doc_row[which], line.start[which], line.length[which], line.epoch[which])


def behind(first: Line, second: Line) -> Line:
    """Return one line behind another."""
    return Line(
        np.concatenate([first.doc_row, second.doc_row]),
        np.concatenate([first.start, second.start]),
        np.concatenate([first.length, second.length]),
        np.concatenate([first.epoch, second.epoch]),
    )
