"""The loader: what each rank reads, resuming, and what it refuses."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.configs.errors import CorruptShard, RequestError, RunMismatch
from cuvee.handoff import Batch, StageLoader
from cuvee.handoff.manifest import manifest_sha

FIELDS = ("tokens", "labels", "loss_mask", "position_ids", "source_ids", "positions")


def whole_steps(directory: Path, world: int, micro: int | None, start: int = 0) -> list[Any]:
    """Every rank's micro-batches, put together as global batches in slot order."""
    steps: dict[int, dict[int, Any]] = {}
    for rank in range(world):
        loader = StageLoader(directory, rank, world, micro)
        loader.seek(start)
        for batch in loader:
            for i, position in enumerate(batch.positions):
                row = [np.asarray(getattr(batch, name)[i]).tolist() for name in FIELDS]
                steps.setdefault(batch.step, {})[int(position)] = (
                    *row,
                    batch.cu_seqlens[i].tolist(),
                )
    return [[step, sorted(rows.items())] for step, rows in sorted(steps.items())]


def test_every_world_size_reads_the_same_global_batches(make_stage: Any) -> None:
    stage = make_stage(masked=True)
    one = whole_steps(stage.directory, 1, None)
    assert [len(rows) for _, rows in one] == [8] * 15
    for position, row in (pair for _, rows in one for pair in rows):
        assert row[0] == stage.rows.tokens[position, :-1].tolist()
        assert row[1] == stage.rows.tokens[position, 1:].tolist()
        assert row[4] == stage.rows.source_ids[position]
    for world, micro in ((1, 3), (2, 3), (3, 2), (8, None), (8, 1)):
        assert whole_steps(stage.directory, world, micro) == one


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2), (2, 3), (7, 8)])
def test_a_rank_reads_every_worldth_slot_in_order(make_stage: Any, rank: int, world: int) -> None:
    loader = StageLoader(make_stage().directory, rank, world, micro_batch=2)
    slots = [int(p) for batch in loader for p in batch.positions]
    assert slots == [step * 8 + slot for step in range(15) for slot in range(8)[rank::world]]


