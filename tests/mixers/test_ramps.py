"""Phases in whole steps, and ramps frozen into integer weights."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Stage
from cuvee.mixers.flat import FlatStage, Start, flatten
from cuvee.mixers.mixtures import Mixture, Point
from cuvee.mixers.pools import pools_of
from cuvee.mixers.quota import certificate, schedule
from cuvee.mixers.ramps import RAMP_PIECES, at, check_points, freeze
from cuvee.mixers.settled import Request, lay
from cuvee.mixers.targets import Targets, first
from cuvee.mixers.weights import SHARE_UNITS

STAGES = TypeAdapter(list[Stage])
T, B, M, MI = 10**12, 10**9, 10**6, 2**20


def flat(*stages: dict[str, Any], epoch_tokens: dict[str, int] | None = None) -> list[FlatStage]:
    """Flatten stages as a recipe has them, one after the other, all of one source."""
    whole = STAGES.validate_python([{"mixture": {"web": 1}} | stage for stage in stages])
    found: list[FlatStage] = []
    for one in whole:
        budget = one.budget or round((one.epochs or 1) * (epoch_tokens or {})[one.name])
        found += flatten(one, budget, Start(run_token=found[-1].end if found else 0))
    return found


def frozen(mixture: Mixture, stage: FlatStage) -> Targets:
    """The integer weights of a stage, without those behind its end."""
    return first(freeze(mixture, stage), stage.steps * stage.batch_sequences)


LLAMA = {
    "name": "initial",
    "tokens": "15.6T",
    "phases": [
        {"until": "252M", "seq_len": 4096, "batch": {"tokens": "4Mi"}},
        {"until": "2.87T", "seq_len": 8192, "batch": {"tokens": "8Mi"}},
        {"seq_len": 8192, "batch": {"tokens": "16Mi"}},
    ],
}


def test_a_schedule_of_batch_and_length_changes_after_whole_steps() -> None:
    """Llama 3 405B, section 3.4.1: 252M tokens are 60 steps of 4,194,304."""
    one, second, third = flat(LLAMA)
    assert [part.name for part in (one, second, third)] == ["initial_1", "initial_2", "initial_3"]
    assert [part.batch_sequences for part in (one, second, third)] == [1024, 1024, 2048]
    assert one.steps == 60
    assert second.first_token == 60 * 4 * MI
    assert second.steps == 342_101
    assert third.first_token == 60 * 4 * MI + 342_101 * 8 * MI
    end = third.first_token + third.tokens
    assert abs(end - 156 * T // 10) <= 8 * MI


def test_published_stages_have_their_steps() -> None:
    (afm,) = flat({"name": "core", "tokens": "6.3T", "seq_len": 4096, "batch": {"sequences": 4096}})
    assert (afm.batch_sequences * afm.seq_len, afm.steps) == (16_777_216, 375_509)
    last = {"name": "anneal", "tokens": "40M", "seq_len": 131072, "batch": {"tokens": "16Mi"}}
    (anneal,) = flat(last)
    assert anneal.steps == 2  # 40M are 2.38 steps: the nearest whole number
    ends = [(3_450_000, 8.14), (748_000, 9.90), (522_000, 11.14)]  # SmolLM3: steps, T at the end
    smol = flat(
        *(
            {"name": f"s{n}", "steps": steps, "seq_len": 4096, "batch": {"sequences": 576}}
            for n, (steps, _) in enumerate(ends)
        )
    )
    assert [round((p.run_token + p.tokens) / T, 2) for p in smol] == [end for _, end in ends]


def test_budgets_in_sequences_and_epochs_come_to_tokens() -> None:
    shape = {"seq_len": 10, "batch": {"sequences": 2}}
    parts = flat(
        {"name": "a", "sequences": 7, **shape},
        {"name": "b", "epochs": 1.5, **shape},
        epoch_tokens={"b": 1000},
    )
    assert [(part.budget, part.steps, part.run_token) for part in parts] == [
        (70, 4, 0),
        (1500, 75, 80),
    ]


def test_a_phase_that_begins_behind_its_end_is_refused() -> None:
    with pytest.raises(RecipeError, match="initial_2 ends at 4,000,000 tokens, and 251,658,240"):
        flat(LLAMA | {"tokens": "4M", "phases": [LLAMA["phases"][0], LLAMA["phases"][2]]})


def ramp(*points: tuple[int, list[float]], curve: str = "linear", of: str = "stage") -> Mixture:
    """A mixture over sources a, b, c ... with these shares at these tokens."""
    made = []
    for tokens, weights in points:
        named = {"abcdefgh"[n]: weight for n, weight in enumerate(weights)}
        made.append(Point(tokens, named, sum(weights), named))
    return Mixture("joint", tuple(made), curve, of)


def part(steps: int, batch: int = 4, seq_len: int = 10, begin: int = 0) -> FlatStage:
    """A stage of so many steps."""
    tokens = steps * batch * seq_len
    return FlatStage("joint", "joint", tokens, seq_len, batch, begin, begin)


def test_a_mixture_that_stays_is_one_piece() -> None:
    targets = frozen(ramp((0, [0.25, 0.75])), part(100))
    assert targets.lengths.tolist() == [400]
    assert targets.weights.tolist() == [[SHARE_UNITS // 4, 3 * SHARE_UNITS // 4]]


def test_the_tokens_of_a_linear_ramp_are_its_integral() -> None:
    """Kimi-VL's joint stage: the multimodal share rises from 0 to 0.40."""
    stage = part(5000, batch=8)
    targets = frozen(ramp((0, [1.0, 0.0]), (stage.tokens, [0.6, 0.4])), stage)
    assert len(targets.lengths) == RAMP_PIECES
    assert targets.positions == 40_000
    assert targets.shares[1] == pytest.approx(0.2, abs=1e-6)
    half = ramp((0, [1.0, 0.0]), (stage.tokens // 2, [0.6, 0.4]))
    assert frozen(half, stage).shares[1] == pytest.approx(0.3, abs=1e-6)
    sources = schedule(targets)
    assert certificate(sources, targets).holds
    assert abs(int((sources == 1).sum()) - 8000) <= 1


def test_curves_lead_from_point_to_point() -> None:
    points = ((100, [1.0, 0.0]), (300, [0.0, 1.0]), (400, [0.5, 0.5]))
    line, step = ramp(*points), ramp(*points, curve="step")
    assert [at(line, t)["b"] for t in (0, 100, 200, 300, 350, 400, 900)] == [
        *(0.0, 0.0, 0.5, 1.0, 0.75, 0.5, 0.5)
    ]
    assert [at(step, t)["b"] for t in (0, 100, 299, 300, 399, 400)] == [0, 0, 0, 1, 1, 0.5]
    wave = ramp(*points, curve="cosine")
    assert at(wave, 150)["b"] == pytest.approx((1 - math.cos(math.pi / 4)) / 2, abs=1e-11)


def test_a_ramp_of_the_run_goes_on_over_the_phases_of_a_stage() -> None:
    whole = part(100, begin=4000)
    mixture = ramp((4000, [1.0, 0.0]), (8000, [0.0, 1.0]), of="run")
    one = FlatStage("joint_1", "joint", 2000, 10, 4, 0, 4000)
    second = FlatStage("joint_2", "joint", 2000, 10, 4, 2000, 6000)
    together = np.concatenate([frozen(mixture, part).weights for part in (one, second)])
    assert (together == frozen(mixture, whole).weights).all()
    assert frozen(mixture, second).shares[1] == pytest.approx(0.75)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_ramp_is_frozen_in_whole_steps_that_sum_to_the_whole(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 3000)), data.draw(st.integers(1, 5))
    stage = part(steps, batch)
    places = data.draw(
        st.lists(st.integers(0, stage.tokens), min_size=1, max_size=5, unique=True).map(sorted)
    )
    n, points = data.draw(st.integers(1, 5)), []
    for place in places:
        raw = data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any))
        points.append((place, [weight / sum(raw) for weight in raw]))
    mixture = ramp(*points, curve=data.draw(st.sampled_from(["linear", "cosine", "step"])))
    targets = frozen(mixture, stage)
    assert targets.positions == steps * batch
    assert (targets.lengths % batch == 0).all()
    assert (targets.weights.sum(axis=1) == SHARE_UNITS).all()
    assert certificate(schedule(targets), targets).holds
    exact = sum(Fraction(at(mixture, (2 * k + 1) * batch * 5)["a"]) for k in range(steps)) / steps
    assert abs(targets.shares[0] - float(exact)) < 2 / RAMP_PIECES + len(points) / steps


def test_a_point_beyond_the_stage_is_refused() -> None:
    mixture = ramp((0, [1.0, 0.0]), (5000, [0.0, 1.0]))
    check_points(mixture, 0, 5000)
    with pytest.raises(RecipeError, match=r"ramp\.1 lies at 5,000 tokens, 1,000 behind the end"):
        check_points(mixture, 0, 4000)


def test_a_ramp_of_a_recipe_is_resolved_and_frozen() -> None:
    (stage,) = STAGES.validate_python(
        [
            {
                "name": "joint",
                "tokens": "8K",
                "seq_len": 10,
                "batch": {"sequences": 4},
                "mixture": {
                    "ramp": [
                        {"at": 0, "mixture": {"text": 1}},
                        {"at": "8K", "mixture": {"text": 0.6, "image": 0.4}},
                    ]
                },
            }
        ]
    )
    sizes = {"text": 1, "image": 1}
    (laid,) = lay(Request([stage], pools_of(sizes, {}), sizes), []).stages
    assert laid.targets.shares.tolist() == pytest.approx([0.8, 0.2], abs=1e-6)
