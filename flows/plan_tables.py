"""The plan in summary: the rows of the views `stages` and `mixture`, manifests and their index."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.corpus.whole import write_part
from cuvee.flows.advances import advances, closed
from cuvee.flows.job import Job
from cuvee.flows.pack_parts import PackStatistics, read_statistics
from cuvee.flows.plan_places import statistics_of
from cuvee.flows.record_steps import columns_of
from cuvee.handoff.manifest import (
    FORMAT_VERSION,
    MANIFEST,
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
from cuvee.handoff.run_index import IndexedStage, write_run_index
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
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
    ("after", pa.list_(pa.string())),
    ("gate", pa.string()),
    ("built", pa.bool_()),
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
    ("of", pa.string()),
    ("replay", pa.string()),
    ("segments", pa.int64()),
    ("mean_context", pa.float64()),
    ("truncated_tokens", pa.int64()),
    ("left_out_documents", pa.int64()),
    ("left_out_tokens", pa.int64()),
    ("cumulative_epochs", pa.float64()),
    ("most_seen", pa.int64()),
]
STAGES, MIXTURE = pa.schema(_STAGE_FIELDS), pa.schema(_MIXTURE_FIELDS)


def write_tables(job: Job, stages: Sequence[Stage], pools: Sequence[Pool]) -> None:
    """Write the rows of the views `stages` and `mixture`, whose sources are the plan's pools.

    A stage is `built` unless a gate keeps it from being written.
    """
    of = {folder: stage for stage in job.recipe.stages for folder in stage.folders}
    waiting = closed(job.recipe, advances(job.run))
    rows = [
        {
            "stage": stage.name,
            "seq_len": stage.seq_len,
            "sequences": stage.sequences,
            "tokens": stage.sequences * stage.seq_len,
            "steps": stage.steps,
            "batch_sequences": stage.batch_sequences,
            "budget_tokens": stage.tokens,
            "meta": json.dumps(of[stage.name].meta, sort_keys=True, default=str),
            "after": list(stage.parents),
            "gate": of[stage.name].gate,
            "built": stage.of not in waiting,
        }
        for stage in stages
    ]
    table = pa.Table.from_pylist(rows, STAGES)
    write_part(job.run / "plan" / "stages.parquet", STAGES, table.to_batches())
    mixture = [row for stage in stages for row in _mixture_rows(job, stage, pools)]
    table = pa.Table.from_pylist(mixture, MIXTURE)
    write_part(mixture_table(job), MIXTURE, table.to_batches())


def _metas(job: Job) -> dict[str, dict[str, Any]]:
    """Return the metadata of each stage, by folder: a stage's phases share it."""
    return {folder: stage.meta for stage in job.recipe.stages for folder in stage.folders}


def mixture_table(job: Job) -> Path:
    """Return where the rows of the view `mixture` are."""
    return job.run / "plan" / "mixture.parquet"


def _mixture_rows(
    job: Job, stage: Stage, pools: Sequence[Pool]
) -> list[dict[str, str | int | float | None]]:
    """Return what a stage was to read from each pool with a weight, and what it reads."""
    deviations = certificate(stage.schedule, stage.targets).max_deviation
    due = stage.targets.due
    rows: list[dict[str, str | int | float | None]] = []
    for number in stage.drawn.tolist():
        pool = pools[number]
        packed = _statistics(job, stage, pool)
        sequences, available = int(stage.counts[number]), packed.pool_tokens
        epochs = packed.tokens / available if available else 0.0
        seen = packed.seen_tokens / packed.source_tokens if packed.source_tokens else 0.0
        rows.append(
            {
                "stage": stage.name,
                "source": pool.name,
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
                "available_tokens": available,
                "effective_tokens": effective_tokens(available, epochs),
                "of": pool.source,
                "replay": pool.replay,
                "segments": packed.segments,
                "mean_context": packed.mean_context,
                "truncated_tokens": packed.truncated_tokens,
                "left_out_documents": packed.left_out_documents,
                "left_out_tokens": packed.left_out_tokens,
                "cumulative_epochs": seen,
                "most_seen": packed.most_seen,
            }
        )
    return rows


def _planned(stage: Stage, due: int) -> int:
    """Return the tokens due to a source, halves up; `due` is in 1 / 2**32 sequences."""
    return (2 * due * stage.seq_len + WEIGHT_UNIT) // (2 * WEIGHT_UNIT)


def _statistics(job: Job, stage: Stage, pool: Pool) -> PackStatistics:
    """Return what packing counted for one stage and pool."""
    return read_statistics(statistics_of(job, pool.source))[stage.name][pool.name]


def manifest_identity(job: Job, stage: Stage) -> str:
    """Return what a stage's manifest says beside what its shards hold."""
    rows = pq.read_table(mixture_table(job)).to_pylist()
    mine = [row for row in rows if row["stage"] == stage.name]
    return json.dumps([_metas(job)[stage.name], mine], sort_keys=True, default=str)


def write_manifest_of(
    job: Job,
    stage: Stage,
    pools: Sequence[Pool],
    tokenizer: Tokenizer,
    plan_fingerprint: str,
) -> Mapping[str, int]:
    """Write a stage's manifest from its plan and the descriptions of its shards.

    What identifies the plan is the head of its hash chain.
    """
    folder = job.run / "shards" / stage.name
    held = sorted((job.run / "scratch" / stage.name).glob("*.json"))
    files = tuple(ShardFile(**json.loads(path.read_text())) for path in held)
    shares = _shares(job, stage, pools)
    padding = sum(share.padding_tokens for share in shares)
    drawn = [pools[number] for number in stage.drawn.tolist()]
    cut = sum(_statistics(job, stage, pool).cut_documents for pool in drawn)
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
        columns=columns_of(job, stage.of, [pool.source for pool in drawn])[0],
    )
    expected = {file.path for file in files}
    for stale in folder.glob("*.parquet"):
        if stale.name not in expected:
            stale.unlink()
    write_manifest(folder, manifest)
    return {"files": len(files), "sequences": manifest.sequences}


def _shares(job: Job, stage: Stage, pools: Sequence[Pool]) -> tuple[SourceShare, ...]:
    """Return the manifest's lines about pools, from the mixture as planned."""
    rows = pq.read_table(mixture_table(job)).to_pylist()
    numbers = {pool.name: number for number, pool in enumerate(pools)}
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


def write_index(job: Job, stages: Sequence[Stage]) -> None:
    """Write RUN/shards/run.json: the stages in order, and which of them are written."""
    gates = {stage.name: stage.gate for stage in job.recipe.stages}
    waiting = closed(job.recipe, advances(job.run))
    entries = []
    for stage in stages:
        names = waiting.get(stage.of, [])
        sentence = " and ".join(f"{name}: {gates[name]}" for name in names)
        path = job.run / "shards" / stage.name / MANIFEST
        digest = "" if names else hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(IndexedStage(stage.name, stage.parents, digest, not names, sentence))
    shards = job.run / "shards"
    shards.mkdir(exist_ok=True)
    write_run_index(shards, entries)
