"""Resolve what each stage asks of each source, in shares.

A *share* is a source's part of a stage's tokens. *Raw* weights are those before they are divided by
their sum: published mixtures often do not sum to 1. A *mixture* is one point, or several between
which a ramp leads; a source without a weight has share 0 and is never drawn. The *size* of a source
is the tokens of its surviving documents.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import BySize, Fixed, Group, Inherit, Quotas, Ramp, Stage, WeightsFile
from cuvee.configs.stages import Weights as WeightTree

Weights = dict[str, float]


@dataclass(frozen=True)
class Point:
    """What a mixture asks of all sources, in the recipe's order, after `at` tokens."""

    at: int
    raw: Weights  # as stated; where inherited, the earlier stage's share times its scale
    raw_sum: float
    weights: Weights  # raw / raw_sum


@dataclass(frozen=True)
class Mixture:
    """The mixture of one stage: one point, or those of a ramp."""

    stage: str
    points: tuple[Point, ...]
    curve: str = "linear"
    of: str = "stage"  # what the tokens of the points count

    @property
    def last(self) -> Weights:
        """The shares that it ends with, which later stages inherit."""
        return self.points[-1].weights

    @property
    def drawn(self) -> list[str]:
        """The sources that have a share somewhere."""
        return [name for name in self.last if any(point.weights[name] for point in self.points)]


@dataclass(frozen=True)
class Known:
    """What mixtures are resolved with: sizes by source, files by name, and earlier stages."""

    sizes: Mapping[str, int]
    files: Mapping[str, Mapping[str, float]]
    done: Mapping[str, Mixture]


@dataclass(frozen=True)
class _Place:
    """Where in the recipe a mixture stands, and its stage's budget; None where it is in epochs."""

    key: str
    tokens: int | None

    def below(self, step: str) -> "_Place":
        """Return a place further down."""
        return _Place(f"{self.key}.{step}", self.tokens)


def resolve(
    stages: Sequence[Stage],
    sizes: Mapping[str, int],
    files: Mapping[str, Mapping[str, float]],
) -> list[Mixture]:
    """Return one mixture per stage, in order, each over all sources that have a size.

    Raises RecipeError for a source or stage that is not there, a mixture without a positive weight,
    a factor that has nothing to scale, and quotas beyond the budget.
    """
    done: dict[str, Mixture] = {}
    for stage in stages:
        known, place = Known(sizes, files, done), _Place(f"stages.{stage.name}", stage.budget)
        mixture = stage.mixture
        if isinstance(mixture, Ramp):
            points = tuple(
                _point(place.below(f"mixture.ramp.{n}"), point.mixture, known, point.at)
                for n, point in enumerate(mixture.ramp)
            )
            done[stage.name] = Mixture(stage.name, points, mixture.curve, mixture.of)
        else:
            point = _point(place.below("mixture"), mixture, known, 0)
            done[stage.name] = Mixture(stage.name, (point,))
    return list(done.values())


def _point(place: _Place, mixture: Fixed, known: Known, at: int) -> Point:
    """Return a mixture over all sources, made to sum to one."""
    given = _given(place, mixture, known)
    raw = {source: float(given.get(source, 0.0)) for source in known.sizes}
    total = math.fsum(raw.values())
    if total == 0:
        raise RecipeError(
            f"{place.key} gives no source a positive weight.",
            f"Sources: {', '.join(known.sizes)}.",
            "Give at least one a weight above 0.",
        )
    return Point(at, raw, total, {source: value / total for source, value in raw.items()})


def _given(place: _Place, mixture: Fixed, known: Known) -> Weights:
    """Return the raw weights that a mixture gives the sources that it is about."""
    match mixture:
        case Inherit():
            return _inherited(place, mixture, known)
        case BySize():
            return _by_size(place, mixture, known)
        case Quotas():
            return _quotas(place, mixture, known)
        case WeightsFile():
            weights = known.files[mixture.file]
            _refuse_unknown(place.below(mixture.file), weights, known)
            return dict(weights)
        case _:
            return _tree(place, mixture, known)


def _tree(place: _Place, tree: WeightTree, known: Known) -> Weights:
    """Return weights, those of groups dealt out to their sources."""
    raw: Weights = {}
    for name, value in tree.items():
        if isinstance(value, Group):
            inner = _group(place.below(name), value, known)
            total = math.fsum(inner.values())
            dealt = {source: value.share * part / total for source, part in inner.items() if part}
        else:
            _refuse_unknown(place, [name], known)
            dealt = {name: value}
        for source, weight in dealt.items():
            if source in raw:
                raise RecipeError(
                    f"{place.key} gives {source!r} two weights.", do="Name it in one place."
                )
            raw[source] = weight
    return raw


