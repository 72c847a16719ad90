"""What stages ask of sources, and what these give."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Demand, Pool, Supply

MOST_EPOCHS = 1_000_000  # beyond that no cap is looked for


class Balance(NamedTuple):
    """Tokens that stages ask of pools, and are given: int64[stages, pools] each."""

    asked: NDArray[np.int64]
    given: NDArray[np.int64]

    @property
    def short(self) -> NDArray[np.bool_]:
        """Where a pool cannot give what is asked of it: bool[stages, pools]."""
        short: NDArray[np.bool_] = self.given < self.asked
        return short

    def short_of(self, supply: Supply, pools: Sequence[Pool], begin: int = 0) -> bool:
        """Say whether a source cannot give what the stages from `begin` on ask of it."""
        mine = [n for n, pool in enumerate(pools) if pool.source == supply.source]
        return bool(self.short[begin:, mine].any())


def asked_of(stages: Sequence[Stage], n_pools: int, exact: bool) -> NDArray[np.int64]:
    """Return the tokens that stages ask of pools, int64[stages, pools].

    With `exact` they are those of the schedules, which are then made; else of the quotas.
    """
    asked = np.zeros((len(stages), n_pools), np.int64)
    for row, stage in zip(asked, stages, strict=True):
        counts = stage.counts if exact else stage.quota_counts
        row[: len(counts)] = counts * stage.seq_len
    return asked


def balance(
    stages: Sequence[Stage],
    pools: Sequence[Pool],
    supplies: Sequence[Supply],
    caps: Mapping[str, float],
    asked: NDArray[np.int64],
) -> Balance:
    """Return what is asked and given; `caps` holds what counts instead of a source's max_epochs.

    `stages` come each behind its parents.
    """
    given = np.zeros_like(asked)
    for supply in supplies:
        mine = [n for n, pool in enumerate(pools) if pool.source == supply.source]
        if not asked[:, mine].any():
            continue
        where, demands = [], []
        for row, stage in enumerate(stages):
            drawn = [n for n in mine if asked[row, n]] or mine[:1]
            for column in drawn:
                identity = stage.name, stage.parents, stage.of, stage.seed
                tokens = int(asked[row, column])
                demands.append(Demand(*identity, pools[column].name, tokens))
                where.append((row, column))
        rows, columns = np.array(where).T
        given[rows, columns] = supply.give(demands, caps.get(supply.source))
    return Balance(asked, given)


def lowest_cap(
    stages: Sequence[Stage],
    pools: Sequence[Pool],
    supply: Supply,
    asked: NDArray[np.int64],
    caps: Mapping[str, float],
    begin: int = 0,
) -> float | None:
    """Return the lowest max_epochs of a source, in whole 1/100, that is enough from a stage on.

    It is above what counts now; None where no cap is enough, up to `MOST_EPOCHS`.
    """

    def enough(hundredths: int) -> bool:
        raised = {**caps, supply.source: hundredths / 100}
        return not balance(stages, pools, [supply], raised, asked).short_of(supply, pools, begin)

    low = math.floor(Fraction(str(float(caps.get(supply.source, supply.max_epochs)))) * 100)
    high = low + 1
    while not enough(high):
        low, high = high, 2 * high
        if high > 200 * MOST_EPOCHS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high / 100
