r"""Cut spans out of texts, or put something else in their place, and say what went.

A *span* is a stretch of a document's UTF-8 bytes, half open, that starts and ends between
characters. A *cut* takes a span out; a *mask* puts a replacement in its place. Spans that overlap
are one: where one of them is a cut the whole of it is cut out, else the first one's replacement
stands for all, the longest of those that start together. Spans that only touch do not overlap.

A *line* is what lies between two line feeds; a line's number counts from 0.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.edit_tally import FIRST_LINES
from cuvee.filters.edits import RECORDS
from cuvee.filters.shingles import utf8_views

I64 = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_BETWEEN = "\0"  # a step and a reason
_CUT = -1  # in the place of a replacement's number
_N_LINES, _N_CHARS, _LINES = 0, 1, 2  # columns of what is counted


class _Pieces(NamedTuple):
    """Replacements, one behind the other: piece i is `data[ends[i] : ends[i + 1]]`."""

    data: Bytes
    ends: I64


def apply(texts: pa.LargeStringArray, cuts: pa.Table) -> pa.LargeStringArray:
    r"""Return the texts without what is cut out, and with the replacements of what is masked.

    `cuts` has the columns `row`, `start`, `end` (int64) and `replacement` (string, NULL cuts) in
    any order; `texts` have no NULL. Runs without the GIL; 500 MB/s where a tenth of the lines goes.

    >>> columns = {"row": [0], "start": [4], "end": [8], "replacement": pa.array([None], "str")}
    >>> cuts = pa.table(columns)
    >>> apply(pa.array(["One\ntwo\nten"], pa.large_string()), cuts)[0].as_py()
    'One\nten'
    """
    row, start, end = (_numbers(cuts, name) for name in ("row", "start", "end"))
    order = np.lexsort((-end, start, row))
    spans = np.stack([row, start, end], axis=1)[order]
    replacements = cuts.column("replacement").combine_chunks().dictionary_encode()
    joined = cast("pa.DictionaryArray[Any, Any]", _one(replacements))
    numbers = joined.indices.fill_null(_CUT).to_numpy().astype(np.int64)[order]
    values = [str(value).encode() for value in joined.dictionary]
    lengths = np.array([len(value) for value in values], np.int64)
    pieces = _Pieces(
        np.frombuffer(b"".join(values), np.uint8), np.concatenate([[0], np.cumsum(lengths)])
    )
    bounds, data = utf8_views(texts)
    more = int(lengths[numbers[numbers >= 0]].sum()) if len(values) else 0
    out = np.empty(int(bounds[-1] - bounds[0]) + more, np.uint8)
    ends = _apply(bounds, data, spans, numbers, pieces, out)
    buffers = [None, pa.py_buffer(ends.data), pa.py_buffer(out[: ends[-1]].data)]
    array = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
    return cast("pa.LargeStringArray", array)


def records(texts: pa.LargeStringArray, cuts: pa.Table) -> pa.Table:
    """Say what the cuts take out of each text: a row of `RECORDS` a document, step and reason.

    `cuts` has the columns `row`, `start`, `end`, `step` and `reason`. The lines are those that lose
    a character, line feeds are no characters, and what two steps cut is counted for both.
    """
    steps, reasons = (_one(cuts.column(name)).cast(pa.string()) for name in ("step", "reason"))
    pairs = pc.binary_join_element_wise(steps, reasons, _BETWEEN).dictionary_encode()
    found = [str(pair) for pair in pairs.dictionary]
    known = sorted(found)  # whichever comes first in the cuts
    place = np.array([known.index(pair) for pair in found], np.int64)
    code = place[pairs.indices.to_numpy()]
    row, start, end = (_numbers(cuts, name) for name in ("row", "start", "end"))
    order = np.lexsort((start, code, row))
    spans = np.stack([row, start, end], axis=1)[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(row[order]) != 0) | (np.diff(code[order]) != 0)
    groups = np.concatenate([np.flatnonzero(first), [len(order)]])
    bounds, data = utf8_views(texts)
    counted = _count(bounds, data, spans, groups)
    of_group = code[order][groups[:-1]]
    shown = np.minimum(counted[:, _N_LINES], FIRST_LINES)
    ends = np.concatenate([[0], np.cumsum(shown)]).astype(np.int32)
    lines = counted[:, _LINES:][np.arange(FIRST_LINES) < shown[:, None]].astype(np.int32)
    columns = [
        pa.array(row[order][groups[:-1]]),
        pa.array([known[n].split(_BETWEEN)[0] for n in of_group], pa.string()),
        pa.array([known[n].split(_BETWEEN)[1] for n in of_group], pa.string()),
        pa.array(counted[:, _N_LINES].astype(np.int32)),
        pa.ListArray.from_arrays(
            cast("pa.Int32Array", pa.array(ends)), cast("pa.Int32Array", pa.array(lines))
        ),
        pa.array(counted[:, _N_CHARS]),
    ]
    return pa.table(columns, schema=RECORDS)


def _numbers(cuts: pa.Table, name: str) -> I64:
    """Return a column of int64."""
    return cuts.column(name).to_numpy()


def _one(column: Any) -> Any:
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


@njit(nogil=True, cache=True)
def _copy(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy bytes behind byte `at` of `out`; return where they end."""
    out[at : at + end - start] = data[start:end]
    return at + end - start


@njit(nogil=True, cache=True)
def _apply(bounds: I64, data: Bytes, spans: I64, numbers: I64, pieces: _Pieces, out: Bytes) -> I64:
    """Write the texts without the spans, which are ordered by row and start; return the ends."""
    ends = np.zeros(bounds.size, np.int64)
    span, at = 0, 0
    for doc in range(bounds.size - 1):
        base, done = bounds[doc], bounds[doc]
        while span < len(spans) and spans[span, 0] == doc:
            start, end, number = spans[span, 1], spans[span, 2], numbers[span]
            span += 1
            while span < len(spans) and spans[span, 0] == doc and spans[span, 1] < end:
                end = max(end, spans[span, 2])
                number = _CUT if numbers[span] == _CUT else number
                span += 1
            at = _copy(data, done, base + start, out, at)
            if number != _CUT:
                at = _copy(pieces.data, pieces.ends[number], pieces.ends[number + 1], out, at)
            done = base + end
        at = _copy(data, done, bounds[doc + 1], out, at)
        ends[doc + 1] = at
    return ends


@njit(nogil=True, cache=True)
def _count(bounds: I64, data: Bytes, spans: I64, groups: I64) -> I64:
    """Count lines and characters of each group of spans: int64 [groups, 2 + FIRST_LINES]."""
    counted = np.zeros((len(groups) - 1, _LINES + FIRST_LINES), np.int64)
    for group in range(len(groups) - 1):
        base = bounds[spans[groups[group], 0]]
        at, line, last = base, 0, -1
        for span in range(groups[group], groups[group + 1]):
            start, end = base + spans[span, 1], base + spans[span, 2]
            while at < end:
                if data[at] == 0x0A:
                    line += 1
                elif at >= start:
                    if line > last:
                        if counted[group, _N_LINES] < FIRST_LINES:
                            counted[group, _LINES + counted[group, _N_LINES]] = line
                        counted[group, _N_LINES] += 1
                        last = line
                    counted[group, _N_CHARS] += data[at] & 0xC0 != 0x80
                at += 1
    return counted
