"""The divergence of token counts against plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuvee.filters.divergence import count_tokens, divergences, log_shares

VOCABULARY = 12
documents = st.lists(st.lists(st.integers(0, VOCABULARY - 2), max_size=30), min_size=1, max_size=8)


def encoded(texts: list[list[int]]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    closed = [[*text, VOCABULARY - 1] for text in texts]
    offsets = np.cumsum([0, *map(len, closed)]).astype(np.int64)
    return np.array([token for text in closed for token in text], np.uint16), offsets


def plain(text: list[int], corpus: Counter[int]) -> float | None:
    total, found = sum(corpus.values()) + VOCABULARY, 0.0
    for token, n in sorted(Counter(text).items()):
        share = n / len(text)
        found += share * (math.log(share) - math.log((corpus[token] + 1) / total))
    return found if text else None


@settings(max_examples=200, deadline=None)
@given(documents)
def test_counts_and_divergences_equal_their_plain_twins(texts: list[list[int]]) -> None:
    bags, total = count_tokens(*encoded(texts), VOCABULARY)
    corpus = Counter(token for text in texts for token in text)
    assert total.tolist() == [corpus[token] for token in range(VOCABULARY)]
    for row, text in enumerate(texts):
        here = slice(bags.offsets[row], bags.offsets[row + 1])
        pairs = zip(bags.tokens[here].tolist(), bags.counts[here].tolist(), strict=True)
        assert list(pairs) == sorted(Counter(text).items())
    found = [None if math.isnan(kl) else kl for kl in divergences(bags, log_shares(total)).tolist()]
    assert found == [plain(text, corpus) for text in texts]


@settings(max_examples=50, deadline=None)
@given(documents, st.integers(0, 8))
def test_batches_make_no_difference(texts: list[list[int]], cut: int) -> None:
    whole, total = count_tokens(*encoded(texts), VOCABULARY)
    parts = [part for part in (texts[:cut], texts[cut:]) if part]
    counted = [count_tokens(*encoded(part), VOCABULARY) for part in parts]
    np.testing.assert_array_equal(np.sum([sums for _, sums in counted], axis=0), total)
    log_q = log_shares(total)
    found = np.concatenate([divergences(bags, log_q) for bags, _ in counted])
    np.testing.assert_array_equal(found, divergences(whole, log_q))


def test_the_divergence_is_never_negative_and_grows_with_outliers() -> None:
    texts = [[0, 1, 2, 3] * 50] * 20 + [[0, 1, 2, 9] * 50, [9] * 200]
    bags, total = count_tokens(*encoded(texts), VOCABULARY)
    found = divergences(bags, log_shares(total))
    assert 0 <= found[0] < found[20] < found[21]
    assert found[21] == pytest.approx(math.log((sum(map(len, texts)) + VOCABULARY) / 251))
