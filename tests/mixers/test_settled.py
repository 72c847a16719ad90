"""Plans that branch, replay and inherit; units, bounds, stops and what is said of them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Stage
from cuvee.mixers.plan import Stage as Laid
from cuvee.mixers.pools import pools_of
from cuvee.mixers.settled import Request, Settled, lay

SIZES = {"web": 10_000, "books": 2000, "math": 1000, "books@long": 500}
DOCUMENTS = {"web": 100, "books": 4, "math": 10, "books@long": 1}
TAGS = {"web": {"kind": "crawl"}, "books": {"kind": "prose"}, "math": {"kind": "prose"}}
STAGES = TypeAdapter(list[Stage])


def stage(name: str, mixture: Any = None, **keys: Any) -> dict[str, Any]:
    """A stage of 1,000 tokens in steps of 10."""
    shape = {"tokens": 1000, "seq_len": 10, "batch": {"sequences": 1}}
    return {"name": name, "mixture": mixture, **shape, **keys}


def settled(*stages: dict[str, Any], **keys: Any) -> Settled:
    """Settle stages over three sources and a view."""
    held, views = STAGES.validate_python(list(stages)), {"books@long": "books"}
    pools = pools_of(["web", "books", "math"], views)
    return lay(Request(held, pools, SIZES, DOCUMENTS, TAGS, **keys), [])


def tokens(plan: Settled, folder: str) -> dict[str, int]:
    """What a stage reads of each pool."""
    found = next(one for one in plan.stages if one.name == folder)
    read = found.counts * found.seq_len
    return {p.name: int(n) for p, n in zip(plan.pools, read, strict=True) if n}


def folder(plan: Settled, name: str) -> Laid:
    return next(one for one in plan.stages if one.name == name)


CORE = stage("core", {"web": 0.5, "books": 0.2, "books@long": 0.1, "math": 0.2})


def test_a_replay_deals_its_share_out_as_the_stage_read_its_sources() -> None:
    plan = settled(CORE, stage("old", {"math": 0.5, "again": {"share": 0.5, "replay": "core"}}))
    assert tokens(plan, "old") == {
        "math": 500,
        "web@core": 250,
        "books@core": 150,
        "math@core": 100,
    }
    assert [pool.name for pool in plan.pools] == [
        *("web", "books", "math", "books@long", "web@core", "books@core", "math@core")
    ]
    assert plan.stages[0].counts.tolist() == [50, 20, 20, 10, 0, 0, 0]


def test_a_quota_of_a_replay_and_the_documents_that_a_stage_left() -> None:
    """Ouro's last stage: a set of its own, a little of one stage, much of another."""
    mid = stage("mid", {"web": 1})
    last = {
        "math": 300,
        "some": {"tokens": 100, "replay": "core", "seen": False},
        "much": {"tokens": 600, "replay": "mid"},
    }
    plan = settled(CORE, mid, stage("last", {"quotas": last}))
    assert tokens(plan, "last") == {
        "math": 300,
        "web@not_core": 50,
        "books@not_core": 30,
        "math@not_core": 20,
        "web@mid": 600,
    }
    named = settled(CORE, stage("last", {"web@core": 1, "math@not_core": 3}))
    assert tokens(named, "last") == {"web@core": 250, "math@not_core": 750}


def test_what_a_stage_replays_has_been_read_when_it_begins() -> None:
    left, right = stage("left", {"web": 1}, after="core"), stage("right", {"math": 1}, after="core")
    replay = {"old": {"share": 1, "replay": "left"}}
    with pytest.raises(RecipeError) as caught:
        settled(CORE, left, {**right, "mixture": replay})
    assert str(caught.value) == (
        "stages.right.mixture.old.replay asks for a replay of 'left', which has not run when "
        "'right' begins. Stages that have: core. Let 'right' come after 'left' "
        "(stages.right.after), or replay one of those."
    )
    inherited = stage("right", {"inherit": "old"}, after="core")
    with pytest.raises(
        RecipeError, match=r"stages\.right\.mixture\.inherit asks for a replay of 'left'"
    ):
        settled(CORE, left, stage("old", replay, after="left"), inherited)
    joined = stage("joint", replay, after=["left", "right"])
    assert tokens(settled(CORE, left, right, joined), "joint") == {"web@left": 1000}
    with pytest.raises(RecipeError, match=r"a replay of 'cor', which is no stage.*mean 'core'"):
        settled(CORE, stage("old", {"old": {"share": 1, "replay": "cor"}}))


