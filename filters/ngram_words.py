"""Cut texts into words and hash runs of words, straight from UTF-8: what n-gram kernels share.

A *word* is what `cuvee.filters.wordchars` says: case and accents are folded away, characters that
end a word separate, and in scripts without spaces each character is a word. Digits are letters
here and stay as they are, so that questions which differ in their numbers differ.

A run of words is known by two 64-bit hashes that share nothing but the words: the *key* and the
*check*, polynomials of other word hashes, on other bases. Two runs are the same when both are; by
chance that is so for one pair in 2^128. Both come from *sums*, the polynomials of all words up to
each, so that any run of a text costs a multiplication.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.ngram_table import DIGIT, I64, U32, U64
from cuvee.filters.wordchars import ALONE, END, FOLDED_MASK, GONE, KIND_SHIFT, entry_at

Bytes = NDArray[np.uint8]

# First entries of the kinds in a character table; letters lie below them all.
_DIGIT = np.uint32(DIGIT)
_END = np.uint32(END << KIND_SHIFT)
_GONE = np.uint32(GONE << KIND_SHIFT)
_ALONE = np.uint32(ALONE << KIND_SHIFT)
_FOLDED = np.uint32(FOLDED_MASK)

KEY_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
CHECK_PRIME = np.uint64(0xDA942042E4DD58B5)  # odd, no structure, as the three below
KEY_BASE = np.uint64(0xD6E8FEB86659FD93)  # of the polynomial, modulo 2^64
CHECK_BASE = np.uint64(0xA24BAED4963EE407)
_LINK = np.uint64(0xA0761D6478BD642F)  # ties the length in
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # fmix64 of MurmurHash3
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(33)


class Words(NamedTuple):
    """Room for the words of a text: hashes from 1 on, first byte and the one behind the last."""

    hashes: U64
    starts: I64
    stops: I64


@njit(nogil=True, cache=True)
def mix(h: np.uint64) -> np.uint64:
    """Spread each bit of 64 over all."""
    h = (h ^ (h >> _HALF)) * _MIX_1
    h = (h ^ (h >> _HALF)) * _MIX_2
    return h ^ (h >> _HALF)


@njit(nogil=True, cache=True)
def room(n_bytes: int) -> Words:
    """Make room for the words of a text: two bytes a word at least, as in "a漢"."""
    size = n_bytes // 2 + 3
    return Words(np.zeros(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64))


@njit(nogil=True, cache=True)
def cut(data: Bytes, bounds: tuple[int, int], characters: U32, prime: np.uint64, out: Words) -> int:
    """Write the words between two bytes to `out`, hashes unmixed; return how many there are.

    The common case, a letter or an end, has no branch: the word so far is always written, and
    counted where an end follows it.
    """
    i, end = bounds
    n, word, start, stop = 0, np.uint64(0), i, i
    hashes, starts, stops = out.hashes[1:], out.starts, out.stops
    while i < end:
        at = i
        entry, i = entry_at(data, i, end, characters)
        if entry < _GONE:
            hashes[n], starts[n], stops[n] = word, start, stop
            inside, letter = word != 0, entry < _END
            n += inside & (not letter)
            start, stop = (start if inside else at), i
            word = (word ^ np.uint64(entry)) * prime if letter else np.uint64(0)
        elif entry >= _ALONE:
            hashes[n], starts[n], stops[n] = word, start, stop
            n += word != 0
            hashes[n], starts[n], stops[n] = np.uint64(entry & _FOLDED) * prime, at, i
            n += 1
            word = np.uint64(0)
    if word != 0:
        hashes[n], starts[n], stops[n] = word, start, stop
        n += 1
    return n


@njit(nogil=True, cache=True)
def accumulate(hashes: U64, n: int, base: np.uint64) -> None:
    """Replace word hashes 1 to `n` by sums: the polynomial of all words up to there."""
    hashes[0] = np.uint64(0)
    for k in range(n):
        hashes[k + 1] = hashes[k] * base + mix(hashes[k + 1])


@njit(nogil=True, cache=True)
def run_hash(sums: U64, first: int, length: int, power: np.uint64) -> np.uint64:
    """Hash `length` words from the `first` on; `power` is the base of the sums to the `length`."""
    return mix(sums[first + length] - sums[first] * power + np.uint64(length) * _LINK)


@njit(nogil=True, cache=True)
def powers_of(base: np.uint64, highest: int) -> U64:
    """Give a base to the 0 up to the `highest`, modulo 2^64."""
    powers = np.full(highest + 1, base)
    powers[0] = np.uint64(1)
    return powers.cumprod()


@njit(nogil=True, cache=True)
def lettered(data: Bytes, bounds: tuple[int, int], characters: U32) -> bool:
    """Say whether any character between two bytes is a letter that is no digit."""
    i, end = bounds
    while i < end:
        entry, i = entry_at(data, i, end, characters)
        if entry < _DIGIT or entry >= _ALONE:
            return True
    return False


@njit(nogil=True, cache=True)
def count_characters(data: Bytes, start: int, end: int) -> int:
    """Count the characters between two bytes: those bytes that do not continue one."""
    count = 0
    for i in range(start, end):
        count += data[i] & 0xC0 != 0x80
    return count


@njit(nogil=True, cache=True)
def count_words(data: Bytes, offsets: I64, characters: U32) -> I64:
    """Count the words of each text: int64 [texts]."""
    counts = np.zeros(offsets.size - 1, np.int64)
    if counts.size == 0:
        return counts
    words = room(np.max(offsets[1:] - offsets[:-1]))
    for text in range(counts.size):
        counts[text] = cut(data, (offsets[text], offsets[text + 1]), characters, KEY_PRIME, words)
    return counts
