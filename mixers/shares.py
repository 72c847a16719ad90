"""Resolve what a stage asks of each pool, in shares of its tokens.

Weights are stated in the stage's *unit*. Sequences of one stage are equally long, so that shares of
sequences are shares of tokens; an *example* is a document, and a pool's share of examples becomes
one of tokens by the mean length of its documents. What follows from earlier stages or from sizes
is in tokens, whatever the unit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cuvee.configs.errors import RecipeError
from cuvee.configs.mixtures import (
    Bound,
    BySize,
    Fixed,
    Inherit,
    QuotaGroup,
    Quotas,
    Ramp,
    WeightsFile,
)
from cuvee.configs.stages import Stage
from cuvee.mixers.bounds import Limit, within
from cuvee.mixers.groups import dealt, earlier, mean_tokens, tokens_of, tree
from cuvee.mixers.mixtures import (
    Known,
    Mixture,
    Place,
    Point,
    Weights,
    pool_named,
    size_of,
)

SUM_TOLERANCE = 1e-6  # published weights round: Olmo 3's 61 sum to 1.0000006


def resolve(stage: Stage, known: Known, above: Sequence[str], parents: Sequence[str]) -> Mixture:
    """Return the mixture of a stage, over the pools known when it is done.

    `above` are its ancestors, resolved before; `parents` those that it comes after. Raises
    RecipeError for a pool or stage that is not there, a mixture without a positive weight, a factor
    that has nothing to scale, quotas beyond the budget, and bounds that cannot hold.
    """
    place = Place(f"stages.{stage.name}", stage.name, stage.budget, stage.unit, above)
    mixture = Inherit(inherit=parents[0]) if stage.mixture is None else stage.mixture
    if isinstance(mixture, Ramp):
        points = [
            _point(place.below(f"mixture.ramp.{n}"), point.mixture, known, point.at)
            for n, point in enumerate(mixture.ramp)
        ]
        found = Mixture(stage.name, tuple(points), mixture.curve, mixture.of)
    else:
        found = Mixture(stage.name, (_point(place.below("mixture"), mixture, known, 0),))
    return _bounded(stage, place, found.over(list(known.pools)), known)


def budget_of(stage: Stage, mixture: Mixture, known: Known) -> int:
    """Return a stage's budget in tokens.

    Epochs are of all that it draws from; examples are of the mean length of what it reads, with
    the points of a ramp alike.
    """
    if stage.budget is not None:
        return stage.budget
    if stage.epochs is not None:
        return max(1, round(stage.epochs * sum(size_of(name, known) for name in mixture.drawn)))
    assert stage.examples is not None  # Stage._one_budget
    shares = [
        point.weights[name] / mean_tokens(name, known)
        for point in mixture.points
        for name in mixture.drawn
    ]
    return max(1, round(stage.examples * len(mixture.points) / math.fsum(shares)))


def unsummed(stage: Stage, mixture: Mixture) -> list[str]:
    """Return a warning for every sum of weights, as the recipe states them, that is not one."""
    ramp = stage.mixture.ramp if isinstance(stage.mixture, Ramp) else None
    stated = [stage.mixture] if ramp is None else [point.mixture for point in ramp]
    return [
        f"stage {stage.name}: the weights sum to {point.raw_sum:g} and were divided by it"
        for held, point in zip(stated, mixture.points, strict=True)
        if isinstance(held, dict | WeightsFile) and abs(point.raw_sum - 1) > SUM_TOLERANCE
    ]


def _bounded(stage: Stage, place: Place, mixture: Mixture, known: Known) -> Mixture:
    """Return a mixture with every point within the stage's bounds; what lies between is, too."""
    if not stage.bounds:
        return mixture
    limits = []
    for number, bound in enumerate(stage.bounds):
        below = place.below(f"bounds.{number}")
        named = [pool_named(below.below("pools"), name, known) for name in bound.pools]
        tagged = [name for name, pool in known.pools.items() if _bears(pool.source, bound, known)]
        limits.append(Limit(below.key, frozenset(named or tagged), bound.min, bound.max))
    points = [replace(point, weights=within(point.weights, limits)) for point in mixture.points]
    return replace(mixture, points=tuple(points))


def _bears(source: str, bound: Bound, known: Known) -> bool:
    """Say whether a source bears all tags that a bound is about."""
    return bool(bound.tags) and bound.tags.items() <= known.tags.get(source, {}).items()


