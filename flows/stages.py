"""Settle a recipe's stages: what each phase reads, of which pools, how much, and in which shape.

Shares may follow from the sources' sizes, which are known when their survivors are tokenised.
Before that, a recipe is checked with every source of size one, or planned from the sizes that it
declares.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cuvee.configs.errors import RecipeError
from cuvee.configs.mixtures import Ramp, WeightsFile
from cuvee.configs.recipe import Recipe
from cuvee.corpus.paths import local_file
from cuvee.flows.exclusions import check_condition
from cuvee.flows.views import check_view
from cuvee.mixers.declared import DeclaredSupply, declared
from cuvee.mixers.feasible import check
from cuvee.mixers.pools import Supply, pools_of
from cuvee.mixers.settled import Request, Settled, lay


def settle(
    recipe: Recipe,
    base: Path,
    supplies: Sequence[Supply] | None = None,
    stops: Mapping[str, int] | None = None,
) -> Settled:
    """Return the plan of a recipe, and settle that its sources suffice.

    `supplies` are one for each source, measured or declared (`declared_supplies`); with None every
    pool has size one and nothing is asked of it, which finds the faults that need no sizes. `stops`
    holds the steps after which folders end, whatever their budgets. Raises RecipeError, and
    MixInfeasible with what would suffice.
    """
    request = request_of(recipe, base, supplies, stops or {})
    settled = lay(request, supplies or [])
    if supplies is not None:
        check(request, settled, supplies)
    return settled


def declared_supplies(recipe: Recipe) -> list[DeclaredSupply]:
    """Return what a recipe declares of its sources and views, one supply for each source."""
    return declared(recipe.sources, recipe.views)


def request_of(
    recipe: Recipe, base: Path, supplies: Sequence[Supply] | None, stops: Mapping[str, int]
) -> Request:
    """Return what a recipe's plan is settled from."""
    for stage in recipe.stages:
        if stage.exclude is not None:
            check_condition(stage.name, stage.exclude)
    for name, view in recipe.views.items():
        check_view(name, view)
    pools = pools_of(recipe.sources, {name: view.of for name, view in recipe.views.items()})
    ones = {pool.name: 1 for pool in pools}
    sizes = [supply.sizes for supply in supplies or ()]
    documents = [supply.documents for supply in supplies or ()]
    return Request(
        stages=recipe.stages,
        pools=pools,
        sizes=ones if supplies is None else _merged(sizes),
        documents=ones if supplies is None else _merged(documents),
        tags={name: source.tags for name, source in recipe.sources.items()},
        files=_files(recipe, base),
        stops=stops,
        seed=recipe.seed,
        sized=supplies is not None,
        exact=not any(isinstance(supply, DeclaredSupply) for supply in supplies or ()),
    )


def _merged(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return counts of several sources and their views as one."""
    return {name: count for held in counts for name, count in held.items()}


def _files(recipe: Recipe, base: Path) -> dict[str, dict[str, float]]:
    """Return the weights in every file that some mixture names."""
    forms = [
        form
        for stage in recipe.stages
        for form in (
            [point.mixture for point in stage.mixture.ramp]
            if isinstance(stage.mixture, Ramp)
            else [stage.mixture]
        )
    ]
    return {
        form.file: _weights_in(form.file, base) for form in forms if isinstance(form, WeightsFile)
    }


def _weights_in(name: str, base: Path) -> dict[str, float]:
    """Read weights by source from a JSON or YAML file (JSON is YAML)."""
    path = local_file(name, base)
    try:
        held: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"The weights file {name} is not JSON or YAML: {error}") from error
    if not isinstance(held, dict) or not all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight < 1e300
        for weight in held.values()
    ):
        raise RecipeError(
            f"The weights file {name} holds something else than weights.",
            'It is one mapping of sources to numbers from 0 up, like {"web": 0.7, "books": 0.3}.',
        )
    return {str(source): float(weight) for source, weight in held.items()}
