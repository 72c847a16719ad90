"""Read a recipe: YAML, then overrides, then the scale, then one frozen value or one clear error."""

import difflib
import importlib.resources
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from cuvee.configs.errors import RecipeError
from cuvee.configs.marks import read
from cuvee.configs.recipe import Recipe
from cuvee.configs.scale import scaled_document


def load(path: Path, overrides: Sequence[str] = (), scale: float = 1.0) -> Recipe:
    """Return the recipe in `path` with `key=value` overrides applied and token budgets scaled."""
    document = read(path).values
    for override in overrides:
        apply_override(document, override)
    return scaled(parse(document), scale)


def parse(document: dict[str, Any]) -> Recipe:
    """Return the recipe that `document` says; a RecipeError names every key that is wrong."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        lines = [_sentence(dict(problem), document) for problem in error.errors()]
        raise RecipeError("\n".join(lines)) from error


def scaled(recipe: Recipe, scale: float) -> Recipe:
    """Multiply what counts tokens by `scale` (`cuvee.configs.scale`)."""
    return recipe if scale == 1 else parse(scaled_document(recipe, scale))


def shipped() -> dict[str, Path]:
    """Return the recipes that ship with Cuvée: name to file."""
    folder = Path(str(importlib.resources.files("cuvee.configs")))
    files = [*sorted(folder.glob("*.yaml")), *sorted((folder / "systems").glob("*.yaml"))]
    return {file.stem: file for file in files}


def base_of(recipe: Path) -> Path:
    """Return the folder of a recipe's relative paths: its own; of a shipped one, where you are."""
    return Path.cwd() if recipe in shipped().values() else recipe.parent


def apply_override(document: dict[str, Any], override: str) -> None:
    """Set one key of `document` in place: `stages.core.tokens=4M`, `stages.0.seq_len=512`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set got {override!r}; it takes key=value, like seed=7.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {key}: {text!r} is not a YAML value.") from error
    *parents, last = key.split(".")
    node: Any = document
    for depth, step in enumerate(parents):
        node = _child(node, step, ".".join(parents[: depth + 1]))
    if isinstance(node, list):
        node[_position(node, last, key)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"--set {key}: {'.'.join(parents)} is {node!r} and has no keys.")


def _child(node: Any, step: str, path: str) -> Any:
    """Return the item of `node` that `step` names, making a missing mapping."""
    if isinstance(node, list):
        return node[_position(node, step, path)]
    if isinstance(node, dict):
        if node.get(step) is None:
            node[step] = {}
        return node[step]
    raise RecipeError(f"--set {path}: there is nothing below {node!r}.")


def _position(items: list[Any], step: str, path: str) -> int:
    """Return where in a list `step` points: a position, or the name of an item."""
    names = [item.get("name") if isinstance(item, dict) else item for item in items]
    if step.isdecimal() and int(step) < len(items):
        return int(step)
    if step in names:
        return names.index(step)
    raise RecipeError(
        f"--set {path}: the list has no item {step!r}.",
        f"Its items: {', '.join(f'{n} ({name})' for n, name in enumerate(names)) or 'none'}.",
    )


def _sentence(problem: dict[str, Any], document: dict[str, Any]) -> str:
    """Say one problem of validation as the user wrote the key: what it got, what is allowed."""
    location = [str(step) for step in problem["loc"] if step not in _VARIANTS]
    key = ".".join(location) or "the recipe"
    if problem["type"] == "extra_forbidden":
        allowed = _allowed_keys(location[:-1])
        near = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{key}: no such key.{hint} Allowed here: {', '.join(allowed)}."
    if problem["type"] == "missing":
        return (
            f"{key}: missing. It has no default: write it in the recipe, or give --set {key}=VALUE."
        )
    message = problem["msg"].removeprefix("Value error, ")
    if "got" in message or problem["type"] == "value_error":
        return f"{key}: {message}."
    return f"{key}: got {problem['input']!r}. {message}."


# Pydantic names the variant of a union in an error's location; the user wrote no such key.
_VARIANTS = {
    *(
        "(inherit)",
        "(by_size)",
        "(quota)",
        "(quota_group)",
        "(quotas)",
        "(file)",
        "(weights)",
        "(weight)",
        "(group)",
    ),
    *("(ramp)", "(fixed)", "BestScore", "[key]"),
}


def _allowed_keys(location: Sequence[str]) -> list[str]:
    """Return the keys of the recipe model at `location`."""
    model: Any = Recipe
    for step in location:
        field = getattr(model, "model_fields", {}).get(step)
        model = _model_of(field.annotation) if field else model
    return list(getattr(model, "model_fields", {}))


def _model_of(annotation: Any) -> Any:
    """Return the recipe model inside an annotation such as list[Stage] or Stage | None."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = [_model_of(argument) for argument in typing.get_args(annotation)]
    return next((model for model in found if model is not None), None)
