"""A Bloom filter in blocks: a set of 64-bit keys in fixed memory that never forgets one.

A key that was never put in is found sometimes, too: a *false positive*. All bits of a key lie in
one *block* of 512 bits, a cache line, so that a look-up waits for memory once (Putze et al. 2009,
"Cache-, hash- and space-efficient Bloom filters"). The block is the key modulo their number, over
all of them; the bits are `hashes` numbers below 512 drawn from the key mixed again.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.shingles import mix64

U64 = NDArray[np.uint64]

BLOCK_BITS = 512
ENOUGH = 1e-6  # rate of false positives under which none is noticed
MOST_HASHES = 14  # two mixed words of 64 bits have room for seven numbers each
_WORDS = BLOCK_BITS // 64
_DRAWN = 7  # numbers below 512 in 64 bits
_mix: Any = njit(nogil=True, cache=True)(mix64)
_SALT = np.uint64(0x8EBC6AF09C88C6E3)  # odd, no structure
_BITS, _BIT, _NINE = np.uint64(BLOCK_BITS - 1), np.uint64(63), np.uint64(9)
_SIX, _ONE = np.uint64(6), np.uint64(1)


class Bloom(NamedTuple):
    """A filter: its bits, uint64 [blocks, 8], and the bits that are set a key."""

    blocks: U64
    hashes: int


def empty(memory: int, hashes: int) -> Bloom:
    """Make a filter of at most `memory` bytes, one block at least, in which nothing is."""
    blocks = max(1, memory * 8 // BLOCK_BITS)
    raw = np.zeros(blocks * _WORDS + _WORDS, np.uint64)
    first = -raw.ctypes.data % (BLOCK_BITS // 8) // 8  # blocks are to be cache lines
    return Bloom(raw[first : first + blocks * _WORDS].reshape(blocks, _WORDS), hashes)


def expected_rate(memory: int, keys: int, hashes: int) -> float:
    """Give the rate of false positives when so many keys will be in: 0 to 1.

    A block has as many keys as chance gives it, Poisson distributed; one with i keys answers yes
    with probability (1 - (1 - 1/512)^(hashes * i))^hashes.
    """
    mean = keys / max(1, memory * 8 // BLOCK_BITS)
    reach = 12 * np.sqrt(mean) + 30
    i = np.arange(max(0, int(mean - reach)), int(mean + reach))
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, i[-1] + 1)))])
    chance = np.exp(i * np.log(max(mean, 1e-300)) - mean - logs[i])
    filled = 1 - (1 - 1 / BLOCK_BITS) ** (hashes * i.astype(np.float64))
    return float(min(1.0, (chance * filled**hashes).sum()))


def best_hashes(memory: int, keys: int) -> int:
    """Give the number of bits a key with the fewest false positives, 1 to `MOST_HASHES`.

    Where memory is plentiful it is the least number that gives fewer than `ENOUGH`: every bit more
    takes time.

    >>> best_hashes(125_000, 100_000)  # ten bits a key
    7
    """
    rates = [expected_rate(memory, keys, hashes) for hashes in range(1, MOST_HASHES + 1)]
    return 1 + next((n for n, rate_ in enumerate(rates) if rate_ < ENOUGH), rates.index(min(rates)))


def fill(bloom: Bloom) -> float:
    """Give the share of bits that are set."""
    return float(_set_bits(bloom.blocks).sum()) / bloom.blocks.size / 64


def rate(bloom: Bloom) -> float:
    """Give the rate of false positives as the filter is: what a key that is not in it meets."""
    filled = _set_bits(bloom.blocks) / BLOCK_BITS
    return float((filled**bloom.hashes).mean())


def _set_bits(blocks: U64) -> NDArray[np.int64]:
    """Count the set bits of every block."""
    some = range(0, len(blocks), 2**16)  # at once: the counts of all would be an eighth of the bits
    counted = [np.bitwise_count(blocks[at : at + 2**16]).sum(axis=1, dtype=np.int64) for at in some]
    return np.concatenate(counted)


@njit(nogil=True, cache=True)
def contains(blocks: U64, hashes: int, key: np.uint64) -> bool:
    """Say whether a key is in, or looks as if it were."""
    block = blocks[key % np.uint64(len(blocks))]
    drawn = _mix(key * _SALT)
    for n in range(hashes):
        if n == _DRAWN:
            drawn = _mix(key * _SALT + _SALT)
        bit = drawn & _BITS
        if block[bit >> _SIX] >> (bit & _BIT) & _ONE == 0:
            return False
        drawn >>= _NINE
    return True


@njit(nogil=True, cache=True)
def insert(blocks: U64, hashes: int, key: np.uint64) -> None:
    """Put a key in."""
    block = blocks[key % np.uint64(len(blocks))]
    drawn = _mix(key * _SALT)
    for n in range(hashes):
        if n == _DRAWN:
            drawn = _mix(key * _SALT + _SALT)
        bit = drawn & _BITS
        block[bit >> _SIX] |= _ONE << (bit & _BIT)
        drawn >>= _NINE
