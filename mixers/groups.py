"""Deal what a group has out to its pools, and turn shares of examples into shares of tokens."""

import math

from cuvee.configs.errors import RecipeError
from cuvee.configs.mixtures import Group, QuotaGroup
from cuvee.configs.mixtures import Weights as WeightTree
from cuvee.mixers.mixtures import (
    Known,
    Place,
    Weights,
    check_replay,
    documents_of,
    nearest,
    pool_named,
    size_of,
)


def tree(place: Place, weights: WeightTree, known: Known) -> Weights:
    """Return weights in the place's unit, those of groups dealt out to their pools."""
    raw: Weights = {}
    for name, value in weights.items():
        if isinstance(value, Group):
            deal = dealt(place.below(name), value, value.share, known)
        else:
            deal = {pool_named(place, name, known): value}
        for pool, weight in deal.items():
            if pool in raw:
                raise RecipeError(
                    f"{place.key} gives {pool!r} two weights.", do="Name it in one place."
                )
            raw[pool] = weight
    return raw


def dealt(place: Place, group: Group | QuotaGroup, whole: float, known: Known) -> Weights:
    """Return what each pool of a group has of the whole, in the place's unit."""
    if group.of is not None:
        inner = tree(place.below("of"), group.of, known)
    elif group.like is not None:
        inner = per_unit(place, dict(earlier(place.below("like"), group.like, known)), known)
    elif group.by_size is not None:
        below = place.below("by_size")
        names = [pool_named(below, name, known) for name in group.by_size]
        inner = per_unit(place, {name: float(size_of(name, known)) for name in names}, known)
    else:
        assert group.replay is not None  # one of the four is given
        below = place.below("replay")
        inner = per_unit(place, _replayed(below, group.replay, group.seen, known), known)
    total = math.fsum(inner.values())
    if total == 0:
        raise RecipeError(
            f"{place.key} has a share but no pool with a weight.",
            do="Give one of its pools a weight above 0, or take the group out.",
        )
    return {pool: whole * part / total for pool, part in inner.items() if part}


def _replayed(place: Place, stage: str, seen: bool, known: Known) -> Weights:
    """Return the tokens that an ancestor is planned to draw of each source, by replay pool."""
    check_replay(place, stage, known)
    read = known.read[stage]
    return {known.replayed(name, stage, seen): float(tokens) for name, tokens in read.items()}


def earlier(place: Place, name: str, known: Known) -> Weights:
    """Return the shares with which an earlier stage ends; no pool may replay one yet to be read."""
    if name not in known.ends:
        raise RecipeError(
            f"{place.key} names {name!r}, which is not an earlier stage.",
            f"Earlier stages: {', '.join(known.ends) or 'none'}.",
            nearest(name, known.ends),
        )
    for pool, share in known.ends[name].items():
        replay = known.pools[pool].replay
        if share and replay is not None:
            check_replay(place, replay, known)
    return known.ends[name]


def mean_tokens(pool: str, known: Known) -> float:
    """Return the mean tokens of a document of a pool; of a replay those of its source."""
    about = known.pools[pool]
    name = about.source if about.replay is not None else pool
    return size_of(name, known) / documents_of(name, known)


def per_unit(place: Place, tokens: Weights, known: Known) -> Weights:
    """Return weights in tokens as weights in the place's unit."""
    if place.unit != "examples":
        return tokens
    return {name: part / mean_tokens(name, known) for name, part in tokens.items() if part}


def tokens_of(place: Place, weights: Weights, known: Known) -> Weights:
    """Return weights in the place's unit as weights in tokens."""
    if place.unit != "examples":
        return weights
    return {name: part * mean_tokens(name, known) for name, part in weights.items() if part}
