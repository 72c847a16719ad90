"""A run that compares tokens with the corpus', and drops what an edit tore; what is refused."""

import json
import math
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cuvee.configs.errors import RecipeError, RequestError
from cuvee.configs.recipe import Recipe
from cuvee.corpus import catalog
from cuvee.flows.checks import check_names, step_names
from cuvee.flows.retune import retune
from cuvee.tokenize import tokenizer
from cuvee.tokenize.train import train

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
WORDS = ["river", "stone", "garden", "winter", "letter", "window", "music", "bread", "market"]
EOS = "<|end_of_text|>"
EDIT = "refinedweb_lines@dclm"


def prose(chance: random.Random, lines: int) -> str:
    return "\n".join(" ".join(chance.choices(WORDS, k=9)) + "." for _ in range(lines))


def recipe(**curate: Any) -> dict[str, Any]:
    """Return a recipe of two sources: pages are edited and judged by it, notes by their tokens."""
    sources = {n: {"format": "jsonl", "paths": [f"{n}/*.jsonl"]} for n in ("pages", "notes")}
    asked = {
        "edits": [{"use": EDIT, "sources": ["pages"]}],
        "rules": [{"use": EDIT, "sources": ["pages"]}],
        "token_kl": {"max": 3.0, "sources": ["notes"]},
        "dedup": {"exact": False},
    }
    stage = {"name": "core", "tokens": "2K", "seq_len": 128, "batch": {"sequences": 2}}
    return {
        "name": "divergent",
        "part_bytes": "4K",
        "sources": sources,
        "curate": asked | curate,
        "tokenizer": {"path": "tokenizer.json"},
        "stages": [stage | {"mixture": {"pages": 0.5, "notes": 0.5}}],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, chance = tmp_path_factory.mktemp("divergent"), random.Random(3)
    torn = "\n".join(["MENU ABOUT US AND ALL THE REST"] * 3 + [prose(chance, 2)])
    texts = {
        "pages": [prose(chance, 8) for _ in range(20)] + [torn],
        "notes": [prose(chance, 8) for _ in range(20)] + ["zq " * 60, ""],
    }
    for name, found in texts.items():
        (folder / name).mkdir()
        for shard in range(3):
            lines = [json.dumps({"text": text}) for text in found[shard::3]]
            (folder / name / f"{shard}.jsonl").write_text("\n".join(lines))
    sample = [text for found in texts.values() for text in found]
    (folder / "tokenizer.json").write_text(train(sample, 320, EOS))
    (folder / "divergent.yaml").write_text(yaml.safe_dump(recipe()))
    return folder


@pytest.fixture(scope="module")
def run(cuvee: Cuvee, folder: Path) -> Path:
    out = folder / "run"
    done = cuvee("curate", folder / "divergent.yaml", "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def test_every_divergence_is_that_of_the_edited_texts_of_all_sources(
    run: Path, folder: Path
) -> None:
    rows = ask(
        run,
        """SELECT coalesce(edited_text, text), token_kl
        FROM documents JOIN signals USING (doc_id) ORDER BY doc_id""",
    )
    loaded = tokenizer.load(folder / "tokenizer.json", EOS)
    counted = [Counter(loaded.reference.encode(text)) for text, _ in rows]
    corpus = sum(counted, Counter())
    whole = sum(corpus.values()) + loaded.vocab_size
    assert len(rows) == 43
    for tokens, (_, found) in zip(counted, rows, strict=True):
        total, expected = sum(tokens.values()), 0.0
        for token, n in sorted(tokens.items()):
            expected += n / total * (math.log(n / total) - math.log((corpus[token] + 1) / whole))
        assert found == (expected if total else None)


def test_outliers_and_torn_pages_are_dropped_for_it(run: Path) -> None:
    rows = ask(
        run,
        """SELECT step, reason, left(text, 2) FROM verdicts JOIN documents USING (doc_id)
        WHERE NOT kept ORDER BY ALL""",
    )
    assert rows == [
        (EDIT, "word_removal_ratio_filter", "ME"),
        ("text", "empty", ""),
        ("token_kl", "token_kl", "zq"),
    ]
    removed = "SELECT max(refinedweb_lines_dclm_removed_words) > 0.4 FROM signals"
    assert ask(run, removed) == [(True,)]
    assert json.loads((run / "steps.json").read_text()) == ["text", EDIT, "token_kl"]


def test_the_bytes_do_not_depend_on_the_workers(run: Path, folder: Path, cuvee: Cuvee) -> None:
    out = folder / "again"
    assert cuvee("curate", folder / "divergent.yaml", "--out", out, "--workers", 3).returncode == 0
    for table in ("token_kl", "token_counts", "judged"):
        files = sorted((run / "tables" / table).rglob("*.parquet"))
        assert len(files) > 2
        for file in files:
            assert file.read_bytes() == (out / file.relative_to(run)).read_bytes()


def test_both_are_judged_again_without_the_text(run: Path) -> None:
    same = retune(run, ["curate.token_kl.max=3.0"])
    assert same.reasons == []
    change = retune(
        run, ["curate.token_kl.max=100", "curate.rules.0.limits={max_removed_words: 1}"]
    )
    assert {row["reason"]: row["after"] for row in change.reasons} == {
        "token_kl": 0,
        "word_removal_ratio_filter": 0,
    }
    with pytest.raises(RequestError, match="token_kl measures"):
        retune(run, ["curate.token_kl.tokenizer=other.json"])


def refused(**curate: Any) -> str:
    with pytest.raises(RecipeError) as error:
        check_names(Recipe.model_validate(recipe(**curate)))
    return str(error.value)


def test_a_rule_over_an_edit_that_is_not_made_is_refused() -> None:
    assert "for pages, whose texts are not edited" in refused(edits=[])
    assert "for notes, whose texts" in refused(rules=[EDIT])
    check_names(Recipe.model_validate(recipe(edits=[EDIT], rules=[EDIT])))


def test_a_tokenizer_that_is_trained_later_is_refused() -> None:
    trained = recipe() | {"tokenizer": {"train": {}}}
    with pytest.raises(RecipeError, match="token_kl has no tokenizer"):
        check_names(Recipe.model_validate(trained))
    curate = {"token_kl": {"tokenizer": "tokenizer.json", "eos": EOS}}
    check_names(Recipe.model_validate(recipe(**curate) | {"tokenizer": {"train": {}}}))


def test_without_a_limit_it_only_measures() -> None:
    assert "token_kl" not in step_names(Recipe.model_validate(recipe(token_kl={})))


def test_the_best_copy_by_a_score_that_is_not_there_is_refused() -> None:
    for best, known in (("score_quality", "Known: none"), ("language_score", "Known: none")):
        assert known in refused(dedup={"minhash": {"keep": {"best": best}}})
    found = refused(
        language={"min_score": 0},
        classifiers=[{"name": "hq", "model": "hq.bin"}],
        dedup={"minhash": {"keep": {"best": "score_h"}}},
    )
    assert "Known: score_hq, language_score" in found
