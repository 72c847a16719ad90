"""C4's line rules: datatrove's `C4QualityFilter`, as FineWeb ran it, and TFDS' `c4_utils.py`.

A line is stripped, loses its citations (`[12]`, `[edit]`, `[citation needed]`), and is dropped for
the first reason of `_verdict`; all three try them in the same order. "lorem ipsum" and a curly
bracket drop the document, not the line: they are counted, and whether the first came first, so that
a rule can say which one it was. TFDS counts sentences with NLTK's Punkt model; here all are counted
as spaCy's sentencizer does.
"""

from typing import NamedTuple

import numpy as np

from cuvee.filters import tally as t
from cuvee.filters.characters import DECIMAL, class_at
from cuvee.filters.pointers import Bytes, Counts, Tables, inner, pasted

MAX_WORD = 1000  # characters of the longest word that a kept line may have


class LineRules(NamedTuple):
    """What differs from one tool to the next."""

    block: int  # where its counts go, from those of datatrove
    min_words: int  # words, split at white space, of a kept line
    uncited: bool  # whether these are counted without the citations
    terminal: bool  # whether a kept line must end with an end mark
    quote: bool  # whether the single quote is one


DATATROVE = LineRules(0, 3, False, True, True)
FINEWEB = LineRules(t.C4_BLOCK, 3, False, False, True)  # examples/fineweb.py of datatrove
TFDS = LineRules(2 * t.C4_BLOCK, 5, True, True, False)
ASK_DATATROVE, ASK_FINEWEB, ASK_TFDS = 1, 2, 4  # bits that say which are asked for

LOREM, JAVASCRIPT, CURLY, POLICY = 1, 2, 4, 8  # bits of `phrases`
_KELVIN = 0xE2  # first byte of U+212A, whose lower case is a plain k


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


_CITATIONS = (_bytes("[edit]"), _bytes("[citation needed]"))
# Each phrase is looked for at its rarest letter: the letter, and what stands before and after it.
_TERMS = (_bytes("terms o"), _bytes(" use"))
_PRIVACY = (_bytes("pri"), _bytes("acy policy"))
_IPSUM = (_bytes("lorem i"), _bytes("sum"))
_SCRIPT = _bytes("javascript")
_COOKIE_POLICY = (_bytes("coo"), _bytes("ie policy"))
_COOKIES = _bytes("ies")
_USED = (_bytes("uses coo"), _bytes("use of coo"), _bytes("use coo"))
_RARE = np.zeros(256, np.uint8)
_RARE[[*b"fvpjkFVPJK{", _KELVIN]] = 1


@inner
def _stands(line: Bytes, at: int, span: tuple[int, int], phrase: Bytes) -> bool:
    """Whether the phrase stands at byte `at` of the span, in small or capital letters."""
    if at < span[0] or at + len(phrase) > span[1]:
        return False
    for k in range(len(phrase)):
        byte = line[at + k]
        if byte != phrase[k] and not (0x41 <= byte <= 0x5A and byte + 0x20 == phrase[k]):
            return False
    return True


@inner
def _around(
    line: Bytes, letter: tuple[int, int], span: tuple[int, int], before: Bytes, after: Bytes
) -> bool:
    """Whether one phrase stands before the letter (its bytes) and the other after it."""
    start = letter[0] - len(before)
    return _stands(line, letter[1], span, after) and _stands(line, start, span, before)


