"""Damage of any kind: verification and the loader each refuse it, naming the file."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cuvee.configs.errors import CorruptShard, CuveeError, RunError
from cuvee.handoff import RunLoader, StageLoader, verify_stage

SAMPLED = 120  # places, of the bytes before the footer


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """Flip one bit of a file for a while."""
    held = path.read_bytes()
    path.write_bytes(held[:at] + bytes([held[at] ^ 1 << bit]) + held[at + 1 :])
    try:
        yield
    finally:
        path.write_bytes(held)


def places(path: Path, rng: random.Random) -> list[int]:
    """Every place of the footer with its length and magic, and a sample of those before."""
    size = path.stat().st_size
    footer = size - 8 - pq.read_metadata(path).serialized_size
    return [*rng.sample(range(footer), min(SAMPLED, footer)), *range(footer, size)]


@pytest.mark.parametrize("prefetch", [0, 1])
def test_any_flipped_byte_of_a_shard_stops_the_loader_before_its_rows(
    make_stage: Any, prefetch: int
) -> None:
    stage, rng = make_stage(masked=True), random.Random(prefetch)
    path = stage.directory / "000001.parquet"
    tried = places(path, rng)
    for at in rng.sample(tried, SAMPLED) if prefetch else tried:
        with flipped(path, at, rng.randrange(8)):
            loader = StageLoader(stage.directory, prefetch=prefetch)
            loader.seek(6)
            with pytest.raises(CorruptShard, match=r"000001\.parquet"):
                next(loader)
            loader.close()
    assert len(list(StageLoader(stage.directory))) == 15


def test_any_flipped_byte_of_a_shard_is_found_by_verification(make_stage: Any) -> None:
    stage, rng = make_stage(steps=6), random.Random(3)
    path = stage.directory / "000000.parquet"
    for at in rng.sample(places(path, rng), 3 * SAMPLED):
        with flipped(path, at, rng.randrange(8)):
            (problem,) = verify_stage(stage.directory).problems
            assert "000000.parquet" in str(problem)
    verify_stage(stage.directory).raise_first()


def test_any_flipped_byte_of_a_manifest_is_found_in_a_run(run: Any) -> None:
    rng = random.Random(4)
    path = run.stages["long"].directory / "manifest.json"
    for at in rng.sample(range(path.stat().st_size), 200):
        with flipped(path, at, rng.randrange(8)):
            for refuse in (
                lambda: StageLoader(path.parent),
                lambda: RunLoader(run.directory, until="long"),
                lambda: verify_stage(path.parent),
            ):
                with pytest.raises(CuveeError, match=r"long/manifest\.json"):
                    refuse()
    verify_stage(path.parent).raise_first()


@pytest.mark.parametrize("harm", ["missing", "swapped", "of another stage"])
def test_missing_and_exchanged_files_are_named(make_stage: Any, harm: str) -> None:
    # Rows of one token hardly compress: the files of a stage then have one size.
    one, two = (
        make_stage("one", seq_len=1, steps=12),
        make_stage("two", seq_len=1, steps=12, seed=9),
    )
    first, second = (one.directory / f"00000{i}.parquet" for i in range(2))
    if harm == "missing":
        second.unlink()
    elif harm == "of another stage":
        second.write_bytes((two.directory / second.name).read_bytes())
    else:
        other = second.read_bytes()
        second.write_bytes(first.read_bytes())
        first.write_bytes(other)
    named = r"00000[01]\.parquet"
    with pytest.raises(CorruptShard, match=named):
        verify_stage(one.directory).raise_first()
    with pytest.raises(CorruptShard, match=named):
        list(StageLoader(one.directory))


def test_a_disk_that_fails_is_told_as_ours(
    make_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = StageLoader(make_stage().directory)

    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cuvee.handoff.places._digest", fail)
    with pytest.raises(RunError, match=r"000000\.parquet could not be read: OSError"):
        next(loader)
