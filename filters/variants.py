"""Count a batch of documents for the rule sets of Dolma, DCLM, NeMo, MADLAD-400, and for code.

Each document is walked once per splitter that is asked for, while it is in the cache.
"""

import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import variant_tally as v
from cuvee.filters.boundaries import split_boundaries
from cuvee.filters.grams import Work, count_bounded_grams, count_spaced_grams
from cuvee.filters.madlad import count_madlad
from cuvee.filters.pointers import Bytes, Tables, inner, pointer
from cuvee.filters.repetition import slots_log2
from cuvee.filters.segments import DCLM, DOLMA, NEMO, count_segments
from cuvee.filters.source_code import count_code
from cuvee.filters.whitespace import LENGTHS, split_whitespace

_LEVEL = 6  # of zlib: its default, and gzip's


class Wanted(NamedTuple):
    """Which counts are wanted."""

    spaced: bool  # of spaced words, for quality
    spaced_grams: bool
    bounded_grams: bool
    dolma_lines: bool
    dclm_lines: bool
    nemo_lines: bool
    code: bool
    madlad_datamap: bool
    madlad_paper: bool
    compressed: bool


class Room(NamedTuple):
    """Scratch of one call, for its largest document: an entry a word, touched where needed."""

    words: NDArray[np.uint64]  # [words, 3], see scan.py
    starts: NDArray[np.int64]
    grams: NDArray[np.uint64]
    slots: NDArray[np.int32]
    places: NDArray[np.int32]  # [4, words], see `Work`
    lengths: NDArray[np.int64]


def _room(words: int, wanted: Wanted) -> Room:
    """Scratch for documents of so many words at most."""
    words = words if wanted.spaced or wanted.spaced_grams or wanted.bounded_grams else 0
    return Room(
        words=np.empty((words, 3), np.uint64),
        starts=np.empty(words, np.int64),
        grams=np.empty(words, np.uint64),
        slots=np.zeros((1 << slots_log2(words)) + 1, np.int32),
        places=np.empty((4, words), np.int32),
        lengths=np.empty(LENGTHS, np.int64),
    )


@inner
def _work(room: Room, count: int) -> Work:
    """Return what the grams of so many words are counted with."""
    kept = min(count, len(room.starts))
    return Work(
        pointer(room.words),
        pointer(room.grams),
        room.slots,
        pointer(room.places[0]),
        pointer(room.places[1]),
        pointer(room.places[2]),
        pointer(room.places[3]),
        kept,
    )


@inner
def _count_lines(
    data: Bytes, size: int, places: Tables, wanted: Wanted, row: NDArray[np.int64]
) -> None:
    """Count the segments of one document."""
    tally = pointer(row)
    if wanted.dolma_lines:
        count_segments(data, size, places, DOLMA, tally)
    if wanted.dclm_lines:
        count_segments(data, size, places, DCLM[0], tally)
        count_segments(data, size, places, DCLM[1], tally)
    if wanted.nemo_lines:
        count_segments(data, size, places, NEMO[0], tally)
        count_segments(data, size, places, NEMO[1], tally)


@inner
def _count_document(
    text: NDArray[np.uint8],
    tables: NDArray[np.uint64],
    room: Room,
    wanted: Wanted,
    row: NDArray[np.int64],
) -> None:
    """Fill the row of one document, an array of its bytes."""
    size, most = len(text), len(room.starts)
    data, places, tally = pointer(text), pointer(tables), pointer(row)
    words, starts = pointer(room.words), pointer(room.starts)
    _count_lines(data, size, places, wanted, row)
    if wanted.spaced or wanted.spaced_grams:
        room.lengths[:] = 0
        split_whitespace((data, size), places, (words, starts, most), room.lengths, tally)
    if wanted.spaced_grams:
        count_spaced_grams((data, size), starts, _work(room, row[v.SPACED_WORDS]), tally)
    if wanted.bounded_grams:
        split_boundaries((data, size), places, words, most, tally)
        count_bounded_grams(_work(room, row[v.BOUNDED_WORDS]), tally)
    if wanted.code:
        count_code(data, size, places, tally)


@njit(nogil=True, cache=True)
def _count_documents(
    texts: tuple[NDArray[np.uint8], NDArray[np.int64]],
    tables: NDArray[np.uint64],
    room: Room,
    wanted: Wanted,
    rows: NDArray[np.int64],
) -> None:
    """Fill the rows of all documents: `texts` is their bytes, and the offsets of each."""
    data, offsets = texts
    for row in range(len(rows)):
        _count_document(data[offsets[row] : offsets[row + 1]], tables, room, wanted, rows[row])


def count_variants(
    texts: tuple[NDArray[np.uint8], NDArray[np.int64]],
    tables: NDArray[np.uint64],
    wanted: Wanted,
    most_words: int,
) -> NDArray[np.int64]:
    """Run the kernels over bytes and offsets: int64 [documents, len(variant_tally.NAMES)].

    The grams look at the first `most_words` words of a document.
    """
    offsets = texts[1]
    rows = np.zeros((len(offsets) - 1, len(v.NAMES)), np.int64)
    if len(rows) and any(wanted):
        room = _room(min(int(np.diff(offsets).max()), most_words), wanted)
        _count_documents(texts, tables, room, wanted, rows)
    if wanted.madlad_datamap or wanted.madlad_paper:
        count_madlad(texts, tables, (wanted.madlad_datamap, wanted.madlad_paper), rows)
    if wanted.compressed:
        rows[:, v.BYTES] = np.diff(offsets)
        letters = texts[0].data
        rows[:, v.COMPRESSED] = [
            len(zlib.compress(letters[start:end], _LEVEL)) for start, end in pairwise(offsets)
        ]
    return rows
