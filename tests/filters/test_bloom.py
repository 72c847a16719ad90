import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.filters.bloom import (
    BLOCK_BITS,
    MOST_HASHES,
    Bloom,
    best_hashes,
    contains,
    empty,
    expected_rate,
    fill,
    insert,
    rate,
)


def keys(seed: int, count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


def filled(memory: int, hashes: int, values: NDArray[np.uint64]) -> Bloom:
    bloom = empty(memory, hashes)
    for value in values:
        insert(bloom.blocks, bloom.hashes, value)
    return bloom


@pytest.mark.parametrize("hashes", [1, 6, 7, 8, MOST_HASHES])
def test_what_was_put_in_is_found_and_little_else(hashes: int) -> None:
    bloom = filled(13_000, hashes, keys(1, 8_000))
    assert all(contains(bloom.blocks, hashes, key) for key in keys(1, 8_000))
    found = sum(contains(bloom.blocks, hashes, key) for key in keys(2, 20_000)) / 20_000
    noise = 4 * math.sqrt(rate(bloom) / 20_000)
    assert found == pytest.approx(rate(bloom), abs=noise)
    assert rate(bloom) == pytest.approx(expected_rate(13_000, 8_000, hashes), rel=0.1)


def test_ten_bits_a_key_give_one_false_positive_in_a_hundred() -> None:
    assert best_hashes(12_500, 10_000) == 6
    assert 0.008 < expected_rate(12_500, 10_000, 6) < 0.013
    assert best_hashes(12_500, 10) < MOST_HASHES  # no more than are of use


@pytest.mark.parametrize("memory", [64, 640, 2**14, 10_000_000 // 512])
def test_every_bit_of_the_memory_is_used(memory: int) -> None:
    bloom = filled(memory, 4, keys(3, memory * 8 * 2))
    assert bloom.blocks.nbytes == memory // 64 * 64
    assert bloom.blocks.ctypes.data % 64 == 0
    assert fill(bloom) > 0.999
    assert bloom.blocks.size * 64 % BLOCK_BITS == 0


def test_an_empty_filter_knows_nothing() -> None:
    bloom = empty(1, 3)
    assert bloom.blocks.shape == (1, 8)
    assert (fill(bloom), rate(bloom)) == (0, 0)
    assert not any(contains(bloom.blocks, 3, key) for key in keys(4, 100))
