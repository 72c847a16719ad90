"""From texts to sums of a model's input rows: what fastText's `getLine` and `computeHidden` do.

The rows are those of the words, then of the end mark `</s>`, then of the n-grams of up to `ngrams`
words, by a hash of the words' hashes. They are added in this order, in float32, as the library adds
them: so sums are the same to the last bit, also where a million rows round them off.

With lid.176.ftz 54 to 115 MB/s on a core that is shared with others, eight times as much as the
library; with word bigrams 66 MB/s, twice as much (docs/benchmarks.md).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import fasttext_lines as lines
from cuvee.filters import fasttext_memo as memos
from cuvee.filters import fasttext_rows as rows_
from cuvee.filters.fasttext_memo import LONGEST, Memo, first_bytes
from cuvee.filters.fasttext_rows import PIECE_ROWS, Index, Word, name_rows, put_bucket, rest
from cuvee.filters.fasttext_vectors import BLOCK, COPIED, add_rows, copy_rows, load8, low_zeros
from cuvee.filters.names import tables
from cuvee.filters.pointers import Bytes, Tables, inlined, inner, pointer, signed

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

BATCH = 4096  # rows that are gathered before they are added
_NGRAM_PRIME = np.uint64(116049371)  # dictionary.cc, addWordNgrams
_ONES, _TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_BLANKS = np.uint64(0x2020202020202020)
_NONE = np.uint64(0)


class Sums(NamedTuple):
    """One row a text: what a model makes of its words.

    `vectors` float32 [texts, width] is the mean of the rows, zeros behind the model's numbers;
    `n_rows` int64 [texts] how many there were, and `visible` bool [texts] is false where a text
    has nothing but white space.
    """

    vectors: F32
    n_rows: I64
    visible: NDArray[np.bool_]


class _Gathered(NamedTuple):
    """Rows that wait to be added, the matrix that they are of, and the sums."""

    rows: I32
    matrix: F32
    total: F32
    width: int


def sums(laid: Index, matrix: F32, data: U8, spans: I64, joined: bool) -> Sums:
    """Sum the rows of texts: bytes `spans` int64 [texts, 2] of `data`, UTF-8.

    `joined` texts are made one line as `fasttext_lines` says. Takes 4 MB, as much as the longest
    text, and for models with word n-grams twice as much again.
    """
    n, sizes = len(spans), spans[:, 1] - spans[:, 0]
    found = Sums(
        np.zeros((n, matrix.shape[1]), np.float32), np.zeros(n, np.int64), np.zeros(n, bool)
    )
    words = int(sizes.max(initial=0)) // 2 + 2 if laid.ngrams > 1 else 0
    room = (
        lines.room(sizes),
        np.zeros(words, np.int32),
        np.zeros(BATCH + 1 + PIECE_ROWS + COPIED, np.int32),
    )
    _sum_texts((data, spans, joined), tables(), (laid, matrix), memos.memo(), room, found)
    return found


@njit(nogil=True, cache=True)
def _sum_texts(
    texts: tuple[U8, I64, bool],
    classes: Tables,
    model: tuple[Index, F32],
    memo: Memo,
    room: tuple[U8, I32, I32],
    found: Sums,
) -> None:
    """Sum the rows of every text."""
    data, spans, joined = texts
    table, line = pointer(classes), pointer(room[0])
    laid, known = rows_.pointed(model[0]), memos.pointed(memo)
    width = found.vectors.shape[1]
    for n in range(len(spans)):
        span = (spans[n, 0], spans[n, 1])
        end = lines.one_line(pointer(data), span, joined, table, line)
        found.visible[n] = lines.is_visible(line, end, table)
        total = pointer(found.vectors[n])
        to = _Gathered(pointer(room[2]), pointer(model[1]), total, width)
        count = _sum_line(line, end, laid, known, pointer(room[1]), to)
        found.n_rows[n] = count
        if count:
            share = np.float32(1.0 / count)
            for place in range(width):
                total[place] *= share


@inlined
def _add(to: _Gathered, count: int) -> None:
    """Add so many rows to the sums."""
    for at in range(0, to.width, BLOCK):
        add_rows(to.total, to.matrix, at, to.width, to.rows, count)


@inner
def _sum_line(line: Bytes, end: int, laid: Index, known: Memo, hashes: I32, to: _Gathered) -> int:
    """Add the rows of a line's words and n-grams to the sums; how many there were."""
    at, words, n, added = lines.FRONT, 0, 0, 0
    while at < end:
        if line[at] == lines.BLANK:
            at += 1
            continue
        low, high, size = _read_word(line, at)
        if size <= LONGEST:
            entry = memos.recall((line, at, size), low, high, laid, known)
            first, count, hashed = memos.remembered(known, entry)
            if laid.maxn == 0:
                to.rows[n] = first
            else:
                for place in range(0, count, COPIED):
                    copy_rows(to.rows, n + place, known.rows, first + place)
            n += count
        else:
            hashed, n, more = _gather_long((line, at, size), laid, known, to, n)
            added += more
        if laid.ngrams > 1:
            hashes[words] = hashed
            words += 1
        if n >= BATCH:
            _add(to, n)
            added += n
            n = 0
        at += size
    if laid.end_row >= 0:
        to.rows[n] = laid.end_row
        n += 1
    if laid.ngrams > 1:
        hashes[words] = np.int32(rows_.end_hash())
        n, more = _gather_ngrams(hashes, words + 1, laid, to, n)
        added += more
    _add(to, n)
    return added + n


