"""Mixtures as stated, inherited, grouped, by size and by quota, and the requests refused."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Stage
from cuvee.mixers.mixtures import Mixture
from cuvee.mixers.pools import pools_of
from cuvee.mixers.settled import Request, lay

SIZES = {"web": 6000, "books": 300, "math": 100}
STAGES = TypeAdapter(list[Stage])


def stage(name: str, mixture: Any, **keys: Any) -> dict[str, Any]:
    """A stage of 1,000 tokens."""
    shape = {"tokens": 1000, "seq_len": 10, "batch": {"sequences": 1}}
    return {"name": name, "mixture": mixture, **shape, **keys}


def mixed(
    *stages: dict[str, Any], files: Any = None, sizes: dict[str, int] = SIZES
) -> list[Mixture]:
    """Resolve stages as a recipe has them."""
    held = STAGES.validate_python(list(stages))
    return lay(Request(held, pools_of(sizes, {}), sizes, files=files or {}), []).mixtures


def shares(*stages: dict[str, Any], files: Any = None) -> dict[str, float]:
    """The shares of the last stage, those above zero."""
    last = mixed(*stages, files=files)[-1].last
    return {source: round(share, 9) for source, share in last.items() if share}


CORE = stage("core", {"web": 0.7, "books": 0.3})


def test_weights_are_normalised_and_the_raw_ones_kept() -> None:
    (mixture,) = mixed(stage("core", {"math": 1.0, "web": 3.0}))
    (point,) = mixture.points
    assert point.raw == {"web": 3.0, "books": 0.0, "math": 1.0}
    assert point.raw_sum == 4.0
    assert list(point.weights) == list(SIZES)
    assert mixture.last == {"web": 0.75, "books": 0.0, "math": 0.25}
    assert mixture.drawn == ["web", "math"]


def test_a_published_sum_that_is_not_one_is_reported_as_it_is() -> None:
    (mixture,) = mixed(stage("decay", {"web": 0.51565, "math": 0.49}))
    assert mixture.points[0].raw_sum == pytest.approx(1.00565, abs=1e-12)
    assert math.fsum(mixture.last.values()) == pytest.approx(1.0, abs=1e-15)


def test_a_stage_inherits_scales_sets_and_normalises_an_earlier_mixture() -> None:
    anneal = stage("anneal", {"inherit": "core", "scale": {"web": 0.5}, "set": {"math": 0.35}})
    assert shares(CORE, anneal) == {"web": 0.35, "books": 0.3, "math": 0.35}
    again = stage("again", {"inherit": "anneal", "scale": {"web": 0}})
    assert shares(CORE, anneal, again) == {
        "books": round(0.3 / 0.65, 9),
        "math": round(0.35 / 0.65, 9),
    }


def test_a_group_deals_its_share_out_by_weights_by_size_or_as_an_earlier_stage_has_it() -> None:
    text = {"share": 0.6, "of": {"web": 2, "inner": {"share": 1, "of": {"books": 5}}}}
    assert shares(stage("core", {"text": text, "math": 0.4})) == {
        "web": 0.4,
        "books": 0.2,
        "math": 0.4,
    }
    like = stage("joint", {"text": {"share": 0.5, "like": "core"}, "math": 0.5})
    assert shares(CORE, like) == {"web": 0.35, "books": 0.15, "math": 0.5}
    sized = stage("sized", {"small": {"share": 0.8, "by_size": ["books", "math"]}, "web": 0.2})
    assert shares(sized) == {"web": 0.2, "books": 0.6, "math": 0.2}


def test_shares_by_size_are_proportional_or_flattened_by_a_temperature() -> None:
    everything = list(SIZES)
    assert shares(stage("core", {"by_size": everything})) == {
        source: round(size / 6400, 9) for source, size in SIZES.items()
    }
    flat = shares(stage("core", {"by_size": ["books", "math"], "temperature": 2}))
    assert flat["books"] / flat["math"] == pytest.approx(math.sqrt(3))


def plain_unimax(sizes: dict[str, int], tokens: int, cap: float) -> dict[str, float]:
    """Raise one level until the budget is used up or every source is at its cap."""
    low, high = 0.0, float(tokens)
    for _ in range(200):
        level = (low + high) / 2
        used = sum(min(level, cap * size) for size in sizes.values())
        low, high = (level, high) if used < tokens else (low, level)
    given = {source: min(high, cap * size) for source, size in sizes.items()}
    total = sum(given.values())
    return {source: amount / total for source, amount in given.items()}


@settings(max_examples=60)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=20), st.integers(1, 10**7))
def test_unimax_is_the_flattest_mixture_within_the_cap(sizes: list[int], tokens: int) -> None:
    named = {f"s{n}": size for n, size in enumerate(sizes)}
    mixture = {"by_size": list(named), "max_epochs": 3}
    (found,) = mixed(stage("core", mixture, tokens=tokens), sizes=named)
    assert found.last == pytest.approx(plain_unimax(named, tokens, 3), rel=1e-6)


def test_quotas_are_in_tokens_and_leave_the_rest_to_weights() -> None:
    mixture = {"quotas": {"math": 250, "books": 50}, "rest": {"web": 5}}
    assert shares(stage("mid", mixture)) == {"math": 0.25, "books": 0.05, "web": 0.7}
    steps = {"tokens": None, "steps": 50}
    assert shares(stage("mid", mixture, **steps)) == {"math": 0.5, "books": 0.1, "web": 0.4}


def test_weights_come_from_a_file() -> None:
    files = {"found.json": {"web": 3.0, "math": 1.0}}
    assert shares(stage("core", {"file": "found.json"}), files=files) == {"web": 0.75, "math": 0.25}


def test_a_ramp_has_a_mixture_at_each_point() -> None:
    ramp = {
        "ramp": [
            {"at": 0, "mixture": {"inherit": "core"}},
            {"at": "1K", "mixture": {"text": {"share": 0.6, "like": "core"}, "math": 0.4}},
        ],
        "curve": "cosine",
    }
    _, joint = mixed(CORE, stage("joint", ramp))
    assert [point.at for point in joint.points] == [0, 1000]
    assert joint.points[0].weights["math"] == 0
    assert joint.last["math"] == pytest.approx(0.4)
    assert joint.last["web"] / joint.last["books"] == pytest.approx(7 / 3)
    assert (joint.curve, joint.of) == ("cosine", "stage")


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([stage("core", {"wbe": 1.0})], r"core\.mixture\.wbe .* Did you mean 'web'\?"),
        ([stage("core", {"web": 0.0})], "no source a positive weight"),
        ([stage("core", {})], "no source a positive weight"),
        ([stage("a", {"inherit": "core"}), CORE], "not an earlier stage. Earlier stages: none"),
        ([CORE, stage("a", {"inherit": "cor"})], "Did you mean 'core'?"),
        ([CORE, stage("a", {"inherit": "core", "scale": {"bokos": 2}})], "Did you mean 'books'?"),
        ([CORE, stage("a", {"inherit": "core", "set": {"x": 2}})], r"set\.x names no source"),
        ([CORE, stage("a", {"inherit": "core", "scale": {"math": 2}})], "scales a weight of 0"),
        ([CORE, stage("a", {"inherit": "core", "scale": {"web": 0, "books": 0}})], "no source a p"),
        ([stage("a", {"g": {"share": 1, "like": "core"}})], r"mixture\.g\.like names 'core'"),
        ([stage("a", {"g": {"share": 1, "of": {"web": 0}}})], "no pool with a weight"),
        ([stage("a", {"web": 1, "g": {"share": 1, "of": {"web": 1}}})], "gives 'web' two weights"),
        (
            [stage("a", {"quotas": {"web": 1001}})],
            "quotas are 1 tokens more than the stage's 1,000",
        ),
        ([stage("a", {"quotas": {"web": 5}, "rest": {"web": 1}})], "'web' a quota and a weight"),
        ([stage("a", {"quotas": {"web": 5}}, tokens=None, epochs=2)], "Give the stage's budget in"),
        (
            [stage("a", {"by_size": ["web"], "max_epochs": 2}, tokens=None, epochs=2)],
            "max_epochs needs to know how much",
        ),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(stages: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        mixed(*stages)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"mixture": {"web": -0.1}}, "greater than or equal to 0"),
        ({"mixture": {"web": math.nan}}, "finite|greater"),
        ({"mixture": {"web": math.inf}}, "finite"),
        ({"mixture": {"g": {"share": 1}}}, "give one of of"),
        ({"mixture": {"g": {"share": 1, "like": "a", "by_size": ["web"]}}}, "give one of of"),
        ({"mixture": {"by_size": ["web"], "temperature": 2, "max_epochs": 2}}, "either temp"),
        ({"mixture": {"ramp": [{"at": 0, "mixture": {"web": 1}}]}}, "at least 2"),
        (
            {"mixture": {"ramp": [{"at": n, "mixture": {"web": 1}} for n in (5, 5)]}},
            "each must lie behind the one before",
        ),
        ({"tokens": None}, "give one of tokens, steps, sequences, examples and epochs"),
        ({"steps": 3}, "give one of tokens, steps, sequences, examples and epochs"),
        ({"seq_len": None}, "give both seq_len and batch"),
        ({"phases": [{"seq_len": 10, "batch": {"sequences": 1}}]}, "or phases that have them"),
        ({"batch": {"tokens": 15}}, "the nearest that is: 20"),
    ],
)
def test_a_stage_that_says_too_little_or_too_much_is_refused(
    keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        Stage.model_validate(stage("core", {"web": 1}) | keys)
