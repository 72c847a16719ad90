"""Pack pieces of documents into sequences of fixed length, best fit first.

A *piece* is a run of one document's tokens still to be placed. A piece longer than a sequence is
cut into *fragments*: full sequences, and a rest. A *bin* is a sequence being filled; a *segment*
is a fragment's place in it. Best-fit decreasing takes fragments from the longest to the shortest
and puts each into the fullest bin that still has room: documents are cut only where they must be
(Ding et al. 2024, "Fewer Truncations Improve Language Modeling"). Packing knows lengths only; it
reads no token.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Pieces(NamedTuple):
    """Pieces in draw order: `length` tokens of document `doc_row` from token `start` on."""

    doc_row: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    epoch: NDArray[np.int32]


class Segments(NamedTuple):
    """Fragments in their places, sorted by (ordinal, offset).

    Slots `offset` to `offset + length` of sequence `ordinal` hold the tokens of document `doc_row`
    from its token `doc_start` on.
    """

    ordinal: NDArray[np.int64]
    offset: NDArray[np.int32]
    length: NDArray[np.int32]
    doc_row: NDArray[np.int64]
    doc_start: NDArray[np.int64]
    epoch: NDArray[np.int32]


def take(pieces: Pieces, index: NDArray[np.int64]) -> Pieces:
    """Return some pieces, by their places in line."""
    return Pieces(
        pieces.doc_row[index], pieces.start[index], pieces.length[index], pieces.epoch[index]
    )


def chain(first: Pieces, second: Pieces) -> Pieces:
    """Return one line behind another."""
    return Pieces(
        np.concatenate([first.doc_row, second.doc_row]),
        np.concatenate([first.start, second.start]),
        np.concatenate([first.length, second.length]),
        np.concatenate([first.epoch, second.epoch]),
    )


def pack(
    pieces: Pieces, seq_len: int, sequences: int, keep: int | None = None
) -> tuple[Segments, Pieces]:
    """Fill the `sequences` fullest sequences of `seq_len` tokens; return what is left over too.

    With `keep`, only the first so many of these are taken: what a sequence holds does not depend on
    how many behind it are wanted.

    Sequences are numbered in draw order of their earliest fragment, and segments within one lie in
    draw order, so training follows the draw and not the length. Every token is once in a segment or
    in a piece left over. Those are in draw order, neighbouring fragments of a document joined.
    Fewer sequences come back if the pieces fill fewer. A piece has at least one token, else
    ValueError. Takes time in proportion to the fragments, times log2(seq_len) at worst.
    """
    if np.any(pieces.length < 1):
        raise ValueError("a piece without tokens")
    fragments = cut(pieces, seq_len)
    longest_first = stable_order(seq_len - fragments.length, seq_len)
    bin_of, fill, first = _best_fit(longest_first, fragments.length, seq_len)
    ordinal = _numbered(fill, first, sequences)[bin_of]
    if keep is not None:
        ordinal[ordinal >= keep] = -1
    return placed(fragments, ordinal), joined(take(fragments, np.flatnonzero(ordinal < 0)))


def cut(pieces: Pieces, seq_len: int) -> Pieces:
    """Cut pieces into fragments of at most `seq_len` tokens, all full but the last of a piece."""
    counts = -(-pieces.length // seq_len)
    whole = take(pieces, np.repeat(np.arange(len(counts)), counts))
    earlier = np.repeat(np.cumsum(counts) - counts, counts)  # fragments of the pieces before
    skipped = (np.arange(len(earlier)) - earlier) * seq_len
    return whole._replace(
        start=whole.start + skipped, length=np.minimum(whole.length - skipped, seq_len)
    )


def _numbered(
    fill: NDArray[np.int64], first: NDArray[np.int64], sequences: int
) -> NDArray[np.int64]:
    """Give the fullest bins numbers in order of their earliest fragment, the others -1."""
    fullest = np.lexsort((first, -fill))[:sequences]
    ordinal = np.full(len(fill), -1, np.int64)
    ordinal[fullest[np.argsort(first[fullest])]] = np.arange(len(fullest))
    return ordinal


def placed(fragments: Pieces, ordinal: NDArray[np.int64]) -> Segments:
    """Lay the fragments of each sequence end to end, in draw order.

    `ordinal` is the sequence of each, int64; below 0 it has none.
    """
    taken = np.flatnonzero(ordinal >= 0)
    order = taken[stable_order(ordinal[taken], int(ordinal.max(initial=-1)) + 1)]
    laid, row = take(fragments, order), ordinal[order]
    begins = np.cumsum(laid.length) - laid.length
    opens = np.flatnonzero(np.diff(row, prepend=-1))  # the first segment of each sequence
    return Segments(
        row,
        (begins - begins[opens][row]).astype(np.int32),
        laid.length.astype(np.int32),
        laid.doc_row,
        laid.start,
        laid.epoch,
    )


def joined(fragments: Pieces) -> Pieces:
    """Join neighbours in draw order that continue one another in one document and epoch."""
    if not len(fragments.length):
        return fragments
    ends = fragments.start + fragments.length
    goes_on = (
        (fragments.doc_row[1:] == fragments.doc_row[:-1])
        & (fragments.epoch[1:] == fragments.epoch[:-1])
        & (fragments.start[1:] == ends[:-1])
    )
    joined = take(fragments, np.flatnonzero(np.append(True, ~goes_on)))
    return joined._replace(length=ends[np.append(~goes_on, True)] - joined.start)


@njit(nogil=True, cache=True)
def stable_order(keys: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
    """Sort by counting: the indices of `keys`, all in [0, bound), in order, equals as they came."""
    at = np.zeros(bound + 1, np.int64)
    for key in keys:
        at[key + 1] += 1
    for key in range(bound):
        at[key + 1] += at[key]
    order = np.empty(len(keys), np.int64)
    for index in range(len(keys)):
        order[at[keys[index]]] = index
        at[keys[index]] += 1
    return order


@njit(nogil=True, cache=True)
def _best_fit(
    longest_first: NDArray[np.int64], lengths: NDArray[np.int64], seq_len: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Put each fragment into the fullest bin with room.

    Returns the bin of each fragment, the tokens in each bin, and each bin's earliest fragment.
    Bins with the same room are a stack: `top[room]` is the last, `below[bin]` the next.
    """
    leaves = 1
    while leaves <= seq_len:
        leaves *= 2
    some = np.zeros(2 * leaves, np.bool_)  # a tree over rooms: is there a bin in this subtree?
    top = np.full(seq_len + 1, -1, np.int64)
    below = np.empty(len(lengths), np.int64)
    bin_of = np.empty(len(lengths), np.int64)
    fill = np.zeros(len(lengths), np.int64)
    first = np.empty(len(lengths), np.int64)
    bins = 0
    for fragment in longest_first:
        length = lengths[fragment]
        room = _least_room(some, leaves, length)
        if room < 0:
            chosen, room = bins, seq_len
            first[chosen] = fragment
            bins += 1
        else:
            chosen = top[room]
            top[room] = below[chosen]
            if top[room] < 0:
                _close(some, leaves + room)
        bin_of[fragment] = chosen
        fill[chosen] += length
        first[chosen] = min(first[chosen], fragment)
        room -= length
        if room:
            below[chosen] = top[room]
            top[room] = chosen
            _open(some, leaves + room)
    return bin_of, fill[:bins], first[:bins]


@njit(nogil=True, cache=True)
def _least_room(some: NDArray[np.bool_], leaves: int, length: int) -> int:
    """Find the least room of at least `length` that a bin has, or -1."""
    node = leaves + length
    while not some[node]:
        while node & 1:  # a right child has nothing greater beside it: climb
            node >>= 1
        if node == 0:
            return -1
        node += 1
    while node < leaves:
        node *= 2
        if not some[node]:
            node += 1
    return node - leaves


@njit(nogil=True, cache=True)
def _open(some: NDArray[np.bool_], node: int) -> None:
    while node and not some[node]:
        some[node] = True
        node >>= 1


@njit(nogil=True, cache=True)
def _close(some: NDArray[np.bool_], node: int) -> None:
    some[node] = False
    while node > 1 and not some[node ^ 1]:
        node >>= 1
        some[node] = False
