"""The longest common subsequence of words of an item and the document around its hit.

This is the second gate of Qwen2 (arXiv 2407.10671, section 3): a training sequence is contaminated
by an item if their longest common subsequence of words has at least `LEAST` words and at least
`SHARE` of the words of the shorter of the two. The *sequence* is the document where that has at
most `WINDOW` words, else the `WINDOW` words about the middle of the hit: almost any question is a
subsequence of a whole book.

A subsequence may leave out words, so an item stays found when words are put in or exchanged. Words
are those of `cuvee.filters.ngram_words`, equal where their 64-bit hashes are.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.ngram_table import I64, U32, U64, character_table
from cuvee.filters.ngram_words import KEY_PRIME, Bytes, cut, room
from cuvee.filters.shingles import utf8_views

LEAST = 13  # words; Qwen2
SHARE = 0.6  # of the shorter's words; Qwen2
WINDOW = 4096  # words; the length in tokens of the sequences that Qwen2 was trained on

_BITS = 64


class Common(NamedTuple):
    """Words of the longest common subsequence, and of the shorter text; both int64 [hits]."""

    length: I64
    shorter: I64

    @property
    def share(self) -> NDArray[np.float64]:
        """The first as a share of the second."""
        return self.length / np.maximum(self.shorter, 1)

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """Whether Qwen2's rule holds."""
        return (self.length >= LEAST) & (self.share >= SHARE)


def common_words(
    texts: pa.LargeStringArray, row: I64, span: tuple[I64, I64], items: pa.LargeStringArray
) -> Common:
    """Compare each hit's item, given hit by hit, with the sequence of the document around it.

    `row` is the document of each hit, ascending, `span` its first byte and the one behind its
    last, counted from the document's start. Bit-parallel (Crochemore et al. 2001): a comparison
    takes a step for each word of the sequence that the item has and each 64 words of the item.
    """
    if not row.size:
        return Common(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Common(*_compare(utf8_views(texts), row, span, utf8_views(items), character_table()))


@njit(nogil=True, cache=True)
def _compare(
    texts: tuple[I64, Bytes],
    row: I64,
    span: tuple[I64, I64],
    items: tuple[I64, Bytes],
    characters: U32,
) -> tuple[I64, I64]:
    """Do what `common_words` says; every document is cut into words once."""
    length, shorter = np.zeros(row.size, np.int64), np.zeros(row.size, np.int64)
    words, n, cut_row = room(0), 0, -1
    for hit in range(row.size):
        start, stop = texts[0][row[hit]], texts[0][row[hit] + 1]
        if row[hit] != cut_row:
            words, cut_row = room(stop - start), row[hit]
            n = cut(texts[1], (start, stop), characters, KEY_PRIME, words)
        begin, end = items[0][hit], items[0][hit + 1]
        item = room(end - begin)
        n_item = cut(items[1], (begin, end), characters, KEY_PRIME, item)
        first = np.searchsorted(words.starts[:n], start + span[0][hit])
        last = np.searchsorted(words.starts[:n], start + span[1][hit])
        left = max(min((first + last) // 2 - WINDOW // 2, n - WINDOW), 0)
        sequence = words.hashes[1 + left : 1 + min(left + WINDOW, n)]
        length[hit] = lcs_length(sequence, item.hashes[1 : 1 + n_item])
        shorter[hit] = min(sequence.size, n_item)
    return length, shorter


@njit(nogil=True, cache=True)
def lcs_length(sequence: U64, item: U64) -> int:
    """Give the length of the longest common subsequence of two arrays.

    Bit i of `open_` is 0 where the longest one with the first i + 1 values of the item is one
    longer than with the first i.
    """
    values = np.unique(item)
    n_limbs = -(-item.size // _BITS)
    places = np.zeros((values.size, n_limbs), np.uint64)
    for i in range(item.size):
        bit = np.uint64(1) << np.uint64(i % _BITS)
        places[np.searchsorted(values, item[i]), i // _BITS] |= bit
    open_ = np.full(n_limbs, ~np.uint64(0))
    for value in sequence:
        k = np.searchsorted(values, value)
        if k == values.size or values[k] != value:
            continue
        carry = np.uint64(0)
        for limb in range(n_limbs):
            before, here = open_[limb], places[k, limb]
            part = before + (before & here)
            total = part + carry
            carry = np.uint64((part < before) | (total < part))
            open_[limb] = total | (before & ~here)
    count = 0
    for limb in range(n_limbs):
        closed = ~open_[limb]
        while closed:
            closed &= closed - np.uint64(1)
            count += 1
    return count
