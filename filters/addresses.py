"""Tell an address from a word, in a kernel: URLs, host names with paths, e-mail addresses.

An address is a *host* (labels joined by dots, the last of two small letters or more) with a port or
a path behind it or neither, and a scheme (`https://`) or a user (`me@`) before it or neither: what
spaCy's URL_MATCH takes, but for IP numbers.
"""

from cuvee.filters.characters import LOWER, class_at
from cuvee.filters.pointers import Bytes, Tables, inner, pasted

_DASH, _DOT, _SLASH, _COLON, _LOW_LINE, _AT = 0x2D, 0x2E, 0x2F, 0x3A, 0x5F, 0x40
_SCHEME_MARKS = (0x2B, _DASH, _DOT, _LOW_LINE)


@inner
def _in_host(data: Bytes, at: int) -> bool:
    """Whether byte `at` may stand in a label of a host name, at its ends too (not `-` or `_`)."""
    byte = data[at]
    if byte >= 0x80:
        return bool(byte < 0xF0)
    return bool(0x30 <= byte <= 0x39 or 0x61 <= byte | 0x20 <= 0x7A)


@pasted
def _host_end(data: Bytes, lo: int, hi: int, tables: Tables) -> int:
    """Where the host name at `lo` ends; `lo` when there is none."""
    at, labels, small, letters = lo, 0, True, 0
    while at < hi:
        if data[at] == _DOT:
            if letters == 0 or not _in_host(data, at - 1):
                return lo
            labels, small, letters = labels + 1, True, 0
            at += 1
            continue
        inside = _in_host(data, at)
        if not inside and (letters == 0 or data[at] not in (_DASH, _LOW_LINE)):
            break
        kind, width = class_at(data, at, tables)
        small &= kind & LOWER != 0
        letters += 1
        at += width
    return at if labels and small and letters > 1 else lo


@inner
def _is_host(data: Bytes, lo: int, hi: int, tables: Tables) -> bool:
    """Whether lo..hi is a host name, with a port or a path or without."""
    end = _host_end(data, lo, hi, tables)
    if end == lo:
        return False
    if end < hi and data[end] == _COLON:
        port = end + 1
        end = port
        while end < hi and 0x30 <= data[end] <= 0x39:
            end += 1
        if not 2 <= end - port <= 5:
            return False
    return end == hi or data[end] in (_SLASH, 0x3F, 0x23)


@inner
def is_address(data: Bytes, lo: int, hi: int, tables: Tables) -> bool:
    """Whether lo..hi is a URL, a host with a path or an e-mail address: those stay whole."""
    if _is_host(data, lo, hi, tables):
        return True
    at = lo
    while at < hi and ((data[at] < 0x80 and _in_host(data, at)) or data[at] in _SCHEME_MARKS):
        at += 1
    slashes = at + 2 < hi and data[at] == _COLON and data[at + 1] == data[at + 2] == _SLASH
    if at - lo > 1 and slashes and _is_host(data, at + 3, hi, tables):
        return True
    for user in range(lo + 1, hi):
        if data[user] == _AT and _is_host(data, user + 1, hi, tables):
            return True
    return False
