"""Reading ahead: the same order, exact seeks, errors that reach the caller, and a clean end."""

import gc
import json
import subprocess
import sys
import threading
import time
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import CorruptShard
from cuvee.handoff import StageLoader
from cuvee.handoff.reader import ShardGroup, ShardReader

STEPS, BATCH = 15, 8


@pytest.fixture
def stage(make_stage: Any) -> Any:
    return make_stage()


def prefetchers() -> int:
    return sum(thread.name == "cuvee-prefetch" for thread in threading.enumerate())


def slots_of(rank: int, world: int, start: int = 0) -> list[int]:
    """The positions that a rank reads from a step on, by the definition."""
    return [
        step * BATCH + slot for step in range(start, STEPS) for slot in range(BATCH)[rank::world]
    ]


@pytest.mark.parametrize(
    ("world", "micro", "prefetch"), list(product((1, 2, 3, 8), (None, 1, 3), (0, 1, 2, 9)))
)
def test_the_order_is_the_plans_at_any_world_size_accumulation_and_prefetch(
    stage: Any, world: int, micro: int | None, prefetch: int
) -> None:
    for rank in range(world):
        loader = StageLoader(stage.directory, rank, world, micro, prefetch=prefetch)
        batches = list(loader)
        positions = [int(p) for batch in batches for p in batch.positions]
        assert positions == slots_of(rank, world)
        tokens = np.concatenate([batch.tokens for batch in batches])
        np.testing.assert_array_equal(tokens, stage.rows.tokens[positions, :-1])
        ids = np.concatenate([batch.source_ids for batch in batches])
        np.testing.assert_array_equal(ids, stage.rows.source_ids[positions])


