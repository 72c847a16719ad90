"""What the rows of a word are, remembered: words repeat, and to hash their n-grams takes time.

A *memo* is a hash table of bounded size, which is emptied when it is full: so it follows the
language of the texts. A word of up to 15 bytes is its own key, compared as two numbers of eight
bytes; of a longer one the key is a hash and where its bytes are kept. A word longer than `LONGEST`
has no place in it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.fasttext_rows import (
    CHARACTERS,
    HASHES,
    PIECE_ROWS,
    Index,
    Word,
    find,
    hash_of,
    put_subwords,
)
from cuvee.filters.fasttext_vectors import COPIED, load8
from cuvee.filters.pointers import Bytes, inlined, inner, pointer, signed

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

LONGEST = 64  # bytes of a word that is remembered
_BITS = 16  # of a slot's number; half of the slots may be taken
_SLOTS = 1 << _BITS
_ROWS = 1 << 18
_EIGHTS = 1 << 17

# An entry is two numbers of a word's key, then its size in bytes (0: free) and how many rows it
# has, then where they are and its hash: half a cache line.
_LOW, _HIGH, _SIZES, _PLACES, _ENTRY = 0, 1, 2, 3, 4
# Of what is taken: words, rows, eights of bytes.
_N_WORDS, _N_ROWS, _N_EIGHTS = 0, 1, 2

_MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT, _HALF = np.uint64(64 - _BITS), np.uint64(32)
_ONE, _EIGHT, _LOWER = np.uint64(1), np.uint64(8), np.uint64(0xFFFFFFFF)


class Memo(NamedTuple):
    """The table, and room to hash words in; the kernels get arrays or pointers to them."""

    entries: U64
    rows: I32
    eights: U64
    taken: I64
    chars: I32
    hashes: I32


def memo() -> Memo:
    """Make an empty memo; 4 MB."""
    return Memo(
        np.zeros(_ENTRY * _SLOTS, np.uint64),
        np.zeros(_ROWS + 1 + PIECE_ROWS + COPIED, np.int32),
        np.zeros(_EIGHTS + LONGEST, np.uint64),
        np.zeros(3, np.int64),
        np.zeros(CHARACTERS, np.int32),
        np.zeros(HASHES, np.int32),
    )


@inlined
def pointed(known: Memo) -> Memo:
    """Take pointers to a memo's arrays, which must be kept alive."""
    return Memo(
        pointer(known.entries),
        pointer(known.rows),
        pointer(known.eights),
        pointer(known.taken),
        pointer(known.chars),
        pointer(known.hashes),
    )


@inlined
def first_bytes(eight: np.uint64, count: int) -> np.uint64:
    """Keep the first of eight bytes, fewer than eight of them."""
    return eight & ((_ONE << (_EIGHT * np.uint64(count))) - _ONE)


@inlined
def recall(word: Word, low: np.uint64, high: np.uint64, laid: Index, known: Memo) -> int:
    """Find where the entry of a word starts, and make it if the word is new.

    `low` and `high` are its first and second eight bytes, zeros behind its end.
    """
    if word[2] >= 16:
        return _recall_long(word, laid, known)
    slot = signed(_mix(low, high) >> _SHIFT)
    while known.entries[_ENTRY * slot + _LOW] != 0:
        entry = _ENTRY * slot
        if known.entries[entry + _LOW] == low and known.entries[entry + _HIGH] == high:
            return entry
        slot = (slot + 1) & (_SLOTS - 1)
    if _is_full(known):
        _clear(known)
        slot = signed(_mix(low, high) >> _SHIFT)
    return _learn(word, (low, high), slot, laid, known)


@inlined
def remembered(known: Memo, entry: int) -> tuple[int, int, np.int32]:
    """Where the rows of an entry are (its row, without n-grams), how many, its word's hash."""
    places = known.entries[entry + _PLACES]
    count = signed(known.entries[entry + _SIZES] & _LOWER)
    return signed(places >> _HALF), count, np.int32(np.uint32(places & _LOWER))


