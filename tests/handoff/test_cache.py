"""Stages behind URLs: fetched whole, checked, kept, shared, and what is refused."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from cuvee.configs.errors import CorruptShard, RequestError, RunError
from cuvee.handoff import StageLoader

URL = "memory://bucket/run/shards/core"


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    """An empty object store in memory."""
    store = fsspec.filesystem("memory")
    yield store
    store.rm("/bucket", recursive=True)


@pytest.fixture
def stage(make_stage: Any, bucket: MemoryFileSystem) -> Any:
    """A stage that lies in the store as well."""
    made = make_stage()
    for path in made.directory.iterdir():
        bucket.pipe_file(f"/bucket/run/shards/core/{path.name}", path.read_bytes())
    return made


def positions(loader: StageLoader) -> list[int]:
    return [int(p) for batch in loader for p in batch.positions]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_a_url_is_read_like_a_directory(stage: Any, tmp_path: Path, prefetch: int) -> None:
    local = StageLoader(stage.directory, 1, 2)
    remote = StageLoader(URL, 1, 2, prefetch=prefetch, cache=tmp_path / "cache")
    assert remote.state_dict() == local.state_dict()
    for mine, theirs in zip(remote, local, strict=True):
        assert mine.tokens.tolist() == theirs.tokens.tolist()
        assert mine.positions.tolist() == theirs.positions.tolist()
    assert {path.name for path in (tmp_path / "cache").glob("*.parquet")} == {
        f"{file.sha256}.parquet" for file in stage.manifest.files
    }
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_a_file_url_is_read_where_it_lies(stage: Any, tmp_path: Path) -> None:
    loader = StageLoader(f"file://{stage.directory}", cache=tmp_path / "cache")
    assert positions(loader) == list(range(120))
    assert not (tmp_path / "cache").exists()


def test_the_cache_of_the_user_is_the_default(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    next(StageLoader(URL, prefetch=0))
    name = f"{stage.manifest.files[0].sha256}.parquet"
    assert (tmp_path / "home" / "cuvee" / "shards" / name).exists()


def test_what_is_in_the_cache_is_not_fetched_again(
    stage: Any, bucket: MemoryFileSystem, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert positions(StageLoader(URL, cache=cache)) == list(range(120))
    for file in stage.manifest.files:
        bucket.pipe_file(f"/bucket/run/shards/core/{file.path}", b"\0" * file.bytes)
    assert positions(StageLoader(URL, cache=cache)) == list(range(120))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_file_of_the_cache_is_fetched_again(
    stage: Any, tmp_path: Path, harm: str
) -> None:
    cache = tmp_path / "cache"
    assert positions(StageLoader(URL, cache=cache)) == list(range(120))
    path = cache / f"{stage.manifest.files[1].sha256}.parquet"
    held = path.read_bytes()
    path.write_bytes(
        {"flip": held[:-9] + bytes([held[-9] ^ 4]) + held[-8:], "cut": held[:70], "empty": b""}[
            harm
        ]
    )
    assert positions(StageLoader(URL, cache=cache)) == list(range(120))
    assert path.read_bytes() == held


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_wrong_file_behind_the_url_is_named_and_not_kept(
    stage: Any, bucket: MemoryFileSystem, tmp_path: Path, prefetch: int
) -> None:
    name = f"{URL}/000001.parquet"
    size = stage.manifest.files[1].bytes
    bucket.pipe_file("/bucket/run/shards/core/000001.parquet", b"\0" * size)
    loader = StageLoader(URL, prefetch=prefetch, cache=tmp_path / "cache")
    with pytest.raises(CorruptShard, match=rf"{name}: its sha256"):
        list(loader)
    assert loader.state_dict()["step"] == 6
    assert len(list((tmp_path / "cache").glob("*.parquet"))) == 1
    assert not list((tmp_path / "cache").glob("*.tmp"))
    bucket.pipe_file("/bucket/run/shards/core/000001.parquet", b"")
    with pytest.raises(CorruptShard, match=rf"{name} has 0 bytes"):
        StageLoader(URL, cache=tmp_path / "cache")
    bucket.rm("/bucket/run/shards/core/000001.parquet")
    with pytest.raises(CorruptShard, match=rf"{name} is missing"):
        StageLoader(URL, cache=tmp_path / "cache")


def test_a_file_that_is_lost_before_it_is_fetched_is_named(
    stage: Any, bucket: MemoryFileSystem, tmp_path: Path
) -> None:
    loader = StageLoader(URL, cache=tmp_path / "cache", prefetch=0)
    bucket.rm("/bucket/run/shards/core/000000.parquet")
    with pytest.raises(CorruptShard, match=r"core/000000\.parquet is missing"):
        next(loader)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://bucket/x", "Protocol not known: nothing"),
        ("memory://bucket/elsewhere", "memory://bucket/elsewhere holds no manifest"),
    ],
)
def test_a_url_that_cannot_be_is_refused(bucket: Any, url: str, said: str) -> None:
    bucket.pipe_file("/bucket/x", b"")
    with pytest.raises(RequestError, match=said):
        StageLoader(url)


def test_a_cache_that_cannot_be_made_is_refused(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match=r"the cache .* cannot be written to"):
        next(StageLoader(URL, cache=tmp_path / "file" / "cache"))


class Slow(LocalFileSystem):  # type: ignore[misc] # fsspec ships no types
    """Local files behind a bad line: every opening of a shard takes a while, or fails."""

    protocol = "slow"
    delay_s = 0.0
    fault: Exception | None = None
    opened: ClassVar[list[str]] = []

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        if path.endswith(".parquet"):
            time.sleep(Slow.delay_s)
            Slow.opened.append(path)
            if Slow.fault is not None:
                raise Slow.fault
        return super()._open(path, *args, **kwargs)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    fsspec.register_implementation("slow", Slow, clobber=True)
    for name, value in (("delay_s", 0.0), ("fault", None), ("opened", [])):
        monkeypatch.setattr(Slow, name, value)
    return Slow


def test_waiting_for_a_slow_store_is_told_and_prefetching_hides_it(
    stage: Any, slow: type[Slow], tmp_path: Path
) -> None:
    slow.delay_s = 0.15
    waited = []
    for prefetch in (0, 1):
        cache = tmp_path / str(prefetch)
        loader = StageLoader(f"slow://{stage.directory}", prefetch=prefetch, cache=cache)
        firsts = []
        for batch in loader:
            firsts += [batch.waited] if batch.step in (0, 6, 12) else []  # of each file
            time.sleep(0.05)  # training
        assert firsts[0] >= 0.15
        assert loader.waited >= sum(firsts)
        waited.append(loader.waited)
        if not prefetch:
            assert min(firsts) >= 0.15
    assert waited[1] < waited[0]


def test_the_next_file_is_fetched_while_the_current_is_read(
    stage: Any, slow: type[Slow], tmp_path: Path
) -> None:
    loader = StageLoader(f"slow://{stage.directory}", prefetch=1, cache=tmp_path / "cache")
    next(loader)
    end = time.monotonic() + 10
    while len(slow.opened) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert [path[-14:] for path in slow.opened] == ["000000.parquet", "000001.parquet"]


def test_errors_of_a_store_are_told_as_ours_and_can_be_tried_again(
    stage: Any, slow: type[Slow], tmp_path: Path
) -> None:
    loader = StageLoader(f"slow://{stage.directory}", cache=tmp_path / "cache")
    slow.fault = LookupError("the line is dead")
    with pytest.raises(RunError, match=r"000000\.parquet could not be read: LookupError"):
        next(loader)
    slow.fault = None
    assert positions(loader) == list(range(120))


READER = """
import sys
from cuvee.handoff import StageLoader
import fsspec
source, cache, rank, world = sys.argv[1:]
from fsspec.implementations.local import LocalFileSystem

