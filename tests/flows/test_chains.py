"""A plan as it is streamed, its hash chain, and the first position at which two plans differ."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.corpus.schemas import PACKS
from cuvee.corpus.whole import write_part
from cuvee.flows import chains
from cuvee.flows.chains import first_difference, link_after, stored_plan
from cuvee.flows.plan_parts import PlanFiles, plan_stage
from cuvee.mixers.plan import Stage
from cuvee.mixers.plan import plan as plan_columns
from cuvee.mixers.targets import constant
from cuvee.mixers.weights import SHARE_UNITS

POOLS = ("web", "books@64K")


def stage_of(steps: int, batch: int = 3) -> Stage:
    """Two pools of three that have a weight: the first and the last."""
    weights = np.array([SHARE_UNITS - SHARE_UNITS // 3, 0, SHARE_UNITS // 3])
    return Stage("core", "core", steps * batch * 8, 8, batch, constant(weights, 10**6))


def write_packs(run: Path, stage: Stage, seed: int = 1) -> dict[str, Path]:
    """Write sequences of one to three segments for each pool, the same for the same seed."""
    found = {}
    for pool, count in zip(POOLS, stage.counts[stage.drawn].tolist(), strict=True):
        rng, rows = np.random.default_rng(seed + len(pool)), list[tuple[int, int, int, bytes]]()
        for ordinal in range(count):
            ends = sorted({0, 8, *rng.integers(1, 8, 2).tolist()})
            for low, high in pairwise(ends):
                rows.append((ordinal, low, high - low, rng.bytes(16)))
        ordinals, offsets, lengths, ids = zip(*rows, strict=True)
        n = len(rows)
        columns: list[pa.Array[Any]] = [
            pa.array(ordinals, pa.int64()),
            pa.array(offsets, pa.int32()),
            pa.array(lengths, pa.int32()),
            pa.array(ids, pa.binary(16)),
            pa.array(np.arange(n) * 7),
            pa.array(np.arange(n)),
            pa.array((np.arange(n) % 4).astype(np.int32)),
        ]
        found[pool] = stored_plan(run, "core").packs / f"{pool}.parquet"
        write_part(found[pool], PACKS, [pa.RecordBatch.from_arrays(columns, schema=PACKS)])
    return found


def write_plan(run: Path, stage: Stage, seed: int = 1) -> Path:
    packs, stored = write_packs(run, stage, seed), stored_plan(run, "core")
    files = PlanFiles(stored.plan, stored.chain, run / "plan" / "core.certificate.json")
    assert plan_stage(stage, packs, files) == {"positions": stage.sequences}
    return run


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "CHUNK", 40)
    monkeypatch.setattr("cuvee.flows.positions.PACK_ROWS", 30)
    monkeypatch.setattr(chains, "EVERY", 16)


def plain_links(run: Path, stage: Stage) -> list[str]:
    """Every link, from the stored tables row by row."""
    packs = {
        pool: pq.read_table(stored_plan(run, "core").packs / f"{pool}.parquet") for pool in POOLS
    }
    rows = {pool: table.to_pylist() for pool, table in packs.items()}
    plan = pq.read_table(stored_plan(run, "core").plan).to_pylist()
    link, found = bytes(32), []
    for low in range(0, len(plan), stage.batch_sequences):
        step = plan[low : low + stage.batch_sequences]
        held = [[r for r in rows[p["source"]] if r["ordinal"] == p["ordinal"]] for p in step]
        made = hashlib.sha256(link)
        for position in step:
            made.update(hashlib.sha256(position["source"].encode()).digest()[:8])
        made.update(b"".join(len(mine).to_bytes(4, "little") for mine in held))
        for row in (row for mine in held for row in mine):
            numbers = ((row["doc_start"], 8), (row["length"], 4), (row["offset"], 4))
            made.update(row["doc_id"])
            made.update(b"".join(number.to_bytes(size, "little") for number, size in numbers))
        link = made.digest()
        found.append(link.hex())
    return found


def test_a_streamed_plan_is_the_plan_at_once(tmp_path: Path) -> None:
    stage = stage_of(50)
    run = write_plan(tmp_path, stage)
    found, whole = pq.read_table(stored_plan(run, "core").plan), plan_columns(stage)
    for name in ("position", "step", "slot", "ordinal"):
        assert (found.column(name).to_numpy() == getattr(whole, name)).all()
    names = [POOLS[0], None, POOLS[1]]
    assert found.column("source").to_pylist() == [names[n] for n in whole.source]
    packs = {
        pool: pq.read_table(stored_plan(run, "core").packs / f"{pool}.parquet") for pool in POOLS
    }
    first = {
        (pool, row["ordinal"]): row["epoch"]
        for pool, table in packs.items()
        for row in table.to_pylist()
        if row["offset"] == 0
    }
    rows = found.to_pylist()
    assert [row["epoch"] for row in rows] == [first[row["source"], row["ordinal"]] for row in rows]


def test_the_chain_is_that_of_the_plain_twin_at_every_step(tmp_path: Path) -> None:
    stage = stage_of(50)
    run = write_plan(tmp_path, stage)
    links, stored = plain_links(run, stage), stored_plan(run, "core")
    held = stored.read()
    assert held["head"] == links[-1]
    assert held["marks"] == links[15::16]
    for step in (1, 15, 16, 17, 33, 49, 50):
        assert link_after(stored, step) == links[step - 1]


def test_the_certificate_says_what_the_schedule_keeps(tmp_path: Path) -> None:
    stage = stage_of(50)
    run = write_plan(tmp_path, stage)
    held = json.loads((run / "plan" / "core.certificate.json").read_text())
    assert held["quota_at_every_prefix"] is True
    assert held["positions"] == 150
    assert [pool["pool"] for pool in held["pools"]] == list(POOLS)
    assert [pool["count"] for pool in held["pools"]] == [100, 50]
    assert all(pool["max_deviation"] < 1 for pool in held["pools"])
    assert held["chain"] == stored_plan(run, "core").read()["head"]


def test_the_same_plan_has_no_difference(tmp_path: Path) -> None:
    one, other = (write_plan(tmp_path / name, stage_of(50)) for name in "ab")
    assert first_difference(one, other, "core") is None


@pytest.mark.parametrize("position", [0, 1, 40, 47, 48, 100, 149])
def test_the_first_position_that_differs_is_found(tmp_path: Path, position: int) -> None:
    stage = stage_of(50)
    a, b = (write_plan(tmp_path / name, stage) for name in "ab")
    row = pq.read_table(stored_plan(b, "core").plan).to_pylist()[position]
    path = stored_plan(b, "core").packs / f"{row['source']}.parquet"
    table = pq.read_table(path)
    at = table.column("ordinal").to_pylist().index(row["ordinal"])
    ids = table.column("doc_id").to_pylist()
    ids[at] = bytes(16)
    table = table.set_column(3, PACKS.field("doc_id"), pa.array(ids, pa.binary(16)))
    write_part(path, PACKS, table.to_batches())
    stored = stored_plan(b, "core")
    packs = {pool: stored.packs / f"{pool}.parquet" for pool in POOLS}
    plan_stage(stage, packs, PlanFiles(stored.plan, stored.chain, b / "c.json"))
    assert first_difference(a, b, "core") == position
    assert first_difference(b, a, "core") == position


def test_a_longer_stage_differs_where_the_shorter_ends(tmp_path: Path) -> None:
    short, long = write_plan(tmp_path / "a", stage_of(33)), write_plan(tmp_path / "b", stage_of(50))
    assert first_difference(short, long, "core") == 99
    assert first_difference(long, short, "core") == 99
    stored = stored_plan(long, "core")
    assert link_after(stored, 33) == stored_plan(short, "core").read()["head"]


def test_other_steps_and_other_lengths_differ_from_their_first_step(tmp_path: Path) -> None:
    a, b = write_plan(tmp_path / "a", stage_of(50)), write_plan(tmp_path / "b", stage_of(30, 5))
    assert first_difference(a, b, "core") == 3
    c = write_plan(tmp_path / "c", replace(stage_of(50), seq_len=4, tokens=50 * 3 * 4))
    assert first_difference(a, c, "core") == 0
