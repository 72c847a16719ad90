"""How much of an HTML page is text that a reader sees.

A text *looks like HTML* where its first character that is no white space is `<`, and `<html` or
`<!doctype html` stands within its first HEAD_CHARS characters, in small or capital letters. Its
*visible* characters are those outside of tags, comments, and the elements `script` and `style`:
what NeMo Curator counts by BeautifulSoup's `get_text`, except that an entity counts as it is
written. A `<` that no letter, `/`, `!` or `?` follows is text; a tag ends at the next `>`.
"""

import numpy as np

from cuvee.filters.characters import SPACE, class_at
from cuvee.filters.pointers import Bytes, Tables, inner

HEAD_CHARS = 1000  # ours; a page names itself in its first lines

_PAGE = (np.frombuffer(b"<html", np.uint8), np.frombuffer(b"<!doctype html", np.uint8))
_HIDDEN = (np.frombuffer(b"script", np.uint8), np.frombuffer(b"style", np.uint8))


@inner
def stands(data: Bytes, at: int, hi: int, phrase: Bytes) -> bool:
    """Whether the phrase, of small letters, stands at byte `at` in small or capital ones."""
    if at + len(phrase) > hi:
        return False
    for place in range(len(phrase)):
        byte = data[at + place]
        if byte != phrase[place] and not (0x41 <= byte <= 0x5A and byte + 0x20 == phrase[place]):
            return False
    return True


@inner
def looks_like_html(data: Bytes, size: int, tables: Tables) -> bool:
    """Whether a text of `size` bytes looks like HTML."""
    at, chars, seen = 0, 0, False
    while at < size and chars < HEAD_CHARS:
        kind, width = class_at(data, at, tables)
        if not seen and not kind & SPACE:
            if data[at] != 0x3C:
                return False
            seen = True
        if data[at] == 0x3C:
            for phrase in _PAGE:
                if stands(data, at, size, phrase):
                    return True
        at += width
        chars += 1
    return False


@inner
def _is_name(data: Bytes, at: int, hi: int, name: Bytes) -> bool:
    """Whether an element's name stands at byte `at`, and ends there."""
    if not stands(data, at, hi, name):
        return False
    end = at + len(name)
    return bool(end >= hi or data[end] == 0x3E or data[end] == 0x2F or data[end] <= 0x20)


@inner
def _after_element(data: Bytes, at: int, hi: int, name: Bytes) -> int:
    """Byte where the end tag of an element stands; `hi` where there is none."""
    while at < hi:
        is_end = data[at] == 0x3C and at + 1 < hi and data[at + 1] == 0x2F
        if is_end and _is_name(data, at + 2, hi, name):
            return at
        at += 1
    return hi


@inner
def _after_comment(data: Bytes, at: int, hi: int) -> int:
    """Byte behind the comment that begins at `at`; `hi` where it does not end."""
    at += 4
    while at + 2 < hi:
        if data[at] == 0x2D and data[at + 1] == 0x2D and data[at + 2] == 0x3E:
            return at + 3
        at += 1
    return hi


@inner
def _after_tag(data: Bytes, at: int, hi: int) -> int:
    """Byte behind the tag, comment or hidden element at `at`, which itself where it is text."""
    if at + 1 >= hi:
        return at
    following = data[at + 1]
    letter = np.uint8((following | 0x20) - 0x61) < 26
    if not (letter or following == 0x2F or following == 0x21 or following == 0x3F):
        return at
    if at + 3 < hi and following == 0x21 and data[at + 2] == 0x2D and data[at + 3] == 0x2D:
        return _after_comment(data, at, hi)
    end = at
    while end < hi and data[end] != 0x3E:
        end += 1
    end = min(end + 1, hi)
    for name in _HIDDEN:
        if _is_name(data, at + 1, hi, name):
            return _after_element(data, end, hi, name)
    return end


@inner
def visible_chars(data: Bytes, size: int) -> int:
    """Count the visible characters of an HTML text of `size` bytes."""
    at, chars = 0, 0
    while at < size:
        if data[at] == 0x3C:
            end = _after_tag(data, at, size)
            if end > at:
                at = end
                continue
        chars += data[at] & 0xC0 != 0x80
        at += 1
    return chars
