"""What mixtures name: pools of documents, each some of one source's.

A *pool* is a source, a view of one, or the part of one that an earlier stage drew (*seen*) or left
(*unseen*). Whatever pool a document is drawn from, its repetitions are counted with its source's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

UNSEEN = "not_"  # before the stage's name, in the name of a pool of what it left


class Pool(NamedTuple):
    """Some documents of a source, by what the mixtures call them."""

    name: str
    source: str
    replay: str | None = None  # the stage of the recipe whose documents it has
    seen: bool = True  # what that stage drew; else what it left

    @property
    def is_source(self) -> bool:
        """Whether it is all of its source."""
        return self.name == self.source

    @property
    def is_view(self) -> bool:
        """Whether it is a view of its source."""
        return self.name != self.source and self.replay is None


class Demand(NamedTuple):
    """What a stage asks of a pool, in tokens."""

    stage: str  # its folder
    parents: tuple[str, ...]  # folders of the stages that it goes on from
    of: str  # the stage of the recipe
    seed: int  # of the order in which documents are drawn
    pool: str
    tokens: int


class Supply(Protocol):
    """What one source can give, measured document by document or declared."""

    @property
    def source(self) -> str:
        """Its name."""

    @property
    def max_epochs(self) -> float:
        """Times that a document may be seen on one way through the plan."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Tokens of the source and of each view of it, each document as often as a pass has it.

        What is not known is not in it.
        """

    @property
    def documents(self) -> Mapping[str, int]:
        """Documents of the source and of each view of it; what is not known is not in it."""

    def give(self, demands: Sequence[Demand], max_epochs: float | None = None) -> NDArray[np.int64]:
        """Return the tokens that it can give to each demand, int64[demands], at most what is asked.

        `demands` of one source come in the order of the plan, each stage behind its parents; every
        stage is there, one that draws nothing of the source with 0 tokens of it. With `max_epochs`
        that counts instead of its own. Raises RecipeError where it takes a size that is not known.
        """


def pools_of(sources: Iterable[str], views: Mapping[str, str]) -> list[Pool]:
    """Return the pools of a recipe, sources first; `views` is each view's source."""
    whole = [Pool(name, name) for name in sources]
    return whole + [Pool(name, source) for name, source in views.items()]


def replay_pool(source: str, stage: str, seen: bool = True) -> Pool:
    """Return the pool of what a stage of the recipe drew of a source, or left.

    >>> replay_pool("web", "core").name, replay_pool("web", "core", seen=False).name
    ('web@core', 'web@not_core')
    """
    return Pool(f"{source}@{'' if seen else UNSEEN}{stage}", source, stage, seen)


def lineage(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the ancestors of each stage, each once, parents before children.

    `parents` lists stages behind their parents; a parent that it does not list is passed over.
    """
    found: dict[str, list[str]] = {}
    for name, above in parents.items():
        held = {older for parent in above if parent in found for older in (*found[parent], parent)}
        found[name] = [older for older in found if older in held]
    return found
