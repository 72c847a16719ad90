"""Look for the answers of benchmark items near where their questions were found.

The answer's *near words* are the `NEAR` words before a hit's span and the `NEAR` words after it,
or twice as many as the answer has, where that is more (as decon, the tool of Olmo 3, has it; the
span itself is left out, since a question often names its answer). The *overlap* of an answer is the
share of its distinct 3-grams of words that occur in its near words, before or after; an answer of
one or two words is one n-gram as a whole. Words are those of `cuvee.filters.ngram_words`; an
answer without a word is no answer.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.ngram_table import I64, U32, U64, character_table
from cuvee.filters.ngram_words import (
    KEY_BASE,
    KEY_PRIME,
    Bytes,
    accumulate,
    cut,
    powers_of,
    room,
    run_hash,
)
from cuvee.filters.shingles import utf8_views

NEAR = 50  # words; decon's least distance of an answer (config/default.yaml), there in tokens
NGRAM = 3  # words; decon's n-gram of long answers

Found = tuple[NDArray[np.float64], NDArray[np.bool_]]


def answer_overlap(
    texts: tuple[I64, Bytes], row: I64, span: tuple[I64, I64], answer: pa.LargeStringArray
) -> Found:
    """Give the overlap of each hit's answer, and whether it has one; float64 and bool [hits].

    `texts` are offsets and bytes of documents, `row` the document of each hit in ascending order,
    `span` its first byte and the one behind its last, counted from the document's start.
    """
    offsets, data = utf8_views(answer)
    if not data.size or offsets[0] == offsets[-1]:
        return np.zeros(row.size), np.zeros(row.size, np.bool_)
    return _overlaps(texts, row, span, (offsets, data), character_table())


@njit(nogil=True, cache=True)
def _overlaps(
    texts: tuple[I64, Bytes],
    row: I64,
    span: tuple[I64, I64],
    answers: tuple[I64, Bytes],
    characters: U32,
) -> Found:
    """Do what `answer_overlap` says; every document is cut into words once."""
    overlap, answered = np.zeros(row.size), np.zeros(row.size, np.bool_)
    powers = powers_of(KEY_BASE, NGRAM)
    words, n, cut_row = room(0), 0, -1
    for hit in range(row.size):
        begin, end = answers[0][hit], answers[0][hit + 1]
        answer = room(end - begin)
        n_answer = cut(answers[1], (begin, end), characters, KEY_PRIME, answer)
        if n_answer == 0:
            continue
        accumulate(answer.hashes, n_answer, KEY_BASE)
        start, stop = texts[0][row[hit]], texts[0][row[hit] + 1]
        if row[hit] != cut_row:
            words, cut_row = room(stop - start), row[hit]
            n = cut(texts[1], (start, stop), characters, KEY_PRIME, words)
            accumulate(words.hashes, n, KEY_BASE)
        near = max(NEAR, 2 * n_answer)
        before = np.searchsorted(words.starts[:n], start + span[0][hit])
        after = np.searchsorted(words.starts[:n], start + span[1][hit])
        length = min(NGRAM, n_answer)
        there = np.concatenate(
            (
                _runs(words.hashes, (max(before - near, 0), before), length, powers[length]),
                _runs(words.hashes, (after, min(after + near, n)), length, powers[length]),
            )
        )
        wanted = np.unique(_runs(answer.hashes, (0, n_answer), length, powers[length]))
        overlap[hit] = _found(wanted, np.sort(there)) / wanted.size
        answered[hit] = True
    return overlap, answered


@njit(nogil=True, cache=True)
def _runs(sums: U64, bounds: tuple[int, int], length: int, power: np.uint64) -> U64:
    """Hash every run of `length` words between two words."""
    hashes = np.empty(max(bounds[1] - bounds[0] - length + 1, 0), np.uint64)
    for k in range(hashes.size):
        hashes[k] = run_hash(sums, bounds[0] + k, length, power)
    return hashes


@njit(nogil=True, cache=True)
def _found(wanted: U64, there: U64) -> int:
    """Count the wanted hashes that are there; both are ascending."""
    count, k = 0, 0
    for hash_ in wanted:
        while k < there.size and there[k] < hash_:
            k += 1
        count += k < there.size and there[k] == hash_
    return count