@inlined
def _gap(eight: np.uint64) -> np.uint64:
    """Mark the first of eight bytes that is a space by its highest bit; 0 where none is."""
    other = eight ^ _BLANKS
    return (other - _ONES) & ~other & _TOPS


@inlined
def _read_word(line: Bytes, at: int) -> tuple[np.uint64, np.uint64, int]:
    """Read the word at `at`: its first and second eight bytes, zeros behind its end, its size."""
    low = load8(line, at)
    gap = _gap(low)
    if gap:
        size = low_zeros(gap) >> 3
        return first_bytes(low, size), _NONE, size
    high = load8(line, at + 8)
    gap = _gap(high)
    if gap:
        size = low_zeros(gap) >> 3
        return low, first_bytes(high, size), size + 8
    size = 16
    gap = _gap(load8(line, at + size))
    while not gap:
        size += 8
        gap = _gap(load8(line, at + size))
    return low, high, size + (low_zeros(gap) >> 3)


@inner
def _gather_long(
    word: Word, laid: Index, known: Memo, to: _Gathered, n: int
) -> tuple[np.int32, int, int]:
    """Gather the rows of a word that no memo keeps: its hash, rows that wait, rows added."""
    line, at, size = word
    hashed, added = rows_.hash_of(word), 0
    row = rows_.find(word, hashed, laid)
    to.rows[n] = row
    n += row >= 0
    if laid.maxn > 0:
        memos.bracket(word, True)
        whole, start = (line, at - 1, size + 2), at - 1
        while start <= at + size:
            room = (known.chars, known.hashes)
            n, start = rows_.put_subwords(whole, start, laid, room, to.rows, n)
            if n >= BATCH:
                _add(to, n)
                added += n
                n = 0
        memos.bracket(word, False)
    return np.int32(hashed), n, added


@inner
def _gather_ngrams(hashes: I32, words: int, laid: Index, to: _Gathered, n: int) -> tuple[int, int]:
    """Gather the rows of a line's word n-grams: rows that wait, rows added."""
    added, first = 0, n
    for start in range(words):
        hashed = np.uint64(signed(hashes[start]))
        for at in range(start + 1, min(start + laid.ngrams, words)):
            hashed = hashed * _NGRAM_PRIME + np.uint64(signed(hashes[at]))
            n = put_bucket(rest(hashed, laid), laid, to.rows, n)
            if n >= BATCH:
                name_rows(laid, to.rows, first, n)
                _add(to, n)
                added += n
                first = n = 0
    name_rows(laid, to.rows, first, n)
    return n, added
