"""fastText files and lines: what is refused before the library sees it."""

from pathlib import Path

import pyarrow as pa
import pytest

from cuvee.configs.errors import ModelError
from cuvee.filters import classifier, language, models


@pytest.fixture(scope="module")
def lid(lid_path: Path) -> Path:
    return lid_path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    lines = [classifier.training_line("x" if i % 2 else "y", f"w{i} v{i}") for i in range(9)]
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    params = classifier.Training(dim=2, bucket=10, min_count=1)
    classifier.train(folder / "train.txt", folder / "plain.bin", params)
    return folder / "plain.bin"


def test_plain_and_quantised_models_load(lid: Path, plain: Path) -> None:
    assert len(models.labels(models.load(lid))) == 176
    assert models.labels(models.load(plain)) == ["x", "y"]


@pytest.mark.parametrize("kind", ["lid", "plain"])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(
    kind: str, share: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    data = request.getfixturevalue(kind).read_bytes()
    cut = tmp_path / "cut.bin"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"cut\.bin is not a fastText model"):
        models.load(cut)


@pytest.mark.parametrize("at", [4, 8, 36, 64])
def test_a_header_that_does_not_fit_its_file_is_refused(
    plain: Path, at: int, tmp_path: Path
) -> None:
    data = bytearray(plain.read_bytes())
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "odd.bin").write_bytes(data)
    with pytest.raises(ModelError, match=r"odd\.bin is not a fastText model"):
        models.load(tmp_path / "odd.bin")


def test_what_is_no_model_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("hello\n" * 100)
    for path in (tmp_path / "text.bin", tmp_path / "none.bin", tmp_path):
        with pytest.raises(ModelError, match="not a fastText model"):
            models.load(path)


def test_a_line_holds_nothing_that_the_library_reserves() -> None:
    text = models.line("a\nb\0c </s> __label__d\r")
    assert text == "a b c    d "


def test_text_behind_an_end_mark_is_still_read(lid: Path) -> None:
    text = "hello </s> das ist ein ganz gewöhnlicher deutscher Satz, den jeder lesen kann"
    found = language.identify(language.load(lid), pa.array([text], pa.large_string()))
    assert found.language.to_pylist() == ["de"]
