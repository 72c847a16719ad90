"""Paragraphs and their languages, against a plain twin that asks the library for each."""

import re
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters import language, models, paragraphs
from cuvee.filters.models import FastText

GERMAN = "Die Würde des Menschen ist unantastbar, sagt das Gesetz."
ENGLISH = "All human beings are born free and equal in dignity and rights."
GREEK = "Όλοι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια, λέει κανείς."


@pytest.fixture(scope="module")
def lid(lid_path: Path) -> FastText:
    return language.load(lid_path)


@pytest.fixture(scope="module")
def theirs(lid_path: Path) -> Any:
    return fasttext.load_model(str(lid_path))


def texts_of(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def plain_split(text: str) -> list[str]:
    lines = text.split("\n")
    full = [bool(re.search(r"[^ \t\r\v\f]", line)) for line in lines]
    if True not in full:
        return []
    first, last = full.index(True), len(full) - full[::-1].index(True)
    lines, full = lines[first:last], full[first:last]
    if all(full):
        return lines
    runs: list[list[str]] = [[]]
    for line, is_full in zip(lines, full, strict=True):
        if is_full:
            runs[-1].append(line)
        elif runs[-1]:
            runs.append([])
    return ["\n".join(run) for run in runs if run]


LINES = st.lists(
    st.sampled_from(["a", "größe b", " ", "", "", "\t\r", "\u3000", "c d", "\x0b\x0c"]), max_size=12
)


def split(texts: pa.LargeStringArray) -> list[list[str]]:
    found = paragraphs.split(texts)
    data = "".join(text.as_py() for text in texts).encode()
    rows: list[list[str]] = [[] for _ in range(len(texts))]
    for (lo, hi), text, chars in zip(found.spans, found.text, found.chars, strict=True):
        rows[text].append(data[lo:hi].decode())
        assert len(rows[text][-1]) == chars
    return rows


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(LINES.map("\n".join), max_size=5))
def test_paragraphs_are_those_of_the_plain_twin(texts: list[str]) -> None:
    assert split(texts_of(*texts)) == [plain_split(text) for text in texts]


def plain_languages(model: Any, text: str) -> tuple[float | None, list[dict[str, Any]]]:
    def label(part: str) -> str:
        line = models.line(part)
        return model.predict(line, k=1)[0][0].removeprefix("__label__") if line.strip() else "und"

    chars: dict[str, int] = {}
    for part in plain_split(text):
        name = label(part)
        if name != "und":
            chars[name] = chars.get(name, 0) + len(part)
    total = sum(chars.values())
    if not total:
        return None, []
    names = [name.removeprefix("__label__") for name in model.get_labels()]
    ranked = sorted(chars, key=lambda name: (-chars[name], names.index(name)))
    shares = {name: float(np.float32(chars[name] / total)) for name in ranked}
    listed = [{"language": name, "share": shares[name]} for name in ranked[:3]]
    return shares.get(label(text), 0.0), listed


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([GERMAN, ENGLISH, GREEK, "", " ", "\u3000", "ok", "1 2"]), max_size=7
        ).map("\n".join),
        max_size=5,
    )
)
def test_shares_are_those_of_the_library_for_each_paragraph(
    theirs: Any, lid: FastText, texts: list[str]
) -> None:
    array = texts_of("not read", *texts).slice(1)
    found = paragraphs.languages(lid, array, language.identify(lid, array).language)
    expected = [plain_languages(theirs, text) for text in texts]
    assert found.own.to_pylist() == [own for own, _ in expected]
    assert found.languages.to_pylist() == [listed for _, listed in expected]
    assert found.languages.type == paragraphs.SHARES


def test_a_mixed_text_says_of_which_languages(lid: FastText) -> None:
    array = texts_of(f"{GERMAN}\n\n{ENGLISH}\n{ENGLISH}\n\n{GERMAN}\n{GERMAN}\n", ENGLISH, "")
    found = paragraphs.languages(lid, array, language.identify(lid, array).language)
    mixed, whole, nothing = (row.as_py() for row in found.languages)
    assert [row["language"] for row in mixed] == ["de", "en"]
    assert found.own.to_pylist()[1:] == [1.0, None]
    assert 0.5 < found.own[0].as_py() < 0.6
    assert whole == [{"language": "en", "share": 1.0}]
    assert nothing == []
