r"""The paragraphs of texts, and the language of each.

A *paragraph* is a run of lines between blank lines, if the text has a blank line between others;
else each line is one, as in web pages and chats, whose text has no blank lines. A line ends at \n,
and is blank when it has nothing but ASCII white space. What shows no character, or gets no label of
the model, is not counted; every other paragraph counts by its characters, however short it is.
"""

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import fasttext_scores
from cuvee.filters.characters import count_chars
from cuvee.filters.fasttext_scores import UNLISTED
from cuvee.filters.models import FastText
from cuvee.filters.pointers import Bytes, inlined, pointer
from cuvee.filters.shingles import utf8_views

I64 = NDArray[np.int64]

MOST = 3  # languages listed of a document
SHARES = pa.list_(pa.struct([("language", pa.string()), ("share", pa.float32())]))
"""The type of a document's languages: their shares of its characters, the largest first."""


class Paragraphs(NamedTuple):
    """One row a paragraph, in the order of the texts.

    `spans` int64 [paragraphs, 2] are bytes of the texts' data, `text` int64 the number of the text,
    `chars` int64 the characters (code points), newlines inside among them.
    """

    spans: I64
    text: I64
    chars: I64


class Mixed(NamedTuple):
    """One row a text: how much of it is in its own language, and which are in it.

    `own` float32 in [0, 1] is the share of the paragraphs' characters whose language is that of the
    text, NULL where the text or all paragraphs have none; `languages` is of type `SHARES`.
    """

    own: "pa.Array[Any]"
    languages: "pa.ListArray[Any]"


def split(texts: pa.LargeStringArray) -> Paragraphs:
    """Find the paragraphs of texts."""
    offsets, data = utf8_views(texts)
    lines = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == 0x0A)) + len(texts)
    found = Paragraphs(
        np.zeros((lines, 2), np.int64), np.zeros(lines, np.int64), np.zeros(lines, np.int64)
    )
    n = _split(offsets, data, found)
    return Paragraphs(*(column[:n] for column in found))


def languages(model: FastText, texts: pa.LargeStringArray, language: pa.StringArray) -> Mixed:
    """Say which languages the paragraphs of texts are in, and how many are in the text's own."""
    _, data = utf8_views(texts)
    paragraphs = split(texts)
    sums = model.sums(data, paragraphs.spans, joined=False)
    label = fasttext_scores.best(model.output, sums).label
    known = np.flatnonzero(sums.visible & (label != UNLISTED))
    text, chars = paragraphs.text[known], paragraphs.chars[known]
    total = np.bincount(text, chars, len(texts))
    pairs, place = np.unique(text * len(model.names) + label[known], return_inverse=True)
    texts_, labels = np.divmod(pairs, len(model.names))
    shares = (np.bincount(place, chars, len(pairs)) / total[texts_]).astype(np.float32)
    names = pa.array(model.names, pa.string())
    found: Any = pc.index_in(language, value_set=names)
    asked = found.fill_null(UNLISTED).to_numpy()
    own = np.zeros(len(texts), np.float32)
    is_own = asked[texts_] == labels
    own[texts_[is_own]] = shares[is_own]
    largest = _largest(texts_, names.take(labels), shares, len(texts))
    return Mixed(pa.array(own, mask=(total == 0) | (asked == UNLISTED)), largest)


def _largest(
    text: I64, names: pa.StringArray, shares: NDArray[np.float32], n_texts: int
) -> "pa.ListArray[Any]":
    """List the languages with the largest shares of each text; of equal ones the model's first."""
    order = np.lexsort((np.arange(len(text)), -shares, text))
    counts = np.bincount(text, minlength=n_texts)
    starts = np.cumsum(counts) - counts
    listed = order[np.arange(len(text)) - np.repeat(starts, counts) < MOST]
    columns: list[Any] = [names.take(listed), pa.array(shares[listed])]
    structs = pa.StructArray.from_arrays(columns, fields=list(SHARES.value_type))
    ends = [0, *accumulate(np.minimum(counts, MOST).tolist())]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), structs, type=SHARES)


@njit(nogil=True, cache=True)
def _split(offsets: I64, data: NDArray[np.uint8], found: Paragraphs) -> int:
    """Write the paragraphs of every text; how many there are."""
    n = 0
    for text in range(len(offsets) - 1):
        span = (offsets[text], offsets[text + 1])
        by_line = not _has_blank_line(pointer(data), span)
        at, hi = span
        open_ = False
        while at < hi:
            end, blank = _line_end(pointer(data), at, hi)
            if not blank and not open_:
                found.spans[n, 0], found.text[n] = at, text
                n += 1
            if not blank:
                found.spans[n - 1, 1] = end
            open_ = not blank and not by_line
            at = end + 1
    for paragraph in range(n):
        lo, hi = found.spans[paragraph]
        found.chars[paragraph] = count_chars(pointer(data), lo, hi)
    return n


@inlined
def _line_end(data: Bytes, at: int, hi: int) -> tuple[int, bool]:
    """Byte where the line that starts at `at` ends, and whether it is blank."""
    blank = True
    while at < hi and data[at] != 0x0A:
        blank &= (data[at] == 0x20) | (data[at] == 0x09) | (0x0B <= data[at] <= 0x0D)
        at += 1
    return at, blank


@inlined
def _has_blank_line(data: Bytes, span: tuple[int, int]) -> bool:
    """Say whether a blank line lies between two that are not."""
    at, hi = span
    begun, gap = False, False
    while at < hi:
        at, blank = _line_end(data, at, hi)
        if gap and not blank:
            return True
        begun |= not blank
        gap = blank and begun
        at += 1
    return False
