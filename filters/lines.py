r"""Lines and paragraphs: Gopher's line marks, repeated lines and paragraphs, FineWeb's line shares.

A *line* is one of `str.splitlines`; a *piece* is what lies between two newlines; an *element* is a
string of `re.split(r"\n+", text)`, that is a piece with a character, or the empty string before a
leading or after a trailing newline; a *paragraph* is one of `re.split(r"\n{2,}", text.strip())`.
What was seen before is known by its 64-bit hash in a *seen set*: an open-addressing table that
grows.
"""

import numpy as np
from numpy.typing import NDArray

from cuvee.filters import tally as t
from cuvee.filters.characters import (
    SPACE,
    TERMINAL,
    back,
    class_at,
    count_chars,
    strip,
)
from cuvee.filters.names import ONE, SPREAD, roll
from cuvee.filters.pointers import Bytes, Counts, Tables, inner, pasted, signed

SHORT_LINE = 30  # characters; fineweb_quality_filter.py of datatrove, `short_line_length`
_SMALLEST = 64  # slots of a fresh seen set


@inner
def count_line(data: Bytes, span: tuple[int, int], tables: Tables, tally: Counts) -> None:
    """Count a line, and whether it starts with a bullet or ends with an ellipsis."""
    tally[t.LINES] += 1
    lo, hi = strip(data, span[0], span[1], tables)
    if hi == lo:
        return
    dots = hi - lo > 2 and data[hi - 1] == 0x2E and data[hi - 2] == 0x2E and data[hi - 3] == 0x2E
    if dots or _is_mark(data, hi - 3, lo, hi, 0xA6):
        tally[t.ELLIPSIS_LINES] += 1
    if data[lo] == 0x2D or _is_mark(data, lo, lo, hi, 0xA2):
        tally[t.BULLET_LINES] += 1


@inner
def _is_mark(data: Bytes, at: int, lo: int, hi: int, third: int) -> bool:
    """Whether the character E2 80 `third` stands at `at` within lo..hi."""
    inside = lo <= at and at + 3 <= hi
    return inside and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == third


@inner
def _insert(seen: NDArray[np.uint64], value: np.uint64) -> bool:
    """Put a hash into the seen set; whether it was there. Slot 0 counts the hashes held."""
    value = max(value, ONE)  # 0 marks a free slot
    slots = len(seen) - 1
    slot = 1 + signed((value * SPREAD) >> np.uint64(32)) % slots
    while seen[slot] != 0:
        if seen[slot] == value:
            return True
        slot = slot + 1 if slot < slots else 1
    seen[slot] = value
    seen[0] += ONE
    return False


@inner
def _room(seen: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the seen set, with twice the slots where half of them are taken."""
    if signed(seen[0]) * 2 < len(seen) - 1:
        return seen
    larger = np.zeros(2 * len(seen) - 1, np.uint64)
    for slot in range(1, len(seen)):
        if seen[slot] != 0:
            _insert(larger, seen[slot])
    return larger


@inner
def _is_blank(data: Bytes, lo: int, hi: int, tables: Tables) -> bool:
    while lo < hi:
        kind, width = class_at(data, lo, tables)
        if not kind & SPACE:
            return False
        lo += width
    return True


@pasted
def _put_piece(
    data: Bytes,
    span: tuple[int, int],
    tables: Tables,
    again: bool,
    tally: Counts,
) -> None:
    """Count one piece between newlines; `again` says that an equal one came before."""
    lo, hi = span
    chars = count_chars(data, lo, hi)
    tally[t.CHARS] += chars
    tally[t.PIECE_CHARS] += chars
    if hi > lo:
        tally[t.ELEMENTS] += 1
        tally[t.DUP_ELEMENTS] += again
        tally[t.DUP_ELEMENT_CHARS] += chars if again else 0
    if _is_blank(data, lo, hi, tables):
        return
    tally[t.FULL_PIECES] += 1
    tally[t.DUP_PIECE_CHARS] += chars if again else 0
    tally[t.SHORT_PIECES] += chars <= SHORT_LINE
    if class_at(data, back(data, hi), tables)[0] & TERMINAL:
        tally[t.TERMINAL_PIECES] += 1


@inner
def _next_newline(data: Bytes, at: int, hi: int) -> int:
    while at < hi and data[at] != 0x0A:
        at += 1
    return at


@inner
def count_pieces(data: Bytes, hi: int, tables: Tables, tally: Counts) -> None:
    """Count the newlines, elements and pieces of one document of `hi` bytes."""
    seen = np.zeros(_SMALLEST + 1, np.uint64)
    lo = signed(0)
    while True:
        end = _next_newline(data, lo, hi)
        again = False
        if end > lo:
            seen = _room(seen)
            again = _insert(seen, roll(data, lo, end))
        _put_piece(data, (lo, end), tables, again, tally)
        if end >= hi:
            break
        tally[t.NEWLINES] += 1
        tally[t.CHARS] += 1
        lo = end + 1
    leading = hi > 0 and data[0] == 0x0A
    trailing = hi > 0 and data[hi - 1] == 0x0A
    tally[t.ELEMENTS] += 1 if hi == 0 else leading + trailing
    tally[t.DUP_ELEMENTS] += leading and trailing  # the empty string, twice


@inner
def count_paragraphs(data: Bytes, size: int, tables: Tables, tally: Counts) -> None:
    """Count the paragraphs of one document of `size` bytes, and those that came before."""
    seen = np.zeros(_SMALLEST + 1, np.uint64)
    lo, hi = strip(data, signed(0), size, tables)
    start, at = lo, lo
    tally[t.PARAGRAPHS] = 1
    while True:
        end = _next_newline(data, at, hi)
        if end + 1 < hi and data[end + 1] != 0x0A:
            at = end + 1
            continue
        if end < hi or start > lo:  # a text of one paragraph repeats nothing
            seen = _room(seen)
            if _insert(seen, roll(data, start, end)):
                tally[t.DUP_PARAGRAPHS] += 1
                tally[t.DUP_PARAGRAPH_CHARS] += count_chars(data, start, end)
        if end >= hi:
            break
        tally[t.PARAGRAPHS] += 1
        while data[end] == 0x0A:  # the text is stripped: something follows
            end += 1
        start = at = end
