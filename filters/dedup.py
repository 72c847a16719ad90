"""Which near-duplicates are removed, and in favour of which document.

Documents are numbered by *rank*, which says how much each is to be kept: 0 first. *Candidates*
share a bucket, the documents with an equal band hash (`minhash`); documents are visited in rank,
and one is removed if and only if it is similar enough to a document already *kept* that shares a
bucket with it. So every removal names a kept document that it really resembles: of a chain
A ~ B ~ C where A and C are unlike, B goes and both A and C stay.

Similar is either a Jaccard similarity of at least the threshold, or, if `contained`, as large a
share of the removed document's shingles in the kept one. A document of a bucket is compared with
the *leaders* of it, the best ranked kept ones, so that m mutually unlike documents in one bucket
cost m x leaders comparisons and not m x m. Who is unlike so many leaders of one bucket meets the
rest in none but its other buckets; such documents are counted (`cut_short`).

Removals depend on ranks, buckets and sets only; documents linked by no chain of buckets do not
affect each other, so a caller may resolve such groups apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.buckets import Buckets, Rows
from cuvee.filters.shingles import Hashes, Offsets

LEADERS = 256  # 256,000 unlike documents in one bucket: 17 s at 0.26 us a comparison
BLOCK = 1 << 23  # shingles that are visited at a time, 64 MB
_GALLOP = 16  # how many times larger a set is searched, not merged


class Rule(NamedTuple):
    """When a document is removed; see the module. `foreign`: the first so many never are."""

    threshold: float
    contained: bool = False
    leaders: int = LEADERS
    foreign: int = 0


class Removals(NamedTuple):
    """Documents removed, ascending, each with the kept one it is most similar to.

    `removed` and `kept` int64 [n], `similarity` float64 [n]; `comparisons` were made, and
    `cut_short` documents were kept that have not been compared with all that is kept of a bucket.
    """

    removed: Rows
    kept: Rows
    similarity: NDArray[np.float64]
    comparisons: int
    cut_short: int


def resolve_minhash(
    buckets: Buckets,
    sets: tuple[Offsets, Hashes],
    rule: Rule,
    after_block: Callable[[], None] | None = None,
) -> Removals:
    """Remove the documents that resemble a kept one of their buckets, as the module says.

    `sets` as `shingles.shingle_sets` gives, by rank; a document without shingles resembles none.
    Of several kept ones the most similar is named, of equals the first in rank. `after_block` is
    called whenever documents of `BLOCK` shingles have been visited: memory-mapped sets may be let
    go of. Each document is compared once with each leader of its buckets: 320,000 copies of one
    text a second, 0.26 us a pair of 500 shingles each. Takes 33 bytes a document and 40 a member.
    """
    offsets = sets[0]
    n = len(offsets) - 1
    table = _table(buckets, n)
    state = _State(
        np.full(n, -1, np.int64),
        np.zeros(n, np.float64),
        np.full(n, -1, np.int64),
        np.empty(len(buckets.members), np.int64),
        np.zeros(len(buckets.starts), np.int64),
        np.zeros(2, np.int64),
    )
    first = 0
    while first < n:
        full = int(np.searchsorted(offsets, offsets[first] + BLOCK))
        last = min(max(full, first + 1), n)
        _visit(first, last, table, sets, rule, state)
        if after_block is not None:
            after_block()
        first = last
    removed = np.flatnonzero(state.best >= 0)
    return Removals(
        removed,
        state.best[removed],
        state.similarity[removed],
        int(state.counts[0]),
        int(state.counts[1]),
    )


@njit(nogil=True, cache=True)
def jaccard(left: Hashes, right: Hashes) -> float:
    """Divide intersection by union of two ascending sets without repeats; 0.0 if both are empty."""
    return _jaccard_from(left, right, 0.0)


@njit(nogil=True, cache=True)
def containment(inner: Hashes, outer: Hashes) -> float:
    """Divide the intersection of two ascending sets without repeats by `inner`; 0.0 if empty."""
    return _containment_from(inner, outer, 0.0)


class _Table(NamedTuple):
    """Buckets by document: document d is in `buckets[of_document[d] : of_document[d + 1]]`.

    Bucket b may hold leaders from `starts[b]` up to `starts[b + 1]`.
    """

    starts: Offsets
    of_document: Offsets
    buckets: Rows


class _State(NamedTuple):
    """What visiting knows so far.

    By document `best`, `similarity` and `compared_to`, the last that asked for it; the leaders of
    each bucket from its start; how many each has kept; comparisons, and documents cut short.
    """

    best: Rows
    similarity: NDArray[np.float64]
    compared_to: Rows
    leaders: Rows
    passed: Rows
    counts: Rows


def _table(buckets: Buckets, n: int) -> _Table:
    """Turn buckets of documents into documents' buckets."""
    of_document = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(buckets.members, minlength=n), out=of_document[1:])
    return _Table(buckets.starts, of_document, _homes(buckets, of_document))


