"""Make shares exact: integers that sum to 2**32."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError

SHARE_UNITS = 2**32  # integer weights sum to this, so that a share is exact to 1 in 4 billion


def integerise(weights: Mapping[str, float]) -> NDArray[np.int64]:
    """Return integer weights, int64[n] in the order of `weights`, that sum to 2**32 exactly.

    Largest remainder: every weight is rounded down, then the units left over go to the largest
    remainders, to the earlier source where two are equal. Raises RecipeError for a positive weight
    that comes to 0, since its source would silently never be drawn.
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
                f"The weight {weight:.3g} of source {source!r} is too small to be drawn.",
                f"A share is counted in units of 1/2**32 ({1 / SHARE_UNITS:.1e}).",
                "Raise it, or set it to 0 to leave the source out.",
            )
    return np.array(units, dtype=np.int64)
