"""Language identification with the real lid.176 on real texts."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from cuvee.configs.errors import ModelError
from cuvee.filters import classifier, language
from cuvee.filters.models import FastText

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def lid(lid_path: Path) -> FastText:
    return language.load(lid_path)


def texts_of(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_nothing_to_read_is_undetermined(lid: FastText) -> None:
    found = language.identify(lid, texts_of("", " \n\0\t", "This is certainly English, is it not?"))
    assert found.language.to_pylist() == ["und", "und", "en"]
    assert found.score[:2].tolist() == [0.0, 0.0]
    assert found.score.dtype == np.float32


def test_scores_stay_within_one(lid: FastText) -> None:
    found = language.identify(lid, texts_of("das ist ein Test und nicht mehr " * 50))
    assert found.score[0] == 1.0


def test_only_the_head_is_read_and_no_character_is_cut(lid: FastText) -> None:
    german = "ä" + "öäü und die Straße ist schön " * 2500
    english = "this is the rest of the text and it is in English " * 5000
    head = german.encode()[: language.READ_BYTES].decode(errors="ignore")
    found = language.identify(lid, texts_of(german + english, head))
    assert found.language.to_pylist() == ["de", "de"]
    assert found.score[0] == found.score[1]


def test_a_slice_of_an_array_is_read_from_its_own_start(lid: FastText) -> None:
    texts = texts_of("no", "Ceci est une phrase en français.", "Это русский текст.")
    assert language.identify(lid, texts.slice(1)).language.to_pylist() == ["fr", "ru"]


def test_a_quality_classifier_is_no_language_model(tmp_path: Path) -> None:
    lines = [f"__label__{name} word other" for name in ("high_quality!", "x")]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    params = classifier.Training(dim=2, bucket=10, min_count=1)
    classifier.train(tmp_path / "train.txt", tmp_path / "quality.bin", params)
    with pytest.raises(ModelError, match=r"quality\.bin is no language model"):
        language.load(tmp_path / "quality.bin")


def shared_rows() -> list[dict[str, Any]]:
    path = SHARED / "text" / "text-000.jsonl.zst"
    if not path.exists():
        pytest.skip("the shared texts are not here")
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as raw:
        return [json.loads(line) for line in io.TextIOWrapper(raw, encoding="utf-8")]


def test_the_major_languages_are_told_apart(lid: FastText) -> None:
    majors = ["en", "de", "fr", "es", "ru", "zh", "hi", "ja", "pl", "it", "pt", "uk"]
    sure = [row for row in shared_rows() if row["lang_sure"] and row["lang"] in majors]
    taken: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    for row in sure[::2]:
        seen[row["lang"]] += 1
        taken += [row] if seen[row["lang"]] <= 60 else []
    found = language.identify(lid, texts_of(*(row["text"][:5000] for row in taken)))
    right: Counter[str] = Counter()
    total = Counter(row["lang"] for row in taken)
    for row, name in zip(taken, found.language.to_pylist(), strict=True):
        right[row["lang"]] += row["lang"] == name
    assert set(total) == set(majors)
    assert all(right[name] >= 0.9 * total[name] for name in majors), (right, total)
