"""The `rule` word splitter: spaCy's English rules as a kernel, for every script.

A *run* is a stretch of text without white space; a *chunk* is a run, or the part of one between two
characters of an unspaced script. A chunk is cut as spaCy's blank English tokenizer does (which
datatrove counts with): marks are peeled off both ends one by one, names (`contractions.py`) are cut
as they say, and what is left is cut at dots, commas, hyphens and the like between letters. So
`(don't re-use "U.S." data...)` is `( do n't re - use " U.S. " data ... )`.

On 250 English web pages its words are 1.0004 times as many as spaCy 3.8's, and 99.98 % of the
places where one of the two ends a word are the other's too (300 repository texts: 1.003 and 99.6 %;
60 code files: 1.007 and 99.7 %, most of the rest being the emoticon `):`).

Where it differs from spaCy on purpose: Han, Kana, Thai, Lao and Khmer letters are words one by one;
P* marks of every script are split off, not only those of spaCy's list; emoticons are not names;
an IP number is no host of an address; `US$` is cut.
"""

from cuvee.filters.addresses import is_address
from cuvee.filters.characters import (
    ALONE,
    CURRENCY,
    DIGIT,
    ICON,
    LETTER,
    LOWER,
    MARK,
    PLAIN,
    PREFIX,
    QUOTE,
    SPACE,
    SUFFIX,
    UPPER,
    back,
    class_at,
)
from cuvee.filters.names import CUT_1, CUT_2, SPECIAL, UNIT, name_at
from cuvee.filters.pointers import Bytes, Counts, Tables, inlined, inner, pasted, signed
from cuvee.filters.tally import ENDS

MAX_CHUNK = 1 << 16  # bytes; a longer chunk is cut at the next character, to bound the memory

_PLUS, _COMMA, _DASH, _DOT, _SLASH, _TILDE = 0x2B, 0x2C, 0x2D, 0x2E, 0x2F, 0x7E
_PERCENT = 0x25
_UNIT_BYTES = 9  # the longest unit, `мбар`, has 8


@inlined
def _is(data: Bytes, at: int, hi: int, second: int, third: int) -> bool:
    """Whether the general-punctuation character E2 `second` `third` stands at `at`."""
    return at + 2 < hi and data[at] == 0xE2 and data[at + 1] == second and data[at + 2] == third


@inlined
def _repeat(data: Bytes, at: int, hi: int) -> int:
    """How often the byte at `at` stands there in a row."""
    end = at + 1
    while end < hi and data[end] == data[at]:
        end += 1
    return end - at


@pasted
def _prefix(data: Bytes, lo: int, hi: int, tables: Tables) -> int:
    """Bytes that are split off the front of lo..hi."""
    if lo >= hi:
        return 0
    if data[lo] == _DOT:
        dots = _repeat(data, lo, hi)
        return dots if dots > 1 else 0
    kind, width = class_at(data, lo, tables)
    if data[lo] == _PLUS:
        return 0 if lo + 1 < hi and class_at(data, lo + 1, tables)[0] & DIGIT else 1
    if not kind & PREFIX:
        return 0
    if _is(data, lo, hi, 0x80, 0xA6) and _is(data, lo + 3, hi, 0x80, 0xA6):
        return 6  # two ellipses are one mark
    return width


@inlined
def _ends_sentence(data: Bytes, lo: int, dot: int, tables: Tables) -> bool:
    """Whether the single full stop at `dot` is split off what stands before it."""
    if dot == lo:
        return False
    last = back(data, dot)
    kind = class_at(data, last, tables)[0]
    if kind & (DIGIT | LOWER | SUFFIX) or data[last] in (_PERCENT, _PLUS, _DASH):
        return True
    if data[last] == 0xC2 and data[last + 1] == 0xB2:  # a superscript two
        return True
    return bool(kind & UPPER and last > lo and class_at(data, back(data, last), tables)[0] & UPPER)


@inlined
def _unit(data: Bytes, lo: int, hi: int, tables: Tables) -> int:
    """Bytes of the unit of measure that follows a digit at the end of lo..hi."""
    at = hi
    while at > lo and hi - at < _UNIT_BYTES:
        if 0x30 <= data[at - 1] <= 0x39:
            return hi - at if name_at(data, at, hi, tables) & UNIT else 0
        at -= 1
    return 0


@pasted
def _suffix(data: Bytes, lo: int, hi: int, tables: Tables) -> int:
    """Bytes that are split off the back of lo..hi."""
    if lo >= hi:
        return 0
    last = back(data, hi)
    kind = class_at(data, last, tables)[0]
    if data[last] == _DOT:
        first = last
        while first > lo and data[first - 1] == _DOT:
            first -= 1
        return hi - first if first < last or _ends_sentence(data, lo, last, tables) else 0
    if _is(data, last, hi, 0x80, 0xA6) and last - 3 >= lo and _is(data, last - 3, hi, 0x80, 0xA6):
        return 6
    if kind & SUFFIX:
        return hi - last
    if data[last] in (0x73, 0x53) and last > lo:  # 's, with U+0027 or U+2019
        mark = back(data, last)
        if data[mark] == 0x27 or _is(data, mark, hi, 0x80, 0x99):
            return hi - mark
    if (kind & CURRENCY or data[last] == _PLUS) and last > lo:
        return hi - last if 0x30 <= data[last - 1] <= 0x39 else 0
    return _unit(data, lo, hi, tables)


