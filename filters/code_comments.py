"""Comments of source code, whatever its language: which lines are comments, by how they begin.

A *comment line* is one of `str.splitlines` that, after white space, begins with `//`, `--`, `;`,
`%` or `#` (but `#` before an ASCII letter, `[` or `!`: preprocessors, attributes, shebangs), or
that lies in a block. A *block* begins where a line begins with `/*`, three quotes of one kind or
`<!--`, and ends with the line in which its end mark stands. Comments behind code on the same line
are not seen, and what else begins so (a heading of Markdown) is taken for a comment: this is a
measure for choosing limits, no parser.
"""

import numpy as np

from cuvee.filters.pointers import Bytes, inlined, inner

CODE, SLASHES, DOUBLE_QUOTES, QUOTES, MARKUP = range(5)  # which block is open; CODE is none

_OPENS = tuple(np.frombuffer(mark, np.uint8) for mark in (b"/*", b'"""', b"'''", b"<!--"))
_CLOSES = tuple(np.frombuffer(mark, np.uint8) for mark in (b"*/", b'"""', b"'''", b"-->"))


@inlined
def _is_at(data: Bytes, at: int, hi: int, mark: Bytes) -> bool:
    """Whether a mark stands at byte `at`."""
    same = at + len(mark) <= hi
    for place in range(len(mark)):
        same = same and data[at + place] == mark[place]
    return same


@inner
def _closes(data: Bytes, lo: int, hi: int, block: int) -> bool:
    """Whether the end mark of a block stands in bytes lo..hi."""
    for at in range(lo, hi):
        for kind in range(len(_CLOSES)):
            if kind + 1 == block and _is_at(data, at, hi, _CLOSES[kind]):
                return True
    return False


@inner
def _is_line_comment(data: Bytes, lo: int, hi: int) -> bool:
    """Whether a line, without white space around, begins like a comment to its end."""
    first = data[lo]
    following = data[lo + 1] if lo + 1 < hi else np.uint8(0x20)
    if first == 0x23:
        letter = np.uint8((following | 0x20) - 0x61) < 26
        return not (letter or following == 0x5B or following == 0x21)
    twice = (first == 0x2F or first == 0x2D) and following == first
    return bool(twice or first == 0x3B or first == 0x25)


@inner
def comment_line(data: Bytes, span: tuple[int, int], block: int) -> tuple[bool, int]:
    """Whether a stripped line is a comment, and which block is open behind it."""
    lo, hi = span
    if block != CODE:
        return True, CODE if _closes(data, lo, hi, block) else block
    if lo == hi:
        return False, CODE
    for kind in range(len(_OPENS)):
        if _is_at(data, lo, hi, _OPENS[kind]):
            shut = _closes(data, lo + len(_OPENS[kind]), hi, kind + 1)
            return True, CODE if shut else kind + 1
    return _is_line_comment(data, lo, hi), CODE
