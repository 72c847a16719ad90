r"""Count words of a list in documents, as C4 drops pages for its list of obscene words.

An *occurrence* is a word of the list at a place of the lower-cased text; occurrences may overlap.
With *boundaries* the characters around it must not be word characters, as Python's `\w` says (so a
combining mark is none): that is C4's rule, except in Japanese, Thai and Chinese, which it matches
anywhere. Lower-casing takes each character by itself: one whose lower case is several stays as it
is, and a Greek sigma does not become a final one.

Which list a language has, and how many occurrences drop a document, is not decided here. C4 may
keep a share of the pages that it would drop: `kept_by_url`.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.filters.shingles import utf8_views
from cuvee.filters.tries import Trie, build_trie, may_start, step
from cuvee.filters.wordchars import CODE_POINTS, entry_at

Bytes = NDArray[np.uint8]
Characters = NDArray[np.uint32]

_CODE_BITS = 21
_CODE = np.uint32((1 << _CODE_BITS) - 1)
_WORD = np.uint32(1 << _CODE_BITS)  # a word character
_STARTS = np.uint32(2 << _CODE_BITS)  # a word of the list starts with it
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_RUN_SHIFT = np.uint64(50)
_LAST_CASED = 0x20000  # planes 2 and up know no case; 2, 3 and 14 are looked at for `\\w` alone


class Words(NamedTuple):
    """A list made ready: entries of all characters, and the words.

    `barred` is `_WORD` where word characters must not touch a word, else 0. `runs` bool [16384]
    marks the run of word characters with which a word starts, by the first bits of its hash.
    """

    characters: Characters
    trie: Trie
    barred: np.uint32
    runs: NDArray[np.bool_]


@cache
def _characters() -> Characters:
    """Tabulate lower case and `_WORD` of each code point: uint32 [0x110000], once, in 0.2 s."""
    table = np.arange(CODE_POINTS, dtype=np.uint32)
    for code in range(_LAST_CASED):
        lower = chr(code).lower()
        if len(lower) == 1:
            table[code] = ord(lower)
    words = [code for code in range(CODE_POINTS) if chr(code).isalnum() or code == ord("_")]
    table[words] |= _WORD
    return table


def bad_word_counts(
    texts: pa.LargeStringArray, words: Sequence[str], boundaries: bool
) -> NDArray[np.int32]:
    """Count the occurrences of the words in each text: int32 [texts]; null reads as empty.

    A word may hold spaces and signs, which must stand in the text as they are. A word that is
    listed twice, or in two cases, counts once; an empty one never.

    >>> texts = pa.array(["A damned Dam, damn!", None], pa.large_string())
    >>> bad_word_counts(texts, ["damn", "dam"], True).tolist()
    [2, 0]
    >>> bad_word_counts(texts, ["damn", "dam"], False).tolist()
    [5, 0]
    """
    characters = _characters().copy()
    codes = [
        (characters[[ord(letter) for letter in word]] & _CODE).tolist() for word in words if word
    ]
    starts = {code[0] for code in codes}
    folded = characters & _CODE
    characters[np.isin(folded, list(starts))] |= _STARTS
    offsets, data = utf8_views(texts)
    barred = _WORD if boundaries else np.uint32(0)
    words_ready = Words(characters, build_trie(codes), barred, _first_runs(codes, characters))
    return _count_all(data, offsets, words_ready)


def _first_runs(codes: Sequence[Sequence[int]], characters: Characters) -> NDArray[np.bool_]:
    """Mark the runs of word characters with which words start."""
    runs = np.zeros(1 << 64 - int(_RUN_SHIFT), np.bool_)
    for code in codes:
        run = 0
        for letter in takewhile(lambda letter: characters[letter] & _WORD, code):
            run = (run ^ letter) * int(_GOLDEN) % 2**64
        runs[run >> int(_RUN_SHIFT)] = True
    return runs


def kept_by_url(urls: pa.StringArray, fraction: float) -> NDArray[np.bool_]:
    """Choose the documents that a rule would drop but which stay, by URL: bool [urls].

    As TFDS does for C4: with `1 - fraction` as the exact ratio p / q, a document stays when the MD5
    of its URL, as a number, is p or more modulo q. The same URL gets the same answer anywhere; null
    reads as an empty one. Raises `RecipeError` for a fraction that is not in 0 to 1.

    >>> kept_by_url(pa.array(["https://a.org/1", "https://a.org/2"]), 1).tolist()
    [True, True]
    """
    if not 0 <= fraction <= 1:
        raise RecipeError(
            f"a fraction of {fraction} of the documents cannot stay.",
            "Allowed is 0 to 1.",
            "Set it to 0 to drop them all.",
        )
    p, q = (1.0 - fraction).as_integer_ratio()
    digests = (hashlib.md5((url or "").encode()).digest() for url in urls.to_pylist())
    return np.array([int.from_bytes(digest) % q >= p for digest in digests], np.bool_)


@njit(nogil=True, cache=True, forceinline=True)
def _count_from(data: Bytes, at: int, end: int, words: Words) -> int:
    """Count the words that start at a byte."""
    node, count = 0, 0
    while at < end:
        entry, at = entry_at(data, at, end, words.characters)
        node = step(words.trie, node, int(np.int64(entry & _CODE)))
        if node == 0:
            break
        if words.trie.ends[node]:
            count += at == end or not entry_at(data, at, end, words.characters)[0] & words.barred
    return count


@njit(nogil=True, cache=True, forceinline=True)
def _may_start(data: Bytes, at: int, end: int, first: np.uint32, words: Words) -> bool:
    """Say whether a word may start with a character and the one at the byte behind it."""
    second = 0
    if at < end:
        second = int(np.int64(entry_at(data, at, end, words.characters)[0]))
    return may_start(words.trie, int(np.int64(first)), second)


@njit(nogil=True, cache=True)
def _count_anywhere(data: Bytes, at: int, end: int, words: Words) -> int:
    """Count the occurrences between two bytes, whatever stands around them."""
    count = 0
    while at < end:
        entry, behind = entry_at(data, at, end, words.characters)
        if entry & _STARTS and _may_start(data, behind, end, entry, words):
            count += _count_from(data, at, end, words)
        at = behind
    return count


@njit(nogil=True, cache=True)
def _count_flanked(data: Bytes, at: int, end: int, words: Words) -> int:
    """Count the occurrences between two bytes that no word character touches.

    A run of word characters is hashed, and looked at only when a word may start with it.
    """
    count, run, start, before = 0, np.uint64(0), at, np.uint32(0)
    while at < end:
        entry, behind = entry_at(data, at, end, words.characters)
        if entry & _WORD:
            start = start if before & _WORD else at
            run = (run ^ np.uint64(entry & _CODE)) * _GOLDEN
        else:
            if run and words.runs[run >> _RUN_SHIFT]:
                count += _count_from(data, start, end, words)
            if entry & _STARTS and not before & _WORD:
                count += _count_from(data, at, end, words)
            run = np.uint64(0)
        before, at = entry, behind
    if run and words.runs[run >> _RUN_SHIFT]:
        count += _count_from(data, start, end, words)
    return count


@njit(nogil=True, cache=True)
def _count_all(data: Bytes, offsets: NDArray[np.int64], words: Words) -> NDArray[np.int32]:
    """Count the occurrences in each text."""
    counts = np.zeros(offsets.size - 1, np.int32)
    for row in range(counts.size):
        span = (offsets[row], offsets[row + 1])
        if words.barred:
            counts[row] = _count_flanked(data, span[0], span[1], words)
        else:
            counts[row] = _count_anywhere(data, span[0], span[1], words)
    return counts
