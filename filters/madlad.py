r"""MADLAD-400's questionable sentences (Kudugunta et al. 2023, arXiv 2309.04662).

A sentence is *questionable* for its *list case* (of at least 12 tokens more than half begin with a
capital letter), its *length* (under 20 or over 500 characters), its *technical* characters (more
than a fifth of it are `0-9{}+/()>`), or because it is *cursed* (`cursed.py`). The paper's first
rule, a sentence in another language than its document, is not here: it needs a language model.

As datamap-rs counts for Dolma 3 (`madlad400_sentence_annotator`, rules 2 and 5): the text is split
at `[.!?]+\s+`, tokens are Unicode's words (UAX #29) with a letter or digit. It was made for pages
found to be English. A script without these marks is one sentence a document there.

As the paper: it names no splitter of sentences, nor of tokens, so those are ours. A sentence ends
at a line break; behind end marks that white space follows or that are not ASCII (`。`); and, in
scripts without spaces between words, at a space (Thai has no other mark). Tokens are those of
`str.split`. Where most letters are of such a script, no sentence is too short: 20 characters are
a long sentence in Chinese, and the authors' own card calls the rule bad for ideographs.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import variant_tally as v
from cuvee.filters.boundaries import word_end
from cuvee.filters.characters import (
    ALNUM,
    ALONE,
    ALPHA,
    BREAK,
    CAPITAL,
    MARK,
    SPACE,
    TERMINAL,
    class_at,
    strip,
)
from cuvee.filters.cursed import is_cursed
from cuvee.filters.pointers import Bytes, Counts, Tables, inlined, inner, pointer

LEAST_TOKENS = 12  # of list case
SHORTEST, LONGEST = 20, 500  # characters
TECHNICAL_PARTS = 5  # more than one in five characters
_TECHNICAL = np.zeros(128, np.bool_)
_TECHNICAL[list(b"0123456789{}+/()>")] = True


@inlined
def _is_mark(byte: int) -> bool:
    """Whether a byte is one of `.!?`."""
    return byte == 0x2E or byte == 0x21 or byte == 0x3F


@inner
def _skip_spaces(data: Bytes, at: int, hi: int, tables: Tables) -> int:
    r"""Byte behind the white space at `at`, as Rust has it: without U+001C to U+001F."""
    while at < hi:
        kind, width = class_at(data, at, tables)
        if not kind & SPACE or 0x1C <= data[at] <= 0x1F:
            break
        at += width
    return at


@inner
def _split_marks(data: Bytes, at: int, hi: int, tables: Tables) -> tuple[int, int]:
    r"""Byte where the sentence at `at` ends, at `[.!?]+\s+`, and where the next starts."""
    while at < hi:
        if not _is_mark(data[at]):
            at += 1
            continue
        end = at
        while at < hi and _is_mark(data[at]):
            at += 1
        after = _skip_spaces(data, at, hi, tables)
        if after > at:
            return end, after
    return hi, hi


@inner
def _has_many_capitals(data: Bytes, lo: int, hi: int, tables: Tables) -> bool:
    """Whether a sentence is in list case, by Unicode's words."""
    words, capitals = 0, 0
    while lo < hi:
        end, first = word_end(data, lo, hi, tables)
        is_word = first & ALNUM != 0
        at = lo
        while not is_word and at < end:  # such as `_x`
            kind, width = class_at(data, at, tables)
            is_word = kind & ALNUM != 0
            at += width
        words += is_word
        capitals += is_word and first & CAPITAL != 0
        lo = end
    return words >= LEAST_TOKENS and 2 * capitals > words


@inner
def count_datamap(data: Bytes, size: int, tables: Tables, tally: Counts) -> None:
    """Count the sentences of one document of `size` bytes as datamap-rs does."""
    at = 0
    while at < size:
        lo = at
        hi, at = _split_marks(data, at, size, tables)
        if _skip_spaces(data, lo, hi, tables) == hi:
            continue
        listed = _has_many_capitals(data, lo, hi, tables)
        cursed = is_cursed(data, (lo, hi), True)
        tally[v.MADLAD_DATAMAP + v.SENTENCES] += 1
        tally[v.MADLAD_DATAMAP + v.LIST_CASE] += listed
        tally[v.MADLAD_DATAMAP + v.CURSED] += cursed
        tally[v.MADLAD_DATAMAP + v.QUESTIONABLE] += listed or cursed


