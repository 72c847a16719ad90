"""The ways to fill sequences with pieces of documents: best fit first, one stream, or one apiece.

*best_fit* cuts a document only where it must (`cuvee.tokenize.pack`). *concat* lays all pieces end
to end in draw order and cuts the stream every `seq_len` tokens: no gaps, but many documents cut.
*pad* gives every fragment a sequence of its own and pads the rest of it.
"""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cuvee.tokenize.pack import Pieces, Segments, cut, joined, pack, placed, take

Policy = Literal["best_fit", "concat", "pad"]


def fill(
    policy: Policy, pieces: Pieces, seq_len: int, window: tuple[int, int]
) -> tuple[Segments, Pieces]:
    """Fill sequences of `seq_len` tokens by a policy; return what is left over, in draw order.

    `window` is how many sequences the pieces are packed into, and how many of these, from the
    first on, are taken. Pieces must hold at least the tokens of the first number, where they are
    padded at least so many fragments. Every token is once in a segment or in a piece left over.
    """
    sequences, keep = window
    if policy == "best_fit":
        return pack(pieces, seq_len, sequences, keep)
    return _FILL[policy](pieces, seq_len, min(sequences, keep))


def _concat(pieces: Pieces, seq_len: int, sequences: int) -> tuple[Segments, Pieces]:
    """Cut the stream of all pieces every `seq_len` tokens."""
    ends = np.cumsum(pieces.length)
    begins = ends - pieces.length
    counts = (ends - 1) // seq_len - begins // seq_len + 1
    whole = take(pieces, np.repeat(np.arange(len(counts)), counts))
    nth = np.arange(len(whole.length)) - np.repeat(np.cumsum(counts) - counts, counts)
    opens = np.repeat(begins, counts)
    row = opens // seq_len + nth
    low = np.maximum(opens, row * seq_len)
    high = np.minimum(np.repeat(ends, counts), (row + 1) * seq_len)
    fragments = whole._replace(start=whole.start + low - opens, length=high - low)
    return _first(fragments, row, sequences)


def _pad(pieces: Pieces, seq_len: int, sequences: int) -> tuple[Segments, Pieces]:
    """Give each fragment a sequence."""
    fragments = cut(pieces, seq_len)
    return _first(fragments, np.arange(len(fragments.length)), sequences)


def _first(fragments: Pieces, row: NDArray[np.int64], sequences: int) -> tuple[Segments, Pieces]:
    """Place the fragments of the first sequences; join what is left."""
    ordinal = np.where(row < sequences, row, -1)
    return placed(fragments, ordinal), joined(take(fragments, np.flatnonzero(ordinal < 0)))


_FILL: Final[dict[str, Callable[[Pieces, int, int], tuple[Segments, Pieces]]]] = {
    "concat": _concat,
    "pad": _pad,
}
