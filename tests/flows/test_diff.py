"""`cuvee diff`: recipes, and runs by position."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.configs.load import load
from cuvee.flows.diff_commands import diff, recipe_side, show
from cuvee.flows.diff_plans import Change, recipe_changes
from cuvee.flows.plan_commands import examine

RECIPE = """
name: a
sources:
  web: {tokens: 2T}
  code: {tokens: 300B}
tokenizer: {train: {}}
stages:
  - {name: core, tokens: 1T, seq_len: 8192, batch: {tokens: 8Mi}, mixture: {web: 3, code: 1}}
  - {name: anneal, tokens: 100B, seq_len: 8192, batch: {tokens: 8Mi}, meta: {lr: 0.0003}}
"""

SHOWN = """
a A
b B

recipe                   a       b
──────────────────────────────────
sources.code.max_epochs  4       8
stages.anneal.meta.lr    0.0003  0

stage               a       b  tokens of a   of b
─────────────────────────────────────────────────
~ anneal
    length      8,192    32Ki
    batch       1,024     256
    code        25.0%   50.0%          25B    50B
    web         75.0%   50.0%          75B    50B

+ long
    after           -  anneal
    steps           -      10
    tokens          -  83.89M
    length          -    64Ki
    batch           -     128
    from token      -    1.1T
    code            -   50.0%            -  41.9M
    web             -   50.0%            -  41.9M
"""

OVERRIDES = (
    "sources.code.max_epochs=8",
    "stages.anneal.meta.lr=0",
    "stages.anneal.seq_len=32Ki",
    "stages.anneal.mixture={inherit: core, set: {web: 0.25}}",
)


@pytest.fixture
def recipes(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a.yaml").write_text(RECIPE)
    more = "  - {name: long, steps: 10, seq_len: 64Ki, batch: {tokens: 8Mi}}\n"
    (tmp_path / "b.yaml").write_text(RECIPE + more)
    return tmp_path / "a.yaml", tmp_path / "b.yaml"


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_a_difference_says_what_is_other_in_each_stage(
    recipes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a = recipe_side(recipes[0], (), 1.0)._replace(name="A")
    b = recipe_side(recipes[1], OVERRIDES, 1.0)._replace(name="B")
    show(a, b, "table")
    assert lines(capsys.readouterr().out) == lines(SHOWN)


def test_a_recipe_is_the_same_as_itself(
    recipes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    diff(recipes[0], recipes[0], "table")
    assert "the same in every stage" in capsys.readouterr().out


def test_a_plan_against_another_shows_the_difference_alone(
    recipes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    given: Any = (("stages.core.tokens=2T", "sources.code.max_epochs=1"), (), 1.0)
    assert examine(recipes[0], given, None, recipes[0]) == 1  # what it changes cannot be
    out = capsys.readouterr().out
    assert "~ core" in out
    assert "mixture" not in out


def test_machines_read_json(recipes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    diff(*recipes, "json")
    held = json.loads(capsys.readouterr().out)
    assert [(stage["stage"], stage["change"]) for stage in held["stages"]] == [
        ("core", "same"),
        ("anneal", "same"),
        ("long", "added"),
    ]
    assert held["plans"] == {}
    with pytest.raises(RequestError, match="It is one of table, json"):
        diff(*recipes, "yaml")


def test_keys_that_the_stages_show_are_not_told_twice(recipes: tuple[Path, Path]) -> None:
    a, b = load(recipes[0]), load(recipes[0], ("seed=4", "stages.core.tokens=2T"))
    assert recipe_changes(a, b, planned=True) == [Change("seed", 0, 4)]


def test_recipes_that_cannot_be_planned_are_compared_by_their_keys(
    recipes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    held = RECIPE.replace("tokens: 2T", "max_epochs: 2").replace("{web: 3, code: 1}", "{web: 1}")
    recipes[1].write_text(held.replace("{web: 1}", "{by_size: [web]}"))
    diff(*recipes, "json")
    found = json.loads(capsys.readouterr().out)
    assert found["stages"] == []
    assert {"key": "sources.web.tokens", "a": 2 * 10**12, "b": None} in found["keys"]
    assert [key["key"] for key in found["keys"]] == [
        "sources.web.tokens",
        "sources.web.max_epochs",
        *(f"stages.core.mixture.{key}" for key in ("web", "code", "by_size", "temperature")),
    ]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunMismatch):
        diff(tmp_path, tmp_path, "table")


def test_two_runs_differ_from_a_position_on(
    cuvee: Callable[..., Any], corpus: Path, finished: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    flags = ("--set", "stages.anneal.mixture.scale.web=0.25", "--set", "stages.long.tokens=20K")
    done = cuvee("plan", corpus / "small.yaml", "--out", copy, "--update", *flags)
    assert done.returncode == 0, done.stderr
    assert "planned from measured sizes" in done.stdout
    assert "1-146" in done.stdout
    held = json.loads(cuvee("diff", finished, copy, "--format", "json").stdout)
    assert held["plans"]["core"]["identical"]
    anneal = held["plans"]["anneal"]
    assert not anneal["identical"]
    assert anneal["step"] == anneal["position"] // 8 + 1
    assert held["plans"]["long"]["sequences"] == [60, 40]
    (web,) = (
        p
        for s in held["stages"]
        for p in s["pools"]
        if p["pool"] == "web" and s["stage"] == "anneal"
    )
    assert web["shares"][0] > web["shares"][1]
    shown = cuvee("diff", finished, copy).stdout
    assert "identical, 1,168 positions" in shown
    assert f"differs from position {anneal['position']:,} (step {anneal['step']:,})" in shown
