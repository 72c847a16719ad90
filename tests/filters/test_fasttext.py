"""Our reading of fastText models against the library's, label by label and bit by bit."""

import io
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import fasttext
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import ModelError
from cuvee.filters import classifier, fasttext_file, fasttext_memo, language, models
from cuvee.filters.models import FastText

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TOLERANCE = 1e-5

KINDS = ("mathematik", "physik", "chimie", "поэзия")
VOCABULARY = {
    "mathematik": "theorem lemma proof integral the a of sum größe",
    "physik": "light energy mass wave the a of field größe",
    "chimie": "acide base sel électron le la de molécule the",
    "поэзия": "свет ночь звезда и в на душа the",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "words": {"wordNgrams": 1},
    "bigrams": {"wordNgrams": 2, "bucket": 500},
    "trigrams": {"wordNgrams": 3, "bucket": 1000, "dim": 33},
    "characters": {"minn": 2, "maxn": 4, "bucket": 700},
    "letters": {"minn": 1, "maxn": 3, "bucket": 64, "wordNgrams": 2},
    "tree": {"loss": "hs", "minn": 3, "maxn": 6, "bucket": 1000},
    "one against all": {"loss": "ova", "wordNgrams": 2, "bucket": 300},
    "sampling": {"loss": "ns", "bucket": 0},
}
QUANTISED: dict[str, dict[str, Any]] = {
    "plain": {},
    "norms": {"qnorm": True, "dsub": 3},
    "pruned": {"cutoff": 300, "qnorm": True},
    "output": {"qout": True, "qnorm": True, "cutoff": 400},
}


class Pair(NamedTuple):
    """The library's model and ours, of one file."""

    theirs: Any
    ours: FastText


def load(path: Path) -> Pair:
    return Pair(fasttext.load_model(str(path)), models.load(path))


def train(path: Path, **settings: Any) -> Any:
    """Train on four languages of a few words each, and on words that come once."""
    chance, lines = random.Random(7), list[str]()
    for n in range(400):
        kind = KINDS[n % 4]
        words = [*chance.choices(VOCABULARY[kind].split(), k=12), f"{kind[:3]}{n}"]
        lines.append(f"__label__{kind} {' '.join(words)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    chosen = {"dim": 16, "epoch": 8, "lr": 0.4, "minCount": 1, "seed": 3} | settings
    return fit(path, **chosen)


def fit(path: Path, **settings: Any) -> Any:
    with classifier._zeroed_memory():
        return fasttext.train_supervised(str(path), thread=1, verbose=0, **settings)


@pytest.fixture(scope="module", params=SETTINGS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "train.txt", **SETTINGS[request.param]).save_model(str(folder / "model.bin"))
    return load(folder / "model.bin")


@pytest.fixture(scope="module", params=QUANTISED)
def quantised(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("quantised")
    model = train(folder / "train.txt", minn=2, maxn=4, wordNgrams=2, bucket=700)
    asked = QUANTISED[request.param]
    if asked.get("qout"):
        many = (folder / "train.txt").read_text(encoding="utf-8").splitlines()
        more = [f"__label__n{n} {many[n].split(' ', 1)[1]}" for n in range(260)]
        (folder / "train.txt").write_text("\n".join(more) + "\n", encoding="utf-8")
        model = fit(folder / "train.txt", minn=2, maxn=4, bucket=700, loss="ova")
    model.quantize(str(folder / "train.txt"), thread=1, verbose=False, **asked)
    model.save_model(str(folder / "model.ftz"))
    return load(folder / "model.ftz")


@pytest.fixture(scope="module")
def lid(lid_path: Path) -> Pair:
    return load(lid_path)


def texts_of(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def plain_language(model: Any, text: str) -> tuple[str, float]:
    """Name the language as the library does, one document at a time."""
    head = text.encode()[: language.READ_BYTES].decode("utf-8", "ignore")
    line = models.line(head)
    found, share = ((), []) if not line.strip() else model.predict(line, k=1)
    if not found:
        return language.UNDETERMINED, 0.0
    return found[0].removeprefix(models.LABEL), min(float(share[0]), 1.0)


def plain_score(model: Any, label: str, text: str) -> float:
    found, shares = model.predict(classifier.normalise(text), k=-1)
    name = models.LABEL + label
    return min(float(shares[found.index(name)]), 1.0) if name in found else 0.0


def assert_same(pair: Pair, texts: list[str], n_labels: int = 2) -> None:
    """Ask for the language and for the score of some labels, and compare every document."""
    found = language.identify(pair.ours, texts_of(texts))
    expected = [plain_language(pair.theirs, text) for text in texts]
    assert found.language.to_pylist() == [name for name, _ in expected]
    np.testing.assert_allclose(found.score, [share for _, share in expected], atol=TOLERANCE)
    for label in pair.ours.names[:n_labels]:
        got = classifier.score(pair.ours, label, texts_of(texts))
        assert got.dtype == np.float32
        expected_scores = [plain_score(pair.theirs, label, text) for text in texts]
        np.testing.assert_allclose(got, expected_scores, atol=TOLERANCE)


ODD = [
    "",
    " ",
    "\n",
    " \n\0\t\x0b\x0c\r ",
    "\u3000\xa0\u2003",
    "\x1c\x1d\x1e\x1f",
    "</s>",
    "</s>\u3000",
    "the</s>theorem __label__physik __label__ light",
    "</__label__s> __label__label__ __label </s",
    "the\u2028light\u2029of\x1ca\x85wave\x1fthe \u3000theorem\u3000",
    "a theorem\nthe lemma\n\nthe proof\r\n",
    "light\0energy",
    "😀 größe ﬁ é \U0010ffff \ufeff",
    "<the> < > <",
    "x" * 15,
    "x" * 16,
    "y" * 64 + " " + "y" * 65 + " " + "ü" * 40,
    "свет" * 20,
]
WORDS = [*" ".join(VOCABULARY.values()).split(), "</s>", "__label__", "\n", "\0", "\u2028", "\xa0"]
CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from([" ", " ", "\n", "\t", "_", "<", "/", "s", ">", "\x1c", "\x85", "\u2029"]),
)
TEXTS = st.lists(
    st.one_of(st.text(CHARACTERS, max_size=12), st.sampled_from(WORDS)), max_size=25
).map(lambda parts: " ".join(parts) if len(parts) % 2 else "".join(parts))


def mixed(number: int) -> list[str]:
    chance = random.Random(number)
    return [" ".join(chance.choices(WORDS, k=chance.randrange(40))) for _ in range(number)]


def test_every_loss_and_kind_of_ngram_gives_the_labels_of_the_library(trained: Pair) -> None:
    assert_same(trained, [*ODD, *mixed(60)], 4)


def test_quantised_models_give_the_labels_of_the_library(quantised: Pair) -> None:
    assert_same(quantised, [*ODD, *mixed(60)])


def test_odd_texts_have_the_language_that_the_library_says(lid: Pair) -> None:
    assert_same(lid, [*ODD, *mixed(60)])


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, max_size=8))
def test_any_text_has_the_language_that_the_library_says(lid: Pair, texts: list[str]) -> None:
    assert_same(lid, texts, 1)


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_any_text_has_the_score_that_the_library_gives(trained: Pair, texts: list[str]) -> None:
    assert_same(trained, texts)


