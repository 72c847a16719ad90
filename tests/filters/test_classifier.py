"""Training, scoring and evaluating a small classifier, and the sampling of its documents."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.configs.errors import ModelError
from cuvee.filters import classifier
from cuvee.filters.classifier import Training, score, training_line
from cuvee.filters.models import FastText

GOOD = ["The theorem follows from the lemma above.", "Photosynthesis turns light into sugar."]
BAD = ["Click here to buy cheap now!!!", "Subscribe for free offers and win a prize"]
PARAMS = Training(bucket=1000, epoch=40, min_count=1)


def write_training(path: Path) -> Path:
    pairs = [("hq", text) for text in GOOD] + [("cc", text) for text in BAD]
    lines = [training_line(label, text) for label, text in pairs * 10]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FastText:
    folder = tmp_path_factory.mktemp("classifier")
    classifier.train(write_training(folder / "train.txt"), folder / "quality.bin", PARAMS)
    return classifier.load(folder / "quality.bin", "hq")


def texts_of(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_lines_are_joined_by_a_space_and_case_is_kept() -> None:
    assert classifier.normalise("\n One\r\nTwo\x0bthree\n\n") == "One Two three"


def test_a_training_line_holds_no_second_label_and_no_end() -> None:
    assert training_line("hq", "a __label__cc b\n</s> c") == "__label__hq a  cc b   c"
    with pytest.raises(ModelError, match="no word"):
        training_line("two words", "text")


def test_the_same_training_file_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "another"):
        folder.mkdir()
        classifier.train(write_training(folder / "train.txt"), folder / "quality.bin", PARAMS)
    one, another = (tmp_path / name / "quality.bin" for name in ("one", "another"))
    assert one.read_bytes() == another.read_bytes()
    other = tmp_path / "other.bin"
    params = Training(seed=2, bucket=1000, epoch=40, min_count=1)
    classifier.train(tmp_path / "one" / "train.txt", other, params)
    assert other.read_bytes() != one.read_bytes()


def test_what_memory_held_before_does_not_change_a_model(tmp_path: Path) -> None:
    training, seen = write_training(tmp_path / "train.txt"), set()
    for number in range(5):
        junk = [np.full(size, np.pi * number) for size in (1000, 8001, 100_000)]
        del junk
        classifier.train(training, tmp_path / "quality.bin", PARAMS)
        seen.add((tmp_path / "quality.bin").read_bytes())
    assert len(seen) == 1


def test_bigrams_without_buckets_are_refused(tmp_path: Path) -> None:
    training = write_training(tmp_path / "train.txt")
    with pytest.raises(ModelError, match="2-grams have no bucket"):
        classifier.train(training, tmp_path / "quality.bin", Training(bucket=0))


def test_scores_are_probabilities_of_the_label(model: FastText) -> None:
    texts = texts_of(*GOOD, *BAD, "", "unseen words only")
    hq, cc = score(model, "hq", texts), score(model, "cc", texts)
    assert hq.dtype == np.float32
    assert np.all((hq[:2] > 0.9) & (hq[2:4] < 0.1))
    np.testing.assert_allclose(hq + cc, 1.0, atol=1e-4)
    assert score(model, "hq", texts).tolist() == hq.tolist()


def test_a_label_that_a_model_does_not_know_is_refused(tmp_path: Path) -> None:
    classifier.train(write_training(tmp_path / "train.txt"), tmp_path / "quality.bin", PARAMS)
    with pytest.raises(ModelError, match=r"no label 'gold'. Its labels are cc, hq"):
        classifier.load(tmp_path / "quality.bin", "gold")


@pytest.mark.parametrize("text", ["", "no label here\n", "__label__hq only one kind\n" * 9])
def test_what_trains_no_classifier_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ModelError, match=r"train\.txt trains no classifier"):
        classifier.train(tmp_path / "train.txt", tmp_path / "quality.bin", PARAMS)


def test_functions_and_parameters_travel_to_worker_processes() -> None:
    for value in (score, classifier.train, classifier.load, PARAMS):
        assert pickle.loads(pickle.dumps(value)) == value
