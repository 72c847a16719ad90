"""A stage of made-up documents, built row by row in plain Python."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

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
    describe_shard,
    manifest_sha,
    write_manifest,
)
from cuvee.handoff.run_index import IndexedStage, write_run_index
from cuvee.handoff.shards import MEDIA_TYPE, ShardRows, shard_name, token_dtype, write_shard


@dataclass(frozen=True)
class StageSpec:
    """What to make up; 6 batches to a file and 2 to a row group."""

    seq_len: int = 32
    batch: int = 8
    steps: int = 15
    vocabulary: int = 1000
    eos: int = 0
    pad: int = 1
    weights: tuple[int, ...] = (WEIGHT_UNIT // 2, WEIGHT_UNIT // 3, -1)
    masked: bool = False
    teacher: int = 0
    media: bool = False
    seed: int = 7

    def full_weights(self) -> list[int]:
        """Weights with the last one set so that they sum to the unit."""
        return [*self.weights[:-1], WEIGHT_UNIT - sum(self.weights[:-1])]


def schedule(weights: list[int], count: int) -> list[int]:
    """Tijdeman: among the sources that may go, the one that must go first."""
    drawn, order = [0] * len(weights), []
    for t in range(count):
        may = [i for i, w in enumerate(weights) if w * (t + 1) > drawn[i] * WEIGHT_UNIT]
        pick = min(may, key=lambda i: (-(-(drawn[i] + 1) * WEIGHT_UNIT // weights[i]), i))
        drawn[pick] += 1
        order.append(pick)
    return order


def deviations(weights: list[int], order: list[int]) -> list[float]:
    """The largest |count - due| of each source, by the definition."""
    worst, drawn = [0] * len(weights), [0] * len(weights)
    for t, source in enumerate(order, 1):
        drawn[source] += 1
        for i, w in enumerate(weights):
            worst[i] = max(worst[i], abs(drawn[i] * WEIGHT_UNIT - w * t))
    return [w / WEIGHT_UNIT for w in worst]


def make_row(spec: StageSpec, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """One row's seq_len + 1 slots and its cu_seqlens."""
    real = spec.seq_len if rng.random() < 0.7 else int(rng.integers(1, spec.seq_len + 1))
    cuts = rng.choice(np.arange(1, real + 1), size=int(rng.integers(0, min(real, 4))))
    bounds = sorted({0, real, *map(int, cuts)})
    tokens = [int(t) for t in rng.integers(2, spec.vocabulary, real)]
    for end in bounds[1:]:
        if rng.random() < 0.6:
            tokens[end - 1] = spec.eos
    tokens += [spec.pad] * (spec.seq_len + 1 - real)
    if real == spec.seq_len and tokens[real - 1] != spec.eos:
        tokens[real] = spec.eos if rng.random() < 0.3 else int(rng.integers(2, spec.vocabulary))
    return tokens, bounds