def test_micro_batches_stay_within_a_step_and_len_counts_them(make_stage: Any) -> None:
    directory = make_stage().directory
    for world, micro in ((1, 3), (1, 8), (1, 100), (2, 3), (3, 2), (1, None)):
        loader = StageLoader(directory, world - 1, world, micro)
        batches = list(loader)
        assert len(loader) == len(batches)
        for batch in batches:
            assert set(batch.positions // 8) == {batch.step}
    sizes = [len(b.positions) for b in StageLoader(directory, micro_batch=3)]
    assert sizes == [3, 3, 2] * 15


@pytest.mark.parametrize("step", [0, 1, 5, 6, 14, 15])
def test_training_resumes_at_a_step_with_another_world_size(make_stage: Any, step: int) -> None:
    directory = make_stage().directory
    before = StageLoader(directory, rank=1, world_size=2, micro_batch=3)
    while before.state_dict()["step"] < step:
        next(before)
    state = json.loads(json.dumps(before.state_dict()))
    assert state == {
        "manifest": manifest_sha(directory / "manifest.json"),
        "algorithm": 1,
        "step": step,
    }
    for world in (1, 3):
        read = []
        for rank in range(world):
            loader = StageLoader(directory, rank, world)
            loader.load_state_dict(state)
            read += [int(p) for batch in loader for p in batch.positions]
        assert sorted(read) == list(range(step * 8, 120))
    assert whole_steps(directory, 2, 3, step) == whole_steps(directory, 1, None)[step:]


def test_a_state_is_the_same_on_every_rank_between_steps(make_stage: Any) -> None:
    directory = make_stage().directory
    loaders = [StageLoader(directory, rank, 3, micro_batch=1) for rank in range(3)]
    for loader, micro_batches in zip(loaders, (3, 3, 2), strict=True):
        for _ in range(micro_batches):
            next(loader)
    assert [loader.state_dict()["step"] for loader in loaders] == [1, 1, 1]


def test_a_step_that_was_broken_off_is_read_again(make_stage: Any) -> None:
    loader = StageLoader(make_stage().directory, micro_batch=3)
    first = [next(loader).positions.tolist() for _ in range(5)]
    assert loader.state_dict()["step"] == 1
    assert next(iter(loader)).positions.tolist() == first[3] == [8, 9, 10]


def test_a_finished_loader_stays_finished_until_it_is_sent_back(make_stage: Any) -> None:
    loader = StageLoader(make_stage().directory)
    assert len(list(loader)) == 15
    assert loader.state_dict()["step"] == loader.steps == 15
    assert list(loader) == []
    loader.seek(14)
    assert [batch.step for batch in loader] == [14]


def test_a_state_of_another_stage_or_loader_is_refused(make_stage: Any) -> None:
    loader = StageLoader(make_stage("one").directory)
    other = StageLoader(make_stage("two", seed=8).directory)
    with pytest.raises(RunMismatch, match="manifest"):
        loader.load_state_dict(other.state_dict())
    with pytest.raises(RunMismatch, match="algorithm"):
        loader.load_state_dict({**loader.state_dict(), "algorithm": 2})
    with pytest.raises(RequestError, match="keys"):
        loader.load_state_dict({"step": 3})
    for step in (-1, 16):
        with pytest.raises(RequestError, match="step"):
            loader.seek(step)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"world_size": 9}, "global batch of 8"),
        ({"world_size": 0}, "world_size 0"),
        ({"rank": 2, "world_size": 2}, "rank 2"),
        ({"rank": -1}, "rank -1"),
        ({"micro_batch": 0}, "micro_batch 0"),
        ({"prefetch": -1}, "prefetch -1"),
    ],
)
def test_ranks_that_cannot_be_are_refused(
    make_stage: Any, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        StageLoader(make_stage().directory, **arguments)


def test_missing_and_cut_files_are_named_before_training_starts(make_stage: Any) -> None:
    path = make_stage().directory / "000001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptShard, match="000001"):
        StageLoader(path.parent)
    path.unlink()
    with pytest.raises(CorruptShard, match=r"000001\.parquet is missing"):
        StageLoader(path.parent)


def test_a_damaged_page_is_named_when_it_is_reached(make_stage: Any) -> None:
    path = make_stage().directory / "000001.parquet"
    held = bytearray(path.read_bytes())
    held[len(held) // 3] ^= 0x10
    path.write_bytes(held)
    loader = StageLoader(path.parent)
    with pytest.raises(CorruptShard, match="000001"):
        list(loader)
    assert loader.state_dict()["step"] in range(6, 12)


def test_a_file_with_rows_of_another_place_is_named(make_stage: Any) -> None:
    stage = make_stage()
    positions = stage.rows.positions.copy()
    positions[60] = 0
    stage.rewrite(type(stage.rows)(**{**vars(stage.rows), "positions": positions}))
    with pytest.raises(CorruptShard, match=r"000001\.parquet does not hold"):
        list(StageLoader(stage.directory))


def run_python(code: str, *paths: Path) -> str:
    """Run code in a fresh interpreter with `paths` to import from; return what it printed."""
    prelude = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_stays_light() -> None:
    heavy = (
        *("prefect", "duckdb", "numba", "pydantic", "polars", "pandas", "torch", "fsspec"),
        "cuvee.flows",
    )
    code = f"from cuvee.handoff import StageLoader\nprint(set({heavy}) & set(sys.modules))"
    assert run_python(code).strip() == "set()"


STAND_IN = """
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Dataset(Generic[T]):
    pass


class IterableDataset(Dataset[T], Iterable[T]):
    pass


WORKER = None


def get_worker_info():
    return WORKER
"""

ORDERS = {
    "torch first": "import torch.utils.data\nfrom cuvee.handoff import StageLoader\n",
    "cuvee first": "from cuvee.handoff import StageLoader\nimport torch.utils.data\n",
}


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder with a package `torch` that has only what the loader looks at."""
    package = tmp_path / "stand_in" / "torch" / "utils" / "data"
    package.mkdir(parents=True)
    for folder in (package.parent.parent, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "__init__.py").write_text(STAND_IN)
    return tmp_path / "stand_in"


@pytest.mark.parametrize("order", ORDERS)
def test_the_loader_is_a_torch_dataset_where_torch_was_imported(
    make_stage: Any, stand_in: Path, order: str
) -> None:
    code = f"""{ORDERS[order]}
loader = StageLoader({str(make_stage().directory)!r}, micro_batch=4)
StageLoader({str(make_stage("other").directory)!r})
kinds = (torch.utils.data.IterableDataset, torch.utils.data.Dataset)
print([isinstance(loader, kind) for kind in kinds], issubclass(StageLoader, kinds[0]))
print(sum(len(batch.positions) for batch in loader))
"""
    assert run_python(code, stand_in).split("\n")[:2] == ["[True, True] True", "120"]


def test_worker_processes_are_refused(make_stage: Any, stand_in: Path) -> None:
    code = f"""import torch.utils.data
from cuvee.handoff import StageLoader
loader = StageLoader({str(make_stage().directory)!r})
torch.utils.data.WORKER = object()
try:
    iter(loader)
except Exception as error:
    print(type(error).__name__, error)
"""
    said = run_python(code, stand_in)
    assert said.startswith("RequestError")
    assert "num_workers=0" in said


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torchs_own_data_loader_gives_tensors(make_stage: Any) -> None:
    code = f"""import warnings
warnings.simplefilter("error")
from cuvee.handoff import Batch, StageLoader
import torch
from torch.utils.data import DataLoader
loader = StageLoader({str(make_stage().directory)!r}, micro_batch=3)
batches = list(DataLoader(loader, batch_size=None))
assert all(type(batch) is Batch for batch in batches)
assert all(torch.is_tensor(part) for batch in batches for part in batch[:4])
print(len(batches), loader.state_dict()["step"])
print(batches[0].tokens.dtype, batches[0].loss_mask.dtype)
try:
    list(DataLoader(loader, batch_size=None, num_workers=1))
except Exception as error:
    print(type(error).__name__)
"""
    assert run_python(code).split() == ["45", "15", "torch.int64", "torch.bool", "RequestError"]


def test_a_batch_unpacks_by_name_and_by_place(make_stage: Any) -> None:
    batch = next(StageLoader(make_stage().directory, micro_batch=4))
    assert Batch._fields[:2] == ("tokens", "labels")
    assert batch.tokens is batch[0]
    assert batch.tokens.shape == batch.position_ids.shape == (4, 32)
