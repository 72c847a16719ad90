"""Feasible plans pass; infeasible ones are refused with remedies that really are enough."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cuvee.configs.counts import parse_count
from cuvee.configs.errors import MixInfeasible
from cuvee.mixers.cursor import Cursor, draw, draw_limit
from cuvee.mixers.feasible import check
from cuvee.mixers.plan import Stage
from cuvee.mixers.supply import Supply
from cuvee.mixers.targets import constant
from cuvee.mixers.weights import integerise

SEED = 11


def stage(name: str, tokens: int, weights: Mapping[str, float], shape: tuple[int, int]) -> Stage:
    """A stage of `shape` sequence length and sequences per step."""
    return Stage(name, tokens, *shape, constant(integerise(weights), 1))


def refusal(stages: Sequence[Stage], supplies: Sequence[Supply]) -> MixInfeasible:
    """The error of a plan that must be refused."""
    with pytest.raises(MixInfeasible) as caught:
        check(SEED, stages, supplies)
    return caught.value


def lowered(stages: Sequence[Stage], error: MixInfeasible) -> tuple[list[Stage], int] | None:
    """The stages with the budget that the error proposes, and where; None if it proposes none."""
    found = re.search(r"Lower stages\.(\w+)\.tokens to ([\d.]+[KMBT]?),", error.do)
    if found is None:
        return None
    at = [each.name for each in stages].index(found[1])
    budget = replace(stages[at], tokens=parse_count(found[2]))
    assert budget.tokens < stages[at].tokens
    return [*stages[:at], budget, *stages[at + 1 :]], at


def raised(supplies: Sequence[Supply], error: MixInfeasible) -> list[Supply]:
    """The supplies with the caps that the error proposes."""
    caps = dict(re.findall(r"sources\.(\w+)\.max_epochs to (\d+\.\d\d)", error.do))
    assert caps
    return [replace(s, max_epochs=float(caps.get(s.source, s.max_epochs))) for s in supplies]


def even(source: str, docs: int, tokens: int, max_epochs: float) -> Supply:
    """A source of `docs` documents of `tokens` tokens each."""
    return Supply(source, np.full(docs, tokens, np.int32), max_epochs)


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
    found = check(SEED, stages, supplies)
    assert found.demanded.tolist() == [[4500, 1500], [1000, 1000]]
    assert found.available.tolist() == [5500, 2500]
    assert found.unique.tolist() == [5500, 1000]


def test_what_earlier_stages_take_is_told_and_only_the_last_token_matters() -> None:
    stages = [
        stage("core", 6000, {"web": 0.75, "code": 0.25}, (10, 4)),
        stage("long", 2000, {"web": 0.5, "code": 0.5}, (20, 2)),
    ]
    supplies = [even("web", 100, 55, 1.0), Supply("code", np.full(2499, 1, np.int32), 1.0)]
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
    error = refusal(stages, [even("web", 15, 1, 2.0)])
    assert (
        error.do == "Raise sources.web.max_epochs to 13.34; no lower stages.core.tokens is enough."
    )


def test_a_weighted_source_without_documents_has_a_message_of_its_own() -> None:
    stages = [stage("core", 100, {"web": 0.9, "code": 0.1}, (10, 1))]
    error = refusal(stages, [even("web", 100, 10, 1.0), Supply("code", np.empty(0, np.int32), 1.0)])
    assert "source 'code' has a weight of 10 % but no document of it survived" in str(error)


def test_a_source_of_weight_zero_needs_no_documents() -> None:
    stages = [stage("core", 100, {"web": 1.0, "code": 0.0}, (10, 1))]
    check(SEED, stages, [even("web", 100, 10, 1.0), Supply("code", np.empty(0, np.int32), 1.0)])


@st.composite
def plans(draw_: st.DrawFn) -> tuple[list[Stage], list[Supply]]:
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
        supplies.append(Supply(source, lengths.astype(np.int32), draw_(st.integers(1, 400)) / 100))
    return stages, supplies


def passes(stages: Sequence[Stage], supplies: Sequence[Supply]) -> bool:
    """Whether a plan is feasible."""
    try:
        check(SEED, stages, supplies)
    except MixInfeasible:
        return False
    return True


@settings(max_examples=80, deadline=None)
@given(plans())
def test_each_remedy_is_enough_and_none_is_larger_than_needed(
    case: tuple[list[Stage], list[Supply]],
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
        step_tokens = enough[at].batch_sequences * enough[at].seq_len
        enough[at] = replace(enough[at], tokens=(enough[at].steps + 1) * step_tokens)
        assert not passes(enough, supplies)
    else:
        at = [each.name in error.do for each in stages].index(True)
        least = replace(stages[at], tokens=1)
        assert not passes([*stages[:at], least, *stages[at + 1 :]], supplies)


@settings(max_examples=30, deadline=None)
@given(plans())
def test_a_feasible_plan_can_be_drawn_stage_by_stage(
    case: tuple[list[Stage], list[Supply]],
) -> None:
    stages, supplies = case
    if not passes(stages, supplies):
        supplies = raised(supplies, refusal(stages, supplies))
    for i, supply in enumerate(supplies):
        cursor, spare = Cursor(SEED, supply.source), 0
        limit = draw_limit(supply.max_epochs, len(supply.lengths))
        for each in stages:
            need = int(each.counts[i]) * each.seq_len
            drawn = draw(cursor, supply.lengths, need - spare, limit)
            cursor, spare = drawn.cursor, spare + int(supply.lengths[drawn.doc_row].sum()) - need
            assert spare >= 0
