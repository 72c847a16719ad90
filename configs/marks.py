"""Where the numbers of a recipe come from: YAML tags beside them.

A *mark* is a tag: `tokens: !paper 6.3T`. On a mapping or a list it is about all that is in it.

    !paper    read in the text of the paper
    !review   the paper's number, read in reviews of it
    !code     read in released configuration or code, which wins over prose
    !seed     stated by a secondary description alone
    !derived  arithmetic from marked numbers
    !assumed  not published: a slot that is filled so that the plan can be made, and is yours to set
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cuvee.configs.errors import RecipeError

MARKS = ("paper", "review", "code", "seed", "derived", "assumed")


class Document(NamedTuple):
    """The keys and values of a recipe's file, and the mark of each marked key by dotted path.

    An item of a list is called by its `name` if it has one, else by its position.
    """

    values: dict[str, Any]
    marks: dict[str, str]


class _Marked(NamedTuple):
    mark: str
    value: Any


class _Loader(yaml.SafeLoader):
    """YAML with the marks as tags."""


def _construct(loader: _Loader, mark: str, node: yaml.Node) -> _Marked:
    """Build what a marked node holds, as if it had no mark."""
    if isinstance(node, yaml.ScalarNode):
        resolver: Any = loader  # types-PyYAML does not know what `resolve` returns
        tag = resolver.resolve(yaml.ScalarNode, node.value, (node.style is None, True))
        plain: Any = yaml.ScalarNode(tag, node.value, style=node.style)
        return _Marked(mark, loader.construct_object(plain))
    if isinstance(node, yaml.MappingNode):
        return _Marked(mark, loader.construct_mapping(node, deep=True))
    assert isinstance(node, yaml.SequenceNode)
    return _Marked(mark, loader.construct_sequence(node, deep=True))


def _constructor(mark: str) -> Callable[[_Loader, yaml.Node], _Marked]:
    """Return what builds a node with this mark."""
    return lambda loader, node: _construct(loader, mark, node)


for _mark in MARKS:
    _Loader.add_constructor(f"!{_mark}", _constructor(_mark))


def read(path: Path) -> Document:
    """Read a recipe's file. Raises RecipeError for one that is not there or is no mapping."""
    try:
        held = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise RecipeError(
            f"The recipe {path} cannot be read: {error.strerror}.",
            do="Name a YAML file, or see `cuvee recipes` for those that ship.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} is not YAML: {error}") from error
    marks: dict[str, str] = {}
    values = _plain(held, (), marks)
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {path} holds {type(values).__name__}, not keys and values.")
    return Document(values, marks)


def _plain(value: Any, path: tuple[str, ...], marks: dict[str, str]) -> Any:
    """Return a value without its marks, which go into `marks`."""
    if isinstance(value, _Marked):
        marks[".".join(path)] = value.mark
        return _plain(value.value, path, marks)
    if isinstance(value, dict):
        return {key: _plain(held, (*path, str(key)), marks) for key, held in value.items()}
    if isinstance(value, list):
        return [_plain(held, (*path, _item(held, n)), marks) for n, held in enumerate(value)]
    return value


def _item(held: Any, position: int) -> str:
    """Return what an item of a list is called."""
    inner = held.value if isinstance(held, _Marked) else held
    return str(inner.get("name", position)) if isinstance(inner, dict) else str(position)
