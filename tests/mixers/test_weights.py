"""Exact integer weights."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.mixers.weights import SHARE_UNITS, integerise


@settings(max_examples=60)
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=64))
def test_integer_weights_sum_to_the_whole_and_are_off_by_less_than_one(raw: list[float]) -> None:
    units = integerise({str(i): weight for i, weight in enumerate(raw)})
    assert units.dtype == "int64"
    assert int(units.sum()) == SHARE_UNITS
    total = sum(map(Fraction, raw))
    for unit, weight in zip(units.tolist(), raw, strict=True):
        assert abs(unit - Fraction(weight) * SHARE_UNITS / total) < 1


def test_equal_remainders_go_to_the_earlier_source() -> None:
    third = SHARE_UNITS // 3
    assert integerise(dict.fromkeys("abc", 1.0)).tolist() == [third + 1, third, third]


def test_a_weight_of_zero_stays_zero_and_a_lone_source_gets_all() -> None:
    assert integerise({"a": 0.0, "b": 0.25, "c": 0.0}).tolist() == [0, SHARE_UNITS, 0]


def test_a_weight_too_small_to_be_drawn_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'b' a share of 1e-11, .* Raise it to 2.33e-10"):
        integerise({"a": 1.0, "b": 1e-11})
