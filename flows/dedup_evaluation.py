"""What the kernels of deduplication find among some documents, beside what is true of them.

Documents are numbered by rank, the longest first, as the recipe's `keep: longest` ranks them, and
all of them are held: texts, shingle sets, bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.deduplication import MinHash
from cuvee.filters.buckets import Buckets, find_buckets
from cuvee.filters.dedup import Rule, containment, jaccard, resolve_minhash
from cuvee.filters.dedup_evaluation import (
    EDGES,
    Bin,
    Pairs,
    Rows,
    count_bin,
    count_candidates,
    share_band,
    similar_pairs,
)
from cuvee.filters.exact import exact_keys
from cuvee.filters.minhash import MinHashParams, band_hashes, signatures
from cuvee.filters.shingles import Hashes, Offsets, shingle_sets


class Judged(NamedTuple):
    """A pair of documents by number, and whether somebody says that one is a copy of the other."""

    left: int
    right: int
    duplicate: bool


class JudgedBin(NamedTuple):
    """Judged pairs of one bin of similarity: how many of both kinds, and how many are found."""

    low: float
    high: float
    duplicates: int
    duplicates_found: int
    others: int
    others_found: int


@dataclass(frozen=True)
class Hashed:
    """Documents as deduplication sees them, by rank."""

    near: MinHash
    sets: tuple[Offsets, Hashes]
    signed: Hashes  # [docs, bands]; no two alike where there are no shingles
    exact: pa.FixedSizeBinaryArray

    @property
    def scheme(self) -> tuple[int, int]:
        """Bands and rows."""
        return self.near.bands, self.near.rows

    def set_of(self, document: int) -> Hashes:
        """Return the shingle set of a document."""
        offsets, hashes = self.sets
        return hashes[offsets[document] : offsets[document + 1]]

    def similarity(self, removed: int, kept: int) -> float:
        """Measure as the recipe does how similar a document is to the one that stays."""
        measure = containment if self.near.measure == "containment" else jaccard
        return float(measure(self.set_of(removed), self.set_of(kept)))


@dataclass(frozen=True)
class Evaluation:
    """What is found: `bins` by similarity, `enough` of all that reaches the threshold, `removed`.

    `candidates` are pairs that share a band, `removed` documents, `least` the lowest similarity of
    one to the document that stays in its place (1.0 where none goes).
    """

    documents: int
    bins: list[Bin]
    enough: Bin
    candidates: int
    removed: int
    least: float


def hash_documents(texts: Sequence[str], near: MinHash) -> tuple[Hashed, Rows]:
    """Hash documents; return them by rank and the rank of each text."""
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    order = np.argsort(-sizes, kind="stable")
    ranked: pa.LargeStringArray = pa.array([texts[n] for n in order], pa.large_string())
    params = MinHashParams(near.ngram, near.bands, near.rows)
    lowest, n_shingles = signatures(ranked, params)
    signed = band_hashes(lowest, near.bands, near.rows)
    empty = np.flatnonzero(n_shingles == 0)
    signed[empty] = empty[:, None]  # else they would all agree
    hashed = Hashed(near, shingle_sets(ranked, near.ngram), signed, exact_keys(ranked))
    return hashed, np.argsort(order)


def evaluate(hashed: Hashed) -> Evaluation:
    """Compare what the bands find with all pairs that are similar."""
    truth = similar_pairs(hashed.sets, min(EDGES[0], hashed.near.verify))
    candidate = share_band(hashed.signed, truth.left, truth.right)
    edges = [*EDGES, np.inf]
    bins = [
        count_bin(truth.jaccard, candidate, hashed.scheme, low, high)
        for low, high in pairwise(edges)
    ]
    removed, kept = removals(hashed)
    similarities = [hashed.similarity(*pair) for pair in zip(removed, kept, strict=True)]
    return Evaluation(
        documents=len(hashed.signed),
        bins=bins,
        enough=_enough(hashed, truth, candidate),
        candidates=count_candidates(hashed.signed),
        removed=len(removed),
        least=min(similarities, default=1.0),
    )


def _enough(hashed: Hashed, truth: Pairs, candidate: NDArray[np.bool_]) -> Bin:
    """Count the pairs that reach the threshold."""
    return count_bin(truth.jaccard, candidate, hashed.scheme, hashed.near.verify, np.inf)


def removals(hashed: Hashed) -> tuple[list[int], list[int]]:
    """Return the documents that go and those that stay in their place."""
    documents = np.arange(len(hashed.signed))
    found = [find_buckets(column, documents) for column in hashed.signed.T]
    ends = np.cumsum([0, *(part.starts[-1] for part in found)])
    starts = [part.starts[1:] + end for part, end in zip(found, ends[:-1], strict=True)]
    buckets = Buckets(
        np.concatenate([np.zeros(1, np.int64), *starts]),
        np.concatenate([part.members for part in found]),
    )
    rule = Rule(hashed.near.verify, hashed.near.measure == "containment")
    removed = resolve_minhash(buckets, hashed.sets, rule)
    return removed.removed.tolist(), removed.kept.tolist()


def judge(hashed: Hashed, pairs: Sequence[Judged]) -> list[JudgedBin]:
    """Count which judged pairs are found, by their Jaccard similarity.

    A pair is found when it shares a band and reaches the threshold, or is equal but for white
    space.
    """
    left, right = (np.array([pair[n] for pair in pairs], np.int64) for n in (0, 1))
    shared = share_band(hashed.signed, left, right)
    similar = np.array([float(jaccard(hashed.set_of(a), hashed.set_of(b))) for a, b, _ in pairs])
    enough = [hashed.similarity(max(a, b), min(a, b)) >= hashed.near.verify for a, b, _ in pairs]
    same = [hashed.exact[a] == hashed.exact[b] for a, b, _ in pairs]
    found = (shared & enough) | np.array(same, bool)
    says = np.array([pair.duplicate for pair in pairs], bool)
    edges, counted = [0.0, *EDGES, np.inf], list[JudgedBin]()
    for low, high in pairwise(edges):
        here = (similar >= low) & (similar < high)
        kinds = (here & says, here & says & found, here & ~says, here & ~says & found)
        counted.append(JudgedBin(low, high, *(int(kind.sum()) for kind in kinds)))
    return counted
