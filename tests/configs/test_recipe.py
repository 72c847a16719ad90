import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.configs.counts import parse_count
from cuvee.configs.errors import RecipeError
from cuvee.configs.load import apply_override, base_of, load, parse, scaled, shipped
from cuvee.configs.mixtures import Inherit

RECIPE: dict[str, Any] = {
    "name": "small",
    "sources": {"web": {"format": "jsonl", "paths": ["web/*.jsonl"]}},
    "tokenizer": {"path": "tokenizer.json"},
    "stages": [
        {
            "name": "core",
            "tokens": "1M",
            "seq_len": 128,
            "batch": {"sequences": 8},
            "mixture": {"web": 1},
        },
        {
            "name": "anneal",
            "tokens": "4Ki",
            "seq_len": 256,
            "batch": {"tokens": 1024},
            "mixture": {"inherit": "core", "scale": {"web": 2}},
        },
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(RECIPE) | changes


def test_a_recipe_is_read_into_one_frozen_value() -> None:
    recipe = parse(RECIPE)
    assert [stage.tokens for stage in recipe.stages] == [1_000_000, 4096]
    (shape,) = recipe.stages[1].shapes
    assert shape.batch.in_sequences(shape.seq_len) == 4
    assert recipe.stages[1].mixture == Inherit(inherit="core", scale={"web": 2})
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"curat": {}}, "curat: no such key. Did you mean 'curate'?"),
        ({"sources": {"web": RECIPE["sources"]["web"] | {"max_epoch": 2}}}, "'max_epochs'"),
        ({"sources": {"Web!": RECIPE["sources"]["web"]}}, "sources.Web!"),
        ({"tokenizer": {}}, "tokenizer: give either path"),
        ({"stages": []}, "stages: "),
        (
            {"curate": {"classifiers": [{"name": "exact", "model": "m.bin"}]}},
            "a score is called 'exact', which is the name of a step",
        ),
        ({"seed": "x"}, "seed: got 'x'"),
    ],
)
def test_a_wrong_key_or_value_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(changed(**changes))
    assert said in str(caught.value)


def test_every_wrong_key_is_named_at_once() -> None:
    stage = RECIPE["stages"][0] | {"tokens": "4Q", "batch": {"sequence": 4}}
    with pytest.raises(RecipeError) as caught:
        parse(changed(stages=[stage]))
    assert "stages.0.tokens: got '4Q'" in str(caught.value)
    assert "Did you mean 'sequences'?" in str(caught.value)


def test_a_batch_that_is_no_whole_number_of_sequences_names_the_nearest() -> None:
    stage = RECIPE["stages"][0] | {"batch": {"tokens": 1000}}
    with pytest.raises(RecipeError, match="the nearest that is: 1024"):
        parse(changed(stages=[stage]))


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(RecipeError, match="two stages are called 'core'"):
        parse(changed(stages=[RECIPE["stages"][0]] * 2))


@pytest.mark.parametrize("key", ["stages.core.tokens", "stages.0.tokens"])
def test_an_override_reaches_an_item_by_name_or_position(key: str) -> None:
    document = copy.deepcopy(RECIPE)
    apply_override(document, f"{key}=2M")
    assert parse(document).stages[0].tokens == 2_000_000


@pytest.mark.parametrize("override", ["seed", "=1", "stages.nine.tokens=1", "name.first=1"])
def test_an_override_that_points_nowhere_is_refused(override: str) -> None:
    with pytest.raises(RecipeError):
        apply_override(copy.deepcopy(RECIPE), override)


def test_scale_multiplies_budgets_and_keeps_shapes_while_there_are_steps() -> None:
    whole = parse(RECIPE)
    small = scaled(whole, 1e-2)
    assert [stage.tokens for stage in small.stages] == [10_000, 41]
    assert small.stages[0].shapes == whole.stages[0].shapes


def test_a_small_scale_shrinks_the_batch_and_then_the_length() -> None:
    (core,) = scaled(parse(RECIPE), 1e-2).stages[0].shapes
    assert (core.seq_len, core.batch.sequences) == (128, 8)
    (core,) = scaled(parse(RECIPE), 8.5e-3).stages[0].shapes
    assert (core.seq_len, core.batch.sequences) == (128, 8)
    (core,) = scaled(parse(RECIPE), 4e-3).stages[0].shapes
    assert (core.seq_len, core.batch.sequences) == (32, 8)  # 62 sequences of 64
    whole = parse(RECIPE)
    with pytest.raises(RecipeError):
        scaled(whole, 0)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load(path)


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_is_one(name: str) -> None:
    assert load(shipped()[name]).name == name


def test_paths_need_a_format_and_may_be_bound_later() -> None:
    assert load(shipped()["web"]).sources["web"].paths == []
    with pytest.raises(RecipeError, match=r"sources\.web: give the format of paths"):
        parse(changed(sources={"web": {"paths": ["a"]}}))


def test_paths_are_relative_to_the_recipe_or_for_a_shipped_one_to_where_you_are() -> None:
    assert base_of(Path("recipes/mine.yaml")) == Path("recipes")
    assert base_of(shipped()["web"]) == Path.cwd()


def test_a_rule_for_some_languages_needs_them_identified() -> None:
    rules = [{"use": "fineweb", "languages": ["en"]}]
    with pytest.raises(RecipeError, match="fineweb is for some languages, but language is not"):
        parse(changed(curate={"rules": rules}))
    assert parse(changed(curate={"rules": rules, "language": {"min_score": 0}}))


@given(st.integers(0, 10**15), st.sampled_from(["", "K", "M", "B", "T", "Ki", "Mi", "Gi"]))
def test_a_count_is_its_number_times_its_unit(number: int, unit: str) -> None:
    sizes = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    assert parse_count(f"{number}{unit}") == number * sizes.get(unit, 1)


@pytest.mark.parametrize("wrong", ["", "B", "1.5", "4 Q", "-3", True, None, "1e-4K"])
def test_what_is_no_whole_count_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="got"):
        parse_count(wrong)