def test_a_million_rows_round_the_sums_as_the_library_does(trained: Pair, lid: Pair) -> None:
    long = ["the " * 150_000, "größe" * 60_000, "свет ночь " * 40_000, "x" * 300_000]
    for pair in (trained, lid):
        assert_same(pair, long, 1)


def test_a_memo_that_is_emptied_gives_the_same_scores(lid: Pair) -> None:
    slots = 1 << fasttext_memo._BITS
    words = [f"w{n} слово{n} {'z' * 17}{n}" for n in range(slots // 4)]
    texts = [" ".join(words[at : at + 400]) for at in range(0, len(words), 400)] * 2
    found = language.identify(lid.ours, texts_of(texts))
    alone = [language.identify(lid.ours, texts_of([text])).score[0] for text in texts[::9]]
    assert found.score[::9].tolist() == alone
    assert found.score.tolist()[: len(texts) // 2] == found.score.tolist()[len(texts) // 2 :]


def test_sums_are_those_of_the_library_to_the_last_bit(lid: Pair) -> None:
    text = "Die Würde des Menschen ist unantastbar. Human dignity shall be inviolable. 人間の尊厳"
    data = np.frombuffer(text.encode(), np.uint8)
    sums = lid.ours.sums(data, np.array([[0, len(data)]]), joined=False)
    rows = [row for word in text.split() for row in lid.theirs.get_subwords(word)[1]]
    rows.append(lid.theirs.get_word_id("</s>"))
    total = np.zeros(16, np.float32)
    for row in rows:
        total += lid.theirs.get_input_vector(row)
    assert sums.n_rows.tolist() == [len(rows)]
    assert (sums.vectors[0] == total * np.float32(1 / len(rows))).all()


def shared_texts() -> list[str]:
    paths = [SHARED / "text" / "text-000.jsonl.zst", SHARED / "web" / "text_trafilatura.jsonl.zst"]
    paths.append(SHARED / "code" / "code.jsonl.zst")
    if not all(path.exists() for path in paths):
        pytest.skip("the shared texts are not here")
    found: list[str] = []
    for path in paths:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as raw:
            rows = [json.loads(line) for line in io.TextIOWrapper(raw, encoding="utf-8")]
        found += [row.get("text") or row["content"] for row in rows[::12]]
    return found


def test_real_texts_have_the_language_that_the_library_says(lid: Pair) -> None:
    assert_same(lid, shared_texts(), 0)


def test_real_texts_have_the_score_that_the_library_gives(trained: Pair) -> None:
    assert_same(trained, shared_texts()[::20], 1)


def changed(path: Path, tmp_path: Path, at: int, value: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    (tmp_path / "odd.bin").write_bytes(data)
    return tmp_path / "odd.bin"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("version", 13, "does not start as one"),
        ("loss", 9, "the loss 9"),
        ("model", 1, "word vectors"),
        ("maxn", 65, "n-grams of 65 characters"),
        ("n_labels", 0, "cannot be"),
        ("n_words", 7, "contradict"),
        ("dim", 8, "shape"),
    ],
)
def test_a_model_that_cannot_be_applied_is_refused(
    field: str, value: int, said: str, tmp_path: Path
) -> None:
    train(tmp_path / "train.txt", **SETTINGS["bigrams"]).save_model(str(tmp_path / "model.bin"))
    offsets = fasttext_file.HEADER.fields
    assert offsets is not None
    odd = changed(tmp_path / "model.bin", tmp_path, offsets[field][1], value.to_bytes(4, "little"))
    with pytest.raises(ModelError, match=said):
        models.load(odd)


def test_a_score_that_is_no_number_stays_none(tmp_path: Path) -> None:
    train(tmp_path / "train.txt").save_model(str(tmp_path / "model.bin"))
    size = (tmp_path / "model.bin").stat().st_size
    odd = changed(tmp_path / "model.bin", tmp_path, size - 8, np.float32(np.nan).tobytes())
    ours = models.load(odd)
    texts = texts_of(["the theorem"])
    assert np.isnan(classifier.score(ours, ours.names[-1], texts)).all()
    assert np.isnan(language.identify(ours, texts).score).all()
