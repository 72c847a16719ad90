"""Documents that agree in a hash, and which of them can affect each other.

A *bucket* is the documents with an equal hash, two at least. A *component* is the documents that
are linked by a chain of buckets; its *root* is the lowest of them. Whether one of a component is
removed depends on that component alone (`dedup`), so components are dealt out to *groups* whose
shingles fit into memory together, and a group is resolved without the others.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.shingles import GOLDEN, Hashes, Offsets, mix64

Rows = NDArray[np.int64]
Ordinals = NDArray[np.uint32]

NONE = np.uint32(0xFFFFFFFF)  # no document, no group, no rank
_SLOTS = 8  # of the filter for each hash: 12 of 100 single hashes pass
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Buckets(NamedTuple):
    """Documents by bucket: bucket b is `members[starts[b] : starts[b + 1]]`, in any order.

    `starts` int64 [buckets + 1], `members` int64. A bucket of one member does nothing.
    """

    starts: Offsets
    members: Rows


def find_buckets(hashes: Hashes, members: Rows) -> Buckets:
    """Find the hashes that occur more than once; `members[i]` has `hashes[i]`.

    28 million hashes a second where one in ten is shared, on one core of an AMD EPYC. Takes 8
    bytes a hash, and 40 for each that is shared.
    """
    shared = np.flatnonzero(repeated(hashes))
    order = shared[np.argsort(hashes[shared])]
    firsts = _firsts(hashes[order])
    sizes = np.diff(firsts, append=len(order))
    several = sizes > 1
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[several])])
    return Buckets(starts, members[order[np.repeat(several, sizes)]])


def _firsts(ordered: Hashes) -> Rows:
    """Find where each run of equal values starts."""
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.concatenate([np.zeros(min(1, len(ordered)), np.int64), changes])


def first_of_equals(high: Hashes, low: Hashes, ranks: Rows) -> tuple[Rows, Rows]:
    """Pair every row with the one of lowest rank that has the same 128-bit key.

    Returns (removed, kept), rows of the arguments; a row of the lowest rank is in no pair as
    removed. No two ranks are the same.
    """
    rows = np.flatnonzero(repeated(high))
    order = rows[np.argsort(high[rows])]
    equal = high[order][1:] == high[order][:-1]
    if (equal & (low[order][1:] != low[order][:-1])).any():  # half a key collides, once in 2^64
        order = rows[np.lexsort((low[rows], high[rows]))]
    same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    firsts = np.concatenate([np.zeros(min(1, len(order)), np.int64), np.flatnonzero(~same) + 1])
    if not len(order):
        return order, order
    sizes = np.diff(firsts, append=len(order))
    lowest = np.repeat(np.minimum.reduceat(ranks[order], firsts), sizes)
    best = ranks[order] == lowest
    kept = np.repeat(order[best], sizes)
    return order[~best], kept[~best]


@njit(nogil=True, cache=True)
def repeated(hashes: Hashes) -> NDArray[np.bool_]:
    """Mark every value that occurs more than once, and a few that do not."""
    bits = 3
    while 1 << bits < _SLOTS * hashes.size:
        bits += 1
    shift = np.uint64(64 - bits)
    seen = np.zeros(1 << bits, np.uint8)
    for k in range(hashes.size):
        slot = hashes[k] * GOLDEN >> shift
        seen[slot] += seen[slot] < 2
    marked = np.empty(hashes.size, np.bool_)
    for k in range(hashes.size):
        marked[k] = seen[hashes[k] * GOLDEN >> shift] == 2
    return marked


def distinct(buckets: Buckets) -> Buckets:
    """Leave out buckets with the same members as another: copies share many bands.

    Buckets are told apart by 64-bit hashes of their members.
    """
    if len(buckets.starts) < 2:
        return buckets
    spread = mix64(buckets.members.astype(np.uint64) + _ONE)
    sums = mix64(np.add.reduceat(spread, buckets.starts[:-1]))
    _, first = np.unique(sums, return_index=True)
    return take(buckets, np.sort(first))


def take(buckets: Buckets, rows: Rows) -> Buckets:
    """Return some buckets, in the order of `rows`."""
    sizes = np.diff(buckets.starts)[rows]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at = np.arange(starts[-1]) + np.repeat(buckets.starts[rows] - starts[:-1], sizes)
    return Buckets(starts, buckets.members[at])


@njit(nogil=True, cache=True)
def _root(parent: Ordinals, at: np.int64) -> np.int64:
    """Find the root of a component, and shorten the way there."""
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = np.int64(parent[at])
    return at


@njit(nogil=True, cache=True)
def join(parent: Ordinals, cost: Hashes, buckets: Buckets, price: int) -> None:
    """Unite the components of the members of each bucket; a membership costs its member `price`.

    `parent` uint32, `NONE` for a document in no bucket so far, and `cost` uint64 are changed.
    """
    for b in range(buckets.starts.size - 1):
        first = np.int64(-1)
        for k in range(buckets.starts[b], buckets.starts[b + 1]):
            member = buckets.members[k]
            cost[member] += np.uint64(price)
            if parent[member] == NONE:
                parent[member] = np.uint32(member)
            root = _root(parent, member)
            if first < 0:
                first = root
            elif root < first:
                parent[first] = np.uint32(root)
                first = root
            elif root > first:
                parent[root] = np.uint32(first)


@njit(nogil=True, cache=True)
def deal(parent: Ordinals, cost: Hashes, budget: int) -> np.int64:
    """Deal components out to groups in the order of their roots; return how many groups there are.

    `parent` comes to hold each document's group, `NONE` for none. A group's cost is at most
    `budget`, unless it is of one component.
    """
    for at in range(parent.size):
        if parent[at] != NONE:
            parent[at] = parent[parent[at]]  # the root is lower and knows itself
            if parent[at] != at:
                cost[parent[at]] += cost[at]
    groups, filled = np.int64(-1), np.uint64(0)
    for at in range(parent.size):
        if parent[at] == at:
            if groups < 0 or filled + cost[at] > np.uint64(budget):
                groups, filled = groups + 1, _ZERO
            filled += cost[at]
            cost[at] = np.uint64(groups)
    for at in range(parent.size):
        if parent[at] != NONE:
            parent[at] = np.uint32(cost[parent[at]])
    return groups + 1
