"""A recipe made smaller keeps its shares and epochs, and reads what its scale says."""

import copy
from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.drawn import pools_drawn
from cuvee.configs.load import load, parse, scaled, shipped
from cuvee.configs.recipe import Recipe
from cuvee.flows.stages import declared_supplies, settle

SYSTEMS = sorted(name for name, path in shipped().items() if path.parent.name == "systems")
SHAPE: dict[str, Any] = {"seq_len": 1024, "batch": {"sequences": 64}}
RECIPE: dict[str, Any] = {
    "name": "small",
    "sources": {
        "web": {"tokens": "10B", "documents": "10M"},
        "chat": {"tokens": "1B", "documents": "2M"},
    },
    "views": {"web@long": {"of": "web", "min_tokens": 1024, "tokens": "1B"}},
    "tokenizer": {"path": "tokenizer.json"},
    "stages": [
        {"name": "core", "steps": 100_000, "mixture": {"web": 1}, **SHAPE},
        {"name": "tune", "epochs": 2, "mixture": {"chat": 1}, **SHAPE},
        {"name": "show", "examples": "1M", "mixture": {"chat": 1}, **SHAPE},
        {"name": "last", "tokens": "1B", **SHAPE},
        {
            "name": "again",
            "tokens": "1B",
            "mixture": {
                "quotas": {"old": {"tokens": "1M", "replay": "core"}, "web@long": "1M"},
                "rest": {"both": {"share": 1, "of": {"chat": 1}}},
            },
            **SHAPE,
        },
    ],
}


def small(scale: float) -> Recipe:
    return scaled(parse(copy.deepcopy(RECIPE)), scale)


def test_a_budget_in_steps_keeps_its_tokens_when_its_shape_shrinks() -> None:
    core = small(1e-5).stages[0]
    assert core.tokens == 65536  # of 6.5536B
    assert core.steps is None
    (shape,) = core.shapes
    assert shape.seq_len * shape.batch.in_sequences(shape.seq_len) * 8 <= 65536


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_without_a_budget_in_tokens_shrinks_by_what_it_draws_from(number: int) -> None:
    stage = small(1e-5).stages[number]  # 20,000 tokens in two epochs, 5,000 in ten examples
    (shape,) = stage.shapes
    tokens = 20_000 if stage.epochs else 5000
    assert shape.seq_len * shape.batch.in_sequences(shape.seq_len) * 8 <= tokens
    assert 32 < shape.seq_len * 64 <= tokens


def test_a_source_keeps_a_sequence_and_a_small_one_what_it_has() -> None:
    sources = small(1e-9).sources
    assert (sources["web"].tokens, sources["web"].sample) == (32, 32)
    assert (sources["web"].documents, sources["chat"].documents) == (1, 1)
    tiny = copy.deepcopy(RECIPE)
    tiny["sources"]["chat"]["tokens"] = 7
    assert scaled(parse(tiny), 1e-3).sources["chat"].tokens == 7


def test_what_a_stage_draws_from_is_known_before_anything_is_resolved() -> None:
    drawn = pools_drawn(parse(RECIPE).stages)
    assert drawn["last"] == drawn["show"] == ["chat"]
    assert drawn["again"] == ["web", "web@long", "chat"]


@pytest.mark.parametrize("scale", [1e-8, 1e-6])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_feasible_at_a_small_scale(name: str, scale: float) -> None:
    recipe = load(shipped()[name], (), scale)
    whole = load(shipped()[name])
    settled = settle(recipe, Path(), declared_supplies(recipe))
    by_stage = {stage.name: stage for stage in whole.stages}
    for stage in recipe.stages:
        budget = by_stage[stage.name].budget
        read = sum(
            part.sequences * part.seq_len for part in settled.stages if part.of == stage.name
        )
        if budget is not None and budget * scale > 10_000:
            assert read == pytest.approx(budget * scale, rel=0.15)