def _point(place: Place, mixture: Fixed, known: Known, at: int) -> Point:
    """Return a mixture over all pools, made to sum to one."""
    given = _given(place, mixture, known)
    raw = {pool: float(given.get(pool, 0.0)) for pool in known.pools}
    total = math.fsum(raw.values())
    if total == 0:
        raise RecipeError(
            f"{place.key} gives no source a positive weight.",
            f"Known: {', '.join(known.pools)}.",
            "Give at least one a weight above 0.",
        )
    shares = tokens_of(place, raw, known) if _in_unit(mixture) else raw
    whole = math.fsum(shares.values())
    return Point(at, raw, total, {pool: shares.get(pool, 0.0) / whole for pool in raw})


def _in_unit(mixture: Fixed) -> bool:
    """Say whether a mixture's raw weights are in its stage's unit; else they are in tokens."""
    return not isinstance(mixture, Inherit | BySize | Quotas)


def _given(place: Place, mixture: Fixed, known: Known) -> Weights:
    """Return the raw weights that a mixture gives the pools that it is about."""
    match mixture:
        case Inherit():
            return _inherited(place, mixture, known)
        case BySize():
            return _by_size(place, mixture, known)
        case Quotas():
            return _quotas(place, mixture, known)
        case WeightsFile():
            below = place.below(mixture.file)
            weights = known.files[mixture.file]
            return {pool_named(below, name, known): weight for name, weight in weights.items()}
        case _:
            return tree(place, mixture, known)


def _inherited(place: Place, mixture: Inherit, known: Known) -> Weights:
    """Return an earlier stage's shares, some multiplied and some replaced."""
    inherited = earlier(place.below("inherit"), mixture.inherit, known)
    scale, replaced = (
        {pool_named(place.below(key), name, known): value for name, value in given.items()}
        for key, given in (("scale", mixture.scale), ("set", mixture.set))
    )
    for pool in scale:
        if not inherited.get(pool):
            drawn = ", ".join(name for name, share in inherited.items() if share)
            raise RecipeError(
                f"{place.key}.scale.{pool} scales a weight of 0.",
                f"Stage {mixture.inherit!r} draws {drawn}.",
                f"Take it out, or `set` a weight of {pool!r}.",
            )
    return {pool: share * scale.get(pool, 1.0) for pool, share in inherited.items()} | replaced


def _by_size(place: Place, mixture: BySize, known: Known) -> Weights:
    """Return weights that follow from sizes."""
    below = place.below("by_size")
    names = dict.fromkeys(pool_named(below, name, known) for name in mixture.by_size)
    sizes = {name: size_of(name, known) for name in names}
    if mixture.max_epochs is None:
        return {name: size ** (1 / mixture.temperature) for name, size in sizes.items()}
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


def _quotas(place: Place, mixture: Quotas, known: Known) -> Weights:
    """Return tokens of the pools with a quota, and what is left dealt out to the rest."""
    if place.tokens is None:
        raise RecipeError(
            f"{place.key}.quotas need to know how much the stage reads.",
            do="Give the stage's budget in tokens, steps or sequences.",
        )
    given: Weights = {}
    for name, quota in mixture.quotas.items():
        below = place.below(f"quotas.{name}")
        if isinstance(quota, QuotaGroup):
            inner = tokens_of(place, dealt(below, quota, 1.0, known), known)
            deal = _scaled_to(inner, quota.tokens)
        else:
            deal = {pool_named(place.below("quotas"), name, known): float(quota)}
        _add(place, given, deal, "two quotas")
    left = place.tokens - sum(_quota_tokens(quota) for quota in mixture.quotas.values())
    if left < 0:
        raise RecipeError(
            f"{place.key}.quotas are {-left:,} tokens more than the stage's {place.tokens:,}.",
            do="Raise the stage's budget, or lower a quota.",
        )
    rest = tokens_of(place, tree(place.below("rest"), mixture.rest, known), known)
    if any(rest.values()):
        _add(place, given, _scaled_to(rest, left), "a quota and a weight")
    return given


def _quota_tokens(quota: int | QuotaGroup) -> int:
    """Return the tokens of a quota."""
    return quota.tokens if isinstance(quota, QuotaGroup) else quota


def _scaled_to(weights: Weights, total: int) -> Weights:
    """Return weights made to sum to a total; those of 0 are left out."""
    whole = math.fsum(weights.values())
    return {pool: total * weight / whole for pool, weight in weights.items() if weight}


def _add(place: Place, given: Weights, more: Weights, what: str) -> None:
    """Add to what pools are given; refuse a pool that is named twice."""
    for pool, tokens in more.items():
        if pool in given:
            raise RecipeError(f"{place.key} gives {pool!r} {what}.", do="Keep one.")
        given[pool] = tokens