def _group(place: _Place, group: Group, known: Known) -> Weights:
    """Return the weights within a group; one without any cannot be dealt out."""
    if group.of is not None:
        inner = _tree(place.below("of"), group.of, known)
    elif group.like is not None:
        inner = dict(_earlier(place.below("like"), group.like, known).last)
    else:
        assert group.by_size is not None  # Group._one_of
        inner = _by_size(place, BySize(by_size=group.by_size), known)
    if not any(inner.values()):
        raise RecipeError(f"{place.key} has a share but no source with a weight.")
    return inner


def _earlier(place: _Place, name: str, known: Known) -> Mixture:
    """Return the mixture of an earlier stage."""
    if name not in known.done:
        raise RecipeError(
            f"{place.key} names {name!r}, which is not an earlier stage.",
            f"Earlier stages: {', '.join(known.done) or 'none'}.",
            _nearest(name, known.done),
        )
    return known.done[name]


def _inherited(place: _Place, mixture: Inherit, known: Known) -> Weights:
    """Return an earlier stage's shares, some multiplied and some replaced."""
    inherited = _earlier(place.below("inherit"), mixture.inherit, known).last
    _refuse_unknown(place.below("scale"), mixture.scale, known)
    _refuse_unknown(place.below("set"), mixture.set, known)
    for source in mixture.scale:
        if inherited[source] == 0:
            raise RecipeError(
                f"{place.key}.scale.{source} scales a weight of 0.",
                f"Stage {mixture.inherit!r} draws {', '.join(known.done[mixture.inherit].drawn)}.",
                f"Take it out, or `set` a weight of {source!r}.",
            )
    scaled = {source: inherited[source] * mixture.scale.get(source, 1.0) for source in inherited}
    return scaled | mixture.set


def _by_size(place: _Place, mixture: BySize, known: Known) -> Weights:
    """Return weights that follow from sizes."""
    _refuse_unknown(place.below("by_size"), mixture.by_size, known)
    sizes = {source: known.sizes[source] for source in dict.fromkeys(mixture.by_size)}
    if mixture.max_epochs is None:
        return {source: size ** (1 / mixture.temperature) for source, size in sizes.items()}
    if place.tokens is None:
        raise RecipeError(
            f"{place.key}.max_epochs needs to know how much the stage reads.",
            do="Give the stage's budget in tokens, steps or sequences.",
        )
    return _unimax(sizes, place.tokens, mixture.max_epochs)


def _unimax(sizes: Mapping[str, int], tokens: int, max_epochs: float) -> Weights:
    """Return UniMax's tokens: from the smallest on, an equal part of what is left, or the cap."""
    given, left = dict.fromkeys(sizes, 0.0), float(tokens)
    by_size = sorted(sizes, key=lambda source: (sizes[source], source))
    for n, source in enumerate(by_size):
        given[source] = min(left / (len(by_size) - n), max_epochs * sizes[source])
        left -= given[source]
    return given


def _quotas(place: _Place, mixture: Quotas, known: Known) -> Weights:
    """Return tokens of the sources with a quota, and what is left dealt out to the rest."""
    _refuse_unknown(place.below("quotas"), mixture.quotas, known)
    if place.tokens is None:
        raise RecipeError(
            f"{place.key}.quotas need to know how much the stage reads.",
            do="Give the stage's budget in tokens, steps or sequences.",
        )
    left = place.tokens - sum(mixture.quotas.values())
    if left < 0:
        raise RecipeError(
            f"{place.key}.quotas are {-left:,} tokens more than the stage's {place.tokens:,}.",
            do="Raise the stage's budget, or lower a quota.",
        )
    rest = _tree(place.below("rest"), mixture.rest, known)
    twice = sorted(set(rest) & set(mixture.quotas))
    if twice:
        raise RecipeError(f"{place.key} gives {twice[0]!r} a quota and a weight.", do="Keep one.")
    total = math.fsum(rest.values())
    given = {source: float(tokens) for source, tokens in mixture.quotas.items()}
    return given | {source: left * weight / total for source, weight in rest.items() if weight}


def _refuse_unknown(place: _Place, names: Iterable[str], known: Known) -> None:
    """Raise RecipeError for a name that is no source."""
    for name in names:
        if name not in known.sizes:
            raise RecipeError(
                f"{place.key}.{name} names no source of the recipe.",
                f"Sources: {', '.join(known.sizes)}.",
                _nearest(name, known.sizes),
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the question that names the known name most like `name`; empty when none is known."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"Did you mean {close[0]!r}?" if close else ""
