"""Least scores, buckets and judgements over small tables, against plain Python; and in a run."""

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.configs.load import parse
from cuvee.configs.recipe import LanguageRule
from cuvee.configs.scores import OnlyIf
from cuvee.corpus import catalog
from cuvee.filters.keep import ScoreRule
from cuvee.filters.rules import RuleUse
from cuvee.flows.curate_parts import known
from cuvee.flows.judging import Asks, Judgement, Ranks, judge_part, rank_part
from cuvee.flows.thresholds import ALL, Ranking, bucket_edges, least_scores, top_thresholds

Cuvee = Callable[..., subprocess.CompletedProcess[str]]


def doc_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def write_scores(tables: Path, source: str, scores: Sequence[float | None], first: int = 0) -> Path:
    """Write a part of scores whose languages go de, en, de, en, ..."""
    path = tables / "scores" / source / "00000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = range(len(scores))
    columns = {
        "doc_id": pl.Series([doc_id(first + n) for n in rows], dtype=pl.Binary),
        "language": pl.Series([("de", "en")[n % 2] for n in rows], dtype=pl.String),
        "score_quality": pl.Series(scores, dtype=pl.Float32),
    }
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_a_score_that_is_no_number_is_written_as_unknown() -> None:
    assert known(np.array([0.5, math.nan, 0.0], np.float32)).to_pylist() == [0.5, None, 0.0]


def plain_least(scores: Sequence[float | None], share: float) -> float:
    known = sorted((s for s in scores if s is not None), reverse=True)
    return known[math.ceil(round(share * len(known), 3)) - 1]


def least(tables: Path, ranking: Ranking, shares: Sequence[float]) -> dict[str, dict[float, float]]:
    with duckdb.connect() as connection:
        return least_scores(connection, tables, ranking, shares)


LEVELS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, None])
SCORES = st.lists(LEVELS, max_size=20).map(lambda scores: [*scores, 0.375])


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(web=SCORES, books=SCORES, share=st.sampled_from([0.05, 0.07, 0.1, 0.5, 0.7, 1.0]))
def test_a_top_share_equals_its_plain_twin(
    tmp_path: Path, web: list[float | None], books: list[float | None], share: float
) -> None:
    write_scores(tmp_path, "web", web)
    write_scores(tmp_path, "books", books, first=100)
    of = ("web", "books")
    found = least(tmp_path, Ranking("scores", "score_quality", of), [share])
    assert found == {ALL: {share: plain_least(web + books, share)}}
    found = least(tmp_path, Ranking("scores", "score_quality", of, "source"), [share])
    assert found == {
        name: {share: plain_least(s, share)} for name, s in zip(of, (web, books), strict=True)
    }
    german = [s for scores in (web, books) for s in scores[::2]]
    if any(s is not None for s in german):
        found = least(tmp_path, Ranking("scores", "score_quality", of, "language"), [share])
        assert found["de"] == {share: plain_least(german, share)}
    found = least(tmp_path, Ranking("scores", "score_quality", ("books",)), [share])
    assert found == {ALL: {share: plain_least(books, share)}}


def test_a_share_of_a_hundred_is_no_document_more(tmp_path: Path) -> None:
    write_scores(tmp_path, "web", [n / 128 for n in range(100)])
    ranking = Ranking("scores", "score_quality", ("web",))
    assert least(tmp_path, ranking, [0.07]) == {ALL: {0.07: 93 / 128}}


def plain_bucket(score: float | None, scores: Sequence[float | None], n: int) -> int | None:
    if score is None:
        return None
    return sum(score >= plain_least(scores, 1 - bucket / n) for bucket in range(1, n))


def test_buckets_hold_equal_numbers_and_never_part_equal_scores(tmp_path: Path) -> None:
    scores = [*[n / 256 for n in range(160)], *[0.875] * 39, None]
    part, target = write_scores(tmp_path, "web", scores), tmp_path / "edges.json"
    assert bucket_edges(tmp_path, {"quality": [2, 20]}, ["web"], target) == {"edges": 20}
    edges = {int(n): tuple(of) for n, of in json.loads(target.read_text())["quality"].items()}
    assert edges[2] == (99 / 256,)  # of 199 known ones 100 reach it
    ranks = tuple(Ranks(f"of_{n}", {"quality": edges[n]}) for n in edges)
    assert rank_part(part, tmp_path / "ranks.parquet", ranks) == {"docs": 200}
    table = pl.read_parquet(tmp_path / "ranks.parquet")
    for n in edges:
        assert table[f"score_of_{n}"].to_list() == [plain_bucket(s, scores, n) for s in scores]
    counts = table["score_of_20"].drop_nulls().value_counts().sort("score_of_20")["count"].to_list()
    assert counts[-1] == 39
    assert set(counts[:16]) <= {9, 10}


