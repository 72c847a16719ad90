"""Look up a short string by its hash, in a kernel: contractions, units, stop words.

A *name* is a string of `contractions.py` or a stop word; its *code* is an int of bits that says
what it is. The hash is the polynomial one that words carry (`roll`): for two strings joined,
`hash(ab) = hash(a) * power(b) + hash(b)` modulo 2^64.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.characters import NAMES_ROOM, characters
from cuvee.filters.contractions import UNITS, cuts
from cuvee.filters.pointers import Bytes, Tables, inlined, signed

# Gopher's eight (Rae et al. 2021, table A1), in the order of the bits of their mask.
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

BASE = np.uint64(0x9E3779B97F4A7C55)  # odd, so that no byte of a string drops out of its hash
SPREAD = np.uint64(0xD6E8FEB86659FD93)  # moves the mixed high bits of a product to a table index
ONE = np.uint64(1)
_SQUARE, _CUBE, _FOURTH = (np.uint64(int(BASE) ** k % 2**64) for k in (2, 3, 4))
_ONES = np.uint64((int(_CUBE) + int(_SQUARE) + int(BASE) + 1) % 2**64)  # each byte counts one more

STOP = 0xF  # the low bits: 1 + position in STOP_WORDS
UNIT = 1 << 4
SPECIAL = 1 << 5  # has cuts of its own: at CUT_1 and CUT_2 bytes, 0 for none
CUT_1 = 8
CUT_2 = 16
LONGEST = 16  # bytes of the longest name; `couldn't've` has 14 with U+2019

_SLOTS_LOG2 = 12
_SLOTS = 1 << _SLOTS_LOG2  # hashes (0: a free slot), then as many codes: NAMES_ROOM entries


@inlined
def roll(data: Bytes, lo: int, hi: int) -> np.uint64:
    """Polynomial hash of bytes lo..hi."""
    value, at = np.uint64(0), lo
    while (
        at + 4 <= hi
    ):  # four bytes a turn: the multiplications of one turn do not wait for each other
        first = np.uint64(data[at]) * _CUBE + np.uint64(data[at + 1]) * _SQUARE
        value = value * _FOURTH + first + np.uint64(data[at + 2]) * BASE + np.uint64(data[at + 3])
        value += _ONES
        at += 4
    while at < hi:
        value = value * BASE + np.uint64(data[at]) + ONE
        at += 1
    return value


@inlined
def code_of(value: np.uint64, tables: Tables) -> int:
    """Code of the name whose hash is `value`; 0 when there is none."""
    slot = signed((value * SPREAD) >> np.uint64(64 - _SLOTS_LOG2))
    while tables[slot] != 0:
        if tables[slot] == value:
            return signed(tables[_SLOTS + slot])
        slot = (slot + 1) & (_SLOTS - 1)
    return 0


@inlined
def name_at(data: Bytes, lo: int, hi: int, tables: Tables) -> int:
    """Code of the name that bytes lo..hi are; 0 when they are none."""
    if hi - lo > LONGEST or hi <= lo:
        return 0
    return code_of(roll(data, lo, hi), tables)


def _codes() -> dict[str, int]:
    """Return what each name is."""
    codes = dict.fromkeys(UNITS, UNIT)
    for text, pieces in cuts().items():
        ends = np.cumsum([len(piece.encode()) for piece in pieces])[:-1].tolist()
        first, second = [*ends, 0, 0][:2]
        codes[text] = codes.get(text, 0) | SPECIAL | first << CUT_1 | second << CUT_2
    for place, word in enumerate(STOP_WORDS):
        codes[word] = codes.get(word, 0) | (place + 1)
    return codes


def hash_of(text: str) -> int:
    """Return the plain form of `roll`."""
    value = 0
    for byte in text.encode():
        value = (value * int(BASE) + byte + 1) % 2**64
    return value


def _names() -> NDArray[np.uint64]:
    """Build the table of all names."""
    table = np.zeros(NAMES_ROOM, np.uint64)
    for text, code in _codes().items():
        value = hash_of(text)
        slot = (value * int(SPREAD) % 2**64) >> (64 - _SLOTS_LOG2)
        while table[slot]:
            slot = (slot + 1) % _SLOTS
        table[slot], table[_SLOTS + slot] = value, code
    return table


@cache
def tables() -> NDArray[np.uint64]:
    """Build what the kernels look up, once: the names, then the character classes."""
    return np.concatenate([_names(), characters()])
