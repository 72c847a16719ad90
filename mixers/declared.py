"""What a source can give by its declared size: a plan of trillions of tokens needs no documents.

Tokens are counted, not documents. A source gives its tokens times its `max_epochs`, less what the
stages before a stage drew of it, through whichever pool. A view gives no more than a pass of it
times its own `max_epochs`, and no more than its documents times the source's. What a stage replays
is bound by the documents that the earlier stage drew or left, each seen as often as that takes:
there a whole epoch of the source counts once for every document, and a part of one for none. What
is measured document by document may differ where views of a source overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.sources import Source, View
from cuvee.mixers.mixtures import unknown
from cuvee.mixers.pools import UNSEEN, Demand, lineage


class DeclaredView(NamedTuple):
    """A view by its declared size, in tokens."""

    unique: int  # of its documents, each once
    a_pass: int  # each as often as a pass has it
    max_epochs: float | None  # passes that it allows; None: as many as its documents do


@dataclass(frozen=True)
class DeclaredSupply:
    """One source by its declared size; `tokens` is None where it has none."""

    source: str
    max_epochs: float
    tokens: int | None  # of what is used of it
    views: Mapping[str, DeclaredView | None] = field(default_factory=dict)
    documents: Mapping[str, int] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Tokens of the source and of each view of it; what is not declared is not in it."""
        whole = {} if self.tokens is None else {self.source: self.tokens}
        return whole | {name: view.a_pass for name, view in self.views.items() if view is not None}

    def give(self, demands: Sequence[Demand], max_epochs: float | None = None) -> NDArray[np.int64]:
        """Return the tokens that it can give to each demand, int64[demands], at most what is asked.

        Raises RecipeError for a source or view that a stage draws from and whose size is not known.
        """
        cap = Fraction(str(float(self.max_epochs if max_epochs is None else max_epochs)))
        before = lineage({demand.stage: demand.parents for demand in demands})
        of = {demand.stage: demand.of for demand in demands}
        taken = dict[str, dict[str, int]]()  # by folder, then by pool
        out = np.zeros(len(demands), np.int64)
        for number, demand in enumerate(demands):
            own = taken.setdefault(demand.stage, {})
            if demand.tokens == 0:
                continue
            drawn = [(of[name], taken[name]) for name in before[demand.stage] if name in taken]
            left = self._left(demand.pool, [*drawn, (demand.of, own)], cap)
            out[number] = min(demand.tokens, max(0, left))
            own[demand.pool] = own.get(demand.pool, 0) + int(out[number])
        return out

    def _left(
        self, pool: str, drawn: Sequence[tuple[str, Mapping[str, int]]], cap: Fraction
    ) -> int:
        """Return what a pool has left; `drawn` is what stages and their phases took, in order."""
        whole = self._known()
        left = int(whole * cap) - sum(sum(pools.values()) for _, pools in drawn)
        if pool == self.source:
            return left
        own = sum(pools.get(pool, 0) for _, pools in drawn)
        if pool in self.views:
            view = self._view(pool)
            limit = int(view.unique * cap)
            if view.max_epochs is not None:
                limit = min(limit, int(view.a_pass * Fraction(str(float(view.max_epochs)))))
            return min(left, limit - own)
        return min(left, self._replayed(pool, drawn, cap) - own)

    def _replayed(
        self, pool: str, drawn: Sequence[tuple[str, Mapping[str, int]]], cap: Fraction
    ) -> int:
        """Return what the documents that a stage drew, or left, can still be read in all."""
        stage = pool.removeprefix(f"{self.source}@")
        whole, seen = self._known(), True
        if stage.startswith(UNSEEN) and stage not in {of for of, _ in drawn}:
            stage, seen = stage.removeprefix(UNSEEN), False
        first = next((n for n, (of, _) in enumerate(drawn) if of == stage), len(drawn))
        read = sum(sum(pools.values()) for of, pools in drawn if of == stage)
        unique = min(whole, read)
        passes = sum(pools.get(self.source, 0) for _, pools in drawn) // whole
        if not seen:
            return int((whole - unique) * cap) - passes * (whole - unique)
        earlier = sum(pools.get(self.source, 0) for _, pools in drawn[:first]) // whole
        return int(unique * cap) - max(read + earlier * unique, passes * unique)

    def _known(self) -> int:
        """Return the source's tokens."""
        if self.tokens is None:
            raise unknown("sources", self.source, "tokens")
        return self.tokens

    def _view(self, name: str) -> DeclaredView:
        """Return a view's size."""
        view = self.views[name]
        if view is None:
            raise unknown("views", name, "tokens")
        return view


def declared(sources: Mapping[str, Source], views: Mapping[str, View]) -> list[DeclaredSupply]:
    """Return what a recipe declares of its sources and views, in the recipe's order."""
    found = []
    for name, source in sources.items():
        mine = {n: view for n, view in views.items() if view.of == name}
        documents = {} if source.documents is None else {name: _sampled(source, source.documents)}
        for n, view in mine.items():
            if view.documents is not None:
                documents[n] = max(1, int(_sampled(source, view.documents) * _mean(view)))
        sized = {n: _declared_view(source, view) for n, view in mine.items()}
        tokens = source.tokens if source.tokens is not None else source.sample
        used = None if tokens is None else _sampled(source, tokens)
        found.append(DeclaredSupply(name, source.max_epochs, used, sized, documents))
    return found


def _sampled(source: Source, count: int) -> int:
    """Return how much of a count is left of a source of which a sample is used, at least one."""
    if source.sample is None or source.tokens is None or source.sample >= source.tokens:
        return count
    return max(1, count * source.sample // source.tokens)


def _declared_view(source: Source, view: View) -> DeclaredView | None:
    """Return the size of a view; one that only upsamples has its source's."""
    tokens = view.tokens
    if tokens is None and (view.min_tokens, view.max_tokens, view.where) == (None, None, None):
        tokens = source.tokens
    if tokens is None:
        return None
    unique = _sampled(source, tokens)
    a_pass = max(1, int(unique * _mean(view)))
    if view.upsample is not None:
        unique = max(1, int(unique * (1 - Fraction(str(view.upsample.drop)))))
    return DeclaredView(unique, a_pass, view.max_epochs)


def _mean(view: View) -> Fraction:
    """Return how often one pass of a view has a document on average."""
    return Fraction(1) if view.upsample is None else Fraction(str(view.upsample.mean))
