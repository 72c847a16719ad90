"""What is cut out of a document that has hits and stays: the hits themselves, or their paragraphs.

A *paragraph* is a maximal run of lines of which none is empty; a line of white space is empty. It
goes with the empty lines behind it or, if it is the last one, with those before it. A hit that
lies in several paragraphs takes them all. A *masked* hit leaves one space behind (`MASK`).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

MASK = " "

_EMPTY_LINES = re.compile(rb"\n(?:[ \t\r\f\v]*\n)+")


class Cut(NamedTuple):
    """Bytes `start` to `end` of the text of document `row`, and what stands there then, if any."""

    row: int
    start: int
    end: int
    replacement: str | None


class Stretch(NamedTuple):
    """A hit as bytes of the text of document `row`; whether its whole paragraph goes."""

    row: int
    start: int
    end: int
    paragraph: bool


def cuts_of(texts: Sequence[bytes], hits: Iterable[Stretch]) -> list[Cut]:
    """Give the cuts of hits that are ordered by row: ordered, disjoint, the fewest there can be.

    `texts` are those of the rows with hits, in order. Where a masked hit overlaps a paragraph that
    goes, both go.
    """
    cuts = []
    rows = groupby(hits, key=lambda hit: hit.row)
    for text, (row, here) in zip(texts, rows, strict=True):
        bounds = list(_paragraph_bounds(text))
        spans = [
            (*_around(hit, bounds), None) if hit.paragraph else (hit.start, hit.end, MASK)
            for hit in here
        ]
        cuts += [Cut(row, *span) for span in _merged(spans)]
    return cuts


def _paragraph_bounds(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield the first byte of each paragraph and the one behind its last."""
    start = 0
    for gap in _EMPTY_LINES.finditer(text):
        yield start, gap.start()
        start = gap.end()
    yield start, len(text)


def _around(hit: Stretch, bounds: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Give the bytes that go where the paragraphs of a hit go."""
    first = bisect_right(bounds, hit.start, key=itemgetter(0)) - 1
    last = bisect_left(bounds, hit.end, key=itemgetter(1))
    if last + 1 < len(bounds):
        return bounds[first][0], bounds[last + 1][0]
    return (bounds[first - 1][1] if first else 0), bounds[last][1]


def _merged(
    spans: Iterable[tuple[int, int, str | None]],
) -> Iterator[tuple[int, int, str | None]]:
    """Join spans that overlap; nothing stands for one of which a part leaves nothing."""
    held: tuple[int, int, str | None] | None = None
    for start, end, mask in sorted(spans, key=lambda span: span[:2]):
        if held is not None and start < held[1]:
            held = held[0], max(end, held[1]), None if mask is None else held[2]
            continue
        if held is not None:
            yield held
        held = start, end, mask
    if held is not None:
        yield held
