"""Make a recipe smaller: try a plan of trillions of tokens on a laptop.

Budgets, ends of phases, points of ramps, quotas and the sizes of sources shrink together, so that
shares, ramps and epochs stay; no source shrinks below `LEAST_LENGTH` tokens. A batch and a length
stay too, while a stage still has `LEAST_STEPS` steps of them, or as many as it had; below that
first the batch shrinks, then the length, so that `LEAST_SEQUENCES` are left. The lengths by which
views choose documents shrink as the longest sequence does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cuvee.configs.drawn import pools_drawn
from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Recipe
from cuvee.configs.sources import Source, View
from cuvee.configs.stages import Stage

LEAST_STEPS = 8  # enough for a ramp of the mixture to be seen
LEAST_SEQUENCES = 64  # enough for a source of a few hundredths to have one
LEAST_LENGTH = 32  # tokens; shorter sequences hold no document
MEAN_TOKENS = 1000  # of a document, where nothing is declared


def scaled_document(recipe: Recipe, scale: float) -> dict[str, Any]:
    """Return the keys of a recipe with everything that counts tokens multiplied by `scale`."""
    if scale <= 0:
        raise RecipeError(f"--scale is {scale:g}; it multiplies token budgets and is above 0.")
    document = recipe.model_dump(exclude_unset=True)
    for name, source in document["sources"].items():
        _scale(source, ("tokens", "sample"), scale, LEAST_LENGTH)
        _scale(source, ("documents",), scale)
        if scale < 1 and recipe.sources[name].tokens is not None:
            source.setdefault("sample", source["tokens"])  # so that epochs stay as they were
    for view in document.get("views", {}).values():
        _scale(view, ("tokens",), scale, LEAST_LENGTH)
        _scale(view, ("documents",), scale)
    sizes = _sizes(recipe)
    for stage, model in zip(document["stages"], recipe.stages, strict=True):
        _scale_stage(stage, model, scale)
        if scale < 1:
            _shrink(stage, model, scale, sizes[model.name])
    shorter = _longest(document["stages"]) / _longest(recipe.model_dump()["stages"])
    for view in document.get("views", {}).values():
        _scale(view, ("min_tokens", "max_tokens"), shorter)
    return document


def _longest(stages: Sequence[Mapping[str, Any]]) -> int:
    """Return the longest sequence of all stages, in tokens."""
    held = [shape for stage in stages for shape in stage.get("phases") or [stage]]
    return max(int(shape["seq_len"]) for shape in held)


class _Size(NamedTuple):
    """What a stage draws from; 0 where it is not declared."""

    tokens: int
    documents: int


def _sizes(recipe: Recipe) -> dict[str, _Size]:
    """Return what each stage draws from, by the declared sizes of its pools."""
    held: dict[str, Source | View] = {**recipe.sources, **recipe.views}
    found = {}
    for stage, pools in pools_drawn(recipe.stages).items():
        drawn = [held[pool] for pool in pools if pool in held]
        found[stage] = _Size(
            sum(one.tokens or 0 for one in drawn), sum(one.documents or 0 for one in drawn)
        )
    return found


def _scale_stage(stage: dict[str, Any], model: Stage, scale: float) -> None:
    """Scale what a stage counts; steps and sequences become tokens, as its shape may shrink."""
    _scale(stage, ("tokens", "examples", "stop"), scale)
    if model.tokens is None and model.budget is not None:
        stage["tokens"] = max(1, round(model.budget * scale))
        stage["steps"] = stage["sequences"] = None
    for phase in stage.get("phases", []):
        _scale(phase, ("until",), scale)
    mixture = stage.get("mixture") or {}
    points = mixture.get("ramp", [])
    for point in points:
        point["at"] = round(point["at"] * scale)
    for held in [mixture, *(point["mixture"] for point in points)]:
        quotas = held.get("quotas", {})
        _scale(quotas, [name for name, quota in quotas.items() if isinstance(quota, int)], scale)
        for quota in quotas.values():
            if isinstance(quota, dict):
                _scale(quota, ("tokens",), scale)


def _scale(keys: dict[str, Any], names: Sequence[str], scale: float, least: int = 1) -> None:
    """Multiply those of some counts that are given; none falls below `least`, or what it was."""
    for name in names:
        if keys.get(name) is not None:
            keys[name] = max(min(least, keys[name]), round(keys[name] * scale))


def _shrink(stage: dict[str, Any], model: Stage, scale: float, size: _Size) -> None:
    """Make the shapes of a stage small enough for what is left of its budget."""
    held = stage["phases"] if model.phases else [stage]
    for keys, shape, tokens in zip(held, model.shapes, _tokens(model, size), strict=True):
        sequences = shape.batch.in_sequences(shape.seq_len)
        steps = min(LEAST_STEPS, max(1, round(tokens / (sequences * shape.seq_len))))
        step_tokens = int(tokens * scale / steps)
        least, length = min(LEAST_SEQUENCES, max(1, tokens // shape.seq_len)), shape.seq_len
        while length > LEAST_LENGTH and tokens * scale < least * length:
            length = max(LEAST_LENGTH, length // 2)
        keys["seq_len"] = length
        keys["batch"] = {"sequences": max(1, min(sequences, step_tokens // length))}


def _tokens(model: Stage, size: _Size) -> Iterator[int]:
    """Yield the tokens of each shape of a stage; by what it draws from, where it has no budget."""
    whole = model.budget
    if whole is None and model.epochs is not None:
        whole = round(model.epochs * size.tokens)
    elif whole is None:
        mean = size.tokens / size.documents if size.documents else MEAN_TOKENS
        whole = round((model.examples or 0) * mean)
    begin = 0
    for shape in model.shapes:
        end = whole if shape.until is None else shape.until
        yield max(1, end - begin)
        begin = end
