"""Bind the sources of a recipe to files from the command line: bindings become overrides."""

import os
from collections.abc import Sequence
from pathlib import Path

from cuvee.configs.bindings import bind, overrides_of, read_bindings
from cuvee.configs.load import apply_override, base_of
from cuvee.configs.marks import read


def with_bindings(recipe: Path, overrides: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Return `overrides` behind those that bind the recipe's sources as `given` (--bind) says.

    Bound paths are written relative to the recipe's base, so that a run can be moved with its
    texts. Raises RecipeError as `cuvee.configs.bindings`, SourceError for a path without files.
    """
    if not given:
        return tuple(overrides)
    from cuvee.corpus.paths import resolve

    document = read(recipe).values
    for override in overrides:
        apply_override(document, override)
    sources = document.get("sources")
    bound = bind(read_bindings(given, Path.cwd()), sources if isinstance(sources, dict) else {})
    found: list[str] = []
    there: set[str] = set()  # sources may share their files, which are looked for once
    for source, (keys, folder) in bound.items():
        if (asked := repr((keys["paths"], keys.get("exclude"), folder))) not in there:
            resolve(keys["paths"], keys.get("exclude") or [], folder)
            there.add(asked)
        paths = [_from(base_of(recipe), folder, path) for path in keys["paths"]]
        found += overrides_of(source, {**keys, "paths": paths})
    return (*found, *overrides)


def _from(base: Path, folder: Path, pattern: str) -> str:
    """Return a pattern that is relative to one folder as it is seen from another."""
    from cuvee.corpus.places import scheme_of

    plain = pattern.removeprefix("file://")
    if scheme_of(pattern) != "file" or os.path.isabs(plain):
        return pattern
    seen = os.path.relpath(folder.resolve() / plain, base.resolve())
    return f"{seen}/" if plain.endswith("/") else seen
