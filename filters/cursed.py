r"""MADLAD-400's cursed substrings: what marks a sentence as no prose (a list of its authors).

The list is that of `is_cursed` in the dataset's card (Kudugunta et al. 2023, arXiv 2309.04662), as
datamap-rs has it in examples/dclm/madlad400_cursed.txt: 28 strings and four patterns. The card
takes every line for a regular expression; datamap-rs takes the 28 for literal strings, so that
those with a backslash (`Vol\.`) are never found there. The patterns are nine groups of three, of
four or of one character behind a space, and four like `, ab,, cd,, ` (`.` is no newline).

How it is found: three tables say which strings may begin with the bytes here (bit k: string k).
"""

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.pointers import Bytes, inner

_ANYWHERE: tuple[str, ...] = (
    *(" №", "\ufffd\ufffd\ufffd", "aute irure dolor ", " sunt in culpa qui ", "orem ipsum "),
    *(" quis nostrud ", " adipisicing ", " dolore eu ", " cupidatat ", "autem vel eum"),
    *("wisi enim ad", " sex ", " porn ", "黄色电影", "mp3", "ownload", "Episode", "Develop"),
    *("Facebook", " crusher ", " xxx "),
)
# What the card's other lines match, and these lines as datamap-rs looks for them.
_DOTTED = ("Vol.", " Ep.", " \u0448\u0442.")  # the last: pieces, in Russian
_AT_END = ("|", " nr.", " \u0433.", " \u043a\u0433.")  # year and kilogram, in Russian
_LITERAL: tuple[str, ...] = (
    *(r"\|\s*$", r" nr\.$", r"Vol\.", r" Ep\."),
    *(" \u0433\\.\\s*$", " \u043a\u0433\\.\\s*$", " \u0448\u0442\\."),
)
_GROUPS = 9
_WIDTHS = (1, 3, 4)  # characters of a group


def _codes(strings: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of strings, and the offsets of each."""
    encoded = [string.encode() for string in strings]
    return (
        np.frombuffer(b"".join(encoded), np.uint8),
        np.cumsum([0, *map(len, encoded)]).astype(np.int64),
    )


def _starts(strings: tuple[str, ...]) -> NDArray[np.uint32]:
    """Return uint32 [3, 256]: which strings have this byte as their first, second and third."""
    found = np.zeros((3, 256), np.uint32)
    for bit, string in enumerate(strings):
        for place, byte in enumerate(string.encode()[:3]):
            found[place, byte] |= np.uint32(1 << bit)
    return found


_CARD, _DATAMAP = _ANYWHERE + _DOTTED, _ANYWHERE + _LITERAL
_CARD_BYTES, _CARD_ENDS = _codes(_CARD)
_DATAMAP_BYTES, _DATAMAP_ENDS = _codes(_DATAMAP)
_TAIL_BYTES, _TAIL_ENDS = _codes(_AT_END)
_CARD_STARTS, _DATAMAP_STARTS = _starts(_CARD), _starts(_DATAMAP)


@inner
def _ends_with(data: Bytes, lo: int, hi: int, tail: int) -> bool:
    """Whether bytes lo..hi end with the string of _AT_END at this place."""
    first, end = _TAIL_ENDS[tail], _TAIL_ENDS[tail + 1]
    same = bool(hi - lo >= end - first)
    for place in range(end - first):
        same &= bool(data[hi - 1 - place] == _TAIL_BYTES[end - 1 - place])
    return same


@inner
def _is_regular(data: Bytes, at: int, hi: int, width: int) -> bool:
    """Whether _GROUPS groups of `width` characters, each behind a space, begin at byte `at`."""
    for _ in range(_GROUPS):
        if at >= hi or data[at] != 0x20:
            return False
        at += 1
        for _ in range(width):
            # One character may be anything but a space; of several, none is a newline.
            if at >= hi or data[at] == (0x20 if width == 1 else 0x0A):
                return False
            at += 1
            while at < hi and data[at] & 0xC0 == 0x80:
                at += 1
    return True


@inner
def _is_listed(data: Bytes, at: int, hi: int) -> bool:
    """Whether `, ..,,? ..,,? ..,,? ..,,?` begins at byte `at`."""
    if data[at] != 0x2C:
        return False
    at += 1
    for _ in range(4):
        if at >= hi or data[at] != 0x20:
            return False
        at += 1
        for _ in range(2):
            if at >= hi or data[at] == 0x0A:
                return False
            at += 1
            while at < hi and data[at] & 0xC0 == 0x80:
                at += 1
        if at >= hi or data[at] != 0x2C:
            return False
        at += 1
        if at < hi and data[at] == 0x2C:
            at += 1
    return True


@inner
def _is_string(data: Bytes, at: int, hi: int, literal: bool) -> bool:
    """Whether one of the strings stands at byte `at`, of which three bytes are there."""
    starts = _DATAMAP_STARTS if literal else _CARD_STARTS
    found = starts[0, data[at]] & starts[1, data[at + 1]] & starts[2, data[at + 2]]
    letters = _DATAMAP_BYTES if literal else _CARD_BYTES
    ends = _DATAMAP_ENDS if literal else _CARD_ENDS
    string = 0
    while found:
        if found & np.uint32(1):
            size = ends[string + 1] - ends[string]
            same = at + size <= hi
            for place in range(3, size):
                same = same and data[at + place] == letters[ends[string] + place]
            if same:
                return True
        found >>= np.uint32(1)
        string += 1
    return False


@inner
def is_cursed(data: Bytes, span: tuple[int, int], literal: bool) -> bool:
    """Whether bytes span[0]..span[1] match the list; `literal` is as datamap-rs reads it.

    As the card reads it, the span has no white space around.
    """
    lo, hi = span
    if not literal:
        for tail in range(len(_AT_END)):
            if _ends_with(data, lo, hi, tail):
                return True
    for at in range(lo, hi):
        if at + 2 < hi and _is_string(data, at, hi, literal):
            return True
        for width in _WIDTHS:
            if data[at] == 0x20 and _is_regular(data, at, hi, width):
                return True
        if data[at] == 0x2C and _is_listed(data, at, hi):
            return True
    return False
