import re
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.bloom import empty
from cuvee.filters.known_ngrams import NgramRule, cut_known

Span = tuple[int, int, int, bool]  # document, start, end, whole


def plain_ngrams(paragraph: str, rule: NgramRule) -> list[tuple[str, ...]]:
    """List the n-grams of a paragraph of ASCII."""
    words = re.findall(r"\w+|[^\w\s]", paragraph)
    n = rule.ngram if len(words) >= rule.ngram else len(words)
    if n == 0 or n < min(rule.ngram, rule.least):
        return []
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def plain_cut(texts: list[str], rule: NgramRule) -> list[Span]:
    """Run BFF's old-both over a set that forgets nothing and makes nothing up."""
    seen: set[tuple[str, ...]] = set()
    cuts: list[Span] = []
    for doc, text in enumerate(texts):
        here: list[Span] = []
        at, total, known = 0, 0, 0
        for paragraph in text.split("\n"):
            ngrams = plain_ngrams(paragraph, rule)
            contained = sum(ngram in seen for ngram in ngrams)
            total, known = total + len(ngrams), known + contained
            end = at + len(paragraph)
            if ngrams and contained > rule.share * len(ngrams):
                last = end == len(text)
                here.append((doc, max(at - last, 0), end + (not last), False))
            else:
                seen |= set(ngrams)
            at = end + 1
        if here and here[-1][2] == len(text) and not text.endswith("\n"):
            run = [
                span
                for n, span in enumerate(here)
                if all(a[2] >= b[1] for a, b in pairwise(here[n:]))
            ]
            here[-1] = (
                doc,
                max(run[0][1] - 1, 0) if len(run) > 1 else here[-1][1],
                len(text),
                False,
            )
        cuts += [(doc, 0, len(text), True)] if total and known > rule.share * total else here
    return cuts


WORDS = st.lists(st.sampled_from(["a", "b", "see", "3.5", ".", "!"]), max_size=9)
TEXTS = st.lists(st.lists(WORDS.map(" ".join), max_size=4).map("\n".join), max_size=6)


@given(TEXTS, st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.5, 0.8, 1.0]))
@settings(max_examples=200, deadline=None)
def test_what_is_cut_is_what_an_exact_set_cuts(
    texts: list[str], ngram: int, least: int, share: float
) -> None:
    rule = NgramRule(ngram, least, share)
    texts = [text.replace("3.5", "35") for text in texts]  # one word only between word boundaries
    array = pa.array(texts, pa.large_string())
    bloom = empty(2**18, 7)
    half = len(texts) // 2  # a corpus comes in batches
    spans: list[Span] = []
    for first, batch in ((0, array[:half]), (half, array[half:])):
        known = cut_known(batch, bloom, rule)
        columns = (known.doc + first, known.start, known.end, known.whole)
        spans += zip(*(column.tolist() for column in columns), strict=True)
    assert spans == plain_cut(texts, rule)


def test_a_paragraph_that_comes_again_is_cut_and_its_document_where_most_is_known() -> None:
    old = " ".join(f"w{n}" for n in range(20))
    new = " ".join(f"n{n}" for n in range(40))
    texts = pa.array([old, f"{old}\n{new}", f"{old}\nshort"], pa.large_string())
    known = cut_known(texts, empty(2**16, 7), NgramRule(13, 13, 0.8))
    assert known.doc.tolist() == [1, 2]
    assert known.whole.tolist() == [False, True]
    assert (known.start[0], known.end[0]) == (0, len(old) + 1)
    assert (known.ngrams, known.known, known.put) == (24 + 28, 16, 8 + 28)


@pytest.mark.parametrize("text", ["", "\n", "one two", "\n\n  \n"])
def test_what_has_no_ngram_is_never_cut(text: str) -> None:
    texts = pa.array([text, text], pa.large_string())
    known = cut_known(texts, empty(64, 2), NgramRule(13, 13, 0.0))
    assert (len(known.doc), known.ngrams) == (0, 0)
