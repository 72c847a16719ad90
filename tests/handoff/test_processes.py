"""Ranks in processes of their own: stopped, and resumed by another number of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RANK = """
import json, sys
from cuvee.handoff import StageLoader
directory, rank, world, micro, steps, state = sys.argv[1:]
loader = StageLoader(directory, int(rank), int(world), int(micro))
loader.load_state_dict(json.loads(state)) if state else None
read = {}
for batch in loader:
    read.setdefault(batch.step, []).extend(batch.positions.tolist())
    if batch.closes_step and loader.state_dict()["step"] == int(steps):
        break
print(json.dumps([read, loader.state_dict()]))
"""


def train(
    directory: Path, world: int, steps: int, state: dict[str, Any] | None = None
) -> tuple[dict[int, list[int]], list[dict[str, Any]]]:
    """Read up to a step with `world` processes: the positions of each step, and their states."""
    text = json.dumps(state) if state else ""
    ranks = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                RANK,
                str(directory),
                str(rank),
                str(world),
                "2",
                str(steps),
                text,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    told = [json.loads(rank.communicate(timeout=60)[0]) for rank in ranks]
    steps_read: dict[int, list[int]] = {}
    for read, _ in told:
        for step, positions in read.items():
            steps_read.setdefault(int(step), []).extend(positions)
    return {step: sorted(read) for step, read in steps_read.items()}, [end for _, end in told]


@pytest.mark.parametrize("stop", [1, 7])
def test_two_processes_stop_and_three_go_on(make_stage: Any, stop: int) -> None:
    directory = make_stage().directory
    read, states = train(directory, 2, stop)
    assert states[0] == states[1]
    assert states[0]["step"] == stop
    rest, ends = train(directory, 3, 15, states[0])
    assert [end["step"] for end in ends] == [15, 15, 15]
    assert {**read, **rest} == {s: list(range(s * 8, s * 8 + 8)) for s in range(15)}
    assert read.keys() | rest.keys() == set(range(15))
    assert not read.keys() & rest.keys()
