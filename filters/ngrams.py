"""List the n-grams of items, and look those of texts up in an index, straight from UTF-8.

An *n-gram* is `n` words in a row, whatever separates them; `cuvee.filters.ngram_words` says what a
word is and how a run of words is hashed. A *span* is half open, from the first character of the
first word to behind the last one of the last word.

What an item or a hit means is not known here: see `cuvee.filters.contamination`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.ngram_table import I64, U32, U64, Marks, Table
from cuvee.filters.ngram_words import (
    CHECK_BASE,
    CHECK_PRIME,
    KEY_BASE,
    KEY_PRIME,
    Bytes,
    Words,
    accumulate,
    count_characters,
    cut,
    lettered,
    powers_of,
    room,
    run_hash,
)
from cuvee.filters.shingles import utf8_views

TEXT, GRAM, START, END, FIRST_BYTE, END_BYTE, FIRST_WORD = range(7)  # columns of an occurrence
_SIX, _LOW_SIX, _ONE = np.uint64(6), np.uint64(63), np.uint64(1)


class Lengths(NamedTuple):
    """The lengths of n-grams in words, and the least that a text must have, to have any."""

    shortest: int
    longest: int
    min_words: int


class Listed(NamedTuple):
    """N-grams as columns of one length, in the order of the texts, repeats included.

    The gate is the key of the first words of the n-gram.
    """

    keys: U64
    checks: U64
    gates: U64
    texts: NDArray[np.int32]
    lengths: NDArray[np.int32]


@njit(nogil=True, cache=True)
def _letters(data: Bytes, words: Words, n: int, characters: U32) -> I64:
    """Count the words with a letter that is no digit before each of `n` words and in all."""
    counts = np.zeros(n + 1, np.int64)
    for k in range(n):
        bounds = (words.starts[k], words.stops[k])
        counts[k + 1] = counts[k] + lettered(data, bounds, characters)
    return counts


@njit(nogil=True, cache=True)
def _lengths_of(n: int, lengths: Lengths) -> tuple[int, int]:
    """Give the first and last length of the n-grams of a text of `n` words; (1, 0) for none.

    A text of fewer words than the shortest n-gram is one n-gram as a whole.
    """
    if n < lengths.min_words:
        return 1, 0
    return min(n, lengths.shortest), min(n, lengths.longest)


@njit(nogil=True, cache=True)
def list_ngrams(
    data: Bytes, offsets: I64, characters: U32, lengths: Lengths, gate_words: int
) -> Listed:
    """List every n-gram with a letter of every text.

    A text of fewer words than the shortest n-gram but at least `min_words` is one n-gram as a
    whole; a shorter one has none. Gates have `gate_words` words, which no n-gram lacks. Memory: 32
    bytes an n-gram.
    """
    powers = powers_of(KEY_BASE, lengths.longest), powers_of(CHECK_BASE, lengths.longest)
    n_texts = offsets.size - 1
    longest_text = np.max(offsets[1:] - offsets[:-1]) if n_texts else 0
    words, others = room(longest_text), room(longest_text)
    out, used = Listed(*_columns(0)), 0
    for writing in range(2):  # the first time they are counted
        if writing:
            out, used = Listed(*_columns(used)), 0
        for text in range(n_texts):
            whole = (offsets[text], offsets[text + 1])
            n = cut(data, whole, characters, KEY_PRIME, words)
            shortest, longest = _lengths_of(n, lengths)
            letters = _letters(data, words, n, characters)
            if writing:
                cut(data, whole, characters, CHECK_PRIME, others)
                accumulate(words.hashes, n, KEY_BASE)
                accumulate(others.hashes, n, CHECK_BASE)
            for length in range(shortest, longest + 1):
                for first in range(n - length + 1):
                    if letters[first] == letters[first + length]:
                        continue
                    if writing:
                        gate = run_hash(words.hashes, first, gate_words, powers[0][gate_words])
                        key = run_hash(words.hashes, first, length, powers[0][length])
                        check = run_hash(others.hashes, first, length, powers[1][length])
                        out.keys[used], out.checks[used], out.gates[used] = key, check, gate
                        out.texts[used], out.lengths[used] = text, length
                    used += 1
    return out


@njit(nogil=True, cache=True)
def _columns(n: int) -> tuple[U64, U64, U64, NDArray[np.int32], NDArray[np.int32]]:
    """Make room for a list of `n` n-grams."""
    keys, checks, gates = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint64)
    return keys, checks, gates, np.empty(n, np.int32), np.empty(n, np.int32)


def occurrences(texts: pa.LargeStringArray, table: Table) -> tuple[I64, I64]:
    """List every occurrence of an n-gram of the table in a text, and count the texts' words.

    Returns int64 [occurrences, 7], texts in order: row of the text, row of the n-gram in the table,
    the first character and the one after the last, the same two in bytes of the text, and the
    first word; and int64 [texts]: how many words each has. Runs without the GIL. Memory: 40 bytes
    a word of the longest text, 56 an occurrence.
    """
    offsets, data = utf8_views(texts)
    if not data.size or not len(texts):
        return np.empty((0, 7), np.int64), np.zeros(len(texts), np.int64)
    return _find(data, offsets, table)


@njit(nogil=True, cache=True)
def _marked(marks: Marks, key: np.uint64) -> bool:
    """Say whether a key is marked; sometimes one that was never marked is too."""
    two_bits = _ONE << (key & _LOW_SIX) | _ONE << (key >> _SIX & _LOW_SIX)
    return bool(~marks.bits[key >> np.uint64(marks.shift)] & two_bits == 0)


@njit(nogil=True, cache=True)
def _candidates(sums: U64, span: tuple[int, int], power: np.uint64, marks: Marks, out: I64) -> int:
    """Write the first words of all runs whose key is marked to `out`; return how many there are.

    `span` is the number of words of the text and of a run. There is no branch in the loop.
    """
    found = 0
    for first in range(span[0] - span[1] + 1):
        out[found] = first
        found += _marked(marks, run_hash(sums, first, span[1], power))
    return found


@njit(nogil=True, cache=True)
def _same_key(table: Table, key: np.uint64) -> int:
    """Give the first row of the table with this key, -1 where there is none."""
    slot = np.int64(key >> np.uint64(table.slot_shift))
    for row in range(table.directory[slot], table.directory[slot + 1]):
        if table.keys[row] == key:
            return row
    return -1


@njit(nogil=True, cache=True)
def _same_check(table: Table, row: int, check: np.uint64) -> int:
    """Give the row with this check among those from `row` on with its key, -1 for none."""
    key = table.keys[row]
    while row < table.keys.size and table.keys[row] == key:
        if table.checks[row] == check:
            return row
        row += 1
    return -1


@njit(nogil=True, cache=True)
def _grown(rows: I64, used: int) -> I64:
    """Give an array with room for one more row: the same, or a copy of twice the size."""
    if used < rows.shape[0]:
        return rows
    larger = np.empty((2 * rows.shape[0], rows.shape[1]), rows.dtype)
    larger[:used] = rows
    return larger


@njit(nogil=True, cache=True)
def _find(data: Bytes, offsets: I64, table: Table) -> tuple[I64, I64]:
    """Do what `occurrences` says for the bytes between offsets, of which there are some."""
    lengths, longest = table.lengths, table.lengths.size - 1
    powers = powers_of(KEY_BASE, lengths[longest])
    check_powers = powers_of(CHECK_BASE, lengths[longest])
    rows, used = np.empty((1024, 7), np.int64), 0
    longest_text = np.max(offsets[1:] - offsets[:-1])
    words, others = room(longest_text), room(0)
    sums, starts, stops = words
    firsts, n_words = np.empty_like(starts), np.zeros(offsets.size - 1, np.int64)
    for text in range(offsets.size - 1):
        whole, checked = (offsets[text], offsets[text + 1]), False
        n = cut(data, whole, table.characters, KEY_PRIME, words)
        n_words[text] = n
        accumulate(sums, n, KEY_BASE)
        # Once for the longest n-grams, and once for the shorter ones if there are any.
        for shorter in range(2 if longest else 1):
            trigger = table.gate_words if shorter else lengths[longest]
            marks = table.gate if shorter else table.bitmap
            found = _candidates(sums, (n, trigger), powers[trigger], marks, firsts)
            counted, character = offsets[text], 0
            for first in firsts[:found]:
                for length in lengths[:longest] if shorter else lengths[longest:]:
                    if first + length > n:
                        break
                    key = run_hash(sums, first, length, powers[length])
                    row = _same_key(table, key) if _marked(table.bitmap, key) else -1
                    if row < 0:
                        continue
                    if not checked:  # few texts get here, so the checks of the others are spared
                        if others.starts.size < starts.size:
                            others = room(longest_text)
                        cut(data, whole, table.characters, CHECK_PRIME, others)
                        accumulate(others.hashes, n, CHECK_BASE)
                        checked = True
                    check = run_hash(others.hashes, first, length, check_powers[length])
                    row = _same_check(table, row, check)
                    if row < 0:
                        continue
                    begin, end = starts[first], stops[first + length - 1]
                    character += count_characters(data, counted, begin)
                    counted = begin
                    rows = _grown(rows, used)
                    rows[used, :3] = text, row, character
                    rows[used, 3] = character + count_characters(data, begin, end)
                    rows[used, 4:] = begin - whole[0], end - whole[0], first
                    used += 1
    return rows[:used], n_words
