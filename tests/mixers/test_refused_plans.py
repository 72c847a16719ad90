"""Every plan that cannot be says what limits it, by how much, and the smallest mend."""

from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.errors import CuveeError, MixInfeasible
from cuvee.configs.load import parse
from cuvee.flows.stages import declared_supplies, settle
from cuvee.mixers.declared import DeclaredSupply, DeclaredView
from cuvee.mixers.feasible import check
from cuvee.mixers.pools import pools_of
from cuvee.mixers.settled import Request, lay

SOURCES = {"web": {"tokens": 10_000, "max_epochs": 1}, "code": {"tokens": 300, "max_epochs": 1}}


def stage(name: str, mixture: Any = None, **keys: Any) -> dict[str, Any]:
    """A stage of 2,000 tokens in steps of 20."""
    shape = {"tokens": 2000, "seq_len": 10, "batch": {"sequences": 2}}
    return {"name": name, "mixture": mixture, **shape, **keys}


def settled(*stages: dict[str, Any], **keys: Any) -> None:
    """Settle a recipe by declared sizes."""
    whole = {"name": "small", "sources": SOURCES, "tokenizer": {"path": "tokenizer.json"}}
    recipe = parse({**whole, "stages": list(stages), **keys})
    settle(recipe, Path(), declared_supplies(recipe))


RAMP = {"ramp": [{"at": 0, "mixture": {"web": 1}}, {"at": 3000, "mixture": {"code": 1}}]}
REPLAY = {"old": {"share": 1, "replay": "right"}}
REFUSED = {
    "too few tokens": (
        [stage("core", {"web": 1}, tokens="20K")],
        "Stage 'core': source 'web' can give 10.0K tokens (10.0K x 1.0 epochs) but its 100 % of "
        "20.0K needs 20.0K. Lower stages.core.tokens to 10.0K, or raise sources.web.max_epochs to "
        "2.00.",
    ),
    "a cap that is too low": (
        [stage("core", {"web": 0.8, "code": 0.2})],
        "Stage 'core': source 'code' can give 300 tokens (300 x 1.0 epochs) but its 20 % of 2.0K "
        "needs 400. Lower stages.core.tokens to 1.52K, or raise sources.code.max_epochs to 1.34.",
    ),
    "a ramp past its stage": (
        [stage("core", RAMP)],
        "stages.core.mixture.ramp.1 lies at 3,000 tokens, 1,000 behind the end of the stage. The "
        "stage reads from 0 to 2,000 tokens of the stage. Lower its `at` to 2,000, or raise the "
        "stage's budget by 1,000.",
    ),
    "a weight that rounds to nothing": (
        [stage("core", {"web": 1, "code": 1e-11})],
        "stages.core.mixture gives 'code' a share of 1e-11, too small to be drawn. A share is "
        "counted in units of 1/2**32, 2.33e-10. Raise it to 2.33e-10 at least, or to 0 to leave "
        "the source out.",
    ),
    "a replay of a stage not yet run": (
        [
            stage("core", {"web": 1}),
            stage("left", REPLAY, after="core"),
            stage("right", {"web": 1}, after="core"),
        ],
        "stages.left.mixture.old.replay asks for a replay of 'right', which has not run when "
        "'left' begins. Stages that have: core. Let 'left' come after 'right' "
        "(stages.left.after), or replay one of those.",
    ),
    "a circle": (
        [stage("left", {"web": 1}, after="right"), stage("right", {"web": 1}, after="left")],
        "the recipe: the stages go in a circle: left after right after left; let one of them come "
        "after another stage, or after none (`after: []`).",
    ),
}


@pytest.mark.parametrize(("stages", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_plan_that_cannot_be_says_what_limits_it_and_what_mends_it(
    stages: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(CuveeError) as caught:
        settled(*stages)
    assert str(caught.value) == says


def test_a_weight_on_an_empty_view_says_so() -> None:
    pools = pools_of(["web"], {"web@long": "web"})
    supply = DeclaredSupply("web", 1.0, 10_000, {"web@long": DeclaredView(0, 0, None)})
    recipe = parse(
        {
            "name": "small",
            "sources": SOURCES,
            "tokenizer": {"path": "tokenizer.json"},
            "stages": [stage("core", {"web": 0.9, "web@long": 0.1})],
        }
    )
    request = Request(recipe.stages, pools, supply.sizes, exact=False)
    with pytest.raises(MixInfeasible) as caught:
        check(request, lay(request, [supply]), [supply])
    assert str(caught.value) == (
        "Stage 'core': view 'web@long' of source 'web' has a weight of 10 % but no document of it "
        "is there. Give it weight 0 in stages.core.mixture, or let the view show some documents of "
        "it."
    )


def test_what_a_view_and_a_replay_can_give_is_told() -> None:
    views = {"web@long": {"of": "web", "min_tokens": 100, "tokens": 500, "max_epochs": 1}}
    with pytest.raises(MixInfeasible) as caught:
        settled(stage("core", {"web": 0.5, "web@long": 0.5}), views=views)
    assert str(caught.value) == (
        "Stage 'core': view 'web@long' of source 'web' can give 500 tokens (500 x 1.0 epochs, less "
        "1.0K of its source before) but its 50 % of 2.0K needs 1.0K. Lower stages.core.tokens to "
        "1.0K; no sources.web.max_epochs is enough."
    )
    with pytest.raises(MixInfeasible) as caught:
        settled(
            stage("core", {"web": 1}, tokens=400),
            stage("tail", {"web": 0.5, "again": {"share": 0.5, "replay": "core"}}, tokens=1000),
        )
    assert str(caught.value) == (
        "Stage 'tail': what 'core' drew of source 'web' can give 0 tokens (400 x 1.0 epochs, less "
        "900 of its source before) but its 50 % of 1.0K needs 500. Raise sources.web.max_epochs to "
        "2.25; no lower stages.tail budget is enough."
    )