@inner
def _recall_long(word: Word, laid: Index, known: Memo) -> int:
    """Find where the entry of a word of 16 bytes or more starts, and make it if it is new."""
    size = word[2]
    hashed = np.uint64(size)
    for place in range(0, size, 8):
        hashed = _mix(hashed, _eight(word, place))
    hashed |= _ONE  # 0 marks what is free
    slot = signed(hashed >> _SHIFT)
    while known.entries[_ENTRY * slot + _LOW] != 0:
        entry = _ENTRY * slot
        its_size = signed(known.entries[entry + _SIZES] >> _HALF)
        if known.entries[entry + _LOW] == hashed and its_size == size:
            kept, same = signed(known.entries[entry + _HIGH]), True
            for place in range(0, size, 8):
                same &= known.eights[kept + place // 8] == _eight(word, place)
            if same:
                return entry
        slot = (slot + 1) & (_SLOTS - 1)
    if _is_full(known):
        _clear(known)
        slot = signed(hashed >> _SHIFT)
    kept = known.taken[_N_EIGHTS]
    for place in range(0, size, 8):
        known.eights[kept + place // 8] = _eight(word, place)
    known.taken[_N_EIGHTS] += (size + 7) // 8
    return _learn(word, (hashed, np.uint64(kept)), slot, laid, known)


@inlined
def _mix(low: np.uint64, high: np.uint64) -> np.uint64:
    """Hash two numbers; the highest bits are the best."""
    mixed = low * _MIX1 ^ high * _MIX2
    return (mixed ^ mixed >> _HALF) * _MIX1


@inlined
def _eight(word: Word, place: int) -> np.uint64:
    """Eight bytes of a word from `place` on, zeros behind its end."""
    line, at, size = word
    eight = load8(line, at + place)
    return eight if size - place >= 8 else first_bytes(eight, size - place)


@inlined
def _is_full(known: Memo) -> bool:
    """Say whether there may be no room for another word."""
    taken = known.taken
    return bool(
        taken[_N_WORDS] >= _SLOTS // 2 or taken[_N_ROWS] >= _ROWS or taken[_N_EIGHTS] >= _EIGHTS
    )


@inner
def _clear(known: Memo) -> None:
    """Empty the memo."""
    for place in range(_ENTRY * _SLOTS):
        known.entries[place] = 0
    for place in range(3):
        known.taken[place] = 0


@inner
def _learn(
    word: Word, key: tuple[np.uint64, np.uint64], slot: int, laid: Index, known: Memo
) -> int:
    """Write the entry of a new word at a slot that is free; where it starts."""
    first = known.taken[_N_ROWS]
    hashed = hash_of(word)
    n = put_word(word, hashed, laid, known, known.rows, first)
    entry = _ENTRY * slot
    known.entries[entry + _LOW], known.entries[entry + _HIGH] = key
    known.entries[entry + _SIZES] = np.uint64(word[2]) << _HALF | np.uint64(n - first)
    # The one row of a word without n-grams needs no look elsewhere.
    place = signed(known.rows[first]) if laid.maxn == 0 and n > first else first
    known.entries[entry + _PLACES] = np.uint64(place) << _HALF | np.uint64(hashed)
    known.taken[_N_WORDS] += 1
    known.taken[_N_ROWS] = n
    return entry


@inner
def put_word(word: Word, hashed: np.uint32, laid: Index, known: Memo, rows: I32, n: int) -> int:
    """Write the rows of a word of `LONGEST` bytes at most to `rows`; how many there are now."""
    row = find(word, hashed, laid)
    rows[n] = row
    n += row >= 0
    if laid.maxn > 0:
        bracket(word, True)
        line, at, size = word
        room = (known.chars, known.hashes)
        n = put_subwords((line, at - 1, size + 2), at - 1, laid, room, rows, n)[0]
        bracket(word, False)
    return n


@inlined
def bracket(word: Word, put: bool) -> None:
    """Put brackets around a word, or the spaces that were there before."""
    line: Bytes = word[0]
    line[word[1] - 1] = 0x3C if put else 0x20
    line[word[1] + word[2]] = 0x3E if put else 0x20
