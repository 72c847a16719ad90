"""Who is kept: brute force over Python sets agrees; chains, templates and giants lose nothing."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.buckets import Buckets, distinct, find_buckets, first_of_equals
from cuvee.filters.dedup import LEADERS, Removals, Rule, containment, jaccard, resolve_minhash

Sets = list[set[int]]
SETS = st.lists(st.sets(st.integers(0, 9), max_size=8), min_size=1, max_size=14)


def packed(sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return offsets, np.array([h for s in sets for h in sorted(s)], np.uint64)


def together(buckets: list[list[int]]) -> Buckets:
    starts = np.cumsum([0, *map(len, buckets)]).astype(np.int64)
    return Buckets(starts, np.array([m for bucket in buckets for m in bucket], np.int64))


def plain_jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def plain_similarity(a: set[int], b: set[int], contained: bool) -> float:
    return len(a & b) / len(a) if contained and a else plain_jaccard(a, b)


def plain_resolve(
    buckets: list[list[int]], sets: Sets, rule: Rule
) -> tuple[dict[int, tuple[int, float]], int]:
    leaders: list[list[int]] = [[] for _ in buckets]
    removed, cut_short = {}, 0
    for doc, own in enumerate(sets):
        homes = [at for at, bucket in enumerate(buckets) if doc in bucket]
        others = {other for home in homes for other in leaders[home][: rule.leaders]}
        if doc < rule.foreign:
            others = set()
        near = [(-plain_similarity(own, sets[o], rule.contained), o) for o in sorted(others)]
        near = [entry for entry in near if -entry[0] >= rule.threshold and entry[0] < 0]
        if near:
            similarity, other = min(near)
            removed[doc] = (other, -similarity)
            continue
        if doc >= rule.foreign:
            cut_short += any(len(leaders[home]) > rule.leaders for home in homes)
        for home in homes:
            leaders[home].append(doc)
    return removed, cut_short


def as_dict(found: Removals) -> dict[int, tuple[int, float]]:
    rows = zip(*(column.tolist() for column in found[:3]), strict=True)
    return {removed: (kept, similarity) for removed, kept, similarity in rows}


@settings(deadline=None)
@given(*[st.sets(st.integers(0, 30))] * 2)
def test_similarities_equal_those_of_python_sets(a: set[int], b: set[int]) -> None:
    left, right = (np.array(sorted(s), np.uint64) for s in (a, b))
    assert jaccard(left, right) == plain_jaccard(a, b)
    assert containment(left, right) == (len(a & b) / len(a) if a else 0.0)


@settings(deadline=None)
@given(st.sets(st.integers(0, 5000), max_size=9), st.sets(st.integers(0, 5000), min_size=200))
def test_containment_in_a_much_larger_set_equals_that_of_python_sets(
    a: set[int], b: set[int]
) -> None:
    left, right = (np.array(sorted(s), np.uint64) for s in (a, b))
    assert containment(left, right) == (len(a & b) / len(a) if a else 0.0)


@settings(deadline=None)
@given(
    st.data(),
    SETS,
    st.sampled_from([0.3, 0.5, 2 / 3, 0.8, 1.0]),
    st.booleans(),
    st.sampled_from([1, 2, LEADERS]),
    st.integers(0, 3),
)
def test_minhash_removals_equal_brute_force(
    data: st.DataObject, sets: Sets, threshold: float, contained: bool, leaders: int, foreign: int
) -> None:
    docs = st.integers(0, len(sets) - 1)
    buckets = data.draw(st.lists(st.lists(docs, max_size=6, unique=True), max_size=6))
    rule = Rule(threshold, contained, leaders, foreign)
    found = resolve_minhash(together(buckets), packed(sets), rule)
    assert (as_dict(found), found.cut_short) == plain_resolve(buckets, sets, rule)


def resolved(sets: Sets, buckets: list[list[int]], rule: Rule) -> dict[int, tuple[int, float]]:
    return as_dict(resolve_minhash(together(buckets), packed(sets), rule))


def test_of_a_chain_only_the_middle_goes() -> None:
    chain: Sets = [set(range(10)), set(range(1, 11)), set(range(2, 12))]  # 9/11, 9/11, 8/12
    assert resolved(chain, [[0, 1], [1, 2], [0, 1, 2]], Rule(0.8)) == {1: (0, 9 / 11)}


def test_the_middle_of_a_chain_removes_both_ends_when_it_ranks_first() -> None:
    chain: Sets = [set(range(1, 11)), set(range(10)), set(range(2, 12))]
    assert resolved(chain, [[0, 1, 2]], Rule(0.8)) == {1: (0, 9 / 11), 2: (0, 9 / 11)}


def test_documents_that_share_no_bucket_or_no_shingle_stay() -> None:
    sets: Sets = [{1, 2}, {1, 2}, set(), set()]
    assert resolved(sets, [[0], [1], [2, 3]], Rule(0.8)) == {}
    assert resolved(sets, [], Rule(0.8)) == {}


def test_a_long_chain_in_one_bucket_keeps_every_document_that_is_unlike_the_kept() -> None:
    # Each is 0.85 like its neighbour; transitive closure would keep one of a thousand.
    n, size, step = 1000, 37, 3
    chain = [set(range(at, at + size)) for at in range(0, n * step, step)]
    found = resolved(chain, [list(range(n))], Rule(0.8, leaders=n))
    kept = set(range(n)) - found.keys()
    assert kept == set(range(0, n, 2))  # the second next shares 31 of 43
    assert all(abs(removed - by) == 1 for removed, (by, _) in found.items())


def test_pages_of_one_template_stay_where_their_contents_differ() -> None:
    template = set(range(100))
    pages = [template | set(range(1000 + 50 * n, 1050 + 50 * n)) for n in range(300)]
    assert resolved(pages, [list(range(300))], Rule(0.8)) == {}  # 100 of 200 shared


def test_a_document_that_contains_all_others_removes_none_and_costs_nothing() -> None:
    small = [set(range(at, at + 50)) for at in range(0, 5000, 50)]
    giant = set(range(5000))
    buckets = [list(range(101))]
    found = resolve_minhash(together(buckets), packed([giant, *small]), Rule(0.8))
    assert as_dict(found) == {}
    contained = resolved([giant, *small], buckets, Rule(0.8, contained=True))
    assert contained == dict.fromkeys(range(1, 101), (0, 1.0))


def test_a_bucket_of_unlike_documents_costs_its_leaders_each_and_counts_who_is_cut_short() -> None:
    unlike = [{3 * n, 3 * n + 1, 3 * n + 2} for n in range(1000)]
    found = resolve_minhash(together([list(range(1000))]), packed(unlike), Rule(0.8, leaders=10))
    assert found.comparisons == sum(min(n, 10) for n in range(1000))
    assert found.cut_short == 1000 - 11


HASHES = st.lists(st.integers(0, 6).map(lambda n: n * 0x9E3779B97F4A7C15 % 2**64), max_size=40)


@settings(deadline=None)
@given(HASHES)
def test_buckets_are_the_members_with_equal_hashes(hashes: list[int]) -> None:
    found = find_buckets(np.array(hashes, np.uint64), np.arange(len(hashes)))
    groups: dict[int, set[int]] = {}
    for member, value in enumerate(hashes):
        groups.setdefault(value, set()).add(member)
    cut = np.split(found.members, found.starts[1:-1])
    expected = sorted(sorted(group) for group in groups.values() if len(group) > 1)
    assert sorted(sorted(c.tolist()) for c in cut if len(c)) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30), st.randoms())
def test_of_equal_keys_the_lowest_rank_stays(keys: list[tuple[int, int]], chance: Any) -> None:
    ranks = chance.sample(range(100), len(keys))
    high, low = (np.array([key[half] for key in keys], np.uint64) for half in (0, 1))
    found = first_of_equals(high, low, np.array(ranks, np.int64))
    first = {key: min((r, n) for n, r in enumerate(ranks) if keys[n] == key)[1] for key in keys}
    pairs = {n: first[key] for n, key in enumerate(keys) if first[key] != n}
    assert dict(zip(*(rows.tolist() for rows in found), strict=True)) == pairs


def test_buckets_with_the_same_members_are_one() -> None:
    found = distinct(together([[1, 2], [2, 1], [1, 2, 3], [3, 1, 2], [2, 3]]))
    assert np.split(found.members, found.starts[1:-1])[0].tolist() == [1, 2]
    assert len(found.starts) - 1 == 3