@inner
def _cookies(line: Bytes, letter: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether one of the phrases about cookies has this k."""
    if _around(line, letter, span, _COOKIE_POLICY[0], _COOKIE_POLICY[1]):
        return True
    if not _stands(line, letter[1], span, _COOKIES):
        return False
    found = False
    for used in _USED:
        found |= _stands(line, letter[0] - len(used), span, used)
    return found


@inner
def _phrase_at(line: Bytes, at: int, span: tuple[int, int]) -> int:
    """Find the phrase that has its rarest letter at byte `at`."""
    folded = line[at] | 0x20
    letter = (at, at + 1)
    if folded == 0x6B:  # k
        return POLICY if _cookies(line, letter, span) else 0
    if line[at] == _KELVIN:
        kelvin = at + 2 < span[1] and line[at + 1] == 0x84 and line[at + 2] == 0xAA
        return POLICY if kelvin and _cookies(line, (at, at + 3), span) else 0
    if folded == 0x66:  # f
        return POLICY if _around(line, letter, span, _TERMS[0], _TERMS[1]) else 0
    if folded == 0x76:  # v
        return POLICY if _around(line, letter, span, _PRIVACY[0], _PRIVACY[1]) else 0
    if folded == 0x70:  # p
        return LOREM if _around(line, letter, span, _IPSUM[0], _IPSUM[1]) else 0
    if folded == 0x6A:  # j
        return JAVASCRIPT if _stands(line, at, span, _SCRIPT) else 0
    return CURLY


@inner
def phrases(line: Bytes, span: tuple[int, int]) -> int:
    """Bits of the phrases and marks that a line holds."""
    found = 0
    for at in range(span[0], span[1]):
        if _RARE[line[at]]:
            found |= _phrase_at(line, at, span)
    return found


@inner
def _citation(line: Bytes, at: int, hi: int, tables: Tables) -> int:
    """Byte where the citation that starts at the bracket `at` ends; `at` when there is none."""
    end = at + 1
    while end < hi:
        kind, width = class_at(line, end, tables)
        if not kind & DECIMAL:
            break
        end += width
    if end < hi and line[end] == 0x5D:
        return end + 1
    for known in _CITATIONS:
        end = at + len(known)
        same = end <= hi
        for k in range(len(known)):
            same = same and line[at + k] == known[k]
        if same:
            return end
    return at


@inner
def has_citation(line: Bytes, span: tuple[int, int], tables: Tables) -> bool:
    """Whether the line holds a citation."""
    for at in range(span[0], span[1]):
        if line[at] == 0x5B and _citation(line, at, span[1], tables) > at:
            return True
    return False


@inner
def uncite(line: Bytes, span: tuple[int, int], tables: Tables) -> Bytes:
    """Return the line without its citations, as an array."""
    at, hi = span
    edited = np.empty(hi - at, np.uint8)
    size = 0
    while at < hi:
        end = _citation(line, at, hi, tables) if line[at] == 0x5B else at
        if end == at:
            edited[size] = line[at]
            size += 1
            end += 1
        at = end
    return edited[:size]


@inner
def _ends_well(line: Bytes, span: tuple[int, int], quote: bool) -> bool:
    """Whether the line ends with one of . ? ! " or, if so asked, ' and not with three dots."""
    lo, hi = span
    if hi == lo or line[hi - 1] not in (0x2E, 0x3F, 0x21, 0x22, 0x27):
        return False
    if line[hi - 1] == 0x27 and not quote:
        return False
    dots = 0
    while dots < 3 and hi - dots > lo and line[hi - dots - 1] == 0x2E:
        dots += 1
    return dots < 3


class Line(NamedTuple):
    """A line, stripped and without its citations, and what was counted of it."""

    data: Bytes
    span: tuple[int, int]
    longest: int  # characters of its longest word, citations included
    words: int  # with the citations
    uncited_words: int
    sentences: int


@pasted
def _verdict(line: Line, rules: LineRules, tally: Counts) -> int:
    """Tally name of the reason to drop a line, -1 to keep it."""
    if line.longest > MAX_WORD:
        return t.C4_LONG_WORD
    if rules.terminal and not _ends_well(line.data, line.span, rules.quote):
        return t.C4_NO_TERMINAL
    if (line.uncited_words if rules.uncited else line.words) < rules.min_words:
        return t.C4_FEW_WORDS
    found = phrases(line.data, line.span)
    if found & LOREM:
        tally[rules.block + t.C4_LOREM] += 1
        if tally[rules.block + t.C4_CURLY] == 0:
            tally[rules.block + t.C4_LOREM_FIRST] = 1
    if found & JAVASCRIPT:
        return t.C4_JAVASCRIPT
    if found & CURLY:
        tally[rules.block + t.C4_CURLY] += 1
    return t.C4_POLICY if found & POLICY else -1


@inner
def _judge_line(line: Line, rules: LineRules, tally: Counts) -> None:
    """Count a line for the reason that drops it, or its sentences if it is kept."""
    tally[rules.block + t.C4_LINES] += 1
    reason = _verdict(line, rules, tally)
    if reason >= 0:
        tally[rules.block + reason] += 1
    else:
        tally[rules.block + t.C4_SENTENCES] += line.sentences


@inner
def judge_line(line: Line, asked: int, tally: Counts) -> None:
    """Judge a line by all rules that are asked for."""
    if asked & ASK_DATATROVE:
        _judge_line(line, DATATROVE, tally)
    if asked & ASK_FINEWEB:
        _judge_line(line, FINEWEB, tally)
    if asked & ASK_TFDS:
        _judge_line(line, TFDS, tally)