class Counted(LocalFileSystem):
    protocol = "counted"
    def _open(self, path, *args, **kwargs):
        if path.endswith(".parquet"):
            print("fetch", path[-14:])
        return super()._open(path, *args, **kwargs)

fsspec.register_implementation("counted", Counted)
loader = StageLoader(f"counted://{source}", int(rank), int(world), cache=cache)
print("read", *[int(p) for batch in loader for p in batch.positions])
"""


def test_ranks_of_one_host_share_a_cache_and_fetch_each_file_once(
    make_stage: Any, tmp_path: Path
) -> None:
    directory = make_stage().directory
    command = [sys.executable, "-c", READER, str(directory), str(tmp_path / "cache")]
    ranks = [
        subprocess.Popen([*command, str(rank), "3"], stdout=subprocess.PIPE, text=True)
        for rank in range(3)
    ]
    lines = [line.split() for rank in ranks for line in rank.communicate()[0].splitlines()]
    assert [rank.returncode for rank in ranks] == [0, 0, 0]
    assert sorted(int(p) for kind, *rest in lines if kind == "read" for p in rest) == [*range(120)]
    fetched = sorted(rest[0] for kind, *rest in lines if kind == "fetch")
    assert fetched == ["000000.parquet", "000001.parquet", "000002.parquet"]
    for path in (tmp_path / "cache").glob("*.parquet"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
