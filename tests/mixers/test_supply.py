"""What repetition is worth."""

import pytest

from cuvee.mixers.supply import effective_tokens


@pytest.mark.parametrize(
    ("epochs", "fresh"), [(0.25, 0.25), (1, 1), (2, 1.97), (4, 3.73), (7, 5.97), (16, 10.6)]
)
def test_repeated_tokens_are_worth_what_was_published(epochs: float, fresh: float) -> None:
    assert effective_tokens(10**9, epochs) / 10**9 == pytest.approx(fresh, rel=0.003)
