"""Judge the documents of one part: rules, language and scores, the first that drops gives why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from cuvee.configs.recipe import LanguageRule
from cuvee.configs.scores import OnlyIf
from cuvee.corpus.schemas import JUDGED
from cuvee.corpus.whole import write_part
from cuvee.filters import keep
from cuvee.filters.keep import ScoreRule
from cuvee.filters.rules import UNMEASURED, RuleUse, judge
from cuvee.flows.divergence_parts import divergence_reasons
from cuvee.flows.list_parts import ListRules, text_reasons, url_reasons
from cuvee.flows.partfiles import map_part

Asked = tuple[str, pl.Series]  # a step, and why it drops each document, NULL where it does not


@dataclass(frozen=True)
class Asks:
    """Of which documents a rule is asked: by score, and by language."""

    only_if: OnlyIf | None = None
    languages: tuple[str, ...] | None = None  # of these alone
    except_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What is asked of the documents of one source: URLs, language, rules, lists, tokens, scores.

    A rule or score is asked only of the documents that its condition names; None is all.
    """

    rules: tuple[tuple[RuleUse, Asks], ...]
    language: LanguageRule | None
    scores: tuple[tuple[ScoreRule, OnlyIf | None], ...]
    lists: ListRules = field(default_factory=ListRules)
    token_kl: float | None = None  # the highest divergence of a document that stays


def judge_part(
    signals: tuple[Path, ...], scores: tuple[Path, ...], target: Path, spec: Judgement
) -> Mapping[str, int]:
    """Write for every document whether it is kept, and the first step and reason that drop it."""
    measured, scored = _side_by_side(signals), _side_by_side(scores)
    # An empty document has no language: `text` is the first step of all.
    asked: list[Asked] = [("text", judge(measured, [])["reason"])]
    asked += url_reasons(scored, spec.lists)
    if spec.language is not None:
        asked.append(("language", scored.select(_language_reason(spec.language)).to_series()))
    for use, asks in spec.rules:
        ruled = judge(measured, [use])
        by_rule = ruled["reason"].set(ruled["step"] == "text", None)
        spoken = _where_spoken(asks, scored, by_rule)
        asked.append((use.rules, _where(asks.only_if, scored, spoken)))
    asked += text_reasons(scored, spec.lists)
    if spec.token_kl is not None:
        asked.append(("token_kl", divergence_reasons(scored, spec.token_kl)))
    for rule, only_if in spec.scores:
        asked.append((rule.name, _where(only_if, scored, keep.reasons(scored, rule))))
    judged = pl.select(
        step=pl.coalesce(
            pl.when(pl.lit(reason).is_not_null()).then(pl.lit(step)) for step, reason in asked
        ),
        reason=pl.coalesce(pl.lit(reason) for _, reason in asked),
    ).with_columns(scored["doc_id"], kept=pl.col("reason").is_null())
    rows = judged.select(JUDGED.names).to_arrow().cast(JUDGED)
    write_part(target, JUDGED, rows.combine_chunks().to_batches())
    return {"docs": len(judged), "kept": int(judged["kept"].sum())}


def _side_by_side(tables: tuple[Path, ...]) -> pl.DataFrame:
    """Read row-aligned tables of a part as one, without the texts."""
    frames = []
    for table in tables:
        columns = [name for name in pl.read_parquet_schema(table) if name != "text"]
        frames.append(pl.read_parquet(table, columns=columns, memory_map=False))
    whole, *others = frames
    return whole.with_columns(column for other in others for column in other.drop("doc_id"))


def _where(only_if: OnlyIf | None, scored: pl.DataFrame, reasons: pl.Series) -> pl.Series:
    """Leave the reasons of documents whose score is below the condition's number, or unknown."""
    if only_if is None:
        return reasons
    score = scored[f"score_{only_if.score}"].cast(pl.Float32)
    beyond = (score >= only_if.below) & score.is_not_nan()
    return reasons.set(beyond.fill_null(False), None)


def _where_spoken(asks: Asks, scored: pl.DataFrame, reasons: pl.Series) -> pl.Series:
    """Leave the reasons of documents in languages that a rule is not asked of.

    A document of no known language is in none of those that are named.
    """
    if asks.languages is not None:
        named = scored["language"].is_in(asks.languages).fill_null(False)
        reasons = reasons.set(~named, None)
    if asks.except_languages:
        excepted = scored["language"].is_in(asks.except_languages).fill_null(False)
        reasons = reasons.set(excepted, None)
    return reasons


def _language_reason(rule: LanguageRule) -> pl.Expr:
    """Return why a language is not wanted, or NULL; what is not known is not kept."""
    named, score = pl.col("language"), pl.col("language_score")
    unwanted = ~named.is_in(rule.keep) if rule.keep else pl.lit(False)
    least: pl.Expr = pl.lit(rule.min_score, pl.Float32)
    if rule.min_scores:
        least = named.replace_strict(
            rule.min_scores, default=rule.min_score, return_dtype=pl.Float32
        )
    reason = (
        pl.when(named.is_null() | score.is_null() | score.is_nan())
        .then(pl.lit(UNMEASURED))
        .when(unwanted)
        .then(pl.lit("other_language"))
        .when(score < least)
        .then(pl.lit("language_unsure"))
    )
    if rule.min_paragraphs is None:
        return reason
    own = pl.col("language_paragraphs")
    return (
        reason.when(own.is_null() | own.is_nan())
        .then(pl.lit(UNMEASURED))
        .when(own < pl.lit(rule.min_paragraphs, pl.Float32))
        .then(pl.lit("mixed_language"))
    )


@dataclass(frozen=True)
class Ranks:
    """An ensemble's name, and the edges of each of its classifiers."""

    name: str
    edges: Mapping[str, tuple[float, ...]]


def rank_part(scores: Path, target: Path, ensembles: tuple[Ranks, ...]) -> Mapping[str, int]:
    """Write the bucket of every document in every ensemble, NULL where a score is missing."""

    def work(table: pa.Table) -> pa.Table:
        found: dict[str, Any] = {"doc_id": table.column("doc_id")}
        for ensemble in ensembles:
            ranked = []
            for name, edges in ensemble.edges.items():
                scored = table.column(f"score_{name}").to_numpy()
                ranked.append(keep.buckets(scored, np.array(edges, np.float32)))
            together = keep.highest(ranked)
            found[f"score_{ensemble.name}"] = pa.array(together, mask=together == keep.UNRANKED)
        return pa.table(found)

    names = dict.fromkeys(f"score_{name}" for ranks in ensembles for name in ranks.edges)
    return {"docs": map_part(scores, target, ["doc_id", *names], work)}
