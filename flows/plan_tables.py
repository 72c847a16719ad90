"""The plan in summary: the rows of the views `stages` and `mixture`, and each stage's manifest."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.corpus.whole import write_part
from cuvee.flows.build_parts import PackStatistics, read_statistics
from cuvee.flows.job import Job
from cuvee.handoff.manifest import (
    FORMAT_VERSION,
    WEIGHT_UNIT,
    GlobalBatch,
    Manifest,
    Packing,
    ShardFile,
    SourceShare,
    SpecialIds,
    TokenizerIdentity,
    write_manifest,
)
from cuvee.mixers.plan import Stage
from cuvee.mixers.quota import certificate
from cuvee.mixers.supply import effective_tokens
from cuvee.tokenize.tokenizer import Tokenizer

_STAGE_FIELDS: list[tuple[str, pa.DataType]] = [
    ("stage", pa.string()),
    ("seq_len", pa.int64()),
    ("sequences", pa.int64()),
    ("tokens", pa.int64()),
    ("steps", pa.int64()),
    ("batch_sequences", pa.int64()),
    ("budget_tokens", pa.int64()),
    ("meta", pa.string()),
]
_MIXTURE_FIELDS: list[tuple[str, pa.DataType]] = [
    ("stage", pa.string()),
    ("source", pa.string()),
    ("planned_tokens", pa.int64()),
    ("realised_tokens", pa.int64()),
    ("share", pa.float64()),
    ("epochs", pa.float64()),
    ("unique_tokens", pa.int64()),
    ("max_deviation", pa.float64()),
    ("weight", pa.float64()),
    ("sequences", pa.int64()),
    ("padding_tokens", pa.int64()),
    ("documents", pa.int64()),
    ("cut_documents", pa.int64()),
    ("available_tokens", pa.int64()),
    ("effective_tokens", pa.float64()),
]
STAGES, MIXTURE = pa.schema(_STAGE_FIELDS), pa.schema(_MIXTURE_FIELDS)


def write_tables(job: Job, stages: list[Stage], available: Mapping[str, int]) -> None:
    """Write the rows of the views `stages` and `mixture`; `available` is tokens by source."""
    metas = _metas(job)
    rows = [
        {
            "stage": stage.name,
            "seq_len": stage.seq_len,
            "sequences": stage.sequences,
            "tokens": stage.sequences * stage.seq_len,
            "steps": stage.steps,
            "batch_sequences": stage.batch_sequences,
            "budget_tokens": stage.tokens,
            "meta": json.dumps(metas[stage.name], sort_keys=True, default=str),
        }
        for stage in stages
    ]
    table = pa.Table.from_pylist(rows, STAGES)
    write_part(job.run / "plan" / "stages.parquet", STAGES, table.to_batches())
    mixture = [row for stage in stages for row in _mixture_rows(job, stage, available)]
    table = pa.Table.from_pylist(mixture, MIXTURE)
    write_part(mixture_table(job), MIXTURE, table.to_batches())


def _metas(job: Job) -> dict[str, dict[str, Any]]:
    """Return the metadata of each stage, by folder: a stage's phases share it."""
    return {folder: stage.meta for stage in job.recipe.stages for folder in stage.folders}


def mixture_table(job: Job) -> Path:
    """Return where the rows of the view `mixture` are."""
    return job.run / "plan" / "mixture.parquet"


def _mixture_rows(
    job: Job, stage: Stage, available: Mapping[str, int]
) -> list[dict[str, str | int | float]]:
    """Return what a stage was to read from each source with a weight, and what it reads."""
    deviations = certificate(stage.schedule, stage.targets).max_deviation
    due = stage.targets.due
    rows: list[dict[str, str | int | float]] = []
    names = list(job.recipe.sources)
    for number in stage.drawn.tolist():
        name = names[number]
        packed = _statistics(job, stage, name)
        sequences = int(stage.counts[number])
        epochs = packed.tokens / available[name] if available[name] else 0.0
        rows.append(
            {
                "stage": stage.name,
                "source": name,
                "planned_tokens": _planned(stage, int(due[number])),
                "realised_tokens": sequences * stage.seq_len,
                "share": sequences / stage.sequences,
                "epochs": epochs,
                "unique_tokens": packed.unique_tokens,
                "max_deviation": float(deviations[number]),
                "weight": float(stage.targets.shares[number]),
                "sequences": sequences,
                "padding_tokens": packed.padding,
                "documents": packed.documents,
                "cut_documents": packed.cut_documents,
                "available_tokens": available[name],
                "effective_tokens": effective_tokens(available[name], epochs),
            }
        )
    return rows


def _planned(stage: Stage, due: int) -> int:
    """Return the tokens due to a source, halves up; `due` is in 1 / 2**32 sequences."""
    return (2 * due * stage.seq_len + WEIGHT_UNIT) // (2 * WEIGHT_UNIT)


def _statistics(job: Job, stage: Stage, source: str) -> PackStatistics:
    """Return what packing counted for one stage and source."""
    return read_statistics(job.run / "packs" / f"{source}.json")[stage.name]


def write_manifest_of(
    job: Job, stage: Stage, tokenizer: Tokenizer, plan_fingerprint: str
) -> Mapping[str, int]:
    """Write a stage's manifest from its plan and the descriptions of its shards."""
    folder = job.run / "shards" / stage.name
    held = sorted((job.run / "scratch" / stage.name).glob("*.json"))
    files = tuple(ShardFile(**json.loads(path.read_text())) for path in held)
    shares = _shares(job, stage)
    padding = sum(share.padding_tokens for share in shares)
    cut = sum(_statistics(job, stage, share.name).cut_documents for share in shares)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        stage=stage.name,
        recipe_fingerprint=job.fingerprint,
        plan_fingerprint=plan_fingerprint,
        tokenizer=TokenizerIdentity(tokenizer.name, tokenizer.sha256),
        vocabulary_size=tokenizer.vocab_size,
        dtype=tokenizer.dtype.name,
        special_ids=SpecialIds(tokenizer.eos_id, tokenizer.pad_id),
        seq_len=stage.seq_len,
        global_batch=GlobalBatch(stage.batch_sequences, stage.batch_sequences * stage.seq_len),
        meta=_metas(job)[stage.name],
        pieces=tuple(stage.targets.lengths.tolist()),
        sources=shares,
        packing=Packing(padding / (stage.sequences * stage.seq_len), cut),
        files=files,
    )
    expected = {file.path for file in files}
    for stale in folder.glob("*.parquet"):
        if stale.name not in expected:
            stale.unlink()
    write_manifest(folder, manifest)
    return {"files": len(files), "sequences": manifest.sequences}


def _shares(job: Job, stage: Stage) -> tuple[SourceShare, ...]:
    """Return the manifest's lines about sources, from the mixture as planned."""
    rows = pq.read_table(mixture_table(job)).to_pylist()
    numbers = {name: number for number, name in enumerate(job.recipe.sources)}
    return tuple(
        SourceShare(
            name=row["source"],
            weight=row["weight"],
            weights_q32=tuple(stage.targets.weights[:, numbers[row["source"]]].tolist()),
            sequences=row["sequences"],
            planned_tokens=row["planned_tokens"],
            realised_tokens=row["realised_tokens"],
            padding_tokens=row["padding_tokens"],
            unique_tokens=row["unique_tokens"],
            epochs=row["epochs"],
            max_deviation=row["max_deviation"],
        )
        for row in rows
        if row["stage"] == stage.name
    )
