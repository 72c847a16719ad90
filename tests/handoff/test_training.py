"""The training example: its curve is the same on one process and on two that went on from it.

torch is taken from this environment, or from `.readers` or the one of `CUVEE_READERS`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
STEPS = 4  # of each stage's 7 and 5: the example must leave both before their end
STOP = 3

# The model on documents behind each other gives what it gives on each alone, sees nothing that is
# to come, and turns by the base that it is given.
APART = """
import sys
from itertools import pairwise
sys.path.insert(0, sys.argv[1])
import torch
from model import Shape, Transformer
torch.manual_seed(1)
model = Transformer(Shape(50, width=32))
tokens, bounds = torch.randint(1, 50, (24,)), [0, 5, 6, 17, 24]
positions = torch.cat([torch.arange(b - a) for a, b in pairwise(bounds)])
whole = model(tokens, positions, bounds, 500.0)
alone = [model(tokens[a:b], torch.arange(b - a), [0, b - a], 500.0) for a, b in pairwise(bounds)]
torch.testing.assert_close(whole, torch.cat(alone))
tokens[11] = 0
later = model(tokens, positions, bounds, 500.0)
changed = (later != whole).any(1).nonzero()[:, 0].tolist()
assert changed == list(range(11, 17)), changed
assert not torch.equal(model(tokens, positions, bounds, 10.0), later)
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has torch."""
    if importlib.util.find_spec("torch"):
        return sys.executable
    python = Path(os.environ.get("CUVEE_READERS") or ROOT / ".readers" / "bin" / "python")
    if not python.exists():
        pytest.skip(f"no torch here, and {python} is not there; `make readers` installs it")
    return str(python)


def train(python: str, folder: Path, out: str, *options: Any, processes: int = 1) -> list[Any]:
    """Run the example with `folder` on the path; return what it logged."""
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    script = [str(ROOT / "examples" / "train.py"), str(folder / "run"), "--out", str(folder / out)]
    shape = ["--until", "long", "--max-steps", STEPS, "--target-every", 3, "--micro-tokens", 64]
    command = [python, *(many if processes > 1 else []), *script, *shape, *options]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in (folder / out / "log.jsonl").read_text().splitlines()]


def test_documents_of_a_row_do_not_see_each_other(python: str) -> None:
    command = [python, "-c", APART, str(ROOT / "examples")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def make_learnable(stage: Any) -> None:
    """Let each token follow from the one before: a model that sees its inputs gets better."""
    slots = np.arange(stage.spec.seq_len + 1) % 8 + 2
    tokens = np.broadcast_to(slots, stage.rows.tokens.shape).astype(stage.rows.tokens.dtype)
    stage.rows = replace(stage.rows, tokens=tokens.copy())
    stage.rewrite(stage.rows)


def test_two_processes_go_on_with_the_curve_of_one(python: str, run: Any, tmp_path: Path) -> None:
    (tmp_path / "cuvee").symlink_to(ROOT)
    for stage in run.stages.values():
        make_learnable(stage)
    run.index(core=(), long=("core",), code=("core",))

    whole = train(python, tmp_path, "whole")
    train(python, tmp_path, "resumed", "--stop-after", STOP)
    resumed = train(python, tmp_path, "resumed", "--resume", processes=2)

    assert [line["ranks"] for line in resumed] == [1] * STOP + [2] * (2 * STEPS - STOP)
    due = [(name, step) for name in ("core", "long") for step in range(STEPS)]
    for log in (whole, resumed):
        assert [(line["stage"], line["step"]) for line in log] == due
        for line in log:
            stage, step = run.stages[line["stage"]], line["step"]
            sources = stage.rows.source_ids.reshape(-1, stage.spec.batch)[step]
            counts = np.bincount(sources, minlength=len(stage.rows.source_names)).tolist()
            assert line["sequences"] == dict(zip(stage.rows.source_names, counts, strict=True))
    for one, two in zip(whole, resumed, strict=True):
        assert one["tokens"] == two["tokens"]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["by_source"] == pytest.approx(one["by_source"], rel=1e-4)
    assert whole[-1]["loss"] < 0.7 * whole[0]["loss"]

    picture = tmp_path / "curve.svg"
    logs = (tmp_path / "whole" / "log.jsonl", "--resumed", tmp_path / "resumed" / "log.jsonl")
    script = ROOT / "examples" / "curve.py"
    subprocess.run([sys.executable, script, *logs, "--out", picture], check=True)
    drawn = ElementTree.parse(picture).getroot()
    shapes = [element.tag.rpartition("}")[2] for element in drawn]
    # A line, and a swatch, for each source and all; a ring for each loss after the resumption.
    assert shapes.count("polyline") == 2 * 4
    after = sum(len(line["by_source"]) + 1 for line in resumed[STOP:])
    assert shapes.count("circle") == after + 1
