"""How well near-duplicates are found: every pair that is really similar, and what bands find of it.

A pair of documents is a *candidate* when they share a band, and *found* when they are besides at
least as similar as the threshold. The truth is the Jaccard similarity of the shingle sets of all
pairs, counted without any hashing to bands: it is quadratic in how many documents share a shingle,
so this is for tens of thousands of documents, not for a corpus.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.minhash import candidate_probability
from cuvee.filters.shingles import Hashes, Offsets

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

EDGES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of bins; equal sets are in one of their own


class Pairs(NamedTuple):
    """Pairs of documents, `left` < `right`, int64 [n] each, and their similarity, float64 [n]."""

    left: Rows
    right: Rows
    jaccard: Floats


class Bin(NamedTuple):
    """Pairs whose similarity is from `low` to below `high`.

    `candidates` of them share a band; `predicted` are to be expected to: the sum of
    1 - (1 - s^rows)^bands over the pairs, each with its own similarity s.
    """

    low: float
    high: float
    pairs: int
    candidates: int
    predicted: float


def similar_pairs(sets: tuple[Offsets, Hashes], least: float = EDGES[0]) -> Pairs:
    """Find all pairs of documents whose Jaccard similarity is at least `least` (above 0).

    `sets` as `shingles.shingle_sets` gives. Ascending by left, then right. Takes 3 ns for each two
    documents that share a shingle, 24 bytes a shingle and 24 a pair found.
    """
    offsets, hashes = sets
    order = np.argsort(hashes, kind="stable")
    by_hash = hashes[order]
    changes = np.flatnonzero(by_hash[1:] != by_hash[:-1]) + 1
    firsts = np.concatenate([np.zeros(min(1, len(order)), np.int64), changes])
    first_of = np.empty(len(order), np.int64)  # where the run of a shingle starts in `order`
    first_of[order] = np.repeat(firsts, np.diff(firsts, append=len(order)))
    document_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[order]
    right, left, both = _overlaps(offsets, first_of, document_of, least)
    sizes = np.diff(offsets)
    jaccard = both / (sizes[left] + sizes[right] - both)
    ordered = np.lexsort((right, left))
    return Pairs(left[ordered], right[ordered], jaccard[ordered])


@njit(nogil=True, cache=True)
def _overlaps(
    offsets: Offsets, first_of: Rows, document_of: Rows, least: float
) -> tuple[Rows, Rows, Rows]:
    """Count the shingles that each document shares with earlier ones; keep the similar pairs."""
    room = 1024
    found = np.empty((3, room), np.int64)
    n = 0
    shared = np.zeros(offsets.size, np.int64)
    met = np.empty(offsets.size, np.int64)
    for right in range(offsets.size - 1):
        size = offsets[right + 1] - offsets[right]
        n_met = 0
        for place in range(offsets[right], offsets[right + 1]):
            at = first_of[place]
            while document_of[at] < right:
                left = document_of[at]
                if shared[left] == 0:
                    met[n_met] = left
                    n_met += 1
                shared[left] += 1
                at += 1
        for k in range(n_met):
            left = met[k]
            both = shared[left]
            shared[left] = 0
            if both < least * (size + offsets[left + 1] - offsets[left] - both):
                continue
            if n == room:
                wider = np.empty((3, 2 * room), np.int64)
                wider[:, :room] = found
                found, room = wider, 2 * room
            found[0, n], found[1, n], found[2, n] = right, left, both
            n += 1
    return found[0, :n].copy(), found[1, :n].copy(), found[2, :n].copy()


def share_band(signed: Hashes, left: Rows, right: Rows) -> NDArray[np.bool_]:
    """Say of each pair whether it is a candidate, bool [n].

    `signed` uint64 [docs, bands] as `minhash.band_hashes` gives; a document without shingles is to
    have numbers there that no other has.
    """
    same: NDArray[np.bool_] = (signed[left] == signed[right]).any(axis=1)
    return same


def count_candidates(signed: Hashes) -> int:
    """Count the pairs that share a band, each once; `signed` as in `share_band`."""
    found: list[Rows] = [np.empty(0, np.int64)]
    for column in signed.T:
        order = np.argsort(column, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(column[order])) + 1):
            if len(run) > 1:
                left, right = np.triu_indices(len(run), 1)
                found.append(run[left] * len(signed) + run[right])  # left < right: a stable order
    return len(np.unique(np.concatenate(found)))


def count_bin(
    jaccard: Floats,
    is_candidate: NDArray[np.bool_],
    scheme: tuple[int, int],
    low: float,
    high: float,
) -> Bin:
    """Count the pairs from one similarity to below another; `scheme` is (bands, rows).

    A `high` above 1 takes in what is equal.
    """
    here = (jaccard >= low) & (jaccard < high)
    predicted = sum(candidate_probability(s, *scheme) for s in jaccard[here].tolist())
    return Bin(low, high, int(here.sum()), int(is_candidate[here].sum()), predicted)