def test_a_top_share_of_buckets_may_be_by_language(tmp_path: Path) -> None:
    part = write_scores(tmp_path, "web", [n / 64 for n in range(40)])
    ranks = (Ranks("both", {"quality": tuple(n / 4 / 1.6 for n in range(1, 4))}),)
    rank_part(part, tmp_path / "ensembles" / "web" / "00000.parquet", ranks)
    ranking = Ranking("ensembles", "score_both", ("web",), "language")
    top_thresholds(tmp_path, {"both": (ranking, 0.25)}, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == {"both": {"de": 3.0, "en": 3.0}}


PUNCTUATED = RuleUse(
    "fineweb", {"short_line_thr": None, "char_duplicates_ratio": None, "new_line_ratio": None}
)


def judged(tmp_path: Path, spec: Judgement, scores: Sequence[float | None]) -> list[Any]:
    """Judge documents, the first of them empty, the second with an unpunctuated text."""
    others = len(scores) - 2
    own = write_scores(tmp_path, "web", scores)
    frame = pl.read_parquet(own).with_columns(language_score=pl.lit(0.6, pl.Float32))
    frame.write_parquet(own)
    signals = pl.DataFrame(
        {
            "doc_id": frame["doc_id"],
            "n_nonspace": [0, 5, *[900] * others],
            "fineweb_line_punct_ratio": [0.0, 0.0, *[1.0] * others],
        }
    )
    signals.write_parquet(tmp_path / "signals.parquet")
    judge_part((tmp_path / "signals.parquet",), (own,), tmp_path / "judged.parquet", spec)
    table = pl.read_parquet(tmp_path / "judged.parquet")
    assert (table["kept"] == table["reason"].is_null()).all()
    return list(zip(table["step"], table["reason"], strict=True))


KEPT = (None, None)
EMPTY = ("text", "empty")


def test_the_first_that_drops_gives_the_step(tmp_path: Path) -> None:
    spec = Judgement(((PUNCTUATED, Asks()),), None, ((ScoreRule("quality", 0.5), None),))
    found = judged(tmp_path, spec, [0.1, 0.1, 0.1, 0.9, None])
    low, unknown = ("quality", "low_score"), ("quality", "unmeasured")
    assert found == [EMPTY, ("fineweb", "line_punct_ratio"), low, KEPT, unknown]


@pytest.mark.parametrize("score", [0.6, 0.7, None, math.nan])
def test_a_rule_may_be_asked_only_where_a_score_is_low(tmp_path: Path, score: float | None) -> None:
    spec = Judgement(((PUNCTUATED, Asks(OnlyIf(score="quality", below=0.7))),), None, ())
    dropped = ("fineweb", "line_punct_ratio")
    assert judged(tmp_path, spec, [score, score, 0.1]) == [
        EMPTY,
        KEPT if score == 0.7 else dropped,
        KEPT,
    ]


@pytest.mark.parametrize(
    ("asks", "dropped"),
    [
        (Asks(), ["de", "en", None]),
        (Asks(languages=("en",)), ["en"]),
        (Asks(languages=("en", "fr")), ["en"]),
        (Asks(except_languages=("en", "fr")), ["de", None]),
        (Asks(languages=("de", "en"), except_languages=("de",)), ["en"]),
        (Asks(OnlyIf(score="quality", below=0.5), languages=("de",)), []),
    ],
)
def test_a_rule_may_be_asked_of_some_languages_alone(
    tmp_path: Path, asks: Asks, dropped: list[str | None]
) -> None:
    languages, own = ["de", "en", None], tmp_path / "scores.parquet"
    ids = pl.Series("doc_id", [doc_id(n) for n in range(3)], dtype=pl.Binary)
    pl.DataFrame([ids, pl.Series("language", languages)]).with_columns(
        language_score=pl.lit(1, pl.Float32), score_quality=pl.lit(1, pl.Float32)
    ).write_parquet(own)
    signals = tmp_path / "signals.parquet"
    bare = pl.DataFrame(ids).with_columns(n_nonspace=9, fineweb_line_punct_ratio=0.0)
    bare.write_parquet(signals)
    target = tmp_path / "judged.parquet"
    judge_part((signals,), (own,), target, Judgement(((PUNCTUATED, asks),), None, ()))
    kept = pl.read_parquet(target)["kept"]
    found = [language for language, stays in zip(languages, kept, strict=True) if not stays]
    assert found == dropped


def test_a_language_may_have_its_own_least_score(tmp_path: Path) -> None:
    unsure = ("language", "language_unsure")
    rule = LanguageRule(min_scores={"de": 0.5})
    assert judged(tmp_path, Judgement((), rule, ()), [1] * 4) == [EMPTY, unsure, KEPT, unsure]
    rule = LanguageRule(min_score=0.5, min_scores={"de": 0.6, "en": 0.61})
    assert judged(tmp_path, Judgement((), rule, ()), [1] * 4) == [EMPTY, unsure, KEPT, unsure]


BASE: dict[str, Any] = {
    "name": "small",
    "sources": {"web": {"format": "jsonl", "paths": ["*"]}},
    "tokenizer": {"path": "t.json"},
    "stages": [
        {"name": "a", "tokens": 9, "seq_len": 9, "batch": {"sequences": 1}, "mixture": {"web": 1}}
    ],
}
MODEL = {"name": "quality", "model": "m.bin"}


@pytest.mark.parametrize(
    ("curate", "said"),
    [
        ({"classifiers": [MODEL | {"keep": {}}]}, "give one of min"),
        ({"classifiers": [MODEL | {"keep": {"min": 0.5, "pareto": 3}}]}, "give one of min"),
        ({"classifiers": [MODEL | {"keep": {"min": 0.5, "by": "source"}}]}, "of what top is"),
        ({"classifiers": [MODEL | {"keep": {"top": 0}}]}, "keep.top"),
        ({"classifiers": [MODEL | {"keep": {"top": 0.1, "by": "language"}}]}, "language: {min"),
        ({"classifiers": [MODEL, MODEL]}, "two scores are called 'quality'"),
        ({"classifiers": [MODEL], "ensembles": [{"name": "quality", "of": ["quality"]}]}, "two"),
        ({"ensembles": [{"name": "both", "of": []}]}, "of"),
    ],
)
def test_a_score_that_cannot_be_is_refused(curate: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match="curate") as caught:
        parse(BASE | {"curate": curate})
    assert said in str(caught.value)


def wanted() -> dict[str, Any]:
    """Return a curation with every way to keep by score."""
    train = {"positive": ["books"], "negative": ["notes"], "documents": 50}
    other = {"positive": ["web"], "negative": ["notes"], "documents": 50}
    return {
        "classifiers": [
            {"name": "booklike", "train": train, "keep": {"top": 0.5, "by": "source"}},
            {
                "name": "weblike",
                "train": other,
                "keep": {"pareto": 1},
                "only_if": {"score": "both", "below": 7},
            },
        ],
        "ensembles": [
            {
                "name": "both",
                "of": ["booklike", "weblike"],
                "buckets": 10,
                "keep": {"min": 8},
                "sources": ["web"],
            }
        ],
        "dedup": {"minhash": {"keep": {"best": "score_both"}}},
    }


def test_a_run_keeps_by_shares_draws_and_buckets(
    cuvee: Cuvee, corpus: Path, tmp_path: Path
) -> None:
    flags = ("--set", f"curate={json.dumps(wanted())}", "--set", "part_bytes=1M")
    done = cuvee("curate", corpus / "small.yaml", "--out", tmp_path / "run", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("booklike", "weblike", "both"):
        assert name in done.stdout
    with catalog.connect(tmp_path / "run") as connection:
        rows = connection.execute(
            """SELECT source, step, reason, score_booklike, score_weblike, score_both
            FROM verdicts JOIN signals USING (doc_id, source)"""
        ).fetchall()
    for source in ("web", "books", "notes"):
        own = [row for row in rows if row[0] == source]
        cut = plain_least([row[3] for row in own], 0.5)
        low = [row for row in own if row[1] == "booklike"]
        assert len(low) == sum(row[3] < cut and row[1] != "text" for row in own)
        assert all(row[5] < 7 for row in own if row[1] == "weblike")
    assert {row[2] for row in rows if row[1] == "weblike"} == {"not_drawn"}
    assert {(row[0], row[5] < 8) for row in rows if row[1] == "both"} == {("web", True)}
    ranks = [[plain_bucket(row[k], [r[k] for r in rows], 10) or 0 for row in rows] for k in (3, 4)]
    assert [row[5] for row in rows] == [max(pair) for pair in zip(*ranks, strict=True)]


def test_a_score_that_nothing_gives_is_refused(cuvee: Cuvee, corpus: Path, tmp_path: Path) -> None:
    curate = wanted()
    curate["classifiers"][1]["only_if"]["score"] = "bath"
    flags = ("--set", f"curate={json.dumps(curate)}")
    done = cuvee("curate", corpus / "small.yaml", "--out", tmp_path / "run", *flags)
    assert done.returncode == 2
    assert "Did you mean 'both'?" in done.stderr
