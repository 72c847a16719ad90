"""What is asked of a hit beyond its n-grams, each against a plain twin; and what is cut out."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.contamination import Item, build_index, find
from cuvee.filters.contamination_cuts import Cut, Stretch, cuts_of
from cuvee.filters.lcs import WINDOW, common_words, lcs_length
from cuvee.filters.ngrams import occurrences
from cuvee.filters.token8 import covered

FEW = st.lists(st.sampled_from("abcde"), max_size=90)


def texts_of(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def words(first: int, last: int) -> str:
    """Words that stand nowhere else, numbered."""
    return " ".join(f"w{n}" for n in range(first, last))


def plain_lcs(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for value in one:
        before = row
        row = [0]
        for k, second in enumerate(other):
            row.append(before[k] + 1 if value == second else max(before[k + 1], row[k]))
    return row[-1]


@settings(max_examples=200, deadline=None)
@given(one=FEW, other=FEW.map(lambda words: words * 3))
def test_the_longest_common_subsequence_equals_the_plain_twin(
    one: list[str], other: list[str]
) -> None:
    codes = [np.array([ord(c) for c in words], np.uint64) for words in (one, other)]
    assert lcs_length(codes[0], codes[1]) == lcs_length(codes[1], codes[0]) == plain_lcs(one, other)


@settings(max_examples=50, deadline=None)
@given(doc=FEW, item=FEW)
def test_words_in_common_are_those_of_document_and_item(doc: list[str], item: list[str]) -> None:
    nothing = np.zeros(1, np.int64)
    common = common_words(
        texts_of(" ".join(doc)), nothing, (nothing, nothing), texts_of("; ".join(item).upper())
    )
    assert common.length.tolist() == [plain_lcs(doc, item)]
    assert common.shorter.tolist() == [min(len(doc), len(item))]


def test_an_item_with_words_put_in_passes_the_second_gate_and_a_shared_phrase_does_not() -> None:
    item = words(0, 40)
    edited = " ".join(f"{w} so" if n % 9 == 0 else w for n, w in enumerate(item.split()))
    docs = texts_of(
        f"{edited} {words(50, 90)}", f"{words(100, 300)} {words(3, 17)} {words(300, 400)}"
    )
    hits = find(docs, build_index([Item("b", "test", "0", item)], 8))
    span, items = (hits.first_byte, hits.end_byte), texts_of(*[item] * hits.row.size)
    common = common_words(docs, hits.row, span, items)
    passed = dict(zip(hits.row.tolist(), common.contaminated.tolist(), strict=True))
    assert passed == {0: True, 1: False}
    assert common.length[0] == 40
    assert common.share[hits.row == 1].tolist() == [14 / 40]


def test_a_long_document_is_compared_about_the_hit_alone() -> None:
    item, far = words(0, 20), words(1000, 1000 + WINDOW)
    doc = f"{words(10, 20)} {far} {words(0, 10)} {far}"
    start = doc.encode().index(b"w0 ")
    span = np.array([start]), np.array([start + 20])
    common = common_words(texts_of(doc), np.zeros(1, np.int64), span, texts_of(item))
    assert (common.length.tolist(), common.shorter.tolist()) == ([10], [20])


def plain_covered(doc: list[str], runs: set[tuple[str, ...]], n: int) -> int:
    marked = set()
    for i in range(len(doc) - n + 1):
        if tuple(doc[i : i + n]) in runs:
            marked |= set(range(i, i + n))
    return len(marked)


@settings(max_examples=50, deadline=None)
@given(
    docs=st.lists(FEW, max_size=4), items=st.lists(FEW, max_size=4), n=st.sampled_from([2, 3, 8])
)
def test_words_in_ngrams_of_items_equal_the_plain_twin(
    docs: list[list[str]], items: list[list[str]], n: int
) -> None:
    listed = [Item("b", "test", str(k), " ".join(item)) for k, item in enumerate(items)]
    index = build_index(listed, n, n, n)
    found, n_words = occurrences(texts_of(*map(" ".join, docs)), index.table)
    got = covered(found, n_words, index.table)
    runs = {tuple(item[i : i + n]) for item in items for i in range(len(item) - n + 1)}
    assert got.n_words.tolist() == [len(doc) for doc in docs]
    assert got.n_covered.tolist() == [plain_covered(doc, runs, n) for doc in docs]


@pytest.mark.parametrize(
    "text",
    [
        "What's the day's high-water mark at Smith's U.S.-built pier, isn't it 3.5?",
        "Compute $x^2+3x-5$ for $x=2$.",
    ],
)
def test_punctuation_may_be_deleted_too(text: str) -> None:
    index = build_index([Item("b", "test", "0", text)])
    deleted = "".join(c for c in text if unicodedata.category(c)[0] not in "PS")
    assert find(texts_of(f"so {deleted} etc"), index).score.tolist() == [1.0]
    assert not find(texts_of("".join(deleted.split())), index).row.size


def test_chinese_is_found_with_or_without_spaces() -> None:
    text = "下列哪一项是光合作用的主要产物?"
    index = build_index([Item("b", "test", "0", text)])
    docs = texts_of(f"前言。{text}后记", " ".join(text), text[:12], text.replace("?", "\uff1f"))
    hits = find(docs, index)
    assert (hits.row.tolist(), hits.score.tolist()) == ([0, 1, 3], [1.0] * 3)


QUESTION, PASSAGE = words(0, 20), words(500, 530)


@pytest.mark.parametrize(
    ("doc", "item", "score"),
    [
        (QUESTION, ("", ""), 1.0),
        (QUESTION, ("blue", ""), 0.75),
        (f"{QUESTION} Answer: BLUE.", ("blue", ""), 1.0),
        (f"It is blue. {QUESTION}", ("blue", ""), 1.0),
        (f"{QUESTION} {words(900, 949)} blue", ("blue", ""), 1.0),
        (f"{QUESTION} {words(900, 950)} blue", ("blue", ""), 0.75),
        (f"{QUESTION} v1 v2 v3 v4 no v6", ("v1 v2 v3 v4 v5 v6", ""), 0.75 + 0.25 * 2 / 4),
        (QUESTION, ("w3", ""), 0.75),  # the question's own words are no answer
        (f"{PASSAGE} {QUESTION}", ("", PASSAGE), 1.0),
        (QUESTION, ("", PASSAGE), 0.85),
        (PASSAGE, ("", PASSAGE), 0.15),
        (f"{PASSAGE} {QUESTION} blue", ("blue", PASSAGE), 1.0),
        (f"{QUESTION} {words(900, 999)} {PASSAGE}", ("blue", PASSAGE), 0.8),
        (QUESTION, ("?!", "too short"), 1.0),
    ],
)
def test_question_passage_and_answer_count_by_their_weights(
    doc: str, item: tuple[str, str], score: float
) -> None:
    index = build_index([Item("b", "test", "0", QUESTION, *item)])
    scores = find(texts_of("nothing", doc), index).score
    assert scores.size
    assert scores == pytest.approx(score)


def test_a_question_too_short_to_be_found_leaves_its_weight_to_the_passage() -> None:
    index = build_index([Item("b", "test", "0", "is it", "", PASSAGE)])
    assert find(texts_of(PASSAGE), index).score.tolist() == [1.0]
    assert index.unmatched == 0


TEXT = b"one\ntwo\n\nthree\n  \t\nfour\n\n\nfive"


@pytest.mark.parametrize(
    ("hit", "left"),
    [
        (b"one", b"three\n  \t\nfour\n\n\nfive"),
        (b"two", b"three\n  \t\nfour\n\n\nfive"),
        (b"hre", b"one\ntwo\n\nfour\n\n\nfive"),
        (b"five", b"one\ntwo\n\nthree\n  \t\nfour"),
        (b"two\n\nth", b"four\n\n\nfive"),
        (b"three\n  \t\nfour\n\n\nfi", b"one\ntwo"),
        (TEXT, b""),
    ],
)
def test_the_paragraphs_of_a_hit_go_with_their_empty_lines(hit: bytes, left: bytes) -> None:
    start = TEXT.index(hit)
    (cut,) = cuts_of([TEXT], [Stretch(0, start, start + len(hit), True)])
    assert cut.replacement is None
    assert TEXT[: cut.start] + TEXT[cut.end :] == left


def test_hits_that_overlap_are_one_cut() -> None:
    masks = [Stretch(4, 0, 3, False), Stretch(4, 2, 6, False), Stretch(4, 20, 24, False)]
    assert cuts_of([TEXT], masks) == [Cut(4, 0, 6, " "), Cut(4, 20, 24, " ")]
    assert cuts_of([TEXT], [*masks, Stretch(4, 4, 7, True)]) == [
        Cut(4, 0, 9, None),
        Cut(4, 20, 24, " "),
    ]


SPANS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 9), st.booleans()), max_size=9
)
PAGES = st.text("ab \n", min_size=40, max_size=50).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(texts=st.tuples(PAGES, PAGES, PAGES), spans=SPANS)
def test_cuts_are_ordered_and_disjoint_and_leave_no_hit(
    texts: tuple[bytes, bytes, bytes], spans: list[tuple[int, int, int, bool]]
) -> None:
    hits = [Stretch(r, s, min(s + n, len(texts[r])), whole) for r, s, n, whole in sorted(spans)]
    hits = [hit for hit in hits if hit.start < hit.end]
    rows = sorted({hit.row for hit in hits})
    cuts = cuts_of([texts[row] for row in rows], hits)
    for before, after in pairwise(cuts):
        assert (before.row, before.end) <= (after.row, after.start)
    for hit in hits:
        assert any(c.row == hit.row and c.start <= hit.start and hit.end <= c.end for c in cuts)
    assert all(0 <= c.start < c.end <= len(texts[c.row]) for c in cuts)
