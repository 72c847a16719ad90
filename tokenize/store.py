"""The token store's arrays, and the layout of a sequence.

The *token store* of a source is a table of documents as bytes; a *part* is a piece of it. A
*sequence* is a row of seq_len + 1 slots. Its segments tile the first slots without gaps, padding
follows, and the last slot is the *lookahead*: the token after a segment that fills the sequence
while its document goes on, so that no target is lost.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.tokenize.pack import Segments


class Encoded(NamedTuple):
    """The ids of documents: document i is ids[offsets[i]:offsets[i + 1]].

    `ids` are uint16 or uint32, `offsets` int64[documents + 1], the first 0.
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]


class Part(NamedTuple):
    """Documents `first_row`, `first_row` + 1, ... of a source's token store.

    The ids (uint16 or uint32) of the i-th of them are ids[offsets[i]:offsets[i + 1]]; `offsets`
    are int64, in tokens.
    """

    ids: NDArray[Any]
    offsets: NDArray[np.int64]
    first_row: int


def to_blobs(documents: Encoded) -> pa.LargeBinaryArray:
    """Wrap encoded documents as a column of bytes, one value a document, without a copy of ids."""
    width = documents.ids.dtype.itemsize
    ends = pa.py_buffer((documents.offsets * width).data)
    ids = pa.py_buffer(documents.ids.data)
    rows = len(documents.offsets) - 1
    column = pa.LargeBinaryArray.from_buffers(pa.large_binary(), rows, [None, ends, ids])
    return cast("pa.LargeBinaryArray", column)


def from_blobs(column: pa.LargeBinaryArray, dtype: np.dtype[Any]) -> Encoded:
    """View a column of bytes as encoded documents, without a copy of ids. The inverse."""
    if not len(column):  # Arrow may then have no buffers
        return Encoded(np.empty(0, dtype), np.zeros(1, np.int64))
    _, ends, ids = cast("list[memoryview]", column.buffers())
    bounds = np.frombuffer(ends, np.int64)[column.offset :][: len(column) + 1]
    tokens = np.frombuffer(ids, np.uint8)[bounds[0] : bounds[-1]].view(dtype)
    return Encoded(tokens, (bounds - bounds[0]) // dtype.itemsize)


def scatter(
    part: Part, segments: Segments, rows: NDArray[np.int64], out: NDArray[Any]
) -> NDArray[np.bool_]:
    """Write the segments' tokens into `out`, and their lookaheads.

    `out` is [sequences, seq_len + 1] in the dtype of `part.ids`, filled with the pad id before.
    Segment k, of a document of this part, goes to out[rows[k]]. Returns for each segment whether
    its lookahead was written. Calls for other segments may run at the same time.
    """
    return _scatter(part, segments, rows, np.asarray(out))


def cu_seqlens(segments: Segments) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """List the document boundaries of each sequence in `segments`: 0, then each segment's end.

    Returns them one sequence after another, and int64[sequences + 1] offsets between sequences.
    The last boundary of a sequence is its number of real tokens.
    """
    opens = np.flatnonzero(segments.offset == 0)
    boundaries = np.insert(segments.offset + segments.length, opens, 0).astype(np.int32)
    bounds = np.append(opens, len(segments.offset)) + np.arange(len(opens) + 1)
    return boundaries, bounds


@njit(nogil=True, cache=True)
def _scatter(
    part: Part, segments: Segments, rows: NDArray[np.int64], out: NDArray[Any]
) -> NDArray[np.bool_]:
    ahead = np.zeros(len(rows), np.bool_)
    seq_len = out.shape[1] - 1
    for k in range(len(rows)):
        document = segments.doc_row[k] - part.first_row
        at = part.offsets[document] + segments.doc_start[k]
        length, offset = segments.length[k], segments.offset[k]
        out[rows[k], offset : offset + length] = part.ids[at : at + length]
        if offset + length == seq_len and at + length < part.offsets[document + 1]:
            out[rows[k], seq_len] = part.ids[at + length]
            ahead[k] = True
    return ahead


def scatter_targets(
    part: Part, segments: Segments, rows: NDArray[np.int64], out: NDArray[np.bool_]
) -> None:
    """Write into `out` [sequences, seq_len] whether the token behind each slot bears loss.

    `part.ids` is bool, one a token. A slot whose target is of no token of its document is left.
    """
    _scatter_targets(part, segments, rows, np.asarray(out))


def scatter_rows(
    part: Part, segments: Segments, rows: NDArray[np.int64], out: NDArray[Any]
) -> None:
    """Write into `out` [sequences, seq_len, k] what `part.ids` [tokens, k] has for each token.

    Documents without tokens there are passed over.
    """
    for k in range(len(rows)):
        document = segments.doc_row[k] - part.first_row
        first, end = part.offsets[document], part.offsets[document + 1]
        if end > first:
            at, offset, length = (
                first + segments.doc_start[k],
                segments.offset[k],
                segments.length[k],
            )
            out[rows[k], offset : offset + length] = part.ids[at : at + length]


@njit(nogil=True, cache=True)
def _scatter_targets(
    part: Part, segments: Segments, rows: NDArray[np.int64], out: NDArray[np.bool_]
) -> None:
    for k in range(len(rows)):
        document = segments.doc_row[k] - part.first_row
        at = part.offsets[document] + segments.doc_start[k] + 1
        end = min(at + segments.length[k], part.offsets[document + 1])
        offset = segments.offset[k]
        out[rows[k], offset : offset + max(0, end - at)] = part.ids[at:end]
