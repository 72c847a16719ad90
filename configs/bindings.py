"""Bindings: which files the sources of a recipe are read from, said beside the recipe.

A *binding* is for one source, `web=texts/*.jsonl`, or a file of them in YAML:

    web: {paths: [texts/*.jsonl.gz], fields: {text: content}}
    books: {format: text, paths: [books/], exclude: ["*/draft*"]}
    "*": {paths: [texts/*.parquet]}

`*` is every source that has no paths and is bound by no other. Several sources may have the same
files. A binding becomes overrides of the recipe's keys, so a run keeps it with its recipe.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cuvee.configs.errors import RecipeError

EVERY = "*"
KEYS = ("format", "paths", "fields", "exclude")
SUFFIXES = {
    "jsonl": "jsonl",
    "json": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "txt": "text",
    "md": "text",
    "rst": "text",
    "tex": "text",
    "html": "text",
    "py": "text",
}
_PACKED = re.compile(r"\.(gz|zst)$")


class Binding(NamedTuple):
    """What one binding says of a source, or of `*`; its paths are relative to `folder`."""

    source: str
    keys: dict[str, Any]
    folder: Path


def read_bindings(given: Sequence[str], here: Path) -> list[Binding]:
    """Return the bindings of `--bind`; those of one source's paths add up.

    `given` holds `SOURCE=PATH`, relative to `here`, or the path of a YAML file. Raises RecipeError
    for a file that is no mapping of sources, an unknown key, and paths that do not tell a format.
    """
    found: dict[str, Binding] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            found |= {one.source: one for one in _in_file(here / text)}
        elif not name or not path:
            raise RecipeError(f"--bind got {text!r}.", _FORMS)
        else:
            before = found[name].keys["paths"] if name in found else []
            found[name] = _binding(name, {"paths": [*before, path]}, here)
    return list(found.values())


def bind(
    bindings: Iterable[Binding], sources: Mapping[str, Any]
) -> dict[str, tuple[dict[str, Any], Path]]:
    """Return the keys of every source that is bound, and the folder of their paths.

    `sources` is the recipe's, as its document has them. Raises RecipeError for a name that is none.
    """
    found: dict[str, tuple[dict[str, Any], Path]] = {}
    rest: Binding | None = None
    for binding in bindings:
        if binding.source == EVERY:
            rest = binding
            continue
        if binding.source not in sources:
            near = difflib.get_close_matches(binding.source, sources, n=1)
            raise RecipeError(
                f"--bind names {binding.source!r}, which is no source of the recipe.",
                f"Sources: {', '.join(sources)}.",
                f"Did you mean {near[0]!r}?" if near else "",
            )
        found[binding.source] = (binding.keys, binding.folder)
    for name, source in sources.items():
        if rest is not None and name not in found and not (source or {}).get("paths"):
            found[name] = (rest.keys, rest.folder)
    return found


def overrides_of(source: str, keys: Mapping[str, Any]) -> list[str]:
    """Return the overrides that give a source some keys."""
    return [f"sources.{source}.{key}={json.dumps(keys[key], ensure_ascii=False)}" for key in keys]


def format_of(path: str) -> str:
    """Return the format that the suffix of a path tells.

    >>> format_of("texts/*.jsonl.zst"), format_of("a.parquet"), format_of("notes/**/*.md")
    ('jsonl', 'parquet', 'text')
    """
    suffix = _PACKED.sub("", path.rpartition("/")[2]).rpartition(".")[2].lower()
    if suffix not in SUFFIXES:
        raise RecipeError(
            f"--bind cannot tell the format of {path!r} from its suffix.",
            f"Known: {', '.join(f'.{known}' for known in SUFFIXES)}; with .gz or .zst behind, too.",
            "Write a file of bindings that says it: "
            f"SOURCE: {{format: text, paths: [{json.dumps(path, ensure_ascii=False)}]}}.",
        )
    return SUFFIXES[suffix]


_FORMS = "It takes SOURCE=PATH, like web=texts/*.jsonl, or a YAML file of bindings."


def _in_file(path: Path) -> list[Binding]:
    """Return the bindings in a YAML file; paths are relative to its folder."""
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"--bind {path}: the file cannot be read: {error.strerror}.", _FORMS
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"--bind {path}: the file is not YAML: {error}") from error
    if not isinstance(held, dict) or not all(isinstance(keys, dict) for keys in held.values()):
        raise RecipeError(
            f"--bind {path}: the file is no mapping of sources to what they are bound to.",
            "It holds lines like web: {paths: [texts/*.jsonl]}.",
        )
    return [_binding(str(name), keys, path.parent, f"{path}: ") for name, keys in held.items()]


def _binding(name: str, keys: dict[str, Any], folder: Path, where: str = "") -> Binding:
    """Return a binding with its format, told by the suffixes where it is not said."""
    for key in keys:
        if key not in KEYS:
            raise RecipeError(
                f"--bind {where}{name}.{key}: no such key.", f"Allowed here: {', '.join(KEYS)}."
            )
    paths = keys.get("paths")
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) for p in paths):
        raise RecipeError(
            f"--bind {where}{name}.paths: got {paths!r}.", "It is a list of paths or patterns."
        )
    if keys.get("format") is None:
        formats = list(dict.fromkeys(format_of(path) for path in paths))
        if len(formats) > 1:
            raise RecipeError(
                f"--bind {where}{name} has paths of two formats, {' and '.join(formats)}.",
                "All files of a source have one.",
                "Make two sources of it.",
            )
        keys = {"format": formats[0], **{k: v for k, v in keys.items() if k != "format"}}
    return Binding(name, keys, folder)
