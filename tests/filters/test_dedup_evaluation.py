"""All similar pairs, and what bands make of them: against sets and loops."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.dedup_evaluation import count_bin, count_candidates, share_band, similar_pairs
from cuvee.filters.minhash import candidate_probability

documents_ = st.lists(st.frozensets(st.integers(0, 12), max_size=8), max_size=8)


@given(documents=documents_, least=st.sampled_from([0.01, 0.2, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_similar_pairs_are_those_of_comparing_every_set_with_every_other(
    documents: list[frozenset[int]], least: float
) -> None:
    hashes = np.array([h for document in documents for h in sorted(document)], np.uint64)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    found = similar_pairs((offsets, hashes), least)
    expected = []
    for left, right in combinations(range(len(documents)), 2):
        both, either = documents[left] & documents[right], documents[left] | documents[right]
        if both and len(both) / len(either) >= least:
            expected.append((left, right, len(both) / len(either)))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def test_more_pairs_are_found_than_there_was_room_for_at_first() -> None:
    n = 60
    offsets, hashes = np.arange(n + 1), np.full(n, 7, np.uint64)
    assert len(similar_pairs((offsets, hashes)).left) == n * (n - 1) // 2


@given(signed=st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=8))
@settings(max_examples=30, deadline=None)
def test_candidates_are_the_pairs_that_share_a_band(signed: list[tuple[int, ...]]) -> None:
    bands = np.array(signed, np.uint64).reshape(-1, 3)
    pairs = list(combinations(range(len(signed)), 2))
    shared = [any(map(int.__eq__, signed[left], signed[right])) for left, right in pairs]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    assert share_band(bands, left, right).tolist() == shared
    assert count_candidates(bands) == sum(shared)


def test_a_bin_holds_its_lower_edge_and_not_its_upper_one() -> None:
    jaccard = np.array([0.4, 0.5, 0.6, 1.0])
    candidate = np.array([True, False, True, True])
    found = count_bin(jaccard, candidate, (14, 8), 0.5, 0.6)
    assert (found.pairs, found.candidates) == (1, 0)
    assert found.predicted == candidate_probability(0.5, 14, 8)
    assert count_bin(jaccard, candidate, (14, 8), 1.0, np.inf).pairs == 1
