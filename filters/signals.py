"""Measure documents: every signal of the asked rule sets, in one read of the text.

A *signal* is one number per document; its column bears the name of the rule set it serves
(`gopher_repetition_datatrove_top_2_gram`), or none where all share it (`n_chars`). Words are those
of the `rule` splitter (`words.py`), lengths are characters. Nothing is judged: that is `rules.py`.

The four rule sets of datatrove together ran, on one and on two threads of a two-core EPYC, at 53
and 98 MB/s over mixed texts, 51 and 97 over web pages, 43 and 77 over code. On top of these, over
web pages on one thread, Gopher's rules as Dolma, DCLM or NeMo count them take 6 to 10 ns a byte a
set, C4's other variants 1 to 2, `code` 3, MADLAD-400's 8 to 11, and `gzip` 26.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from cuvee.filters import tally as t
from cuvee.filters.c4 import ASK_DATATROVE, ASK_FINEWEB, ASK_TFDS
from cuvee.filters.characters import count_chars
from cuvee.filters.lines import count_paragraphs, count_pieces
from cuvee.filters.names import tables
from cuvee.filters.pointers import Bytes, Tables, pasted, pointer, signed
from cuvee.filters.repetition import count_grams, slots_log2
from cuvee.filters.rule_sets import SHARED_SIGNALS
from cuvee.filters.rules import rule_set
from cuvee.filters.scan import LENGTH, TALLY_ROOM, scan_text
from cuvee.filters.shingles import utf8_views
from cuvee.filters.signal_table import SIGNALS, Signal
from cuvee.filters.variants import Wanted, count_variants

MAX_GRAM_WORDS = 1 << 23
"""Words of a document that the n-grams look at (0.6 GB of tables); they see no further."""


class Asked(NamedTuple):
    """Which of the costly counts are wanted."""

    repetition: bool
    c4: int  # bits, see c4.py


class Room(NamedTuple):
    """Scratch of one call, for its largest document: 100 bytes a word, touched where needed."""

    words: NDArray[np.uint64]  # [words, 3], see scan.py
    grams: NDArray[np.uint64]
    slots: NDArray[np.int32]
    times: NDArray[np.int32]
    tally: NDArray[np.int64]


def _room(largest_bytes: int) -> Room:
    """Scratch for documents of at most `largest_bytes`, each byte of which may be a word."""
    words = min(largest_bytes, MAX_GRAM_WORDS)
    return Room(
        words=np.empty((words, 3), np.uint64),
        grams=np.empty(words, np.uint64),
        slots=np.zeros((1 << slots_log2(words)) + 1, np.int32),
        times=np.empty(words, np.int32),
        tally=np.empty(TALLY_ROOM, np.int64),
    )


@pasted
def _count_repetition(data: Bytes, size: int, places: Tables, room: Room) -> None:
    """Count repeated paragraphs and n-grams of one document of `size` bytes that was scanned."""
    tally = room.tally
    count_paragraphs(data, size, places, pointer(tally))
    kept = min(tally[t.WORDS], len(room.words))
    tally[t.GRAM_CHARS] = tally[t.CHARS]
    if kept < tally[t.WORDS]:
        read = count_chars(data, signed(0), tally[t.GRAM_BYTES])
        tally[t.GRAM_CHARS] = max(read, signed(room.words[:, LENGTH].sum()))
    count_grams(room.words[:kept], room.grams, room.slots, room.times, tally)


@njit(nogil=True, cache=True)
def _count_documents(
    texts: tuple[NDArray[np.uint8], NDArray[np.int64]],
    tables: NDArray[np.uint64],
    room: Room,
    asked: Asked,
    tallies: NDArray[np.int64],
) -> None:
    """Fill the rows of all documents: `texts` is their bytes, and the offsets of each.

    Counts are copied one by one: a slice would compile the message of its error too, for 2 s.
    """
    letters, offsets = texts
    places: Tables = pointer(tables)
    words, tally = pointer(room.words), pointer(room.tally)
    for row in range(len(tallies)):
        size = offsets[row + 1] - offsets[row]
        data: Bytes = pointer(letters[offsets[row] :])
        for name in range(t.ENDS):
            tally[name] = 0
        tally[t.ROOM] = len(room.words)
        scan_text((data, size), places, words, asked.c4, tally)
        count_pieces(data, size, places, tally)
        if asked.repetition:
            _count_repetition(data, size, places, room)
        for name in range(t.ENDS):
            tallies[row, name] = tally[name]


def _buffers(texts: pa.LargeStringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """View the bytes of all texts, and int64 [documents + 1] offsets into them."""
    offsets, data = utf8_views(texts)
    return data, offsets


def count(texts: pa.LargeStringArray, asked: Asked) -> NDArray[np.int64]:
    """Run the kernels: int64 [documents, len(tally.NAMES)]; a NULL text counts as empty."""
    tallies = np.zeros((len(texts), len(t.NAMES)), np.int64)
    if len(texts):
        data = _buffers(texts)
        room = _room(int(np.diff(data[1]).max()))
        _count_documents(data, tables(), room, asked, tallies)
    return tallies


def _asked(wanted: Sequence[str]) -> Asked:
    """Return what `tally.py` has to count for these signals."""
    asks = {"c4_datatrove": ASK_DATATROVE, "c4_fineweb": ASK_FINEWEB, "c4_tfds": ASK_TFDS}
    return Asked(
        repetition=_any(wanted, "gopher_repetition_datatrove_"),
        c4=sum(bit for name, bit in asks.items() if _any(wanted, name)),
    )


def _any(wanted: Sequence[str], *prefixes: str) -> bool:
    """Whether a signal with one of these prefixes is wanted."""
    return any(name.startswith(prefixes) for name in wanted)


def _wanted(wanted: Sequence[str]) -> Wanted:
    """Return what `variant_tally.py` has to count for these signals."""
    quality, repetition = "gopher_quality_", "gopher_repetition_"
    dolma, dclm, nemo = repetition + "dolma", repetition + "dclm", repetition + "nemo"
    return Wanted(
        spaced=_any(wanted, quality + "dolma", quality + "dclm"),
        spaced_grams=_any(wanted, dolma, nemo),
        bounded_grams=_any(wanted, dclm),
        dolma_lines=_any(wanted, quality + "dolma", dolma),
        dclm_lines=_any(wanted, quality + "dclm", dclm),
        nemo_lines=_any(wanted, nemo),
        code=_any(wanted, "code_"),
        madlad_datamap=_any(wanted, "madlad400_datamap_"),
        madlad_paper=_any(wanted, "madlad400_paper_"),
        compressed=_any(wanted, "gzip_"),
    )


def _column(tallies: NDArray[np.int64], signal: Signal) -> NDArray[np.int64] | NDArray[np.float64]:
    """One signal of all documents."""
    counted = tallies[:, signal.part]
    if signal.part == t.STOP_WORDS:
        return np.bitwise_count(counted).astype(np.int64)
    if signal.divisor > 1:
        return counted / signal.divisor
    if signal.whole < 0:
        return counted
    whole = tallies[:, signal.whole]
    return np.divide(counted, whole, out=np.zeros(len(tallies)), where=whole > 0)


def measure(texts: pa.LargeStringArray, rule_sets: Sequence[str]) -> pa.Table:
    """Measure a batch of documents; row i is document i.

    Returns the shared signals and those of the rule sets: int64 counts and float64 shares, never
    NULL. Runs without the GIL; call it from threads, a few thousand documents at a time. Raises
    `RecipeError` for a rule set that does not exist.

    >>> table = measure(pa.array(["To be, or not to be."], pa.large_string()), ["fineweb"])
    >>> table["n_words_rule"][0].as_py(), table["fineweb_line_punct_ratio"][0].as_py()
    (8, 1.0)
    """
    sets = [rule_set(name) for name in rule_sets]
    wanted = [*SHARED_SIGNALS, *(signal for one in sets for signal in one.signals)]
    tallies = count(texts, _asked(wanted))
    others = _wanted(wanted)
    if len(texts) and any(others):
        variants = count_variants(_buffers(texts), tables(), others, MAX_GRAM_WORDS)
        tallies = np.concatenate([tallies, variants], axis=1)
    return pa.table({name: pa.array(_column(tallies, SIGNALS[name])) for name in wanted})
