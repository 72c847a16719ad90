"""Settle a recipe's stages: what each phase reads, how much, and in which shape.

Shares may follow from the sources' sizes, which are known when their survivors are tokenised;
before that, a recipe is checked with every source of size one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Recipe
from cuvee.configs.stages import Ramp, WeightsFile
from cuvee.corpus.paths import local_file
from cuvee.flows.exclusions import check_condition
from cuvee.mixers.flat import flatten
from cuvee.mixers.mixtures import Mixture, resolve
from cuvee.mixers.plan import Stage
from cuvee.mixers.ramps import check_points, freeze

SUM_TOLERANCE = 1e-6  # published weights round: Olmo 3's 61 sum to 1.0000006


def settle(recipe: Recipe, resolved: Sequence[Mixture], sizes: Mapping[str, int]) -> list[Stage]:
    """Return every phase of every stage as it is planned, with the stages' resolved mixtures.

    `sizes` is tokens by source, as they were resolved with.
    """
    mixtures = {mix.stage: mix for mix in resolved}
    epochs = {name: sum(sizes[source] for source in mix.drawn) for name, mix in mixtures.items()}
    flat = flatten(recipe.stages, epochs)
    for stage in recipe.stages:
        if stage.exclude is not None:
            check_condition(stage.name, stage.exclude)
        parts = [part for part in flat if part.of == stage.name]
        mixture, begin = mixtures[stage.name], 0
        if mixture.of == "run":
            begin = parts[0].run_token
        if stage.budget is not None:  # one in epochs is not known before sizes are
            read = sum(part.tokens for part in parts)
            check_points(mixture, begin, begin + max(stage.budget, read))
    return [
        Stage(
            part.name,
            part.budget,
            part.seq_len,
            part.batch_sequences,
            freeze(mixtures[part.of], part),
        )
        for part in flat
    ]


def mixtures_of(recipe: Recipe, base: Path, sizes: Mapping[str, int]) -> list[Mixture]:
    """Resolve every stage's mixture over all sources."""
    forms = [
        form
        for stage in recipe.stages
        for form in (
            [point.mixture for point in stage.mixture.ramp]
            if isinstance(stage.mixture, Ramp)
            else [stage.mixture]
        )
    ]
    files = {
        form.file: _weights_in(form.file, base) for form in forms if isinstance(form, WeightsFile)
    }
    return resolve(recipe.stages, sizes, files)


def unsummed(recipe: Recipe, mixtures: Sequence[Mixture]) -> list[tuple[str, float]]:
    """Return the stages whose stated weights do not sum to one, and what they sum to."""
    return [
        (stage.name, point.raw_sum)
        for stage, mixture in zip(recipe.stages, mixtures, strict=True)
        if isinstance(stage.mixture, dict | WeightsFile | Ramp)
        for point in mixture.points
        if abs(point.raw_sum - 1) > SUM_TOLERANCE
    ]


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
