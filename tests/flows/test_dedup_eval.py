"""`cuvee dedup eval`, and what it must say of labelled duplicates."""

import gzip
import json
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.configs.deduplication import MinHash
from cuvee.configs.errors import RecipeError, SourceError
from cuvee.corpus.paths import SourceFile
from cuvee.corpus.readers import Document, read
from cuvee.filters.shingles import Hashes
from cuvee.flows.dedup_commands import evaluate as command
from cuvee.flows.dedup_commands import parameters
from cuvee.flows.dedup_evaluation import Hashed, Judged, evaluate, hash_documents, judge, removals

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DEDUP = SHARED / "dedup"
needs_data = pytest.mark.skipif(not DEDUP.exists(), reason="the labelled duplicates are not here")
OF_PREDICTED = 0.97  # of the recall that bands and rows promise: what must be reached at least


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(DEDUP / f"{name}.jsonl.gz") as file:
        return [json.loads(line) for line in file]


@cache
def known_similar() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the pairs with their exact similarity, and the texts of their documents."""
    pairs = rows("near_dup_exact_jaccard")
    named = {pair[side] for pair in pairs for side in ("a", "b")}
    files = [SHARED / "web" / "text_trafilatura.jsonl.zst", *(SHARED / "text").glob("text-*.zst")]
    texts = {}
    for path in sorted(files):
        for got in read(SourceFile(str(path), path.name, 0), "jsonl", {}):
            if isinstance(got, Document) and got.id in named:
                texts[str(got.id)] = got.text
    return texts, pairs


def plain_jaccard(left: Hashes, right: Hashes) -> float:
    one, other = set(left.tolist()), set(right.tolist())
    return len(one & other) / len(one | other)


def check_removals(hashed: Hashed, near: MinHash) -> int:
    removed, kept = removals(hashed)
    assert not set(removed) & set(kept)
    for gone, stays in zip(removed, kept, strict=True):
        assert plain_jaccard(hashed.set_of(gone), hashed.set_of(stays)) >= near.verify
    return len(removed)


@needs_data
@pytest.mark.parametrize(
    "near", [MinHash(), MinHash(bands=9, rows=13), MinHash(bands=20, rows=20)], ids=str
)
def test_real_near_duplicates_are_found_as_the_curve_promises_and_none_else_goes(
    near: MinHash,
) -> None:
    hashed, _ = hash_documents(list(known_similar()[0].values()), near)
    found = evaluate(hashed)
    assert found.enough.low == 0.8
    assert found.enough.pairs > 200
    assert found.enough.candidates >= OF_PREDICTED * found.enough.predicted
    assert check_removals(hashed, near) == found.removed > 100
    assert found.least >= near.verify


@needs_data
def test_pairs_that_are_similar_by_another_definition_of_words_are_found_as_well() -> None:
    texts, pairs = known_similar()
    hashed, rank = hash_documents(list(texts.values()), MinHash())
    numbers = dict(zip(texts, rank.tolist(), strict=True))
    judged = [
        Judged(numbers[pair["a"]], numbers[pair["b"]], pair["jaccard"] >= 0.8) for pair in pairs
    ]
    bins = judge(hashed, judged)
    duplicates, found = (sum(one[n] for one in bins) for n in (2, 3))
    assert found >= OF_PREDICTED * duplicates
    assert all(one.duplicates_found + one.others_found == 0 for one in bins if one.high <= 0.8)


@needs_data
def test_the_pairs_planted_among_a_thousand_articles_are_found_and_nothing_else() -> None:
    articles = rows("plagiarism_articles_1000")
    hashed, rank = hash_documents([row["text"] for row in articles], MinHash())
    number = dict(zip((row["id"] for row in articles), rank.tolist(), strict=True))
    twins = {
        frozenset((number[row["id"]], number[other]))
        for row in articles
        for other in row["duplicate_of"] or ()
    }
    removed, kept = removals(hashed)
    assert {frozenset(pair) for pair in zip(removed, kept, strict=True)} == twins
    assert len(twins) == 10


@needs_data
def test_paraphrases_for_three_levels_of_readers_stay() -> None:
    hashed, _ = hash_documents([row["text"] for row in rows("onestopenglish_3_levels")], MinHash())
    # One article stands there twice under two names.
    assert check_removals(hashed, MinHash()) == 1


def invented() -> tuple[list[str], list[str]]:
    chance = random.Random(5)
    words = ["".join(chance.choices("abcdefgh", k=5)) for _ in range(400)]
    near = " ".join([*words[:190], "another", *words[191:200]])
    texts = [" ".join(words[:200]), near, " ".join(words[150:350]), "too short", "too  short"]
    return list("abcde"), texts


def cuvee(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cuvee.flows", "dedup", "eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "110"},
        check=False,
    )


def test_the_command_prints_what_is_found_and_how_that_fits_the_judgements(tmp_path: Path) -> None:
    documents, pairs = tmp_path / "documents.jsonl", tmp_path / "pairs.jsonl"
    lines = [json.dumps({"id": i, "text": text}) for i, text in zip(*invented(), strict=True)]
    documents.write_text("\n".join(lines))
    judged = [("a", "b", True), ("a", "c", False), ("d", "e", True), ("b", "c", True)]
    named = [json.dumps({"a": a, "b": b, "duplicate": says}) for a, b, says in judged]
    pairs.write_text("\n".join(named) + "\n\n")
    done = cuvee(documents, "--pairs", pairs, "--set", "bands=20", "--set", "rows=5")
    assert done.returncode == 0, done.stderr
    assert "20 x 5" in done.stdout
    assert "1 of 5 documents go; the least similarity" in done.stdout
    assert "of the judged pairs: precision 1.000, recall 0.667" in done.stdout  # not b and c
    with pytest.raises(SourceError, match="line 1 is no judged pair: KeyError 'a'"):
        command([str(documents)], documents, [])


def test_documents_without_an_id_of_their_own_are_refused(tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    for lines, said in (('{"text": "a"}', "has no id"), ('{"id": "1", "text": ""}\n' * 2, "'1'")):
        documents.write_text(lines)
        with pytest.raises(SourceError, match=said):
            command([str(documents)], None, [])


def test_a_parameter_that_is_none_is_refused() -> None:
    with pytest.raises(RecipeError, match="--set band: Extra inputs are not permitted"):
        parameters(["band=20"])
    assert parameters(["verify=0.7"]) == MinHash(verify=0.7)


def test_documents_without_shingles_are_no_candidates_of_each_other() -> None:
    hashed, rank = hash_documents(["a b", "c d", "", ""], MinHash())
    assert evaluate(hashed).candidates == 0
    assert sorted(rank.tolist()) == [0, 1, 2, 3]
    bins = judge(hashed, [Judged(2, 3, True), Judged(0, 1, False)])
    assert np.sum([one[2:] for one in bins], axis=0).tolist() == [1, 1, 1, 0]
