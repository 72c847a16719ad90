"""Real benchmark items, planted into text as they are and with changes that change no word."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.corpus.paths import resolve
from cuvee.filters.contamination import MIN_WORDS, Item, NgramIndex, build_index, find
from cuvee.filters.ngram_table import character_table
from cuvee.filters.ngram_words import count_words
from cuvee.filters.shingles import utf8_views
from cuvee.flows.benchmarks import read_items

BENCHMARKS = Path(__file__).parents[2].parent / "shared" / "data" / "benchmarks"
STEP = 8  # every eighth item of 50,607
BEFORE, AFTER = "Ein Gruß vorweg: «Bonjour», you said.\n", "\nThat was all, and more follows."


def changed(text: str, mark: str) -> str:
    """Put `mark` in the place of every punctuation character and symbol."""
    return "".join(mark if unicodedata.category(c)[0] in "PS" else c for c in text)


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "other spaces": lambda text: " \n\t".join(text.split()),
    "punctuation exchanged": lambda text: changed(text, "*"),
    "punctuation to spaces": lambda text: changed(text, " "),
    "punctuation deleted": lambda text: changed(text, ""),
    "quotes deleted": lambda text: re.sub("['\"\u2018\u2019\u201c\u201d]", "", text),
    "quotes curled": lambda text: text.replace("'", "\u2019"),
}


@pytest.fixture(scope="module")
def items() -> list[Item]:
    if not BENCHMARKS.exists():
        pytest.skip(f"the benchmarks are not there: {BENCHMARKS}")
    return read_items(resolve([f"{BENCHMARKS}/*.jsonl.gz"], [], Path()), {})[::STEP]


@pytest.fixture(scope="module")
def index(items: list[Item]) -> NgramIndex:
    return build_index(items)


@pytest.mark.parametrize("change", CHANGES)
def test_99_of_100_items_of_eight_words_are_found(
    items: list[Item], index: NgramIndex, change: str
) -> None:
    docs = pa.array([BEFORE + CHANGES[change](i.text) + AFTER for i in items], pa.large_string())
    offsets, data = utf8_views(pa.array([item.text for item in items], pa.large_string()))
    long = count_words(data, offsets, character_table()) >= MIN_WORDS
    hits = find(docs, index)
    found = np.zeros(len(items), np.bool_)
    found[hits.row[hits.row == hits.item]] = True
    assert found[long].mean() > 0.99
    lettered = long & (index.n_ngrams > 0)
    assert found[lettered].mean() > 0.997
