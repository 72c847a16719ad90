"""`cuvee advance`: what is written, what is refused, and what it opens."""

import json
import shutil
from pathlib import Path

import pytest

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.configs.load import parse
from cuvee.flows.advance_commands import advance
from cuvee.flows.advances import ADVANCES, Advance, advances, closed


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    held = json.loads((copy / "recipe.json").read_text())
    held["recipe"]["stages"][0]["gate"] = "the evaluation has recovered"
    (copy / "recipe.json").write_text(json.dumps(held))
    return copy


def test_an_advance_opens_what_comes_after(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert advances(run) == []
    advance(run, "core", None, "needles found")
    assert advances(run) == [Advance("core", 146, "needles found")]
    assert capsys.readouterr().out == (
        "  ✓ core is read up to step 146 of 146\n    open:   anneal\n    open:   long\n"
        f"  Write anneal, long: cuvee build RECIPE --out {run}\n"
    )


def test_a_step_before_the_end_stops_the_stage(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advance(run, "core", 100, "")
    advance(run, "core", 120, "")
    assert [one.step for one in advances(run)] == [100, 120]
    assert capsys.readouterr().out.endswith(
        "  ✓ core is read up to step 120 of 146\n"
        f"  Write anneal, long: cuvee build RECIPE --out {run} --update\n"
    )


def test_an_advance_that_cannot_be_is_refused_and_not_written(run: Path) -> None:
    advance(run, "core", 100, "")
    for stage, step, said in (
        ("cor", None, "There is no stage 'cor'. Stages: core, anneal, long. Did you mean 'core'?"),
        ("core", 147, "Stage 'core' has no step 147. It has steps 1 to 146."),
        ("core", 0, "Stage 'core' has no step 0. It has steps 1 to 146."),
        (
            "core",
            99,
            "Stage 'core' was advanced to step 100 before; 99 is behind it. "
            "What was read stays read: give a later step.",
        ),
    ):
        with pytest.raises(RequestError) as caught:
            advance(run, stage, step, "")
        assert str(caught.value) == said
    shutil.rmtree(run / "shards" / "long")
    with pytest.raises(RequestError, match="Stage long is not there yet"):
        advance(run, "long", None, "")
    assert len(advances(run)) == 1


def test_damaged_advances_are_said_so(run: Path) -> None:
    (run / ADVANCES).write_text('{"stage": "core"}\n')
    with pytest.raises(RunMismatch, match=r"advances\.jsonl is no list of advances"):
        advances(run)


def test_a_stage_waits_for_every_gate_above_it() -> None:
    shape = {"seq_len": 8, "batch": {"sequences": 1}, "tokens": 8}
    recipe = parse(
        {
            "name": "gates",
            "sources": {"web": {"tokens": 8}},
            "tokenizer": {"train": {}},
            "stages": [
                {"name": "a", "mixture": {"web": 1}, "gate": "g", **shape},
                {"name": "b", "gate": "g", **shape},
                {"name": "c", **shape},
                {"name": "d", "after": [], "mixture": {"web": 1}, **shape},
            ],
        }
    )
    assert closed(recipe, []) == {"b": ["a"], "c": ["a", "b"]}
    assert closed(recipe, [Advance("a", 1, "")]) == {"c": ["b"]}
    assert closed(recipe, [Advance("a", 1, ""), Advance("b", 1, "")]) == {}
