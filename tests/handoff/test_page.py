"""The page for the trainer's owner: what it shows, runs, and says what the loader says."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.handoff import StageLoader
from cuvee.handoff.batches import make_batch
from cuvee.handoff.manifest import SpecialIds
from cuvee.handoff.reader import ShardGroup

PAGE = Path(__file__).parents[2] / "docs" / "handoff.md"


def block(name: str, directory: Path) -> str:
    """The Python block of the page that calls `name`, for a stage or run that is there."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = (str(text) for text in blocks if f"{name}(" in text)
    return re.sub(r"runs/x(/shards/core)?", str(directory), found)


def test_the_loader_example_runs(make_stage: Any) -> None:
    exec(block("StageLoader", make_stage().directory), {})


def test_the_example_of_a_run_runs(run: Any) -> None:
    run.index(core=(), long=("core",))
    code = block("RunLoader", run.directory)
    seen: list[Any] = []
    exec(code.rstrip() + "\n    seen.append(type(event).__name__)", {"seen": seen})
    assert seen == ["StageStart", *["Batch"] * 7, "StageStart", *["Batch"] * 5]


def test_reading_without_the_loader_gives_what_the_loader_gives(make_stage: Any) -> None:
    stage = make_stage()
    read: list[Any] = []
    code = block("ParquetFile", stage.directory).rstrip()
    keep = "\n            keep.append((inputs[row], labels[row], mask, cu_seqlens))"
    exec(code + keep, {"keep": read})
    batches = list(StageLoader(stage.directory, micro_batch=1))
    assert len(read) == len(batches) == 120
    for (inputs, labels, mask, bounds), batch in zip(read, batches, strict=True):
        np.testing.assert_array_equal(inputs, batch.tokens[0])
        np.testing.assert_array_equal(labels, batch.labels[0])
        np.testing.assert_array_equal(mask, batch.loss_mask[0])
        np.testing.assert_array_equal(bounds, batch.cu_seqlens[0])


def test_the_picture_of_a_row_is_what_the_loader_makes_of_it() -> None:
    picture = re.search(r"```\n(slot.*?)```", PAGE.read_text(), re.DOTALL)
    assert picture is not None
    lines = [line.replace("|", " ").split() for line in picture[1].splitlines()]
    shown = {words[0]: words[1:] for words in lines}
    ids = [".abc".index(letter) for letter in shown["tokens"]]
    bounds = np.array(shown["cu_seqlens"], np.int32)
    group = ShardGroup(
        tokens=np.array([ids], np.uint16),
        positions=np.zeros(1, np.int64),
        steps=np.zeros(1, np.int32),
        source_ids=np.zeros(1, np.int32),
        source_names=("a",),
        cu_seqlens=bounds,
        cu_offsets=np.array([0, len(bounds)]),
        n_tokens=bounds[-1:],
        mask_bits=None,
    )
    batch = make_batch(group, range(1), SpecialIds(eos=0, pad=9), np.zeros(1, np.int64), 1)
    assert [".abc"[i] for i in batch.labels[0]] == shown["labels"]
    assert [str(place) for place in batch.position_ids[0]] == shown["position_ids"]
    assert [str(int(kept)) for kept in batch.loss_mask[0]] == shown["loss_mask"]