@pytest.mark.parametrize(("world", "micro"), [(1, None), (1, 3), (2, 3), (3, 1), (3, 2), (8, 4)])
def test_each_micro_batch_says_which_of_its_step_it_is(
    stage: Any, world: int, micro: int | None
) -> None:
    for rank in range(world):
        seen = [
            (batch.step, batch.micro, batch.micros, batch.closes_step)
            for batch in StageLoader(stage.directory, rank, world, micro)
        ]
        share = len(range(BATCH)[rank::world])
        micros = -(-share // (micro or share))
        due = [(s, m, micros, m == micros - 1) for s in range(STEPS) for m in range(micros)]
        assert seen == due


def test_sources_are_counted_and_the_sources_of_all_ranks_make_the_step(stage: Any) -> None:
    total = np.zeros((STEPS, 3), np.int64)
    for rank in range(3):
        for batch in StageLoader(stage.directory, rank, 3, micro_batch=2):
            assert batch.source_counts.sum() == len(batch.positions)
            total[batch.step] += batch.source_counts
    ids = stage.rows.source_ids.reshape(STEPS, BATCH)
    assert total.tolist() == [np.bincount(row, minlength=3).tolist() for row in ids]


MOVES = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 30)),
    st.tuples(st.just("seek"), st.integers(0, STEPS)),
    st.tuples(st.just("resume"), st.integers(1, 8)),
    st.tuples(st.just("close"), st.just(0)),
    st.tuples(st.just("again"), st.just(0)),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(MOVES, max_size=12),
    st.integers(1, 8),
    st.none() | st.integers(1, 9),
    st.integers(0, 3),
)
def test_any_sequence_of_reads_seeks_and_resumes_reads_what_is_due(
    stage: Any, moves: list[tuple[str, int]], world: int, micro: int | None, prefetch: int
) -> None:
    rank, step, done = world - 1, 0, 0
    loader = StageLoader(stage.directory, rank, world, micro, prefetch=prefetch)
    for move, number in moves:
        if move == "read":
            for _ in range(number):
                share = range(BATCH)[rank::world]
                batch = next(loader, None)
                if step == STEPS:
                    assert batch is None
                    break
                assert batch is not None
                due = share[done : done + (micro or len(share))]
                assert batch.positions.tolist() == [step * BATCH + slot for slot in due]
                done += len(due)
                step, done = (step + 1, 0) if done == len(share) else (step, done)
        elif move == "seek":
            loader.seek(number)
            step, done = number, 0
        elif move == "resume":
            state, world, rank, done = loader.state_dict(), number, number // 2, 0
            loader = StageLoader(stage.directory, rank, world, micro, prefetch=prefetch)
            loader.load_state_dict(json.loads(json.dumps(state)))
        elif move == "close":
            loader.close()
        else:
            iter(loader)
            done = 0
        assert loader.state_dict()["step"] == step


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups read so far; each takes 20 ms."""
    read: list[int] = []
    plain = ShardReader.read

    def slow(reader: ShardReader, group: int) -> ShardGroup:
        time.sleep(0.02)
        read.append(group)
        return plain(reader, group)

    monkeypatch.setattr(ShardReader, "read", slow)
    return read


def settled(reads: list[int], count: int) -> bool:
    """Whether so many row groups are read soon, and no more of them a while later."""
    end = time.monotonic() + 10
    while len(reads) < count and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    return len(reads) == count


def test_what_was_prefetched_is_not_in_the_state(stage: Any, reads: list[int]) -> None:
    loader = StageLoader(stage.directory, prefetch=20)
    next(loader)
    assert settled(reads, 8)  # the whole stage
    assert loader.state_dict()["step"] == 1
    assert next(loader).step == 1


def test_no_more_is_read_ahead_than_was_asked_for(stage: Any, reads: list[int]) -> None:
    loader = StageLoader(stage.directory, prefetch=2)
    assert settled(reads, 0)  # nothing before the first batch is asked for
    next(loader)
    assert settled(reads, 3)  # the group in use and two more
    next(loader)
    assert settled(reads, 3)  # a group holds two steps
    next(loader)
    assert settled(reads, 4)


def test_waiting_is_told_per_batch_and_in_all(stage: Any, reads: list[int]) -> None:
    loader = StageLoader(stage.directory, micro_batch=3, prefetch=0)
    waits = [batch.waited for batch in loader]
    assert loader.waited == pytest.approx(sum(waits))
    # A group holds two steps of three micro-batches, of which the first waits for it.
    assert min(waits[::6]) >= 0.02
    assert len(reads) == 8


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_of_the_thread_names_the_file_and_comes_in_its_place(
    stage: Any, prefetch: int
) -> None:
    path = stage.directory / "000001.parquet"
    held = path.read_bytes()
    path.write_bytes(held[:100] + bytes([held[100] ^ 1]) + held[101:])
    loader = StageLoader(path.parent, prefetch=prefetch)
    assert [next(loader).step for _ in range(6)] == list(range(6))
    for _ in range(2):
        with pytest.raises(CorruptShard, match=r"000001\.parquet"):
            next(loader)
    assert loader.state_dict()["step"] == 6
    loader.seek(12)  # past the damage
    assert [batch.step for batch in loader] == [12, 13, 14]
    path.write_bytes(held)
    loader.seek(5)
    assert [batch.step for batch in loader] == list(range(5, 15))


def test_a_file_that_is_lost_during_training_is_named(stage: Any) -> None:
    directory = stage.directory
    loader = StageLoader(directory, prefetch=0)
    next(loader)
    (directory / "000002.parquet").unlink()
    with pytest.raises(CorruptShard, match=r"000002\.parquet is missing"):
        list(loader)


def test_the_thread_ends_with_the_stage_by_closing_and_with_its_loader(stage: Any) -> None:
    directory = stage.directory
    assert prefetchers() == 0
    loader = StageLoader(directory)
    assert len(list(loader)) == STEPS
    loader.seek(3)
    next(loader)
    assert prefetchers() == 1
    loader.close()
    assert prefetchers() == 0
    assert next(iter(loader)).step == 4
    loader.seek(0)
    next(loader)
    assert prefetchers() == 1
    del loader
    gc.collect()
    assert prefetchers() == 0


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "1 / 0"])
def test_the_interpreter_ends_cleanly_amid_prefetching(stage: Any, ending: str) -> None:
    code = f"""import gc
from cuvee.handoff import StageLoader
loaders = [StageLoader({str(stage.directory)!r}, prefetch=1) for _ in range(8)]
for loader in loaders:
    next(loader)
{ending}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == {"": 0, "1 / 0": 1}.get(ending, 3)
    assert done.stderr.count("Traceback") == (ending == "1 / 0")
    assert "Fatal" not in done.stderr
