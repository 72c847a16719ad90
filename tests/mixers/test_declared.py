"""What declared sizes can give, on every way through a plan."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.configs.sources import Source, View
from cuvee.mixers.declared import DeclaredSupply, DeclaredView, declared
from cuvee.mixers.pools import Demand


def supply(
    views: Mapping[str, DeclaredView | None] | None = None, cap: float = 2.0
) -> DeclaredSupply:
    """A source of 1,000 tokens."""
    return DeclaredSupply("web", cap, 1000, views or {})


def demands(*asked: tuple[str, Sequence[str], str, int]) -> list[Demand]:
    """Demands of stages, each with its parents, of pools."""
    return [Demand(stage, tuple(above), stage, 0, pool, n) for stage, above, pool, n in asked]


def test_a_source_gives_its_tokens_times_its_epochs_along_each_way() -> None:
    asked = demands(
        ("core", [], "web", 1500),
        ("left", ["core"], "web", 400),
        ("right", ["core"], "web", 600),
        ("joint", ["left", "right"], "web", 100),
    )
    assert supply().give(asked).tolist() == [1500, 400, 500, 0]
    assert supply().give(asked, max_epochs=2.505).tolist() == [1500, 400, 600, 5]
    assert supply(cap=0.29).give(asked[:1]).tolist() == [290]


def test_a_view_gives_no_more_than_its_documents_and_its_passes() -> None:
    views = {"web@long": DeclaredView(100, 100, None), "web@good": DeclaredView(400, 600, 1.0)}
    asked = demands(("core", [], "web@long", 300), ("tail", ["core"], "web@long", 300))
    assert supply(views).give(asked).tolist() == [200, 0]
    asked = demands(("core", [], "web", 1500), ("tail", ["core"], "web@long", 300))
    assert supply(views).give(asked).tolist() == [1500, 200]
    asked = demands(("core", [], "web", 1900), ("tail", ["core"], "web@long", 300))
    assert supply(views).give(asked).tolist() == [1900, 100]
    asked = demands(("core", [], "web@good", 900))
    assert supply(views).give(asked).tolist() == [600]
    assert supply(views).give(asked, max_epochs=1).tolist() == [400]


def test_a_replay_repeats_documents() -> None:
    asked = demands(
        ("core", [], "web", 300),
        ("mid", ["core"], "web", 200),
        ("old", ["mid"], "web@core", 400),
        ("again", ["old"], "web@core", 400),
    )
    assert supply().give(asked).tolist() == [300, 200, 300, 0]
    assert supply().give(asked, max_epochs=4).tolist() == [300, 200, 400, 400]
    fresh = demands(("core", [], "web", 900), ("tail", ["core"], "web@not_core", 500))
    assert supply().give(fresh).tolist() == [900, 200]
    whole = demands(
        ("core", [], "web", 1000), ("mid", ["core"], "web", 500), ("old", ["mid"], "web@mid", 100)
    )
    assert supply().give(whole).tolist() == [1000, 500, 0]


def test_what_phases_of_a_stage_draw_is_replayed_together() -> None:
    core = [Demand(f"core_{n}", ("core_1",) * (n - 1), "core", 0, "web", 100) for n in (1, 2)]
    old = Demand("old", ("core_2",), "old", 0, "web@core", 300)
    assert supply().give([*core, old]).tolist() == [100, 100, 200]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=6), st.integers(1, 400))
def test_stages_in_a_row_together_get_what_there_is(asked: list[int], hundredths: int) -> None:
    row = [(f"s{n}", [f"s{n - 1}"] if n else [], "web", tokens) for n, tokens in enumerate(asked)]
    given_ = supply(cap=hundredths / 100).give(demands(*row)).tolist()
    assert sum(given_) == min(sum(asked), 10 * hundredths)
    assert all(part <= whole for part, whole in zip(given_, asked, strict=True))


def made(views: dict[str, Any] | None = None, **keys: Any) -> DeclaredSupply:
    """The supply that a recipe declares of one source."""
    held = {name: View.model_validate({"of": "web"} | view) for name, view in (views or {}).items()}
    return declared({"web": Source.model_validate(keys)}, held)[0]


def test_sizes_are_those_that_the_recipe_declares() -> None:
    views = {
        "web@long": {"min_tokens": 10, "tokens": 100, "documents": 5},
        "web@old": {"where": "date < '2020'"},
        "good": {"upsample": {"by": "score", "mean": 1.5, "drop": 0.4}, "max_epochs": 2},
    }
    whole = made(views, tokens=1000, documents=50)
    assert whole.sizes == {"web": 1000, "web@long": 100, "good": 1500}
    assert whole.documents == {"web": 50, "web@long": 5}
    assert whole.views["good"] == DeclaredView(600, 1500, 2)
    half = made(views, tokens=1000, documents=50, sample=500)
    assert half.sizes == {"web": 500, "web@long": 50, "good": 750}
    assert half.documents == {"web": 25, "web@long": 2}
    assert made(tokens=1000, sample=2000).sizes == {"web": 1000}
    assert made(sample=2000).sizes == {"web": 2000}


def test_a_size_that_nobody_declared_is_asked_for() -> None:
    with pytest.raises(RecipeError, match=r"Give sources\.web\.tokens: about how many tokens it"):
        made().give(demands(("core", [], "web", 1)))
    assert made().give(demands(("core", [], "web", 0))).tolist() == [0]
    old = made({"web@old": {"where": "date < '2020'"}}, tokens=1000)
    with pytest.raises(RecipeError, match=r"Give views\.web@old\.tokens: about how many tokens"):
        old.give(demands(("core", [], "web@old", 1)))
