"""Edits: rules that change a document's text, each recorded by what, how many and which lines.

An *edit* is known by whose rules it follows. A *reason* is why a line was dropped, or what was
deleted from it; `white_space` says that nothing but white space around lines has gone. A *line's
number* counts from 0 in the text that the edit got. Edits never lengthen a text.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.filters import edit_tally as e
from cuvee.filters.c4_edits import C4Lines, edit_c4
from cuvee.filters.edit_classes import flags
from cuvee.filters.names import tables
from cuvee.filters.refinedweb_edits import edit_refinedweb
from cuvee.filters.shingles import utf8_views

_COLUMNS: list["pa.Field[Any]"] = [
    pa.field("row", pa.int64()),
    pa.field("edit", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("n_lines", pa.int32()),
    pa.field("lines", pa.list_(pa.int32())),
    pa.field("n_chars", pa.int64()),
]
RECORDS = pa.schema(_COLUMNS)
"""Columns of an edit's records: the document's row, how many lines, the numbers of the first 16,
and the characters that were dropped with them or deleted from them."""

REMOVED_WORDS = "refinedweb_lines_dclm_removed_words"


class Changes(NamedTuple):
    """What one edit makes of a batch: texts, records (`RECORDS`), and columns by document."""

    texts: pa.LargeStringArray
    records: pa.Table
    signals: dict[str, NDArray[np.float64]]


class Edited(NamedTuple):
    """Edited texts, a record for each document, edit and reason, and signals that edits give.

    `signals` has a row per document and the column `refinedweb_lines_dclm_removed_words` (float64,
    the share of words removed) where `refinedweb_lines@dclm` was asked for.
    """

    texts: pa.LargeStringArray
    records: pa.Table
    signals: pa.Table


class _Batch(NamedTuple):
    """Texts as the kernels read them, and room for what they write."""

    texts: tuple[NDArray[np.uint8], NDArray[np.int64]]
    out: NDArray[np.uint8]
    ends: NDArray[np.int64]


def _batch(texts: pa.LargeStringArray) -> _Batch:
    """Open a batch; `texts` has no NULL."""
    offsets, data = utf8_views(texts)
    room = int(offsets[-1] - offsets[0])
    return _Batch((data, offsets), np.empty(room, np.uint8), np.zeros(len(texts) + 1, np.int64))


def _written(batch: _Batch) -> pa.LargeStringArray:
    """Return the texts that a kernel wrote."""
    ends = pa.py_buffer(batch.ends.tobytes())
    letters = pa.py_buffer(batch.out[: batch.ends[-1]].tobytes())
    array = pa.Array.from_buffers(pa.large_string(), len(batch.ends) - 1, [None, ends, letters])
    return cast("pa.LargeStringArray", array)


def _records(rows: NDArray[np.int64]) -> pa.Table:
    """Return the kernels' rows as records; the name of the edit is filled in by `edit`."""
    counted = rows[:, 2:]
    named = np.minimum(counted[:, e.N_LINES], e.FIRST_LINES)
    ends = np.concatenate([[0], np.cumsum(named)]).astype(np.int32)
    numbers = counted[:, e.LINES :][np.arange(e.FIRST_LINES) < named[:, None]].astype(np.int32)
    reasons = pa.DictionaryArray.from_arrays(rows[:, 1].astype(np.int32), pa.array(e.REASONS))
    columns = [
        pa.array(rows[:, 0]),
        pa.nulls(len(rows), pa.string()),
        reasons.cast(pa.string()),
        pa.array(counted[:, e.N_LINES].astype(np.int32)),
        pa.ListArray.from_arrays(
            cast("pa.Int32Array", pa.array(ends)), cast("pa.Int32Array", pa.array(numbers))
        ),
        pa.array(counted[:, e.N_CHARS]),
    ]
    return pa.table(columns, schema=RECORDS)


def _c4(rule: C4Lines) -> Callable[[pa.LargeStringArray], Changes]:
    """Return the edit of one peer's C4 line rules."""

    def change(texts: pa.LargeStringArray) -> Changes:
        batch = _batch(texts)
        rows = edit_c4(batch.texts, (flags(), tables()), rule, batch.out, batch.ends)
        return Changes(_written(batch), _records(rows), {})

    return change


def _refinedweb(texts: pa.LargeStringArray) -> Changes:
    """Apply RefinedWeb's line rules."""
    batch, removed = _batch(texts), np.zeros(len(texts))
    rows = edit_refinedweb(batch.texts, flags(), batch.out, batch.ends, removed)
    return Changes(_written(batch), _records(rows), {REMOVED_WORDS: removed})


EDITS: dict[str, Callable[[pa.LargeStringArray], Changes]] = {
    # datatrove 0.10 `C4QualityFilter` (filters/c4_filters.py), its defaults.
    "c4_lines@datatrove": _c4(C4Lines(True, True, 3, True)),
    # The same with filter_no_terminal_punct=False (examples/fineweb.py).
    "c4_lines@fineweb": _c4(C4Lines(False, True, 3, True)),
    # `clean_page` of TensorFlow Datasets (text/c4_utils.py).
    "c4_lines@tfds": _c4(C4Lines(True, False, 5, False)),
    "refinedweb_lines@dclm": _refinedweb,
}
"""Every edit: a function of texts without NULL."""


def known_edit(name: str) -> str:
    """Return the name of an edit, or raise `RecipeError` with the names there are."""
    if name not in EDITS:
        close = difflib.get_close_matches(name, EDITS, n=1, cutoff=0.4)
        raise RecipeError(
            f"there is no edit {name!r}.",
            f"Known are {', '.join(EDITS)}.",
            f"Did you mean {close[0]!r}?" if close else "",
        )
    return name


def edit(texts: pa.LargeStringArray, edits: Sequence[str]) -> Edited:
    r"""Apply edits in order, each to what the one before left; a NULL text counts as empty.

    Runs without the GIL; call it from threads, a few thousand documents at a time. Raises
    `RecipeError` for an edit that does not exist.

    >>> page = pa.array(["Home\nThe cat sat on the mat.[1]\n"], pa.large_string())
    >>> edited = edit(page, ["c4_lines@datatrove"])
    >>> edited.texts[0].as_py(), edited.records["reason"].to_pylist()
    ('The cat sat on the mat.', ['no_terminal_punct', 'citation'])
    """
    names = [known_edit(name) for name in edits]
    texts = cast("pa.LargeStringArray", texts.fill_null(""))
    records = [RECORDS.empty_table()]
    signals: dict[str, NDArray[np.float64]] = {}
    for name in names:
        changes = EDITS[name](texts)
        texts = changes.texts
        named = pa.repeat(pa.scalar(name, pa.string()), len(changes.records))
        records.append(changes.records.set_column(1, RECORDS.field("edit"), named))
        signals |= changes.signals
    found = {name: pa.array(values) for name, values in signals.items()}
    return Edited(texts, pa.concat_tables(records), pa.table(found))