def test_stages_go_on_from_their_parents_wherever_the_recipe_lists_them() -> None:
    plan = settled(
        stage("tail", None, after=["left", "right"]),
        stage("right", {"web": 1}, after="core", tokens=500, seed=7),
        {**CORE, "after": []},
        stage("left", {"inherit": "core", "set": {"math": 1.0}}, after="core"),
    )
    assert [(one.name, one.parents, one.seed) for one in plan.stages] == [
        ("core", (), 0),
        ("right", ("core",), 7),
        ("left", ("core",), 0),
        ("tail", ("left", "right"), 0),
    ]
    tail = folder(plan, "tail").targets.shares
    assert tail.tolist() == folder(plan, "left").targets.shares.tolist()


def test_a_ramp_of_the_run_counts_along_the_longest_way() -> None:
    ramp = {
        "ramp": [{"at": 2000, "mixture": {"web": 1}}, {"at": 3000, "mixture": {"math": 1}}],
        "of": "run",
    }
    plan = settled(
        CORE,
        stage("short", {"web": 1}, after="core", tokens=200),
        stage("long", {"web": 1}, after="core", tokens=1000),
        stage("joint", ramp, after=["short", "long"]),
        stage("joint_too", ramp, after="long"),
    )
    assert tokens(plan, "joint") == tokens(plan, "joint_too") == {"web": 500, "math": 500}


def test_a_share_of_examples_is_one_of_tokens_by_the_mean_length() -> None:
    """Documents of web have 100 tokens on average, of books 500."""
    halves = stage("core", {"web": 0.5, "books": 0.5}, tokens=6000, unit="examples")
    assert tokens(settled(halves), "core") == {"web": 1000, "books": 5000}
    same = stage("core", {"web": 0.5, "books": 0.5}, tokens=6000, unit="sequences")
    assert tokens(settled(same), "core") == {"web": 3000, "books": 3000}
    ten = {**halves, "examples": 10, "tokens": None}
    assert folder(settled(ten), "core").tokens == 3000
    like = stage("next", {"g": {"share": 1, "like": "core"}}, tokens=6000, unit="examples")
    assert tokens(settled(halves, like), "next") == {"web": 1000, "books": 5000}
    held = STAGES.validate_python([halves])
    request = Request(held, pools_of(["web", "books"], {}), SIZES, {"web": 100})
    with pytest.raises(RecipeError) as caught:
        lay(request, [])
    assert str(caught.value) == (
        "sources.books.documents is not given, and nothing of 'books' is measured yet. "
        "Give sources.books.documents: about how many documents it has."
    )


def shares(plan: Settled, number: int = -1) -> dict[str, float]:
    """The shares of a resolved mixture, those above zero."""
    last = plan.mixtures[number].last
    return {name: round(share, 9) for name, share in last.items() if share}


def test_bounds_keep_the_ratios_on_both_sides() -> None:
    most = [{"pools": ["web"], "max": 0.2}]
    assert shares(settled(CORE | {"bounds": most})) == {
        "web": 0.2,
        "books": 0.32,
        "math": 0.32,
        "books@long": 0.16,
    }
    least = [{"tags": {"kind": "prose"}, "min": 0.75}]
    assert shares(settled(CORE | {"bounds": least})) == {
        "web": 0.25,
        "books": 0.3,
        "math": 0.3,
        "books@long": 0.15,
    }
    both = [{"pools": ["web"], "max": 0.4}, {"pools": ["math"], "max": 0.2}]
    found = shares(settled(CORE | {"bounds": both}))
    assert (found["web"], found["math"]) == (0.4, 0.2)
    assert found["books"] == pytest.approx(2 * found["books@long"])
    ramp = {"ramp": [{"at": 0, "mixture": {"web": 1}}, {"at": 1000, "mixture": {"math": 1}}]}
    with pytest.raises(RecipeError, match=r"stages\.joint\.bounds\.0 wants at least 0\.1 .* noth"):
        settled(stage("joint", ramp, bounds=[{"pools": ["math"], "min": 0.1}]))


def test_bounds_that_cannot_hold_are_refused() -> None:
    two = [{"pools": ["web"], "min": 0.7}, {"pools": ["math"], "min": 0.5}]
    with pytest.raises(
        RecipeError, match=r"bounds\.0 wants at least 0\.7, but with the stage's oth"
    ):
        settled(CORE | {"bounds": two})
    with pytest.raises(RecipeError, match=r"bounds\.0 wants at most 0\.5 of the stage for pools"):
        settled(stage("core", {"web": 1}, bounds=[{"pools": ["web"], "max": 0.5}]))
    with pytest.raises(RecipeError, match=r"bounds\.0\.pools\.wbe names no source"):
        settled(CORE | {"bounds": [{"pools": ["wbe"], "max": 0.5}]})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.05, 1), min_size=4, max_size=4), st.floats(0.05, 0.9), st.booleans())
