"""What the curate flow does to one part: read Parquet, call `filters`, write Parquet.

Every function here is the work of one unit: it takes paths and values, writes its outputs whole,
and returns counts. Memory is one row group of text (32 MB) and what the kernel says it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.corpus.schemas import VERDICTS
from cuvee.corpus.whole import write_part
from cuvee.filters import classifier, language, paragraphs
from cuvee.filters.models import FastText
from cuvee.filters.signals import measure
from cuvee.flows.partfiles import column, map_part, texts_of

Counts = Mapping[str, int]


@dataclass(frozen=True)
class ScoreModel:
    """A classifier's file and the label whose probability is the score."""

    name: str
    path: Path
    label: str


@dataclass
class ScoreModels:
    """The models of a run: read by the first part that needs them, and shared by all threads.

    `paragraphs` asks for the language of each paragraph, too.
    """

    language: Path | None
    classifiers: Sequence[ScoreModel]
    paragraphs: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False)
    _loaded: tuple[FastText | None, list[FastText]] | None = field(default=None, repr=False)

    def load(self) -> tuple[FastText | None, list[FastText]]:
        """Return the language model and the classifiers."""
        with self._lock:
            if self._loaded is None:
                lid = None if self.language is None else language.load(self.language)
                fitted = [classifier.load(model.path, model.label) for model in self.classifiers]
                self._loaded = lid, fitted
            return self._loaded


def measure_part(documents: Path, target: Path, rule_sets: Sequence[str]) -> Counts:
    """Write the signals of every document that the rule sets ask for."""

    def work(table: pa.Table) -> pa.Table:
        signals = measure(texts_of(table), rule_sets)
        return signals.add_column(0, "doc_id", table.column("doc_id"))

    return {"docs": map_part(documents, target, ["doc_id", "text"], work)}


def known(scores: NDArray[np.float32]) -> "pa.Array[Any]":
    """Return scores as a column, NULL where one is not a number.

    Parquet's statistics leave NaN out, and DuckDB believes them: it takes `isnan` for never true.
    """
    return pa.array(scores, mask=np.isnan(scores))


def score_part(documents: Path, target: Path, models: ScoreModels) -> Counts:
    """Write language and classifier scores."""
    lid, fitted = models.load()

    def work(table: pa.Table) -> pa.Table:
        texts = texts_of(table)
        found: dict[str, pa.Array[Any]] = {"doc_id": column(table, "doc_id")}
        if lid is not None:
            languages = language.identify(lid, texts)
            found["language"] = languages.language
            found["language_score"] = known(languages.score)
            if models.paragraphs:
                mixed = paragraphs.languages(lid, texts, languages.language)
                found["language_paragraphs"], found["languages"] = mixed
        for model, loaded in zip(models.classifiers, fitted, strict=True):
            found[f"score_{model.name}"] = known(classifier.score(loaded, model.label, texts))
        return pa.table(found)

    return {"docs": map_part(documents, target, ["doc_id", "text"], work)}


def conclude_part(
    judged: Path,
    documents: Path,
    removals: Sequence[tuple[str, str, Path]],
    target: Path,
    finished: Path | None = None,
) -> Counts:
    """Write the last word on every document of a part: the first step that dropped it, or kept.

    `removals` are (step, reason, table with the doc_ids that it drops), in order; what is dropped
    by its `finished` text comes last.
    """
    verdicts = pl.read_parquet(judged, memory_map=False).with_columns(
        pl.read_parquet(documents, columns=["source", "n_bytes"], memory_map=False)
    )
    for step, reason, table in removals:
        listed = pl.scan_parquet(table)
        if step == "decontaminate":  # a hit may only be recorded, or cut out
            listed = listed.filter(pl.col("policy") == "drop")
        dropped = listed.select("doc_id").unique()
        here = verdicts.lazy().select("doc_id").join(dropped, on="doc_id", how="semi")
        hit = pl.col("kept") & pl.col("doc_id").is_in(here.collect()["doc_id"].implode())
        verdicts = verdicts.with_columns(
            step=pl.when(hit).then(pl.lit(step)).otherwise("step"),
            reason=pl.when(hit).then(pl.lit(reason)).otherwise("reason"),
            kept=pl.col("kept") & ~hit,
        )
    if finished is not None:
        last = pl.read_parquet(finished, columns=["step", "reason"], memory_map=False)
        stays = pl.lit(last["step"].is_null())
        verdicts = verdicts.with_columns(
            step=pl.coalesce("step", pl.lit(last["step"])),
            reason=pl.coalesce("reason", pl.lit(last["reason"])),
            kept=pl.col("kept") & stays,
        )
    rows = verdicts.select(VERDICTS.names).to_arrow().cast(VERDICTS)
    write_part(target, VERDICTS, rows.combine_chunks().to_batches())
    kept = int(verdicts["kept"].sum())
    return {"docs": len(verdicts), "kept": kept, "dropped": len(verdicts) - kept}