def make_rows(spec: StageSpec) -> ShardRows:
    """All rows of the stage."""
    rng = np.random.default_rng(spec.seed)
    count = spec.batch * spec.steps
    made = [make_row(spec, rng) for _ in range(count)]
    mask = rng.random((count, spec.seq_len)) < 0.8 if spec.masked else None
    taught = (count, spec.seq_len, spec.teacher)
    ids = rng.integers(0, spec.vocabulary, taught).astype(token_dtype(spec.vocabulary))
    probs = (rng.random(taught) / max(spec.teacher, 1)).astype(np.float16)
    for row, (_, bounds) in enumerate(made):
        probs[row, bounds[-1] :] = 0
    media = [make_media(bounds) if row % 3 else None for row, (_, bounds) in enumerate(made)]
    return ShardRows(
        tokens=np.array([t for t, _ in made], token_dtype(spec.vocabulary)),
        positions=np.arange(count),
        steps=(np.arange(count) // spec.batch).astype(np.int32),
        source_ids=np.array(schedule(spec.full_weights(), count)),
        source_names=tuple(f"s{i}" for i in range(len(spec.weights))),
        cu_seqlens=np.array([b for _, bounds in made for b in bounds], np.int32),
        cu_offsets=np.cumsum([0, *(len(bounds) for _, bounds in made)]),
        n_tokens=np.array([bounds[-1] for _, bounds in made], np.int32),
        loss_mask=mask,
        teacher_ids=ids if spec.teacher else None,
        teacher_probs=probs if spec.teacher else None,
        media=pa.array(media, MEDIA_TYPE) if spec.media else None,
    )


def make_media(bounds: list[int]) -> list[dict[str, object]]:
    """One image at the start of each segment of two tokens and more."""
    places = [(a, b) for a, b in pairwise(bounds) if b - a > 1]
    return [
        {"offset": a, "length": (b - a) // 2, "kind": "image", "ref": f"s3://x/{a}.jpg"}
        for a, b in places
    ]


def cut_rows(rows: ShardRows, start: int, stop: int) -> ShardRows:
    """Some consecutive rows."""
    low, high = rows.cu_offsets[start], rows.cu_offsets[stop]
    return replace(
        rows,
        tokens=rows.tokens[start:stop],
        positions=rows.positions[start:stop],
        steps=rows.steps[start:stop],
        source_ids=rows.source_ids[start:stop],
        cu_seqlens=rows.cu_seqlens[low:high],
        cu_offsets=rows.cu_offsets[start : stop + 1] - low,
        n_tokens=rows.n_tokens[start:stop],
        loss_mask=None if rows.loss_mask is None else rows.loss_mask[start:stop],
        teacher_ids=None if rows.teacher_ids is None else rows.teacher_ids[start:stop],
        teacher_probs=None if rows.teacher_probs is None else rows.teacher_probs[start:stop],
        media=None if rows.media is None else rows.media[start:stop],
    )


def make_manifest(spec: StageSpec, rows: ShardRows, files: list[ShardFile]) -> Manifest:
    """The true manifest of rows as `make_rows` makes them."""
    weights = spec.full_weights()
    worst = deviations(weights, [int(i) for i in rows.source_ids])
    slots = rows.source_ids.size * spec.seq_len
    shares = []
    for i, (weight, deviation) in enumerate(zip(weights, worst, strict=True)):
        own = rows.source_ids == i
        drawn, real = int(own.sum()), int(rows.n_tokens[own].sum())
        shares.append(
            SourceShare(
                name=f"s{i}",
                weight=weight / WEIGHT_UNIT,
                weights_q32=(weight,),
                sequences=drawn,
                planned_tokens=weight * slots // WEIGHT_UNIT,
                realised_tokens=drawn * spec.seq_len,
                padding_tokens=drawn * spec.seq_len - real,
                unique_tokens=real,
                epochs=1.0,
                max_deviation=deviation,
            )
        )
    return Manifest(
        format_version=FORMAT_VERSION,
        stage="core",
        recipe_fingerprint="r" * 16,
        plan_fingerprint="p" * 16,
        tokenizer=TokenizerIdentity("made-up", "ab" * 32),
        vocabulary_size=spec.vocabulary,
        dtype=token_dtype(spec.vocabulary),
        special_ids=SpecialIds(spec.eos, spec.pad),
        seq_len=spec.seq_len,
        global_batch=GlobalBatch(spec.batch, spec.batch * spec.seq_len),
        meta={"rope_theta": 500000, "schedule": {"warmup": [1, 2.5, None]}, "name": "Rebsorte ü"},
        pieces=(rows.source_ids.size,),
        sources=tuple(shares),
        packing=Packing(math.fsum(s.padding_tokens for s in shares) / slots, 3),
        files=tuple(files),
        columns=rows.columns,
    )


@dataclass
class Stage:
    """A stage on disk: its directory, what it was made from, and all its rows."""

    directory: Path
    spec: StageSpec
    rows: ShardRows
    manifest: Manifest

    def rewrite(self, rows: ShardRows) -> None:
        """Write other rows, with files described as they are and the rest of the manifest kept."""
        files, per_file = [], 6 * self.spec.batch
        for index, start in enumerate(range(0, len(rows.positions), per_file)):
            part = cut_rows(rows, start, min(start + per_file, len(rows.positions)))
            path = self.directory / shard_name(index)
            write_shard(path, part, 2 * self.spec.batch)
            files.append(describe_shard(path, path.name, cut_rows(self.rows, start, start + 1)))
            last = start + len(part.positions) - 1
            files[-1] = replace(
                files[-1],
                rows=len(part.positions),
                last_position=last,
                last_step=last // self.spec.batch,
            )
        self.write_manifest(replace(self.manifest, files=tuple(files)))

    def write_manifest(self, manifest: Manifest) -> None:
        """Write another manifest."""
        self.manifest = manifest
        write_manifest(self.directory, manifest)


StageMaker = Callable[..., Stage]


@pytest.fixture
def make_stage(tmp_path: Path) -> StageMaker:
    """Build a stage in a directory of its own: `make_stage("name", seq_len=64)`."""

    def make(name: str = "core", **changes: object) -> Stage:
        spec = StageSpec(**changes)  # type: ignore[arg-type] # fields by name
        directory = tmp_path / name
        directory.mkdir()
        rows = make_rows(spec)
        stage = Stage(directory, spec, rows, make_manifest(spec, rows, []))
        stage.rewrite(rows)
        return stage

    return make


@dataclass
class Run:
    """A run on disk: its directory, and its stages by name."""

    directory: Path
    stages: dict[str, Stage]

    def index(self, **after: tuple[str, ...]) -> None:
        """Write run.json: the stages that are named, in this order, each after those given."""
        write_run_index(
            self.directory / "shards",
            [
                IndexedStage(
                    name, before, manifest_sha(self.stages[name].directory / "manifest.json")
                )
                for name, before in after.items()
            ],
        )


@pytest.fixture
def run(make_stage: StageMaker, tmp_path: Path) -> Run:
    """A run of three stages: `core`, and after it `long` and `code`, which fork."""
    directory = tmp_path / "run"
    (directory / "shards").mkdir(parents=True)
    shapes: dict[str, dict[str, int]] = {
        "core": {"seq_len": 16, "batch": 8, "steps": 7, "seed": 1},
        "long": {"seq_len": 64, "batch": 3, "steps": 5, "seed": 2},
        "code": {"seq_len": 32, "batch": 4, "steps": 3, "seed": 3},
    }
    stages = {name: make_stage(f"run/shards/{name}", **shape) for name, shape in shapes.items()}
    made = Run(directory, stages)
    made.index(core=(), long=("core",), code=("core",))
    return made
