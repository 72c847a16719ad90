"""`cuvee plan` without a run: what it prints of declared sizes, and its page."""

from pathlib import Path

import numpy as np
import pytest

from cuvee.configs.errors import RecipeError
from cuvee.configs.load import shipped
from cuvee.corpus.plan_accounts import PlanAccount, mixtures_of, ways_of
from cuvee.flows.plan_commands import examine
from cuvee.flows.plan_report import account_of_recipe, windows_of
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
from cuvee.mixers.targets import Targets
from cuvee.mixers.weights import SHARE_UNITS

RECIPE = """
name: small
sources:
  web: {tokens: !assumed 2T, max_epochs: 4}
  code: {tokens: !paper 300B}
tokenizer: {train: {}}
stages:
  - name: core
    tokens: !paper 1T
    phases:
      - {until: !code 252M, seq_len: 4096, batch: {tokens: !code 4Mi}}
      - {seq_len: 8192, batch: {tokens: 8Mi}}
    gate: loss is flat
    mixture: {web: 0.8, code: 0.25}
  - name: anneal
    tokens: 100B
    seq_len: 32768
    batch: {tokens: 8Mi}
    mixture: {ramp: [{at: 0, mixture: {inherit: core}}, {at: 100B, mixture: {code: 1}}]}
  - {name: fork, after: core, steps: 10, seq_len: 8192, batch: {tokens: 8Mi}, seed: 5}
"""

