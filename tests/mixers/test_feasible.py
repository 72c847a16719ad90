"""Feasible plans pass; infeasible ones are refused with remedies that really are enough."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from cuvee.configs.counts import parse_count
from cuvee.configs.errors import MixInfeasible
from cuvee.configs.stages import Stage
from cuvee.mixers.cursor import Cursor, draw, draw_limit
from cuvee.mixers.demand import Balance
from cuvee.mixers.feasible import check
from cuvee.mixers.pools import Demand, lineage, pools_of
from cuvee.mixers.settled import Request, Settled, lay

SEED = 11
STAGES = TypeAdapter(list[Stage])
Plan = Sequence[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Plain:
    """A source that all stages draw from with one cursor, its documents known."""

    source: str
    lengths: NDArray[np.int32]
    max_epochs: float

    @property
    def sizes(self) -> dict[str, int]:
        return {self.source: int(self.lengths.sum())}

    @property
    def documents(self) -> dict[str, int]:
        return {self.source: len(self.lengths)}

    def give(self, demands: Sequence[Demand], max_epochs: float | None = None) -> NDArray[np.int64]:
        cap = self.max_epochs if max_epochs is None else max_epochs
        n = max(1, len(self.lengths))
        limit = draw_limit(cap, len(self.lengths))
        begun = Cursor(SEED, self.source, limit // n * n)
        drawn = draw(begun, self.lengths, 10**15, limit)
        available = limit // n * int(self.lengths.sum(dtype=np.int64))
        available += int(self.lengths[drawn.doc_row].sum(dtype=np.int64))
        above, given_ = lineage({one.stage: one.parents for one in demands}), dict[str, int]()
        for one in demands:
            left = available - sum(given_[older] for older in above[one.stage])
            given_[one.stage] = max(0, min(one.tokens, left))
        return np.array(list(given_.values()), np.int64)


def stage(
    name: str, tokens: int, weights: Mapping[str, Any], shape: tuple[int, int], **keys: Any
) -> dict[str, Any]:
    """A stage of `shape` sequence length and sequences per step."""
    batch = {"sequences": shape[1]}
    mixed = {"tokens": tokens, "seq_len": shape[0], "batch": batch, "mixture": weights}
    return {"name": name, **mixed, **keys}


def settled(stages: Plan, supplies: Sequence[Plain], exact: bool = True) -> tuple[Settled, Balance]:
    """Settle stages over whole sources."""
    sizes = {supply.source: supply.sizes[supply.source] for supply in supplies}
    held = STAGES.validate_python(list(stages))
    request = Request(held, pools_of(sizes, {}), sizes, seed=SEED, exact=exact)
    laid = lay(request, supplies)
    return laid, check(request, laid, supplies)


def refusal(stages: Plan, supplies: Sequence[Plain]) -> MixInfeasible:
    """The error of a plan that must be refused."""
    with pytest.raises(MixInfeasible) as caught:
        settled(stages, supplies)
    return caught.value


def lowered(stages: Plan, error: MixInfeasible) -> tuple[list[dict[str, Any]], int] | None:
    """The stages with the budget that the error proposes, and where; None if it proposes none."""
    found = re.search(r"Lower stages\.(\w+)\.tokens to ([\d.]+[KMBT]?),", error.do)
    if found is None:
        return None
    at = [each["name"] for each in stages].index(found[1])
    budget = stages[at] | {"tokens": parse_count(found[2])}
    assert budget["tokens"] < stages[at]["tokens"]
    return [*stages[:at], budget, *stages[at + 1 :]], at


def raised(supplies: Sequence[Plain], error: MixInfeasible) -> list[Plain]:
    """The supplies with the caps that the error proposes."""
    caps = dict(re.findall(r"sources\.(\w+)\.max_epochs to (\d+\.\d\d)", error.do))
    assert caps
    return [replace(s, max_epochs=float(caps.get(s.source, s.max_epochs))) for s in supplies]


def even(source: str, docs: int, tokens: int, max_epochs: float) -> Plain:
    """A source of even documents."""
    return Plain(source, np.full(docs, tokens, np.int32), max_epochs)


def test_the_error_names_source_stage_budget_and_cap() -> None:
    stages = [stage("core", 20_000_000_000, {"web": 0.9, "code": 0.1}, (100_000, 10))]
    supplies = [even("web", 20_000, 1_000_000, 1.0), even("code", 600, 1_000_000, 2.0)]
    error = refusal(stages, supplies)
    assert str(error) == (
        "Stage 'core': source 'code' can give 1.2B tokens (600.0M x 2.0 epochs) but its 10 % of "
        "20.0B needs 2.0B. Lower stages.core.tokens to 12.0B, or raise sources.code.max_epochs "
        "to 3.34."
    )


def test_a_feasible_plan_is_returned_with_its_demand_and_supply() -> None:
    stages = [
        stage("core", 6000, {"web": 0.75, "code": 0.25}, (10, 4)),
        stage("long", 2000, {"web": 0.5, "code": 0.5}, (20, 2)),
    ]
    supplies = [even("web", 100, 55, 1.0), even("code", 100, 10, 2.5)]
    _, found = settled(stages, supplies)
    assert found.asked.tolist() == [[4500, 1500], [1000, 1000]]
    assert found.given.tolist() == found.asked.tolist()


def test_what_earlier_stages_take_is_told_and_only_the_last_token_matters() -> None:
    stages = [
        stage("core", 6000, {"web": 0.75, "code": 0.25}, (10, 4)),
        stage("long", 2000, {"web": 0.5, "code": 0.5}, (20, 2)),
    ]
    supplies = [even("web", 100, 55, 1.0), Plain("code", np.full(2499, 1, np.int32), 1.0)]
    assert str(refusal(stages, supplies)) == (
        "Stage 'long': source 'code' can give 999 tokens (2.5K x 1.0 epochs, less 1.5K in earlier "
        "stages) but its 50 % of 2.0K needs 1.0K. Lower stages.long.tokens to 1.96K, or raise "
        "sources.code.max_epochs to 1.01."
    )


def test_the_source_that_gives_the_smallest_part_is_named_and_every_cap_that_must_rise() -> None:
    stages = [stage("core", 3000, {"web": 1, "code": 1, "math": 1}, (10, 3))]
    supplies = [even("web", 80, 10, 1.0), even("code", 40, 10, 1.0), even("math", 100, 10, 1.0)]
    error = refusal(stages, supplies)
    assert "source 'code' can give 400 tokens" in error.got
    assert error.do == (
        "Lower stages.core.tokens to 1.2K, or raise sources.web.max_epochs to 1.25 and "
        "sources.code.max_epochs to 2.50."
    )


def test_no_budget_is_offered_where_none_is_enough() -> None:
    stages = [stage("core", 100, {"web": 1}, (10, 10)), stage("long", 100, {"web": 1}, (10, 10))]
    assert refusal(stages, [even("web", 15, 1, 2.0)]).do == (
        "Raise sources.web.max_epochs to 13.34; no lower stages.core budget is enough."
    )


def test_stages_side_by_side_draw_the_same_documents() -> None:
    stages = [
        stage("core", 100, {"web": 1}, (10, 1)),
        stage("left", 60, {"web": 1}, (10, 1), after="core"),
        stage("right", 80, {"web": 1}, (10, 1), after="core"),
    ]
    settled(stages, [even("web", 180, 1, 1.0)])
    joined = [*stages, stage("joint", 40, {"web": 1}, (10, 1), after=["left", "right"])]
    assert refusal(joined, [even("web", 180, 1, 1.0)]).got == (
        "Stage 'joint': source 'web' can give 0 tokens (180 x 1.0 epochs, less 240 in earlier "
        "stages) but its 100 % of 40 needs 40."
    )


def test_the_key_that_the_recipe_has_is_the_one_to_lower() -> None:
    web = [even("web", 105, 1, 1.0)]

    def lower(**budget: Any) -> str:
        core = stage("core", 0, {"web": 1}, (10, 2)) | {"tokens": None} | budget
        return refusal([core], web).do.split(",")[0]

    assert lower(steps=8) == "Lower stages.core.steps to 5"
    assert lower(sequences=16) == "Lower stages.core.sequences to 10"
    assert lower(epochs=1.5) == "Lower stages.core.epochs to 0.95"


def test_of_a_stage_in_phases_the_whole_budget_is_lowered() -> None:
    phases = [
        {"until": 100, "seq_len": 10, "batch": {"sequences": 1}},
        {"seq_len": 20, "batch": {"sequences": 1}},
    ]
    keys = {"seq_len": None, "batch": None, "phases": phases}
    core = {k: v for k, v in (stage("core", 400, {"web": 1}, (1, 1)) | keys).items() if v}
    error = refusal([core], [even("web", 250, 1, 1.0)])
    assert error.got.startswith("Stage 'core_2': source 'web' can give 150 tokens (250 x 1.0 epoc")
    assert error.do == "Lower stages.core.tokens to 240, or raise sources.web.max_epochs to 1.60."
    error = refusal([core], [even("web", 57, 1, 1.0)])
    assert error.do == "End it with stages.core.stop: 50, or raise sources.web.max_epochs to 7.02."


def test_a_ramp_is_ended_early_rather_than_made_steeper() -> None:
    ramp = {"ramp": [{"at": 0, "mixture": {"web": 1}}, {"at": 1000, "mixture": {"code": 1}}]}
    core = stage("core", 1000, ramp, (10, 1))
    supplies = [even("web", 600, 1, 1.0), even("code", 180, 1, 1.0)]
    error = refusal([core], supplies)
    assert error.do == (
        "End it with stages.core.stop: 600, or raise sources.code.max_epochs to 2.78."
    )
    settled([core | {"stop": 600}], supplies)
    with pytest.raises(MixInfeasible):
        settled([core | {"stop": 610}], supplies)


def test_a_weighted_source_without_documents_has_a_message_of_its_own() -> None:
    stages = [stage("core", 100, {"web": 0.9, "code": 0.1}, (10, 1))]
    error = refusal(stages, [even("web", 100, 10, 1.0), Plain("code", np.empty(0, np.int32), 1.0)])
    assert str(error) == (
        "Stage 'core': source 'code' has a weight of 10 % but no document of it survived curation. "
        "Give it weight 0 in stages.core.mixture, or let curation keep some documents of it."
    )


def test_a_source_of_weight_zero_needs_no_documents() -> None:
    stages = [stage("core", 100, {"web": 1.0, "code": 0.0}, (10, 1))]
    supplies = [even("web", 100, 10, 1.0), Plain("code", np.empty(0, np.int32), 1.0)]
    _, found = settled(stages, supplies)
    assert found.asked.tolist() == found.given.tolist() == [[100, 0]]


@st.composite
def plans(draw_: st.DrawFn) -> tuple[list[dict[str, Any]], list[Plain]]:
    """One to three stages over two to four sources of unequal documents, mostly infeasible."""
    names = ["web", "code", "math", "books"][: draw_(st.integers(2, 4))]
    stages = []
    for name in ["core", "anneal", "long"][: draw_(st.integers(1, 3))]:
        weights = {source: draw_(st.integers(0, 9)) for source in names}
        assume(any(weights.values()))
        shape = draw_(st.sampled_from([(8, 1), (16, 4), (10, 7), (64, 2)]))
        stages.append(stage(name, draw_(st.integers(100, 60_000)), weights, shape))
    supplies = []
    for source in names:
        rng = np.random.default_rng(draw_(st.integers(0, 99)))
        lengths = rng.integers(1, draw_(st.sampled_from([2, 200])), draw_(st.integers(1, 400)))
        supplies.append(Plain(source, lengths.astype(np.int32), draw_(st.integers(1, 400)) / 100))
    return stages, supplies


def passes(stages: Plan, supplies: Sequence[Plain]) -> bool:
    """Whether a plan is feasible."""
    try:
        settled(stages, supplies)
    except MixInfeasible:
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(plans())
def test_each_remedy_is_enough_and_none_is_larger_than_needed(
    case: tuple[list[dict[str, Any]], list[Plain]],
) -> None:
    stages, supplies = case
    assume(not passes(stages, supplies))
    error = refusal(stages, supplies)
    caps = raised(supplies, error)
    assert passes(stages, caps)
    for i, (cap, was) in enumerate(zip(caps, supplies, strict=True)):
        if cap.max_epochs != was.max_epochs:
            assert cap.max_epochs > was.max_epochs
            less = replace(cap, max_epochs=max(0.001, round(cap.max_epochs * 100 - 1) / 100))
            assert not passes(stages, [*caps[:i], less, *caps[i + 1 :]])
    if (offer := lowered(stages, error)) is not None:
        enough, at = offer
        assert passes(enough, supplies)
        step_tokens = enough[at]["batch"]["sequences"] * enough[at]["seq_len"]
        steps = max(1, (2 * enough[at]["tokens"] + step_tokens) // (2 * step_tokens))
        enough[at] = enough[at] | {"tokens": (steps + 1) * step_tokens}
        assert not passes(enough, supplies)
    else:
        at = [f"stages.{each['name']} budget" in error.do for each in stages].index(True)
        least = stages[at] | {"tokens": 1}
        assert not passes([*stages[:at], least, *stages[at + 1 :]], supplies)


@settings(max_examples=30, deadline=None)
@given(plans())
def test_a_feasible_plan_can_be_drawn_stage_by_stage(
    case: tuple[list[dict[str, Any]], list[Plain]],
) -> None:
    stages, supplies = case
    if not passes(stages, supplies):
        supplies = raised(supplies, refusal(stages, supplies))
    laid, _ = settled(stages, supplies)
    for i, supply in enumerate(supplies):
        cursor, spare = Cursor(SEED, supply.source), 0
        limit = draw_limit(supply.max_epochs, len(supply.lengths))
        for each in laid.stages:
            need = int(each.counts[i]) * each.seq_len
            drawn = draw(cursor, supply.lengths, need - spare, limit)
            cursor, spare = drawn.cursor, spare + int(supply.lengths[drawn.doc_row].sum()) - need
            assert spare >= 0
