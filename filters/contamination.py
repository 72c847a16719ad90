"""Find the items of benchmarks in documents.

An *item* is one question of a benchmark, with the *passage* it asks about and its *answer* where it
has them. The *n-grams* of a question or passage are the runs of `ngram` words that hold a letter
(so that a table of numbers matches nothing); one of fewer words, but at least `min_words`, has one
n-gram, its whole text. An item without n-grams is *unmatched*: it is never found, and counted.

`cuvee.filters.ngram_words` says what a word is: case, accents, spacing and punctuation make no
difference, digits do. Every text has a second *reading*, without punctuation, so that an item is
also found where that was deleted: see `cuvee.filters.readings`.

A *hit* is a stretch of a document that an item's n-grams cover without a gap. Its *score* is the
weighted mean of what is found of the item: of its question and of its passage the share of the
distinct n-grams that occur anywhere in the document (of the reading that has more), and of its
answer what `cuvee.filters.answers` finds near the hit. `WEIGHTS` says how much each counts; a
question or passage without n-grams does not count. Of an item that is a question alone the score is
the share of its n-grams. An n-gram that several items hold is a hit of each of them.

Whether a hit drops its document is a rule of the recipe and not decided here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.filters import ngrams
from cuvee.filters.answers import answer_overlap
from cuvee.filters.ngram_table import I64, Table, lay_out
from cuvee.filters.ngrams import Lengths, occurrences
from cuvee.filters.readings import changes, hold
from cuvee.filters.shingles import utf8_views

NGRAM = 13  # words; Brown et al. 2020 (GPT-3), appendix C
MIN_WORDS = 8  # words; the least that GPT-3's appendix C matched (its 5th percentile, floored at 8)

# What question, passage and answer count, by whether there are a passage and an answer: decon, the
# tool of Olmo 3 (its document on scoring).
WEIGHTS = np.array(
    [[[1.0, 0.0, 0.0], [0.75, 0.0, 0.25]], [[0.85, 0.15, 0.0], [0.7, 0.1, 0.2]]], np.float64
)


class Item(NamedTuple):
    """One question of a benchmark; `item_id` is unique within its benchmark and split.

    `text` is the question, or all there is; `answer` and `passage` may be empty.
    """

    benchmark: str
    split: str
    item_id: str
    text: str
    answer: str = ""
    passage: str = ""


class NgramIndex(NamedTuple):
    """Every n-gram of every item. It is read only and may be shared by threads.

    `benchmark`, `split` and `item_id` (string), `answer` (large_string) and `n_ngrams` (int64,
    distinct ones, 0 for an unmatched item) are per item, in the order given. A *text* is a
    question, numbered as its item, or a passage, numbered behind them; `owner` int32 [texts] is
    its item. `reading_ngrams` int32 [2 texts] says how many distinct n-grams each reading has, 0
    for a second one that reads as the first. `table`, `holder_offsets` and `holders` are those of
    `cuvee.filters.readings.Held`.
    """

    benchmark: pa.StringArray
    split: pa.StringArray
    item_id: pa.StringArray
    answer: pa.LargeStringArray
    n_ngrams: I64
    table: Table
    holder_offsets: NDArray[np.int32]
    holders: NDArray[np.int32]
    owner: NDArray[np.int32]
    reading_ngrams: NDArray[np.int32]

    @property
    def unmatched(self) -> int:
        """Items that can never be found, because they are too short or hold no letter."""
        return int(np.count_nonzero(self.n_ngrams == 0))


class Hits(NamedTuple):
    """Hits as columns of one length, ordered by document, item and start.

    `row` int64: the document. `item` int32: the item in the index. `span_start`, `span_end` int64:
    characters of the document, half open. `score` float64 in (0, 1]. `ngram` large_string: the
    document's text under the first n-gram of the span. `first_byte`, `end_byte` int64: the span
    in bytes of the document.
    """

    row: I64
    item: NDArray[np.int32]
    span_start: I64
    span_end: I64
    score: NDArray[np.float64]
    ngram: pa.LargeStringArray
    first_byte: I64
    end_byte: I64


def build_index(
    items: Sequence[Item],
    ngram: int = NGRAM,
    min_words: int = MIN_WORDS,
    shortest: int | None = None,
) -> NgramIndex:
    """Index the n-grams of all items; lengths are in words, and `1 <= min_words <= ngram`.

    With `shortest`, n-grams of all lengths from it to `ngram` are indexed, of the first reading
    alone, and `min_words` must not exceed it. Takes about 35 bytes a distinct n-gram, so 1 KB an
    item (50,607 items of fifteen benchmarks: 50 MB, in 1.6 s), and up to four times that while
    it is built; nine times as much with lengths 4 to 13. Raises RecipeError for lengths that
    cannot be.
    """
    lengths = Lengths(ngram if shortest is None else shortest, ngram, min_words)
    if not 1 <= min_words <= lengths.shortest <= ngram:
        raise RecipeError(
            f"an n-gram has {lengths.shortest} to {ngram} words and a short item {min_words}.",
            "Allowed is 1 <= min_words <= ngram.",
            f"Set ngram to {NGRAM} and min_words to {MIN_WORDS}.",
        )
    passages = [number for number, item in enumerate(items) if item.passage]
    texts = [item.text for item in items] + [items[number].passage for number in passages]
    owner = np.append(np.arange(len(items)), passages).astype(np.int32)
    table, holder_offsets, holders = hold(
        pa.array(texts, pa.large_string()), lengths, second=shortest is None
    )
    return _counted(
        NgramIndex(
            benchmark=pa.array([item.benchmark for item in items], pa.string()),
            split=pa.array([item.split for item in items], pa.string()),
            item_id=pa.array([item.item_id for item in items], pa.string()),
            answer=pa.array([item.answer for item in items], pa.large_string()),
            n_ngrams=np.zeros(len(items), np.int64),
            table=table,
            holder_offsets=holder_offsets,
            holders=holders,
            owner=owner,
            reading_ngrams=np.zeros(0, np.int32),
        )
    )


def _counted(index: NgramIndex) -> NgramIndex:
    """Count the distinct n-grams of every reading and item."""
    n_texts, n_items = index.owner.size, len(index.item_id)
    held = np.bincount(index.holders, minlength=2 * n_texts)
    return index._replace(
        n_ngrams=np.bincount(index.owner, held[:n_texts], n_items).astype(np.int64),
        reading_ngrams=held.astype(np.int32),
    )


def without(index: NgramIndex, unwanted: NDArray[np.bool_]) -> NgramIndex:
    """Give the index as if no item held the n-grams of the table that are marked `unwanted`."""
    counts, table, kept = np.diff(index.holder_offsets), index.table, ~unwanted
    keys, checks, no_gate = table.keys[kept], table.checks[kept], np.zeros(0, np.uint64)
    laid_out = lay_out(keys, checks, no_gate, table.gate_words, table.lengths)
    return _counted(
        index._replace(
            table=laid_out._replace(gate=table.gate),
            holder_offsets=np.append(0, np.cumsum(counts[kept])).astype(np.int32),
            holders=index.holders[np.repeat(kept, counts)],
        )
    )


def find(texts: pa.LargeStringArray, index: NgramIndex) -> Hits:
    """Find every hit of the index in every text. Runs without the GIL but for the assembly."""
    offsets, data = utf8_views(texts)
    found, _ = occurrences(texts, index.table)
    at, reading = _held(found, index)
    item = index.owner[reading % index.owner.size] if reading.size else reading
    order = np.lexsort((found[at, ngrams.START], item, found[at, ngrams.TEXT]))
    at, reading, item = at[order], reading[order], item[order]
    new_pair = changes(found[at, ngrams.TEXT], item)
    first, span = _spans(found[at], new_pair)
    hits = Hits(
        row=span[:, ngrams.TEXT],
        item=item[first].astype(np.int32),
        span_start=span[:, ngrams.START],
        span_end=span[:, ngrams.END],
        score=np.empty(first.size),
        ngram=_slices(texts, found[at[first]]),
        first_byte=span[:, ngrams.FIRST_BYTE],
        end_byte=span[:, ngrams.END_BYTE],
    )
    pair = np.cumsum(new_pair) - 1
    parts = _overlaps(pair, reading, found[at, ngrams.GRAM], index)[pair[first]]
    return hits._replace(score=_scores(hits, parts, (offsets, data), index))


def _held(found: I64, index: NgramIndex) -> tuple[I64, I64]:
    """Repeat every found n-gram for every reading that holds it: its row in `found`, reading."""
    begin = index.holder_offsets[found[:, ngrams.GRAM]].astype(np.int64)
    counts = index.holder_offsets[found[:, ngrams.GRAM] + 1] - begin
    at = np.repeat(np.arange(counts.size), counts)
    within = np.arange(at.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return at, index.holders[begin[at] + within].astype(np.int64)


def _spans(found: I64, new_pair: NDArray[np.bool_]) -> tuple[I64, I64]:
    """Join n-grams of a pair that overlap: the row of each span's first, and the spans as `found`.

    Readings differ in the length of their n-grams, so the one before need not be the furthest.
    """
    if not len(found):
        return np.zeros(0, np.int64), found
    pair, spans = np.cumsum(new_pair), found.copy()
    for column in (ngrams.END, ngrams.END_BYTE):
        beyond = int(found[:, column].max()) + 1
        reached = np.maximum.accumulate(found[:, column] + pair * beyond)
        spans[:, column] = reached - pair * beyond
    gap = np.append(True, found[1:, ngrams.START] >= spans[:-1, ngrams.END])
    first = np.flatnonzero(new_pair | gap)
    last = np.append(first[1:], len(found)) - 1
    joined = found[first]
    joined[:, [ngrams.END, ngrams.END_BYTE]] = spans[last][:, [ngrams.END, ngrams.END_BYTE]]
    return first, joined


def _overlaps(pair: I64, reading: I64, gram: I64, index: NgramIndex) -> NDArray[np.float64]:
    """Give the share of the n-grams of question and passage found in each pair: [pairs, 2]."""
    order = np.lexsort((gram, reading, pair))
    pair, reading, gram = pair[order], reading[order], gram[order]
    one = np.flatnonzero(changes(pair, reading))
    group = np.cumsum(changes(pair, reading)) - 1
    distinct = np.bincount(group[changes(pair, reading, gram)], minlength=one.size)
    pair, reading = pair[one], reading[one]
    passage = (reading % max(index.owner.size, 1) >= index.n_ngrams.size).astype(np.int64)
    shares = np.zeros((int(pair.max(initial=-1)) + 1, 2))
    np.maximum.at(shares, (pair, passage), distinct / index.reading_ngrams[reading])
    return shares


def _scores(
    hits: Hits, parts: NDArray[np.float64], texts: tuple[I64, NDArray[np.uint8]], index: NgramIndex
) -> NDArray[np.float64]:
    """Weigh what is found of question, passage and answer of each hit."""
    n_items = index.n_ngrams.size
    n_ngrams = index.reading_ngrams[: index.owner.size]
    passages = np.zeros(n_items, np.bool_)
    passages[index.owner[n_items:]] = n_ngrams[n_items:] > 0
    overlap, answered = answer_overlap(
        texts, hits.row, (hits.first_byte, hits.end_byte), index.answer.take(hits.item)
    )
    weights = WEIGHTS[passages[hits.item].astype(int), answered.astype(int)]
    weights[:, 0] *= n_ngrams[hits.item] > 0
    found = np.column_stack([parts, overlap])
    scores: NDArray[np.float64] = (weights * found).sum(axis=1) / weights.sum(axis=1)
    return scores


def _slices(texts: pa.LargeStringArray, found: I64) -> pa.LargeStringArray:
    """Cut the characters of n-grams out of their texts, which are ascending."""
    cuts: list[str] = []
    text = ""
    row, start, end = (found[:, column] for column in (ngrams.TEXT, ngrams.START, ngrams.END))
    for new, r, s, e in zip(changes(row), row.tolist(), start.tolist(), end.tolist(), strict=True):
        text = texts[r].as_py() if new else text
        cuts.append(text[s:e])
    return pa.array(cuts, pa.large_string())
