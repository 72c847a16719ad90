"""Exact duplicates: documents that are equal up to white space.

The *key* of a document is the XXH3-128 of its UTF-8 with every run of white space replaced by one
space and none at the ends. White space is what Python's `str.split()` says: ASCII space, U+0009 to
U+000D, U+001C to U+001F, U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F
and U+3000. Nothing else is folded: case, marks and punctuation make a difference.
"""

from itertools import pairwise
from typing import cast

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from cuvee.filters.shingles import Offsets, utf8_views

KEY_BYTES = 16

# What a byte says about white space: none, white space, or perhaps the start of some.
_PLAIN, _SPACE, _MAYBE = np.uint8(0), np.uint8(1), np.uint8(2)
_ROLES = np.full(256, _PLAIN)
_ROLES[[*range(0x09, 0x0E), *range(0x1C, 0x21)]] = _SPACE
_ROLES[[0xC2, 0xE1, 0xE2, 0xE3]] = _MAYBE
_BLANK = np.uint8(0x20)
_SHOWN = np.where(_ROLES == _SPACE, _BLANK, np.arange(256, dtype=np.uint8))
_ONE = np.uint64(1)


def exact_keys(texts: pa.LargeStringArray) -> pa.FixedSizeBinaryArray:
    """Hash each document to its key, fixed_size_binary(16), big endian; null reads as empty.

    Takes as much memory again as the texts. 800 MB/s on one core of an AMD EPYC.
    """
    bounds, data = utf8_views(texts)
    folded = np.empty(int(bounds[-1] - bounds[0]), np.uint8)
    ends = _fold_white_space(bounds, data, folded)
    view = folded.data
    keys = b"".join(xxh3_128_digest(view[first:last]) for first, last in pairwise(ends))
    column = pa.Array.from_buffers(pa.binary(KEY_BYTES), len(texts), [None, pa.py_buffer(keys)])
    return cast("pa.FixedSizeBinaryArray", column)


@njit(nogil=True, cache=True)
def wide_space_bytes(data: NDArray[np.uint8], i: int, end: int) -> int:
    """How many bytes of white space beyond ASCII start at byte `i`; 0 for none."""
    if data[i] == 0xC2 and i + 1 < end:
        return 2 if data[i + 1] == 0x85 or data[i + 1] == 0xA0 else 0
    if i + 2 >= end:
        return 0
    code = np.int64(data[i]) << 16 | np.int64(data[i + 1]) << 8 | np.int64(data[i + 2])
    if 0xE28080 <= code <= 0xE2808A or code in (0xE280A8, 0xE280A9, 0xE280AF, 0xE2819F):
        return 3
    return 3 if code in (0xE19A80, 0xE38080) else 0


@njit(nogil=True, cache=True)
def _fold_white_space(bounds: Offsets, data: NDArray[np.uint8], out: NDArray[np.uint8]) -> Offsets:
    """Write the folded documents to `out`, one behind the other; return their offsets.

    A byte that is surely white space or surely none is written without a branch and counted
    unless it is white space after white space; the start of a document is like white space.
    """
    ends = np.zeros(bounds.size, np.int64)
    n = np.uint64(0)
    for doc in range(bounds.size - 1):
        first, i, end = n, bounds[doc], bounds[doc + 1]
        after_space = _ONE
        while i < end:
            role, shown, size = _ROLES[data[i]], _SHOWN[data[i]], 1
            if role == _MAYBE:
                size = wide_space_bytes(data, i, end)
                role, shown = (_SPACE, _BLANK) if size else (_PLAIN, shown)
                size = max(size, 1)
            out[n] = shown
            n += _ONE - (np.uint64(role) & after_space)
            after_space = np.uint64(role)
            i += size
        if n > first:
            n -= after_space
        ends[doc + 1] = n
    return ends
