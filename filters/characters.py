"""Character classes for the kernels that read UTF-8 without making strings.

A *class* is a number of bits, one per code point, taken from Python's `unicodedata`, so that a
kernel and `str` agree on every script. `LETTER` covers letters and the marks that combine with
them. Classes lie in a two-stage table, in one piece: entry `code point >> 8` is the place where the
block of 256 classes starts.

Nothing here decides where a word ends: that is `words.py`.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.pointers import Bytes, Tables, inlined, inner, signed

ALPHA = 1 << 0  # str.isalpha
NONSYMBOL = 1 << 1  # not in datatrove's PUNCTUATION_SET (utils/text.py)
NONPUNCT = 1 << 2  # general category is not P*
SPACE = 1 << 3  # str.isspace
BREAK = 1 << 4  # str.splitlines ends a line here
LOWER = 1 << 5  # a lower-case or caseless letter, or a mark
UPPER = 1 << 6  # an upper-case or caseless letter, or a mark
ALONE = 1 << 7  # a letter of a script written without spaces: a word by itself
MARK = 1 << 8  # combines with the character before
PREFIX = 1 << 9  # is split off the front of a word
SUFFIX = 1 << 10  # is split off the back of a word
QUOTE = 1 << 11
CURRENCY = 1 << 12
ICON = 1 << 13  # category So: dingbats, emoji; split off anywhere
TERMINAL = 1 << 14  # ends a sentence (datatrove's TERMINAL_PUNCTUATION)
PLAIN = 1 << 15  # takes no part in any splitting rule
CONTROL = 1 << 16  # category Cc
DIGIT = 1 << 17  # ASCII 0-9
DECIMAL = 1 << 18  # category Nd, what `\\d` matches
ALNUM = 1 << 19  # str.isalnum
# Unicode's Word_Break property (UAX #29), for `boundaries.py`.
BREAK_LETTER = 1 << 20  # ALetter and Hebrew_Letter
BREAK_NUMBER = 1 << 21  # Numeric
BREAK_JOIN = 1 << 22  # ExtendNumLet: belongs to the letters and numbers beside it
BREAK_EXTEND = 1 << 23  # Extend, Format and ZWJ: belongs to the character before
MID_LETTER = 1 << 24  # MidLetter, MidNumLet, Single_Quote: joins two letters
MID_NUMBER = 1 << 25  # MidNum, MidNumLet, Single_Quote: joins two numbers
CAPITAL = 1 << 26  # str.isupper of the character alone
LETTER = LOWER | UPPER

# datatrove 0.10 utils/text.py, as hexadecimal ranges. TERMINAL marks count as symbols too.
_SYMBOLS = (
    "0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA "
    "3001-3002 3008-300D 3010-3011 FF01 FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E"
)
_TERMINALS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E "
    "1735-1736 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E "
    "1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 "
    "A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F "
    "FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 "
    "111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 "
    "11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 "
    "11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88"
)
# Scripts written without spaces: Han, Hiragana, Katakana, Thai, Lao, Khmer.
_UNSPACED = (
    "E01-E5B E80-EFF 1780-17FF 2E80-2FDF 3005-3007 3021-3029 3031-3035 3038-303C 3041-309F "
    "30A1-30FF 31F0-31FF 3400-4DBF 4E00-9FFF F900-FAFF FF66-FF9D 1AFF0-1B16F 20000-3FFFF"
)
_BREAKS = "A-D 1C-1E 85 2028-2029"  # str.splitlines
_QUOTES = (
    "22 27 2C 60 AB B4 BB 2018-201A 201C-201E 2329-232A 27E6-27E7 3008-3011 3014-3015 FF08-FF09"
)
# ASCII and Latin-1 marks that spaCy's English rules split off; above, every P* but the hyphens.
_AFFIXES = "21 23 26 28-2A 2C 3A-3C 3E-3F 5B 5D 5F 7B 7D A1 AB B4 B7 BB BF 2013-2014"
_PREFIXES_ONLY = "25 3D A7"
# Word_Break (Unicode 15) where it does not follow from the general category.
_BREAK_LETTERS = (
    "B8 2C2-2C5 2D2-2D7 2DE-2DF 2E5-2EB 2ED 2EF-2FF 55A-55C 55E 58A 5F3 70F 24B6-24E9 A708-A716 "
    "A720-A721 A789-A78A AB5B 1F130-1F149 1F150-1F169 1F170-1F189"
)
_NO_BREAK_LETTERS = (  # syllables without spaces between words, and ideographs
    "1000-109F 1950-19DF 1A20-1AAF A9E0-A9FF AA60-AADF 11700-1174F 16FE3 17000-18D08 1B170-1B2FB"
)
_BREAK_NUMBERS = "600-605 66B 6DD 890-891 8E2 110BD 110CD"
_BREAK_EXTENDS = "FF9E-FF9F 1F3FB-1F3FF"
_NO_BREAK_EXTENDS = "70F 200B"
_MID_LETTERS = "27 2E 3A B7 387 55F 5F4 2018-2019 2024 2027 FE13 FE52 FE55 FF07 FF0E FF1A"
_MID_NUMBERS = (
    "27 2C 2E 3B 37E 589 60C-60D 66C 7F8 2018-2019 2024 2044 FE50 FE52 FE54 FF07 FF0C FF0E FF1B"
)
NAMES_ROOM = 0x2000  # entries of the kernels' tables that come before (names.py)
_BLOCKS = 0x2000  # first stage: blocks of 256 code points, as many as 21 bits may name
_LAST_ASSIGNED = 0x32000  # planes 4 to 13 are empty; above lie only tags and private use


def code_points(ranges: str) -> set[int]:
    """Return the code points of a list of hexadecimal ranges such as `"21 30-39"`."""
    ends = [[int(end, 16) for end in part.split("-")] for part in ranges.split()]
    return {code for pair in ends for code in range(pair[0], pair[-1] + 1)}


def _by_category(category: str) -> int:
    """Return the bits that follow from the general category alone."""
    bits = NONPUNCT if category[0] != "P" else 0
    if category[0] in "LM":
        caseless = category not in ("Ll", "Lu", "Lt")
        bits |= LOWER if category == "Ll" or caseless else 0
        bits |= UPPER if category in ("Lu", "Lt") or caseless else 0
    bits |= ALPHA if category[0] == "L" else 0
    bits |= MARK if category[0] == "M" else 0
    bits |= CURRENCY | PREFIX if category == "Sc" else 0
    bits |= ICON | PREFIX | SUFFIX if category == "So" else 0
    bits |= PREFIX | SUFFIX if category in ("Po", "Ps", "Pe", "Pi", "Pf") else 0
    bits |= CONTROL if category == "Cc" else 0
    bits |= DECIMAL if category == "Nd" else 0
    bits |= ALNUM if category[0] in "LN" else 0
    bits |= BREAK_LETTER if category[0] == "L" or category == "Nl" else 0
    bits |= BREAK_NUMBER if category == "Nd" else 0
    bits |= BREAK_JOIN if category == "Pc" else 0
    bits |= BREAK_EXTEND if category[0] == "M" or category == "Cf" else 0
    bits |= PLAIN if category[0] in "LMN" or category in ("Cf", "Cn", "Co", "Cs") else 0
    return bits | NONSYMBOL


def _set(classes: NDArray[np.uint32], codes: Iterable[int], bits: int) -> None:
    classes[list(codes)] |= np.uint32(bits)


def _clear(classes: NDArray[np.uint32], codes: Iterable[int], bits: int) -> None:
    classes[list(codes)] &= np.uint32(~bits & 0xFFFFFFFF)


def _classes() -> NDArray[np.uint32]:
    """Return the class of each of 0x200000 code points: invalid UTF-8 may decode that far."""
    known = {c: _by_category(c) for c in ("Cn", "Cf", "Mn", "Co")}
    classes = np.full(0x200000, known["Cn"], np.uint32)
    assigned = [*range(_LAST_ASSIGNED), *range(0xE0000, 0xE0200)]
    categories = [unicodedata.category(chr(code)) for code in assigned]
    known |= {c: _by_category(c) for c in set(categories)}
    classes[assigned] = [known[c] for c in categories]
    low = range(0x100)
    _clear(classes, low, PREFIX | SUFFIX | ICON)
    _set(classes, (code for code in low if unicodedata.category(chr(code)) == "So"), ICON)
    _set(classes, (c for c in low if classes[c] & ICON), PREFIX | SUFFIX)
    _set(classes, (c for c in low if classes[c] & CURRENCY), PREFIX)
    _set(classes, code_points(_AFFIXES) | code_points(_QUOTES), PREFIX | SUFFIX)
    _set(classes, code_points(_PREFIXES_ONLY), PREFIX)
    _set(classes, code_points(_QUOTES), QUOTE)
    _set(classes, code_points(_BREAKS), BREAK)
    _set(classes, (c for c in range(0x3001) if chr(c).isspace()), SPACE)
    _set(classes, code_points(_TERMINALS), TERMINAL)
    _clear(classes, code_points(_TERMINALS) | code_points(_SYMBOLS), NONSYMBOL)
    _set(classes, code_points("30-39"), DIGIT)
    _clear(classes, code_points("30-39"), PLAIN)
    unspaced = np.array(sorted(code_points(_UNSPACED)))
    _set(classes, unspaced[(classes[unspaced] & ALPHA) != 0], ALONE)
    _set(classes, (code for code in assigned if chr(code).isupper()), CAPITAL)
    _set_breaks(classes)
    return classes


def _set_breaks(classes: NDArray[np.uint32]) -> None:
    """Set the bits of Word_Break that do not follow from the general category."""
    unspaced = code_points(_UNSPACED) | code_points(_NO_BREAK_LETTERS)
    numbers, extends = code_points(_BREAK_NUMBERS), code_points(_BREAK_EXTENDS)
    _clear(classes, unspaced | extends, BREAK_LETTER)
    _set(classes, code_points(_BREAK_LETTERS), BREAK_LETTER)
    _clear(classes, numbers | code_points(_NO_BREAK_EXTENDS), BREAK_EXTEND)
    _set(classes, extends, BREAK_EXTEND)
    _set(classes, numbers, BREAK_NUMBER)
    _set(classes, [0x202F], BREAK_JOIN)
    _set(classes, code_points(_MID_LETTERS), MID_LETTER)
    _set(classes, code_points(_MID_NUMBERS), MID_NUMBER)


@cache
def characters() -> NDArray[np.uint64]:
    """Build the table (once; about 0.1 s).

    >>> table = characters()
    >>> bool(table[table[ord("x") >> 8] + (ord("x") & 0xFF)] & ALPHA)
    True
    """
    places: dict[bytes, int] = {}  # block 0, of Latin-1, comes first
    classes = _classes().reshape(-1, 256)
    order = [places.setdefault(block.tobytes(), len(places)) for block in classes]
    first = np.array(order, np.uint32) * 256 + _BLOCKS
    return np.concatenate([first, np.frombuffer(b"".join(places), np.uint32)]).astype(np.uint64)


@inlined
def decode(data: Bytes, at: int) -> tuple[int, int]:
    """Code point at byte `at` and its width in bytes; `data` is UTF-8."""
    first = signed(data[at])
    if first < 0x80:
        return first, 1
    code = signed(data[at + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | code, 2
    code = code << 6 | signed(data[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | code, 3
    return (first & 0x07) << 18 | code << 6 | signed(data[at + 3]) & 0x3F, 4


@inlined
def class_at(data: Bytes, at: int, tables: Tables) -> tuple[int, int]:
    """Class of the character at byte `at`, and its width in bytes."""
    first = signed(data[at])
    if first < 0x80:
        return signed(tables[NAMES_ROOM + _BLOCKS + first]), 1
    code, width = decode(data, at)
    place = NAMES_ROOM + signed(tables[NAMES_ROOM + (code >> 8)]) + (code & 0xFF)
    return signed(tables[place]), width


@inlined
def back(data: Bytes, end: int) -> int:
    """Byte where the character that ends before byte `end` starts."""
    at = end - 1
    while at > 0 and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


@inner
def count_chars(data: Bytes, lo: int, hi: int) -> int:
    """Characters (code points) in bytes lo..hi: all bytes but the continuation bytes."""
    count = 0
    for at in range(lo, hi):
        count += data[at] & 0xC0 != 0x80
    return count


@inner
def strip(data: Bytes, lo: int, hi: int, tables: Tables) -> tuple[int, int]:
    """Bytes lo..hi without the white space at both ends, as `str.strip`."""
    while lo < hi:
        kind, width = class_at(data, lo, tables)
        if not kind & SPACE:
            break
        lo += width
    while hi > lo:
        last = back(data, hi)
        if not class_at(data, last, tables)[0] & SPACE:
            break
        hi = last
    return lo, hi
