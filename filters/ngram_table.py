"""How n-grams are laid out for the search: a table that kernels and threads share, read only.

A clean text asks for millions of n-grams that are not there, so the answer "no" must be near: a
*mark* in a Bloom filter of a few bits an n-gram, which is in the cache or almost. Only what is
marked looks in the *directory*, which points at the n-grams whose key has the same first bits.
"""

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import wordchars

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

DIGIT = 1 << wordchars.KIND_SHIFT - 1  # marks a letter as a digit; above every code point
BITS_PER_KEY = 16  # of a Bloom filter, 2 of them set: at most 1.4 % of what is absent looks marked


class Marks(NamedTuple):
    """A Bloom filter: a key sets two bits of the word `key >> shift`.

    They are bits `key % 64` and `key // 64 % 64`.
    """

    bits: U64
    shift: int


class Table(NamedTuple):
    """N-grams in key order, and what finds them fast.

    `keys` and `checks` are uint64 [grams]. The n-grams whose key is `slot` without its last
    `slot_shift` bits are rows `directory[slot]` to `directory[slot + 1]`. `bitmap` marks every
    key, `gate` the key of the first `gate_words` words of every n-gram shorter than the longest.
    `lengths` are all the lengths in words, ascending; `characters` is `character_table()`.
    """

    keys: U64
    checks: U64
    directory: NDArray[np.int32]
    slot_shift: int
    bitmap: Marks
    gate: Marks
    gate_words: int
    lengths: I64
    characters: U32


@cache
def character_table() -> U32:
    """Give `wordchars.character_table()`, but with every decimal digit a letter of its own.

    uint32 [0x110000]; a digit's entry is its code point and `DIGIT`.
    """
    table = wordchars.character_table().copy()
    digits = np.flatnonzero(table >> wordchars.KIND_SHIFT == wordchars.DIGIT)
    table[digits] = digits | DIGIT
    table.flags.writeable = False
    return table


@cache
def stripped_table() -> U32:
    """Give `character_table()`, but with punctuation and symbols that vanish: `don't` is `dont`.

    Only white space and control characters end a word then.
    """
    table = character_table().copy()
    ends = np.flatnonzero(table >> wordchars.KIND_SHIFT == wordchars.END)
    signs = [code for code in ends.tolist() if unicodedata.category(chr(code))[0] in "PS"]
    table[signs] = wordchars.GONE << wordchars.KIND_SHIFT
    table.flags.writeable = False
    return table


def lay_out(keys: U64, checks: U64, gate: U64, gate_words: int, lengths: I64) -> Table:
    """Make a table of n-grams that are given in key order; `gate` holds keys, repeats included."""
    slot_bits = max(keys.size - 1, 1).bit_length()
    return Table(
        keys=keys,
        checks=checks,
        directory=_directory(keys, slot_bits),
        slot_shift=64 - slot_bits,
        bitmap=_marks(keys),
        gate=_marks(gate),
        gate_words=gate_words,
        lengths=lengths,
        characters=character_table(),
    )


def _marks(keys: U64) -> Marks:
    """Mark keys in a filter of at least `BITS_PER_KEY` bits each."""
    width = max(keys.size * BITS_PER_KEY // 64, 1).bit_length()
    marks = Marks(np.zeros(1 << width, np.uint64), 64 - width)
    _mark(marks, keys)
    return marks


@njit(nogil=True, cache=True)
def _directory(keys: U64, slot_bits: int) -> NDArray[np.int32]:
    """Give the first row of the ascending keys that begin with each number of `slot_bits` bits."""
    directory, row = np.empty((1 << slot_bits) + 1, np.int32), 0
    for slot in range(1 << slot_bits):
        while row < keys.size and np.int64(keys[row] >> np.uint64(64 - slot_bits)) < slot:
            row += 1
        directory[slot] = row
    directory[1 << slot_bits] = keys.size
    return directory


@njit(nogil=True, cache=True)
def _mark(marks: Marks, keys: U64) -> None:
    """Set the bits of every key."""
    one, low, six = np.uint64(1), np.uint64(63), np.uint64(6)
    for key in keys:
        two_bits = one << (key & low) | one << (key >> six & low)
        marks.bits[key >> np.uint64(marks.shift)] |= two_bits
