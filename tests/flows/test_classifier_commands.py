"""`cuvee classifier train` and `eval` as processes of their own, on invented and on real mails."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.filters import models

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
MAILS = SHARED / "labels" / "spamassassin.jsonl.gz"

GOOD = ("theorem", "lemma", "proof", "integral", "sugar", "light", "cell", "energy")
BAD = ("click", "cheap", "offer", "win", "prize", "subscribe", "free", "now")


def cuvee(folder: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cuvee.flows", "classifier", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=os.environ | {"COLUMNS": "110"},
        check=False,
    )


def texts(words: tuple[str, ...], number: int) -> list[str]:
    chance = random.Random(words[0])
    return [" ".join(chance.choices(words, k=30)) for _ in range(number)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the good as Parquet and the bad as JSON lines, some of it broken."""
    pq.write_table(pa.table({"body": texts(GOOD, 60)}), tmp_path / "good.parquet")
    lines = [json.dumps({"body": text}) for text in texts(BAD, 60)]
    with gzip.open(tmp_path / "bad.jsonl.gz", "wt") as file:
        file.write("\n".join([*lines, '{"body": 7}', '{"text": "no body"}']) + "\n")
    return tmp_path


TRAIN = ("--positive", "good.parquet", "--negative", "*.jsonl.gz", "--text-field", "body")


def test_the_same_command_gives_the_same_bytes_and_says_of_what(folder: Path) -> None:
    for name in ("one.bin", "models/other.bin"):
        done = cuvee(folder, "train", *TRAIN, "--out", name)
        assert done.returncode == 0, done.stderr
    assert "1 missing_text, 1 text_not_string" in done.stdout
    one, other = folder / "one.bin", folder / "models" / "other.bin"
    assert one.read_bytes() == other.read_bytes()
    card = json.loads(one.with_suffix(".json").read_text())
    assert card == json.loads(other.with_suffix(".json").read_text())
    assert card["documents"] == {"hq": 60, "other": 60}
    assert sum(card["trained_on"].values()) + card["held_out"]["n"] == 120
    assert card["held_out"]["roc_auc"] == 1.0
    assert [source.split()[0] for source in card["inputs"]["negative"]] == ["bad.jsonl.gz"]
    assert sorted(path.name for path in one.parent.glob(".*")) == []
    seeded = cuvee(folder, "train", *TRAIN, "--out", "seeded.bin", "--seed", 2)
    assert seeded.returncode == 0, seeded.stderr
    assert (folder / "seeded.bin").read_bytes() != one.read_bytes()


def test_how_a_model_is_trained_may_be_said_and_is_on_its_card(folder: Path) -> None:
    flags = ("--epochs", 9, "--lr", 0.25, "--dim", 8, "--word-ngrams", 1)
    done = cuvee(folder, "train", *TRAIN, "--out", "m.bin", *flags)
    assert done.returncode == 0, done.stderr
    params = json.loads((folder / "m.json").read_text())["params"]
    assert (params["epoch"], params["lr"], params["dim"], params["word_ngrams"]) == (9, 0.25, 8, 1)
    header = models.load(folder / "m.bin").input
    assert header.ngrams == 1
    assert header.bucket == 0


def test_a_copy_of_a_trained_text_is_not_held_out(folder: Path) -> None:
    (folder / "bad.jsonl").write_text(
        "".join(f'{{"body": "{" ".join(BAD)}"}}\n' for _ in range(60))
    )
    (folder / "bad.jsonl.gz").unlink()
    flags = ("--positive", "good.parquet", "--negative", "bad.jsonl", "--text-field", "body")
    assert cuvee(folder, "train", *flags, "--out", "m.bin").returncode == 0
    card = json.loads((folder / "m.json").read_text())
    assert card["held_out"]["n"] == 60 - card["trained_on"]["hq"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--positive", "nowhere.jsonl", "--negative", "bad.jsonl.gz"), "nowhere.jsonl"),
        (("--positive", "bad.jsonl.gz", "--negative", "bad.jsonl.gz"), "both classes"),
        (("--positive", "good.parquet", "--negative", "bad.jsonl.gz"), "has 0 documents"),
        ((*TRAIN, "--label", "two words"), "no word"),
        ((*TRAIN, "--label", "other"), "another label"),
        ((*TRAIN, "--out", "model.txt"), "ends in .bin"),
        ((*TRAIN, "--lr", "0"), "above 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(folder: Path, flags: tuple[str, ...], said: str) -> None:
    out = () if "--out" in flags else ("--out", "m.bin")
    done = cuvee(folder, "train", *flags, *out)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("m.*"))


def test_evaluation_shows_figures_thresholds_and_what_was_confused(folder: Path) -> None:
    assert cuvee(folder, "train", *TRAIN, "--out", "m.bin").returncode == 0
    swapped = [*texts(GOOD, 9), "\x1b[31mcheap [bold]prize[/bold] " + "click " * 99]
    lines = [json.dumps({"body": text}) for text in swapped]
    (folder / "tests.jsonl").write_text("\n".join(lines))
    flags = ("--positive", "tests.jsonl", "--negative", "bad.jsonl.gz", "--text-field", "body")
    done = cuvee(folder, "eval", "m.bin", *flags)
    assert done.returncode == 0, done.stderr
    assert "1 missing_text" in done.stdout
    assert "1.000   0.900  0.947" in done.stdout
    assert "score at least" in done.stdout
    assert "[bold]prize[/bold]" in done.stdout
    assert "\x1b[31m" not in done.stdout
    assert "…" in done.stdout
    unknown = cuvee(folder, "eval", "m.bin", "--label", "gold", *flags)
    assert unknown.returncode == 2
    assert "hq, other" in unknown.stderr


@pytest.mark.skipif(not MAILS.exists(), reason="the labelled mails are not there")
def test_ham_and_spam_are_told_apart_on_mails_not_seen(tmp_path: Path) -> None:
    with gzip.open(MAILS, "rt") as file:
        mails = [json.loads(line) for line in file]
    for label in ("ham", "spam"):
        own = [{"id": m["id"], "text": m["text"]} for m in mails if m["label"] == label]
        for part, chosen in (("test", own[::4]), ("train", [m for m in own if m not in own[::4]])):
            lines = [json.dumps(mail) for mail in chosen]
            (tmp_path / f"{label}-{part}.jsonl").write_text("\n".join(lines) + "\n")
    flags = ("--positive", "ham-train.jsonl", "--negative", "spam-train.jsonl", "--label", "ham")
    done = cuvee(tmp_path, "train", *flags, "--out", "ham.bin")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "ham.json").read_text())["held_out"]["roc_auc"] > 0.95
    flags = ("--positive", "ham-test.jsonl", "--negative", "spam-test.jsonl", "--label", "ham")
    done = cuvee(tmp_path, "eval", "ham.bin", *flags)
    figures = next(line for line in done.stdout.splitlines() if line.startswith("175"))
    assert float(figures.split()[-1]) > 0.95