@inlined
def _hyphen(data: Bytes, at: int, hi: int, tables: Tables) -> int:
    """Bytes of the hyphen or dash at `at`, when a letter follows it."""
    end = at
    if data[at] == _DASH:
        while end < hi and end < at + 3 and data[end] == _DASH:
            end += 1
    elif data[at] == _TILDE:
        end = at + 1
    elif _is(data, at, hi, 0x80, 0x93):
        end = at + 3
    elif _is(data, at, hi, 0x80, 0x94):
        end = at + 6 if _is(data, at + 3, hi, 0x80, 0x94) else at + 3
    if end == at or end >= hi or not class_at(data, end, tables)[0] & LETTER:
        return 0
    return end - at


@inlined
def _infix(data: Bytes, at: int, hi: int, before: int, tables: Tables) -> tuple[int, int, int]:
    """Bytes of the infix at `at` (0: none), the class and the width of its character.

    `before` is the class of the character before.
    """
    kind, width = class_at(data, at, tables)
    if kind & PLAIN:
        return 0, kind, width
    if kind & ICON or _is(data, at, hi, 0x80, 0xA6):
        return width, kind, width
    mark = data[at]
    after = class_at(data, at + width, tables)[0] if at + width < hi else 0
    if mark == _DOT:
        dots = _repeat(data, at, hi)
        if dots > 1:
            return dots, kind, width
        fits = before & (LOWER | QUOTE) and after & (UPPER | QUOTE)
        return (1 if fits else 0), kind, width
    sign = mark in (_PLUS, _DASH, 0x2A, 0x5E) and before & DIGIT
    if sign and (after & DIGIT or (at + 1 < hi and data[at + 1] == _DASH)):
        return 1, kind, width
    if mark == _COMMA and before & LETTER and after & LETTER:
        return 1, kind, width
    if before & (LETTER | DIGIT):
        if mark in (0x3A, 0x3C, 0x3D, 0x3E, _SLASH):
            return (1 if after & LETTER else 0), kind, width
        return _hyphen(data, at, hi, tables), kind, width
    return 0, kind, width


@pasted
def _split_middle(
    data: Bytes,
    span: tuple[int, int],
    tables: Tables,
    ends: Counts,
    count: int,
) -> int:
    """Cut the span at its infixes: writes the ends from ends[count] on, returns the new count."""
    lo, hi = span
    start, at, before = lo, lo, signed(0)
    while at < hi:
        width, kind, step = _infix(data, at, hi, before, tables)
        if width and at > lo:
            if start == lo and is_address(data, lo, hi, tables):
                break
            if at > start:
                ends[count] = at
                count += 1
            ends[count] = at + width
            count += 1
            start = at + width
            kind = class_at(data, back(data, start), tables)[0]
        before = kind
        at += max(width, step)
    if start < hi:
        ends[count] = hi
        count += 1
    return count


@pasted
def _split_name(code: int, span: tuple[int, int], ends: Counts, count: int) -> int:
    """Cut the name at the span as its code says; as `_split_middle`."""
    for shift in (CUT_1, CUT_2):
        cut = code >> shift & 0xFF
        if cut:
            ends[count] = span[0] + cut
            count += 1
    ends[count] = span[1]
    return count + 1


@inner
def split_chunk(
    data: Bytes,
    span: tuple[int, int],
    tables: Tables,
    ends: Counts,
) -> int:
    """Cut one chunk into words: the bytes where they end go to ends[ENDS] and on; how many.

    There must be room for one entry more than the chunk has bytes: suffixes wait at its far end.
    """
    lo, hi = span
    far = hi - lo + 1
    top, count, code = ENDS + far, ENDS, 0
    while lo < hi:
        code = name_at(data, lo, hi, tables)
        if code & SPECIAL:
            break
        prefix = _prefix(data, lo, hi, tables)
        rest = name_at(data, lo + prefix, hi, tables) if prefix else 0
        suffix = 0 if rest & SPECIAL else _suffix(data, lo + prefix, hi, tables)
        if suffix and name_at(data, lo, hi - suffix, tables) & SPECIAL:
            prefix = 0
        if prefix == 0 and suffix == 0:
            break
        if prefix:
            lo += prefix
            ends[count] = lo
            count += 1
        if suffix:
            top -= 1
            ends[top] = hi
            hi -= suffix
    if lo < hi and code & SPECIAL:
        count = _split_name(code, (lo, hi), ends, count)
    elif lo < hi:
        count = _split_middle(data, (lo, hi), tables, ends, count)
    for at in range(top, ENDS + far):
        ends[count] = ends[at]
        count += 1
    return count - ENDS


@inlined
def chunk_end(data: Bytes, lo: int, hi: int, tables: Tables) -> tuple[int, int, int]:
    """End of the chunk that starts at `lo`, its characters, and their classes or-ed."""
    kind, width = class_at(data, lo, tables)
    at, chars, kinds, alone = lo + width, 1, kind, kind & ALONE
    hi = min(hi, lo + MAX_CHUNK)
    while at < hi:
        kind, width = class_at(data, at, tables)
        if kind & (SPACE | ALONE) or (alone and not kind & MARK):
            break
        kinds |= kind
        chars += 1
        at += width
    return at, chars, kinds
