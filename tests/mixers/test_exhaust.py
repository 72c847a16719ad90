"""What a stage does with a source that runs out, and what it says of it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import MixInfeasible
from cuvee.configs.load import parse
from cuvee.flows.stages import declared_supplies, settle
from cuvee.mixers.quota import certificate
from cuvee.mixers.settled import Settled
from cuvee.mixers.weights import SHARE_UNITS

SOURCES = {
    "web": {"tokens": 10_000, "max_epochs": 1},
    "code": {"tokens": 300, "max_epochs": 1},
    "math": {"tokens": 400, "max_epochs": 1},
}


def stage(name: str, mixture: Any = None, **keys: Any) -> dict[str, Any]:
    """A stage of 2,000 tokens in steps of 20."""
    shape = {"tokens": 2000, "seq_len": 10, "batch": {"sequences": 2}}
    return {"name": name, "mixture": mixture, **shape, **keys}


def settled(*stages: dict[str, Any], **sources: dict[str, Any]) -> Settled:
    """Settle a recipe by declared sizes."""
    recipe = parse(
        {
            "name": "small",
            "sources": SOURCES | sources,
            "tokenizer": {"path": "tokenizer.json"},
            "stages": list(stages),
        }
    )
    return settle(recipe, Path(), declared_supplies(recipe))


def tokens(plan: Settled, number: int = -1) -> dict[str, int]:
    """What a stage reads of each pool."""
    read = plan.stages[number].quota_counts * plan.stages[number].seq_len
    return {p.name: int(n) for p, n in zip(plan.pools, read, strict=True) if n}


MIXED = {"web": 0.6, "code": 0.3, "math": 0.1}


def test_a_source_that_runs_out_is_refused_by_default() -> None:
    with pytest.raises(MixInfeasible, match="source 'code' can give 300 tokens"):
        settled(stage("core", MIXED))


def test_redistribute_lets_the_others_give_the_rest_in_their_ratio() -> None:
    plan = settled(stage("core", MIXED, on_exhaust="redistribute"))
    assert tokens(plan) == {"web": 1460, "code": 300, "math": 240}
    assert plan.warnings == ["stage core: code gives 300 of 600 tokens, and the others the rest"]


def test_what_is_redistributed_may_exhaust_another_source() -> None:
    plan = settled(
        stage("core", MIXED, on_exhaust="redistribute"), math={"tokens": 210, "max_epochs": 1}
    )
    assert tokens(plan) == {"web": 1490, "code": 300, "math": 210}
    assert plan.warnings == ["stage core: code gives 300 of 600 tokens, and the others the rest"]


def test_redistribute_on_a_ramp_keeps_its_way_piece_by_piece() -> None:
    ramp = {
        "ramp": [
            {"at": 0, "mixture": {"web": 1}},
            {"at": 2000, "mixture": {"web": 0.4, "code": 0.6}},
        ]
    }
    plan = settled(stage("core", ramp, on_exhaust="redistribute"))
    assert tokens(plan) == {"web": 1700, "code": 300}
    code = plan.stages[0].targets.weights[:, 1]
    assert (code[1:] > code[:-1]).all()
    assert code[-1] / 2**32 == pytest.approx(0.3, rel=0.02)


def test_repeat_raises_the_cap_to_the_lowest_that_is_enough_and_says_so() -> None:
    plan = settled(stage("core", MIXED, on_exhaust="repeat"), stage("tail", {"web": 1}))
    assert plan.caps == {"code": 2.0}
    assert plan.warnings == [
        "stage core: documents of code are read up to 2 times, more than its max_epochs of 1"
    ]


def test_shrink_ends_the_stage_with_the_last_step_that_all_can_give() -> None:
    plan = settled(stage("core", MIXED, on_exhaust="shrink"), stage("tail", {"web": 1}))
    assert (plan.stages[0].steps, plan.stages[0].horizon_steps) == (50, 100)
    assert tokens(plan, 0) == {"web": 600, "code": 300, "math": 100}
    assert tokens(plan, 1) == {"web": 2000}
    assert plan.warnings == [
        "stage core: ends after 50 of 100 steps, 1.0K of 2.0K tokens; code can give no more"
    ]


def test_what_cannot_be_mended_so_is_refused() -> None:
    for policy in ("redistribute", "shrink"):
        first = stage("core", {"code": 1}, tokens=300)
        with pytest.raises(MixInfeasible, match="Stage 'tail': source 'code' can give 0 tokens"):
            settled(first, stage("tail", {"code": 1}, on_exhaust=policy))


def test_a_replay_follows_what_the_exhausted_stage_really_reads() -> None:
    core = stage("core", MIXED, on_exhaust="redistribute")
    replay = {"old": {"share": 1, "replay": "core"}}
    old = stage("old", replay, tokens=1000, on_exhaust="redistribute")
    plan = settled(core, old, web={"tokens": 10_000}, math={"tokens": 400})
    assert tokens(plan, 1) == {"web@core": 860, "math@core": 140}
    assert plan.warnings[1] == "stage old: code@core gives 0 of 150 tokens, and the others the rest"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_mended_plan_is_feasible_and_has_its_quota_at_every_prefix(data: st.DataObject) -> None:
    """Forks and joins of two to five stages, some on ramps, over sources that mostly run out."""
    names, stages = list(SOURCES), list[dict[str, Any]]()

    def weights() -> dict[str, int]:
        raw = data.draw(st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any))
        return dict(zip(names, raw, strict=True))

    for n in range(data.draw(st.integers(2, 5))):
        mixture: Any = weights()
        if data.draw(st.booleans()):
            points = [{"at": 0, "mixture": mixture}, {"at": 1000, "mixture": weights()}]
            mixture = {"ramp": points}
        before = [one["name"] for one in stages]
        above = data.draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        policy = data.draw(st.sampled_from(["redistribute", "repeat", "shrink"]))
        stages.append(stage(f"s{n}", mixture, after=above, on_exhaust=policy))
    try:
        plan = settled(*stages)
    except MixInfeasible:
        return
    for one in plan.stages:
        assert (one.ramp.weights.sum(axis=1) == SHARE_UNITS).all()
        assert certificate(one.schedule, one.targets).holds
        assert abs(one.counts - one.quota_counts).max() <= 1