@inner
def _split_script(data: Bytes, at: int, hi: int, tables: Tables) -> tuple[int, int]:
    """Byte where the sentence at `at` ends, in any script, and where the next starts."""
    ended, unspaced, spaced = False, False, False
    while at < hi:
        kind, width = class_at(data, at, tables)
        if kind & BREAK:
            return at, at + width
        if kind & SPACE:
            if ended:
                return at, at + width
            spaced = unspaced
        else:
            if spaced and kind & ALONE:
                return at, at
            spaced = False
            ended = kind & TERMINAL != 0
            if not kind & MARK:
                unspaced = kind & ALONE != 0
            if ended and width > 1:
                after = at + width
                following = class_at(data, after, tables)[0] if after < hi else SPACE
                if not following & TERMINAL:
                    return after, after
        at += width
    return hi, hi


@inner
def _count_sentence(data: Bytes, span: tuple[int, int], tables: Tables, tally: Counts) -> None:
    """Count a sentence without white space around by the rules of the paper."""
    at, hi = span
    chars, technical, letters, unspaced, tokens, capitals = 0, 0, 0, 0, 0, 0
    within = False
    while at < hi:
        kind, width = class_at(data, at, tables)
        chars += 1
        technical += data[at] < 0x80 and _TECHNICAL[data[at]]
        letters += kind & ALPHA != 0
        unspaced += kind & ALONE != 0
        if kind & SPACE:
            within = False
        elif not within:
            within = True
            tokens += 1
            capitals += kind & CAPITAL != 0
        at += width
    listed = tokens >= LEAST_TOKENS and 2 * capitals > tokens
    odd = (chars < SHORTEST and 2 * unspaced <= letters) or chars > LONGEST
    jargon = TECHNICAL_PARTS * technical > chars
    cursed = is_cursed(data, span, False)
    tally[v.MADLAD_PAPER + v.SENTENCES] += 1
    tally[v.MADLAD_PAPER + v.LIST_CASE] += listed
    tally[v.MADLAD_PAPER + v.ODD_LENGTH] += odd
    tally[v.MADLAD_PAPER + v.TECHNICAL] += jargon
    tally[v.MADLAD_PAPER + v.CURSED] += cursed
    tally[v.MADLAD_PAPER + v.QUESTIONABLE] += listed or odd or jargon or cursed


@inner
def count_paper(data: Bytes, size: int, tables: Tables, tally: Counts) -> None:
    """Count the sentences of one document of `size` bytes as the paper."""
    at = 0
    while at < size:
        lo = at
        hi, at = _split_script(data, at, size, tables)
        span = strip(data, lo, hi, tables)
        if span[0] < span[1]:
            _count_sentence(data, span, tables, tally)


@njit(nogil=True, cache=True)
def count_madlad(
    texts: tuple[NDArray[np.uint8], NDArray[np.int64]],
    tables: NDArray[np.uint64],
    wanted: tuple[bool, bool],
    rows: NDArray[np.int64],
) -> None:
    """Fill the rows of all documents, as datamap-rs and as the paper where it is wanted.

    `texts` is their bytes, and the offsets of each. A way in of its own: 5 s of compiling that the
    other rule sets do not wait for.
    """
    letters, offsets = texts
    places: Tables = pointer(tables)
    for row in range(len(rows)):
        size = offsets[row + 1] - offsets[row]
        data: Bytes = pointer(letters[offsets[row] :])
        tally: Counts = pointer(rows[row])
        if wanted[0]:
            count_datamap(data, size, places, tally)
        if wanted[1]:
            count_paper(data, size, places, tally)
