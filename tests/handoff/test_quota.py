"""The mixture at every prefix, against fractions."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.handoff import quota
from cuvee.handoff.manifest import WEIGHT_UNIT
from cuvee.handoff.quota import PrefixQuota


def plain_quota(
    weights: list[int], order: list[int]
) -> tuple[list[Fraction], tuple[int, int] | None]:
    worst = [Fraction(0)] * len(weights)
    broken: tuple[int, int] | None = None
    for t in range(1, len(order) + 1):
        for i, weight in enumerate(weights):
            due, drawn = Fraction(weight * t, WEIGHT_UNIT), order[:t].count(i)
            worst[i] = max(worst[i], abs(drawn - due))
            if broken is None and not floor(due) <= drawn <= ceil(due):
                broken = (t - 1, i)
    return worst, broken


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=5).filter(any),
    st.integers(0, 60),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_deviations_and_breaks_are_those_of_the_definition(
    parts: list[int], length: int, block: int, random: object
) -> None:
    weights = [p * WEIGHT_UNIT // sum(parts) for p in parts]
    weights[parts.index(max(parts))] += WEIGHT_UNIT - sum(weights)
    order = [random.choices(range(len(parts)), weights)[0] for _ in range(length)]  # type: ignore[attr-defined] # hypothesis' Random
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quota, "BLOCK", block)
        held = PrefixQuota([length + 1], [[weight] for weight in weights])
        held.add(np.array(order[:7], np.int64))
        held.add(np.array(order[7:], np.int64))
    worst, broken = plain_quota(weights, order)
    assert [held.max_deviation(i) for i in range(len(parts))] == [float(w) for w in worst]
    assert held.broken == broken
    assert held.counts.tolist() == [order.count(i) for i in range(len(parts))]


def test_a_source_of_weight_zero_may_not_be_drawn_once() -> None:
    held = PrefixQuota([3], [[WEIGHT_UNIT], [0]])
    held.add(np.array([0, 0, 1]))
    assert held.broken == (2, 0)
    assert held.max_deviation(1) == 1


def test_targets_stay_exact_over_many_blocks() -> None:
    third, repeats = WEIGHT_UNIT // 3, 100_000
    held = PrefixQuota([3 * repeats], [[third], [third], [WEIGHT_UNIT - 2 * third]])
    held.add(np.tile(np.array([2, 0, 1]), repeats))
    prefixes = range(1, 3 * repeats + 1)
    exact = max(abs((t + 1) // 3 * WEIGHT_UNIT - third * t) for t in prefixes)
    assert held.max_deviation(0) == exact / WEIGHT_UNIT
    assert held.broken is None


def test_what_is_due_goes_on_over_pieces_of_other_weights() -> None:
    half = WEIGHT_UNIT // 2
    held = PrefixQuota([3, 4], [[half, WEIGHT_UNIT], [half, 0]])
    held.add(np.array([0, 1]))
    held.add(np.array([0, 0, 0, 0, 0]))
    assert held.broken is None
    assert held.max_deviation(1) == 0.5
    assert held.counts.tolist() == [6, 1]


def test_a_source_that_is_switched_off_may_not_be_drawn_although_some_is_due() -> None:
    half = WEIGHT_UNIT // 2
    held = PrefixQuota([3, 4], [[half, WEIGHT_UNIT], [half, 0]])
    held.add(np.array([0, 1, 0, 0, 1]))
    assert held.broken == (4, 1)
