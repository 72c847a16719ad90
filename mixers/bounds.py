"""Bring a mixture within bounds on what some pools have together.

A *limit* is the least and the most that a set of pools may have. Where a mixture has less or more,
the set is scaled to the limit and the others to what it leaves, so that ratios stay on both sides.
With several limits each has a factor for its pools, and the factors are set in turn until all
limits hold: that is the mixture nearest to the stated one in relative entropy (Bregman 1967).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cuvee.configs.errors import RecipeError

MOST_ROUNDS = 1000  # limits on sets apart take a few, sets that overlap some tens
TOLERANCE = 1e-12  # of a share


class Limit(NamedTuple):
    """What a set of pools may have together, in shares."""

    key: str  # where in the recipe
    pools: frozenset[str]
    least: float
    most: float


def within(shares: Mapping[str, float], limits: Sequence[Limit]) -> dict[str, float]:
    """Return shares that sum to one, nearest to those given, within all limits.

    Raises RecipeError for a limit that no scaling meets, and for limits that exclude each other.
    """
    for limit in limits:
        _refuse_impossible(shares, limit)
    factors = [1.0] * len(limits)
    for _ in range(MOST_ROUNDS):
        moved = 0.0
        for number in range(len(limits)):
            factor = _factor(shares, limits, factors, number)
            moved = max(moved, abs(factor - factors[number]) / max(factor, factors[number], 1e-300))
            factors[number] = factor
        if moved < TOLERANCE:
            break
    found = _scaled(shares, limits, factors)
    total = math.fsum(found.values())
    found = {pool: share / total for pool, share in found.items()} if total else found
    for limit in limits:
        _refuse_broken(found, limit)
    return found


def _factor(
    shares: Mapping[str, float], limits: Sequence[Limit], factors: list[float], number: int
) -> float:
    """Return the factor with which a limit just holds, given the others' factors; 1 if it does."""
    others = _scaled(shares, limits, [*factors[:number], 1.0, *factors[number + 1 :]])
    inside = math.fsum(share for pool, share in others.items() if pool in limits[number].pools)
    outside = math.fsum(others.values()) - inside
    if inside <= 0 or outside <= 0:
        return factors[number]
    share = inside / (inside + outside)
    wanted = min(max(share, limits[number].least), limits[number].most)
    if wanted == share:
        return 1.0
    return wanted * outside / (max(1 - wanted, 1e-15) * inside)


def _scaled(
    shares: Mapping[str, float], limits: Sequence[Limit], factors: Sequence[float]
) -> dict[str, float]:
    """Return shares times the factors of all limits that they are under, not summing to one."""
    pairs = list(zip(factors, limits, strict=True))
    return {
        pool: share * math.prod(factor for factor, limit in pairs if pool in limit.pools)
        for pool, share in shares.items()
    }


def _refuse_impossible(shares: Mapping[str, float], limit: Limit) -> None:
    """Refuse a limit on pools that the mixture gives nothing, or everything."""
    held = math.fsum(share for pool, share in shares.items() if pool in limit.pools)
    if limit.least > 0 and held == 0:
        raise RecipeError(
            f"{limit.key} wants at least {limit.least:.4g} of the stage for pools that its mixture "
            "gives nothing.",
            do="Give one of them a weight, or take the bound out.",
        )
    if limit.most < 1 and held > 1 - TOLERANCE:
        raise RecipeError(
            f"{limit.key} wants at most {limit.most:.4g} of the stage for pools that its mixture "
            "gives everything.",
            do=f"Give other pools {1 - limit.most:.4g} of it, or take the bound out.",
        )


def _refuse_broken(shares: Mapping[str, float], limit: Limit) -> None:
    """Refuse limits that do not hold together."""
    held = math.fsum(share for pool, share in shares.items() if pool in limit.pools)
    if limit.least - 1e-9 <= held <= limit.most + 1e-9:
        return
    kind, amount, do = ("least", limit.least, "Lower its min")
    if held > limit.most:
        kind, amount, do = ("most", limit.most, "Raise its max")
    raise RecipeError(
        f"{limit.key} wants at {kind} {amount:.4g}, but with the stage's other bounds its pools "
        f"have {held:.4g}.",
        do=f"{do} to {held:.4g}, or mend another bound.",
    )