@njit(nogil=True, cache=True)
def _homes(buckets: Buckets, of_document: Offsets) -> Rows:
    """List the buckets of each document."""
    homes = np.empty(buckets.members.size, np.int64)
    free = of_document.copy()
    for b in range(buckets.starts.size - 1):
        for k in range(buckets.starts[b], buckets.starts[b + 1]):
            member = buckets.members[k]
            homes[free[member]] = b
            free[member] += 1
    return homes


@njit(nogil=True, cache=True)
def _jaccard_from(left: Hashes, right: Hashes, threshold: float) -> float:
    """Compute the Jaccard similarity of two ascending sets, or -1.0 when below `threshold`.

    Sets of too unlike sizes are not looked at: |smaller| / |larger| is the most it can be. Stops
    as soon as more members were met in one set only than the threshold allows: |left| + |right|
    - 2 |both| where |both| is the least that reaches it; one more for rounding.
    """
    total = left.size + right.size
    allowed = np.int64(total * (1.0 - threshold) / (1.0 + threshold)) + 1
    if abs(left.size - right.size) > allowed:
        return -1.0
    i = j = alone = 0
    while i < left.size and j < right.size and alone <= allowed:
        a, b = left[i], right[j]
        i += a <= b
        j += b <= a
        alone += a != b
    if alone > allowed:
        return -1.0
    both = (i + j - alone) // 2
    return both / (total - both) if total else 0.0


@njit(nogil=True, cache=True)
def _containment_from(inner: Hashes, outer: Hashes, threshold: float) -> float:
    """Compute the share of an ascending set in another, or -1.0 when surely below `threshold`.

    A much larger set is searched: the time is that of the smaller one.
    """
    allowed = np.int64(inner.size * (1.0 - threshold)) + 1  # members that may be missing
    if inner.size - outer.size > allowed:
        return -1.0
    i = j = missing = 0
    searched = outer.size > _GALLOP * inner.size
    while i < inner.size and j < outer.size and missing <= allowed:
        if searched:
            j += np.searchsorted(outer[j:], inner[i])
            missing += j >= outer.size or outer[j] != inner[i]
            i += 1
            continue
        a, b = inner[i], outer[j]
        missing += a < b
        i += a <= b
        j += b <= a
    missing += inner.size - i
    if missing > allowed:
        return -1.0
    return (inner.size - missing) / inner.size if inner.size else 0.0


@njit(nogil=True, cache=True)
def _visit(
    first: int, last: int, table: _Table, sets: tuple[Offsets, Hashes], rule: Rule, state: _State
) -> None:
    """Find for documents `first` to `last` the kept ones that remove them, and their similarity."""
    offsets, hashes = sets
    best, similarity, compared_to, leaders, passed, counts = state
    for doc in range(first, last):
        own = hashes[offsets[doc] : offsets[doc + 1]]
        homes = table.buckets[table.of_document[doc] : table.of_document[doc + 1]]
        cut_short = False
        for home in homes:
            if doc < rule.foreign:
                break
            start = table.starts[home]
            cut_short |= passed[home] > rule.leaders
            for k in range(start, start + min(passed[home], rule.leaders)):
                other = leaders[k]
                if compared_to[other] == doc:
                    continue
                compared_to[other] = doc
                counts[0] += 1
                theirs = hashes[offsets[other] : offsets[other + 1]]
                if rule.contained:
                    s = _containment_from(own, theirs, rule.threshold)
                else:
                    s = _jaccard_from(own, theirs, rule.threshold)
                if s < rule.threshold or s <= 0.0 or s < similarity[doc]:
                    continue
                if s > similarity[doc] or other < best[doc]:
                    best[doc], similarity[doc] = other, s
        if best[doc] < 0:
            counts[1] += cut_short
            for home in homes:
                if passed[home] < rule.leaders:
                    leaders[table.starts[home] + passed[home]] = doc
                passed[home] += 1