SHOWN = """
small  planned from declared sizes
    1.1T  core → anneal
      1T  core → fork

stage   after       steps  length  batch  = tokens  tokens    from      to  budget
──────────────────────────────────────────────────────────────────────────────────
core_1  -            1-60   4,096  1,024       4Mi    252M       0  251.7M  code
core_2         61-119,239   8,192  1,024       8Mi      1T  251.7M      1T  paper
anneal  core     1-11,921    32Ki    256       8Mi    100B      1T    1.1T
fork    core         1-10   8,192  1,024       8Mi   83.9M      1T      1T
  core_2  gate: loss is flat
  fork  draws in an order of its own (seed 5)

mixture    from  0              25             50             75        100 %
core_1        0  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbb
core_2   251.7M  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbb
anneal       1T  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbb
         1.012T  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbb
         1.025T  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbb
         1.037T  aaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
          1.05T  aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
         1.062T  aaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
         1.075T  aaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
         1.087T  aaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
fork         1T  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbb

 a  web   b  code

stage / pool  share      from - to  tokens  epochs     D'
─────────────────────────────────────────────────────────
core                                    1T
  web         76.2%                   762B    0.38   762B
  code        23.8%                   238B    0.79   238B

anneal                                100B
  code        61.9%  24.4% - 99.4%   61.9B    0.21  61.9B
  web         38.1%   75.6% - 0.6%   38.1B    0.02  38.1B

fork                                 83.9M
  web         76.2%                  63.9M   <0.01  63.9M
  code        23.8%                    20M   <0.01    20M

source  size  read  epochs  at most    D'
─────────────────────────────────────────
code    300B  300B    1.00        4  300B
web       2T  800B    0.40        4  800B

assumed, yours to --set (1):
  sources.web.tokens  2T

numbers by source: 2 paper, 2 code, 1 assumed, 16 unmarked
  ! stage core: the weights sum to 1.05 and were divided by it
  ✓ feasible; the tightest source is code, read 1 of at most 4 epochs
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path / "small.yaml"


def plan(recipe: Path, *overrides: str, html: Path | None = None) -> int:
    return examine(recipe, (overrides, (), 1.0), html, None)


def without_ends(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_a_plan_is_shown_whole(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(recipe) == 0
    assert without_ends(capsys.readouterr().out) == without_ends(SHOWN)


def test_what_is_set_is_assumed_no_more(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(recipe, "sources.web.tokens=1T", "stages.core.phases.0.until=300M")
    out = capsys.readouterr().out
    assert "assumed" not in out
    assert "numbers by source: 2 paper, 1 code, 2 set, 16 unmarked" in out
    assert "core_1  -            1-72" in out


def test_an_infeasible_plan_is_shown_with_its_mend(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(recipe, "sources.code.max_epochs=0.9") == 1
    out = capsys.readouterr().out
    assert "core_1" in out
    assert "✗ MixInfeasible: Stage 'anneal': source 'code' can give" in out
    assert "or raise sources.code.max_epochs to 1.01." in out


def test_a_plan_without_sizes_says_what_it_lacks(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(recipe, "sources.code.tokens=null") == 0
    said = "? whether it is feasible is not known: no size of code"
    assert capsys.readouterr().out.rstrip().endswith(said)


def test_shares_by_sizes_that_nobody_knows_are_refused(recipe: Path) -> None:
    given = ("sources.code.tokens=null", "stages.core.mixture={by_size: [web, code]}")
    with pytest.raises(RecipeError, match=r"sources\.code"):
        plan(recipe, *given)


def test_the_page_needs_nothing_else(recipe: Path, tmp_path: Path) -> None:
    plan(recipe, html=tmp_path / "plan.html")
    page = (tmp_path / "plan.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<polygon") == 4  # two sources on two ways
    assert "61-119,239" in page


def test_no_file_is_written(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan(recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_llama_ramps_its_batch_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert examine(Path("llama3_1_405b"), ((), (), 1.0), None, None) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shapes = [row[-8:-3] for row in rows if row[:1] in (["initial_1"], ["initial_2"])]
    assert shapes[0][:4] == ["1-60", "4,096", "1,024", "4Mi"]
    assert shapes[1][:4] == ["61-342,161", "8,192", "1,024", "8Mi"]


@pytest.mark.parametrize("name", [n for n, p in shipped().items() if p.parent.name == "systems"])
def test_every_system_has_an_account_that_adds_up(name: str) -> None:
    found = account_of_recipe(shipped()[name], (), 1.0)
    assert found.feasible
    adds_up(found)


def adds_up(plan: PlanAccount) -> None:
    """Check what every account holds to: pools sum to phases, shares to one, steps follow on."""
    for phase in plan.phases:
        assert sum(pool.tokens for pool in phase.pools) == phase.tokens
        assert sum(window.tokens for window in phase.windows) == phase.tokens
        for window in phase.windows:
            assert sum(window.shares.values()) == pytest.approx(1)
    for stage in mixtures_of(plan.phases):
        steps = [phase for phase in plan.phases if phase.stage == stage.stage]
        assert [p.first_step for p in steps][1:] == [p.last_step + 1 for p in steps][:-1]
    for way in plan.ways:
        assert way.tokens == sum(phase.tokens for phase in plan.of(way))


def test_windows_are_the_means_of_the_positions() -> None:
    chance = np.random.default_rng(3)
    lengths = chance.integers(1, 9, 40)
    first = chance.integers(0, SHARE_UNITS, 40)
    targets = Targets(lengths, np.stack([first, SHARE_UNITS - first], axis=1))
    stage = Stage("s", "s", int(lengths.sum()) * 10, 10, 1, targets)
    found = windows_of(stage, [Pool("a", "a"), Pool("b", "b")])
    shares = np.repeat(first / SHARE_UNITS, lengths)
    edges = np.linspace(0, len(shares), len(found) + 1)
    for window, low, high in zip(found, edges, edges[1:], strict=False):
        inside = np.clip(
            np.minimum(np.arange(len(shares)) + 1, high) - np.maximum(np.arange(len(shares)), low),
            0,
            None,
        )
        assert window.shares["a"] == pytest.approx(float((inside * shares).sum() / (high - low)))


def test_ways_go_by_every_parent() -> None:
    parents = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}
    tokens = {"a": 1, "b": 10, "c": 100, "d": 1000, "e": 5}
    assert ways_of(parents, tokens) == [
        (("a", "b", "d"), 1011),
        (("a", "c", "d"), 1101),
        (("e",), 5),
    ]
