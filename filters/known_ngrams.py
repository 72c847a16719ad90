r"""Paragraphs most of whose n-grams stood before: BFF's `old-both`, as DCLM ran it.

A *paragraph* is what lies between two line feeds. Its words are what lies between two of Unicode's
word boundaries and is no white space (`cuvee.filters.boundaries`): marks are words, too, and case
and accents make a difference. A paragraph with fewer than `ngram` words but at least `least` is one
n-gram as a whole; a shorter one has none and is never cut.

A paragraph is cut where more than `share` of its n-grams are in the filter, repeats counted; else
they are put in. All paragraphs are looked at, also of a document of whose n-grams more than `share`
were in: that one is cut as a whole. So the outcome depends on the order of the texts, as in BFF,
whose order is that of its threads.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.bloom import Bloom, contains, insert
from cuvee.filters.boundaries import word_end
from cuvee.filters.characters import SPACE
from cuvee.filters.line_keys import line_feeds, reach_back
from cuvee.filters.names import tables
from cuvee.filters.pointers import Tables, pointer
from cuvee.filters.shingles import GOLDEN, roll_shingles, utf8_views

Bytes = NDArray[np.uint8]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

_LINE_FEED = 0x0A
_ONE = np.uint64(1)


class NgramRule(NamedTuple):
    """What an n-gram is, and which share of known ones is too many."""

    ngram: int
    least: int
    share: float


class Known(NamedTuple):
    """What is cut, as columns of one length in the order of the texts, and what was counted.

    `doc`, `start`, `end` int64: a paragraph with the line feed behind it, or, of the last one,
    before it (see `reach_back`), in bytes of the document; or the whole document, where `whole`.
    Counts are of n-grams: `ngrams` of all, `known` of those that were in the filter, `put` of those
    put in.
    """

    doc: I64
    start: I64
    end: I64
    whole: NDArray[np.bool_]
    ngrams: int
    known: int
    put: int


def cut_known(texts: pa.LargeStringArray, bloom: Bloom, rule: NgramRule) -> Known:
    """Find what is known of some texts, in order, and put what is not into the filter.

    Changes the filter. Runs without the GIL; memory is 8 bytes a byte of the longest paragraph and
    25 bytes a line. 85 MB/s on one core of an AMD EPYC with a filter of 16 MiB; of 256 MiB, 45 MB/s
    while its memory is touched for the first time.
    """
    bounds, data = utf8_views(texts)
    feeds, longest = line_feeds(bounds, data)
    rows = np.empty((feeds + len(texts), 4), np.int64)
    words = np.empty(longest + 1, np.uint64)
    used, *counts = _cut(bounds, data, tables(), (bloom.blocks, bloom.hashes), (rule, words, rows))
    doc, start, end, whole = (np.ascontiguousarray(column) for column in rows[:used].T)
    reach_back(doc, start, end)
    return Known(doc, start, end, whole.astype(np.bool_), *counts)


@njit(nogil=True, cache=True)
def _words(data: Bytes, span: tuple[int, int], table: Tables, out: U64) -> int:
    """Write the unmixed hash of each word between two bytes; return how many there are."""
    at, hi = span
    letters, classes = pointer(data), pointer(table)
    n = 0
    while at < hi:
        lo = at
        at, kind = word_end(letters, lo, hi, classes)
        if kind & SPACE:
            continue
        word = np.uint64(0)
        for place in range(lo, at):
            word = (word ^ np.uint64(data[place]) + _ONE) * GOLDEN
        out[n] = word
        n += 1
    return n


@njit(nogil=True, cache=True)
def _ngrams(data: Bytes, span: tuple[int, int], table: Tables, rule: NgramRule, out: U64) -> int:
    """Write the hash of each n-gram of a paragraph; return how many there are."""
    n = _words(data, span, table, out)
    short = n < rule.ngram
    if short and n < max(rule.least, 1):
        return 0
    return int(roll_shingles(out, np.int64(n), n if short else rule.ngram))


@njit(nogil=True, cache=True)
def _look_up(grams: U64, n: int, bloom: tuple[U64, int], share: float) -> tuple[int, bool]:
    """Count the known ones of n n-grams; they are put in unless they are too many."""
    blocks, hashes = bloom
    known = 0
    for k in range(n):
        known += contains(blocks, hashes, grams[k])
    many = known > share * n
    for k in range(0 if many else n):
        insert(blocks, hashes, grams[k])
    return known, many


@njit(nogil=True, cache=True)
def _cut(
    bounds: I64,
    data: Bytes,
    table: Tables,
    bloom: tuple[U64, int],
    rule_and_room: tuple[NgramRule, U64, I64],
) -> tuple[int, int, int, int]:
    """Write document, start, end and `whole` of every cut; return their number and the counts."""
    rule, words, rows = rule_and_room
    used, ngrams, known, put = 0, 0, 0, 0
    for doc in range(bounds.size - 1):
        base, stop, start = bounds[doc], bounds[doc + 1], bounds[doc]
        first, of_doc, known_of_doc = used, 0, 0
        for at in range(base, stop + 1):
            if at < stop and data[at] != _LINE_FEED:
                continue
            n = _ngrams(data, (start, at), table, rule, words)
            found, many = _look_up(words, n, bloom, rule.share)
            if n and many:
                last = at == stop
                rows[used, 0], rows[used, 3] = doc, 0
                rows[used, 1] = start - base - (1 if last and start > base else 0)
                rows[used, 2] = at - base + (0 if last else 1)
                used += 1
            put += 0 if many else n
            of_doc += n
            known_of_doc += found
            start = at + 1
        if of_doc and known_of_doc > rule.share * of_doc:
            used = first + 1
            rows[first, 0], rows[first, 1], rows[first, 2] = doc, 0, stop - base
            rows[first, 3] = 1
        ngrams += of_doc
        known += known_of_doc
    return used, ngrams, known, put