def test_two_bounds_are_met_by_one_factor_on_each_set(
    raw: list[float], bound: float, overlap: bool
) -> None:
    names = ["web", "books", "math", "books@long"]
    sets = (["web", "books"], ["books", "math"] if overlap else ["math"])
    bounds = [{"pools": sets[0], "max": bound}, {"pools": sets[1], "max": 0.6 * bound}]
    core = stage("core", dict(zip(names, raw, strict=True)))
    was, now = settled(core).mixtures[0].last, settled(core | {"bounds": bounds}).mixtures[0].last
    assert math.fsum(now.values()) == pytest.approx(1)
    held = [math.fsum(now[name] for name in pools) for pools in sets]
    assert held[0] <= bound + 1e-9
    assert held[1] <= 0.6 * bound + 1e-9
    factor = {name: now[name] / was[name] for name in names}
    if not overlap:
        assert factor["web"] == pytest.approx(factor["books"])
    assert factor["web"] <= factor["books@long"] * (1 + 1e-9)


def test_a_stopped_stage_is_the_head_of_its_whole_and_moves_what_comes_after() -> None:
    ramp = {"ramp": [{"at": 0, "mixture": {"web": 1}}, {"at": 1000, "mixture": {"math": 1}}]}
    stages = [stage("joint", ramp), stage("tail")]
    whole, stopped = settled(*stages), settled({**stages[0], "stop": 405}, stages[1])
    by_step = settled(*stages, stops={"joint": 41})
    head = folder(stopped, "joint")
    assert (head.steps, head.horizon_steps, head.tokens) == (41, 100, 1000)
    assert (head.schedule == folder(whole, "joint").schedule[:41]).all()
    assert folder(by_step, "joint").counts.tolist() == head.counts.tolist()
    assert shares(whole) == {"math": 1.0}
    assert shares(stopped) == shares(by_step) == {"web": 0.59, "math": 0.41}
    with pytest.raises(RecipeError, match="'joint' is to end after step 0"):
        settled(*stages, stops={"joint": 0})


def test_phases_behind_a_stop_are_left_out() -> None:
    phases = [
        {"until": 200, "seq_len": 10, "batch": {"sequences": 1}},
        {"until": 600, "seq_len": 20, "batch": {"sequences": 1}},
        {"seq_len": 20, "batch": {"sequences": 2}},
    ]
    core = {"name": "core", "tokens": 1000, "phases": phases, "mixture": {"web": 1}}
    whole = settled(core)
    assert [one.steps for one in whole.stages] == [20, 20, 10]
    assert [one.parents for one in whole.stages] == [(), ("core_1",), ("core_2",)]
    assert [(one.name, one.steps) for one in settled(core | {"stop": 300}).stages] == [
        ("core_1", 20),
        ("core_2", 5),
    ]
    early = settled(core, stops={"core_1": 10})  # a gate that was passed
    assert [(one.name, one.steps, one.tokens) for one in early.stages] == [("core_1", 10, 200)]


def test_weights_that_come_to_no_sequence_are_told() -> None:
    few = settled(stage("core", {"web": 1, "math": 0.001, "books": 0.0002}))
    assert few.warnings == [
        "stage core: the weights sum to 1.0012 and were divided by it",
        "stage core: books, math: less than one of its 100 sequences is due, and none is read",
    ]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_longer_budget_goes_on_where_a_shorter_one_ends(data: st.DataObject) -> None:
    """Of a mixture that stays, and of a ramp whose points do."""
    places = data.draw(st.lists(st.integers(0, 2000), min_size=1, max_size=4, unique=True))
    points, names = [], list(SIZES)
    for at in sorted(places):
        raw = data.draw(st.lists(st.integers(1, 9), min_size=4, max_size=4))
        points.append({"at": at, "mixture": dict(zip(names, raw, strict=True))})
    mixture: Any = {
        "ramp": points,
        "curve": data.draw(st.sampled_from(["linear", "cosine", "step"])),
    }
    if len(points) == 1:
        mixture = points[0]["mixture"]
    batch = {"sequences": data.draw(st.integers(1, 3))}
    short, long = (
        settled(stage("core", mixture, tokens=budget, batch=batch)).stages[0].schedule
        for budget in (
            2000 + data.draw(st.integers(0, 500)),
            2500 + data.draw(st.integers(0, 3000)),
        )
    )
    assert (short == long[: len(short)]).all()
    assert len(np.unique(long)) == 4
