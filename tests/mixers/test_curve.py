"""Upsampling by rank: the rate of each bucket, the bucket of each document, and its copies."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cuvee.configs.sources import Upsample
from cuvee.mixers.curve import buckets, copies, rates

CURVES = st.tuples(
    st.floats(0.05, 6.5), st.floats(1, 7), st.floats(0, 1), st.floats(0, 0.9), st.integers(1, 50)
)


def curve_of(mean: float, cap: float, floor: float, drop: float, count: int) -> Upsample:
    assume(floor < cap)
    assume((1 - drop) * floor * 1.001 < mean < (1 - drop) * cap * 0.999)
    return Upsample(by="score", mean=mean, cap=cap, floor=floor, drop=drop, buckets=count)


@settings(max_examples=200, deadline=None)
@given(CURVES)
def test_rates_rise_within_their_bounds_to_the_mean(
    case: tuple[float, float, float, float, int],
) -> None:
    curve = curve_of(*case)
    found = rates(curve)
    assert (np.diff(found) >= -1e-9).all()
    assert found.min() >= 0
    assert found.max() <= curve.cap
    assert found.mean() == pytest.approx(curve.mean, rel=1e-9)
    whole = np.arange(curve.buckets) / curve.buckets >= curve.drop
    assert (found[whole] >= curve.floor - 1e-9).all()
    gone = (np.arange(curve.buckets) + 1) / curve.buckets <= curve.drop
    assert (found[gone] == 0).all()


def test_each_rate_is_the_mean_of_the_curve_over_its_bucket() -> None:
    curve = Upsample(by="score", mean=1.0, cap=7, floor=0.5, drop=0.4, buckets=10)
    power = (7 - 0.5) * 0.6 / (1.0 - 0.6 * 0.5) - 1
    rank = (np.arange(100_000) + 0.5) / 100_000
    beyond = np.clip((rank - 0.4) / 0.6, 0, 1)
    rate = np.where(rank < 0.4, 0, 0.5 + 6.5 * beyond**power)
    assert rates(curve) == pytest.approx(rate.reshape(10, -1).mean(axis=1), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), max_size=80), st.integers(1, 12), st.randoms())
def test_buckets_are_those_of_the_plain_ranking(
    lengths: list[int], count: int, chance: random.Random
) -> None:
    n = len(lengths)
    scores = chance.sample(range(n), n)
    found = buckets(np.array(scores, float), np.array(lengths, np.int32), count, key=5)
    below = 0.0
    for row in sorted(range(n), key=lambda row: scores[row]):
        middle = below + lengths[row] / 2
        assert found[row] == min(count - 1, int(middle * count / sum(lengths)))
        below += lengths[row]


def test_documents_without_a_score_rank_last_and_equal_ones_by_chance() -> None:
    scores = np.array([np.nan, 1.0, np.nan, 2.0])
    assert buckets(scores, np.ones(4, np.int32), 2, key=5).tolist() == [0, 1, 0, 1]
    equal = np.ones(1000)
    one, two = (buckets(equal, np.ones(1000, np.int32), 2, key) for key in (5, 6))
    assert one.sum() == two.sum() == 500
    assert 350 < (one != two).sum() < 650
    assert abs(one[:500].sum() - 250) < 60


def test_documents_come_as_often_as_their_rate_on_average_and_never_otherwise() -> None:
    rng = np.random.default_rng(3)
    rows, lengths = np.arange(40_000), rng.integers(10, 200, 40_000)
    curve = Upsample(by="score", mean=1.6, cap=7, drop=0.4)
    rate = rates(curve)[buckets(rng.random(40_000), lengths, 20, key=1)]
    drawn = copies(rows, rate, key=2)
    times = np.bincount(drawn, minlength=40_000)
    assert ((times == np.floor(rate)) | (times == np.floor(rate) + 1)).all()
    assert lengths[drawn].sum() / lengths.sum() == pytest.approx(1.6, rel=0.01)
    assert (np.diff(drawn) >= 0).all()
    assert (copies(rows, rate, key=2) == drawn).all()
    assert len(copies(rows, rate, key=3)) != len(drawn)
