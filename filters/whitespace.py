"""Words as `str.split` makes them, with what Dolma and DCLM count over them.

A word's row in `words` is as in `scan.py`; `starts` keeps the byte where each begins. Its length is
counted in a histogram of LENGTHS entries, of which the median is taken: a word of LENGTHS - 1
characters or more counts as that long.
"""

import numpy as np
from numpy.typing import NDArray

from cuvee.filters import variant_tally as v
from cuvee.filters.characters import ALNUM, ALPHA, SPACE, class_at, count_chars
from cuvee.filters.names import BASE, ONE, STOP, code_of
from cuvee.filters.pointers import Bytes, Counts, Tables, Words, inlined, inner, signed
from cuvee.filters.scan import COLUMNS, HASH, LENGTH, POWER
from cuvee.filters.segments import is_spaced_dots

LENGTHS = 1024
_STOP_BYTES = 4  # the longest stop word


@inlined
def _is_plain_space(byte: int) -> bool:
    """Whether fastText's tokenizer ends a word at this byte (dictionary.cc, `readWord`)."""
    return byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0


@inner
def _count_stop_word(data: Bytes, lo: int, hi: int, tables: Tables, tally: Counts) -> None:
    """Count a short word that is a stop word as it stands, or in small letters."""
    exact, folded = np.uint64(0), np.uint64(0)
    for at in range(lo, hi):
        byte = np.uint64(data[at])
        exact = exact * BASE + byte + ONE
        capital = 0x41 <= data[at] <= 0x5A
        folded = folded * BASE + (byte + np.uint64(0x20) if capital else byte) + ONE
    tally[v.STOP_WORDS] += code_of(exact, tables) & STOP != 0
    tally[v.FOLDED_STOP_WORDS] += code_of(folded, tables) & STOP != 0


@inlined
def _count_symbols(
    data: Bytes, at: int, hi: int, dots: tuple[int, int], tally: Counts
) -> tuple[int, int]:
    """Count a mark at `at`; `dots` are where "..." and ". . ." may start next."""
    three, spaced = dots
    if data[at] == 0x23:
        tally[v.SYMBOLS] += 1
    elif data[at] == 0x2E:
        if at >= three and at + 2 < hi and data[at + 1] == 0x2E and data[at + 2] == 0x2E:
            tally[v.SYMBOLS] += 1
            three = at + 3
        if at >= spaced and at + 4 < hi and is_spaced_dots(data, at):
            tally[v.SYMBOLS] += 1
            spaced = at + 5
    return three, spaced


@inner
def _middle(lengths: NDArray[np.int64], rank: int) -> int:
    """Length of the word of this rank, from the shortest (0) on; 0 where there is no word."""
    passed = 0
    for length in range(LENGTHS):
        passed += lengths[length]
        if passed > rank and rank >= 0:
            return length
    return 0


@inlined
def _is_symbol(data: Bytes, at: int, hi: int, tally: Counts) -> bool:
    """Whether one of Dolma's two symbols stands at `at`; U+2026 is counted here."""
    if data[at] == 0xE2 and at + 2 < hi and data[at + 1] == 0x80 and data[at + 2] == 0xA6:
        tally[v.SYMBOLS] += 1
        return True
    return bool(data[at] == 0x23)


@inlined
def _put_word(
    lo: int,
    word: tuple[np.uint64, np.uint64, int],
    kept: tuple[Words, Counts, int],
    tally: Counts,
) -> None:
    """Keep a word (hash, power, characters), if there is room for it, and count it."""
    value, power, chars = word
    words, starts, room = kept
    count = tally[v.SPACED_WORDS]
    if count < room:
        words[COLUMNS * count + HASH] = value
        words[COLUMNS * count + POWER] = power
        words[COLUMNS * count + LENGTH] = chars
        starts[count] = lo
        tally[v.GRAM_CHARS] += chars
    tally[v.SPACED_WORDS] = count + 1
    tally[v.SPACED_CHARS] += chars


@inlined
def _read_word(
    data: Bytes, lo: int, hi: int, tables: Tables, dots: tuple[int, int], tally: Counts
) -> tuple[int, tuple[np.uint64, np.uint64, int], tuple[int, int]]:
    """Read the word that starts at `lo`: its end, hash, power and characters, and `dots` after."""
    at, value, power, chars, kinds, symbol = lo, np.uint64(0), ONE, 0, 0, False
    plain = lo == 0 or _is_plain_space(data[lo - 1])
    while at < hi:
        kind, width = class_at(data, at, tables)
        if kind & SPACE:
            break
        tally[v.PLAIN_WORDS] += plain and kind & ALNUM != 0
        plain = data[at] == 0
        dots = _count_symbols(data, at, hi, dots, tally)
        symbol |= _is_symbol(data, at, hi, tally)
        kinds |= kind
        chars += 1
        for place in range(at, at + width):
            value = value * BASE + np.uint64(data[place]) + ONE
            power *= BASE
        at += width
    tally[v.SYMBOL_WORDS] += symbol
    tally[v.SPACED_ALPHA] += kinds & ALPHA != 0
    return at, (value, power, chars), dots


@inner
def split_whitespace(
    text: tuple[Bytes, int],
    tables: Tables,
    kept: tuple[Words, Counts, int],
    lengths: NDArray[np.int64],
    tally: Counts,
) -> None:
    """Count the words of a document; `kept` is where so many of them are kept, and their starts.

    `lengths` must be zeros.
    """
    data, hi = text
    at = end = signed(0)
    dots = (at, at)
    while at < hi:
        kind, width = class_at(data, at, tables)
        if kind & SPACE:
            at += width
            continue
        lo = at
        at, word, dots = _read_word(data, lo, hi, tables, dots, tally)
        _put_word(lo, word, kept, tally)
        lengths[min(word[2], LENGTHS - 1)] += 1
        if tally[v.SPACED_WORDS] <= kept[2]:
            end = at
        if at - lo <= _STOP_BYTES:
            _count_stop_word(data, lo, at, tables, tally)
    count = tally[v.SPACED_WORDS]
    tally[v.SPACED_NUMERIC] = count - tally[v.SPACED_ALPHA]
    tally[v.TEXT_CHARS] = count_chars(data, signed(0), hi if count <= kept[2] else end)
    tally[v.HALVES] = _middle(lengths, (count - 1) // 2) + _middle(lengths, count // 2)
