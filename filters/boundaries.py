"""Words by Unicode's word boundaries (UAX #29), as DCLM counts its n-grams.

A word is what lies between two boundaries and starts with a letter or digit (`str.isalnum`), so
marks and spaces are none: `can't 3.5 _x` is `can't` and `3.5`. Han, Kana, Thai, Lao, Khmer, Burmese
and the like are words one by one. Not followed: Hebrew letters with quotes (WB7a to WB7c), and
emoji behind a zero-width joiner behind a letter (WB3c).
"""

import numpy as np

from cuvee.filters import variant_tally as v
from cuvee.filters.characters import (
    ALNUM,
    BREAK_EXTEND,
    BREAK_JOIN,
    BREAK_LETTER,
    BREAK_NUMBER,
    MID_LETTER,
    MID_NUMBER,
    class_at,
    count_chars,
)
from cuvee.filters.names import BASE, ONE
from cuvee.filters.pointers import Bytes, Counts, Tables, Words, inlined, inner, signed
from cuvee.filters.scan import COLUMNS, HASH, LENGTH, POWER

_INSIDE = BREAK_LETTER | BREAK_NUMBER | BREAK_JOIN


@inlined
def _after_extends(data: Bytes, at: int, hi: int, tables: Tables) -> tuple[int, int, int]:
    """Skip what belongs to the character before (WB4): byte, class and width of what follows."""
    while at < hi:
        kind, width = class_at(data, at, tables)
        if not kind & BREAK_EXTEND:
            return at, kind, width
        at += width
    return hi, 0, 0


@inner
def word_end(data: Bytes, lo: int, hi: int, tables: Tables) -> tuple[int, int]:
    """Byte where what starts at `lo` ends, and the class of its first character."""
    first, width = class_at(data, lo, tables)
    before = first
    at, kind, width = _after_extends(data, lo + width, hi, tables)
    while before & _INSIDE and at < hi:
        if kind & _INSIDE:  # WB5, WB8 to WB10, WB13a, WB13b
            before = kind
            at, kind, width = _after_extends(data, at + width, hi, tables)
            continue
        letters = before & BREAK_LETTER and kind & MID_LETTER  # WB6, WB7
        numbers = before & BREAK_NUMBER and kind & MID_NUMBER  # WB11, WB12
        if not letters and not numbers:
            break
        after, behind, wide = _after_extends(data, at + width, hi, tables)
        if not behind & (BREAK_LETTER if letters else BREAK_NUMBER):
            break
        before = behind
        at, kind, width = _after_extends(data, after + wide, hi, tables)
    return at, first


@inner
def split_boundaries(
    text: tuple[Bytes, int], tables: Tables, words: Words, room: int, tally: Counts
) -> None:
    """Count the words of a document, and keep so many of them in `words` (as `scan.py` does)."""
    data, hi = text
    at = count = signed(0)
    while at < hi:
        lo = at
        at, kind = word_end(data, lo, hi, tables)
        if not kind & ALNUM:
            continue
        if count < room:
            value, power = np.uint64(0), ONE
            for place in range(lo, at):
                value = value * BASE + np.uint64(data[place]) + ONE
                power *= BASE
            chars = count_chars(data, lo, at)
            words[COLUMNS * count + HASH] = value
            words[COLUMNS * count + POWER] = power
            words[COLUMNS * count + LENGTH] = chars
            tally[v.BOUNDED_CHARS] += chars
        count += 1
    tally[v.BOUNDED_WORDS] = count
