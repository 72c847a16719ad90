r"""Documents as the one line that fastText reads: reserved marks and other white space are spaces.

What ends a word is what ends it for the library (dictionary.cc, `readWord`): the space, \t to \r
and NUL. So that a text is one line of words and nothing else, `</s>` (the library stops there) and
`__label__` (it takes what follows for a label) are spaces, too. A *joined* text is stripped first,
and the other line ends of `str.splitlines` are spaces as well, as in `classifier.normalise`.
"""

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.characters import SPACE, class_at, strip
from cuvee.filters.pointers import Bytes, Tables, inner

FRONT = 8  # bytes before a line, of which the last may be written to
BACK = 72  # spaces behind a line: what is read at once, and more
BLANK = 0x20

_END_MARK = (0x3C, 0x2F, 0x73, 0x3E)  # </s>
_LABEL_MARK = (0x5F, 0x5F, 0x6C, 0x61, 0x62, 0x65, 0x6C, 0x5F, 0x5F)  # __label__


@inner
def one_line(data: Bytes, span: tuple[int, int], joined: bool, tables: Tables, line: Bytes) -> int:
    """Write bytes lo..hi of a text to `line`, from `FRONT` on; return where it ends.

    `line` has room for `FRONT + BACK` bytes more than the text; `BACK` spaces follow it.
    """
    lo, hi = span
    if joined:
        lo, hi = strip(data, lo, hi, tables)
    size, marks, wide = hi - lo, 0, 0
    for at in range(size):
        byte = data[lo + at]
        line[FRONT + at] = BLANK if (np.uint8(byte - 9) < 5) | (byte == 0) else byte
    for at in range(FRONT + size, FRONT + size + BACK):
        line[at] = BLANK
    for at in range(FRONT, FRONT + size):
        first, second = line[at], line[at + 1]
        marks |= (first == 0x3C) & (second == 0x2F) | (first == 0x5F) & (second == 0x5F)
        wide |= (first == 0xC2) & (second == 0x85) | (first == 0xE2) & (second == 0x80)
        wide |= (np.uint8(first - 0x1C) < 3) & True
    if marks:
        _blank_marks(line, FRONT + size)
    if joined and wide:
        _blank_breaks(line, FRONT + size)
    return FRONT + size


@inner
def _blank_marks(line: Bytes, end: int) -> None:
    """Make spaces of what the library reserves."""
    for at in range(FRONT, end):
        if line[at] == _END_MARK[0]:
            _blank(line, at, _END_MARK)
        elif line[at] == _LABEL_MARK[0]:
            _blank(line, at, _LABEL_MARK)


@inner
def _blank(line: Bytes, at: int, mark: tuple[int, ...]) -> None:
    """Make spaces of a mark if it stands at `at`."""
    for place in range(len(mark)):
        if line[at + place] != mark[place]:
            return
    for place in range(len(mark)):
        line[at + place] = BLANK


@inner
def _blank_breaks(line: Bytes, end: int) -> None:
    """Make spaces of U+001C to U+001E, U+0085, U+2028 and U+2029."""
    for at in range(FRONT, end):
        byte, second, third = line[at], line[at + 1], line[at + 2]
        if 0x1C <= byte <= 0x1E:
            line[at] = BLANK
        elif byte == 0xC2 and second == 0x85:
            line[at] = line[at + 1] = BLANK
        elif byte == 0xE2 and second == 0x80 and (third == 0xA8 or third == 0xA9):
            line[at] = line[at + 1] = line[at + 2] = BLANK


@inner
def is_visible(line: Bytes, end: int, tables: Tables) -> bool:
    """Say whether a line has a character that is no white space."""
    at = FRONT
    while at < end:
        if 0x20 < line[at] < 0x80:
            return True
        kind, width = class_at(line, at, tables)
        if not kind & SPACE:
            return True
        at += width
    return False


def room(sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Make room for one line of the longest of texts of these sizes in bytes."""
    return np.zeros(FRONT + BACK + int(sizes.max(initial=0)), np.uint8)
