"""Make shares exact: integers that sum to 2**32."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError

SHARE_UNITS = 2**32  # integer weights sum to this, so that a share is exact to 1 in 4 billion


def integerise(weights: Mapping[str, float], where: str = "A mixture") -> NDArray[np.int64]:
    """Return integer weights, int64[n] in the order of `weights`, that sum to 2**32 exactly.

    Largest remainder: every weight is rounded down, then the units left over go to the largest
    remainders, to the earlier pool where two are equal. Raises RecipeError, about what is at
    `where`, for a positive weight that comes to 0, since its pool would silently never be drawn.
    """
    exact = [Fraction(weight) for weight in weights.values()]
    total = sum(exact)
    quotas = [share * SHARE_UNITS / total for share in exact]
    units = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(units)), key=lambda i: (units[i] - quotas[i], i))
    for i in by_remainder[: SHARE_UNITS - sum(units)]:
        units[i] += 1
    for (source, weight), unit in zip(weights.items(), units, strict=True):
        if weight > 0 and unit == 0:
            raise RecipeError(
                f"{where} gives {source!r} a share of {weight:.3g}, too small to be drawn.",
                f"A share is counted in units of 1/2**32, {1 / SHARE_UNITS:.2e}.",
                f"Raise it to {1 / SHARE_UNITS:.3g} at least, or to 0 to leave the source out.",
            )
    return np.array(units, dtype=np.int64)
