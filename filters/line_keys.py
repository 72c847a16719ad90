r"""The lines of texts as 64-bit keys, so that equal lines can be found anywhere in a corpus.

A *line* is what lies between two line feeds. Its words are those of `cuvee.filters.shingles`: case
and accents are folded away, a run of digits is one, punctuation and white space separate. A line
without a word (blank, or marks alone) has no key. A *folded* key is of the words, as ccNet folds
lines; an *exact* key is of the characters, with every run of white space one space and none at the
ends (`cuvee.filters.exact`).

Two unlike lines share a key with probability 2^-64: of 10^10 different lines, 3 may be taken for
others.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.exact import wide_space_bytes
from cuvee.filters.shingles import BASE, GOLDEN, hash_words, mix64, utf8_views
from cuvee.filters.wordchars import character_table

Bytes = NDArray[np.uint8]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

_LINE_FEED = 0x0A
_mix: Any = njit(nogil=True, cache=True)(mix64)


class Lines(NamedTuple):
    """Lines as columns of one length, in the order of the texts.

    `doc` int64: the document's row. `start`, `end` int64: what goes when the line goes, in bytes of
    the document: the line and the line feed behind it, or, of the last line, before it (then see
    `reach_back`). `key` uint64. `words` int64.
    """

    doc: I64
    start: I64
    end: I64
    key: U64
    words: I64


def lines_of(texts: pa.LargeStringArray, exact: bool) -> Lines:
    r"""Find every line that has a word; `exact` says which key it gets.

    Runs without the GIL; 40 bytes a line, and 8 bytes a word of the longest. 290 MB/s folded and
    155 MB/s exact on one core of an AMD EPYC.

    >>> lines = lines_of(pa.array(["Menu\n\n--\nmenu!\nPage 7"], pa.large_string()), exact=False)
    >>> lines.start.tolist(), bool(lines.key[0] == lines.key[1])
    ([0, 9, 14], True)
    """
    bounds, data = utf8_views(texts)
    feeds, longest = line_feeds(bounds, data)
    room = feeds + len(texts)
    rows, keys = np.empty((room, 4), np.int64), np.empty(room, np.uint64)
    words = np.empty(longest // 2 + 2, np.uint64)
    used = _lines(bounds, data, character_table(), words, (rows, keys), exact)
    doc, start, end, n_words = rows[:used].T
    return Lines(doc, start, end, keys[:used], n_words)


@njit(nogil=True, cache=True)
def line_feeds(bounds: I64, data: Bytes) -> tuple[int, int]:
    """Count the line feeds of all documents, and the bytes of the longest line."""
    feeds, longest = 0, 0
    for doc in range(bounds.size - 1):
        start = bounds[doc]
        for at in range(bounds[doc], bounds[doc + 1]):
            if data[at] == _LINE_FEED:
                feeds += 1
                longest = max(longest, at - start)
                start = at + 1
        longest = max(longest, bounds[doc + 1] - start)
    return feeds, longest


@njit(nogil=True, cache=True)
def _folded(words: U64, n: int) -> np.uint64:
    """Hash a line's words: a polynomial of their mixed hashes, mixed."""
    key = np.uint64(0)
    for k in range(n):
        key = key * BASE + _mix(words[k])
    return np.uint64(_mix(key))


@njit(nogil=True, cache=True)
def _exact(data: Bytes, start: int, end: int) -> np.uint64:
    """Hash a line's runs of other characters than white space, in the same way."""
    key, run, at = np.uint64(0), np.uint64(0), start
    while at < end:
        byte = data[at]
        blank = 1 if byte == 0x20 or 0x09 <= byte <= 0x0D or 0x1C <= byte <= 0x1F else 0
        if byte >= 0xC2 and byte <= 0xE3:
            blank = wide_space_bytes(data, at, end)
        if blank:
            key = key if run == 0 else key * BASE + _mix(run)
            run = np.uint64(0)
        else:
            run = (run ^ np.uint64(byte) + np.uint64(1)) * GOLDEN
        at += max(blank, 1)
    return np.uint64(_mix(key if run == 0 else key * BASE + _mix(run)))


@njit(nogil=True, cache=True)
def _lines(
    bounds: I64, data: Bytes, table: Any, words: U64, out: tuple[I64, U64], exact: bool
) -> int:
    """Write document, start, end and words of every line, and its key; return how many."""
    rows, keys = out
    used = 0
    for doc in range(bounds.size - 1):
        base, stop = bounds[doc], bounds[doc + 1]
        start = base
        for at in range(base, stop + 1):
            if at < stop and data[at] != _LINE_FEED:
                continue
            n_words = hash_words(data, start, at, table, words)
            if n_words:
                last = at == stop
                rows[used, 0], rows[used, 3] = doc, n_words
                rows[used, 1] = start - base - (1 if last and start > base else 0)
                rows[used, 2] = at - base + (0 if last else 1)
                keys[used] = _exact(data, start, at) if exact else _folded(words, int(n_words))
                used += 1
            start = at + 1
    return used


def found(keys: U64, among: U64) -> NDArray[np.bool_]:
    """Say of each key whether it is in a sorted array."""
    if not len(among):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return cast("NDArray[np.bool_]", among[place] == keys)


@njit(nogil=True, cache=True)
def again(places: I64, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each key, by its place, whether it was seen before, and note in `seen` that it is."""
    repeated = np.empty(places.size, np.bool_)
    for n in range(places.size):
        repeated[n] = seen[places[n]]
        seen[places[n]] = True
    return repeated


@njit(nogil=True, cache=True)
def reach_back(doc: I64, start: I64, end: I64) -> None:
    """Let the cut of a last line start at the line feed before all lines cut with it, in place.

    Cuts are in order. The cut of a last line begins with the line feed before it, and only so do
    two overlap: the line before goes, too, and its own line feed is the one before that.
    """
    for n in range(1, doc.size):
        k = n
        while k and doc[k - 1] == doc[n] and end[k - 1] > start[n]:
            start[n] = max(start[k - 1] - 1, 0)
            k -= 1
