"""Read good documents more often: a rate that rises with a document's rank in a score.

The *rank* q of a document is the share of the tokens that are worse, in [0, 1). Its *rate* is the
copies of it that one pass has. The worst `drop` of the tokens have none; from there the rate rises
from `floor` to `cap` as a power of the rank, and its mean over all tokens is `mean` (Olmo 3, arXiv
2512.13961, draws such a curve for each topic: cap 7, drop 0.4). Documents fall into *buckets* of
equal tokens, and each has the mean rate of its bucket.
"""

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.sources import Upsample
from cuvee.mixers.order import permute, uniform


def rates(curve: Upsample) -> NDArray[np.float64]:
    """Return the rate of each bucket, float64[buckets], rising; their mean is `curve.mean`.

    The curve is integrated over a bucket in closed form, so the mean is exact but for rounding.
    """
    kept, least = 1 - curve.drop, curve.floor
    rise = curve.cap - least
    power = rise * kept / (curve.mean - kept * least)  # the exponent of the antiderivative
    edges = np.arange(curve.buckets + 1) / curve.buckets
    beyond = np.maximum(edges - curve.drop, 0.0)
    area = least * beyond + rise * kept / power * (beyond / kept) ** power
    return np.clip(np.diff(area) * curve.buckets, 0.0, curve.cap)


def buckets(
    scores: NDArray[np.float64], lengths: NDArray[np.integer], count: int, key: int
) -> NDArray[np.int64]:
    """Return the bucket of each document, int64[n] in range(count), the best in the last.

    `scores` are float64[n], NaN where there is none: the worst. `lengths` are in tokens. Equal
    scores are ranked by `key`, as their order in files must not matter.
    """
    n = len(scores)
    if n == 0:
        return np.empty(0, np.int64)
    tie = permute(np.arange(n, dtype=np.int64), n, key)
    order = np.lexsort((tie, np.where(np.isnan(scores), -np.inf, scores)))
    sizes = lengths[order].astype(np.int64)
    middle = np.cumsum(sizes) - sizes / 2
    out = np.empty(n, np.int64)
    out[order] = np.minimum(middle * count / max(1, int(sizes.sum())), count - 1).astype(np.int64)
    return out


def copies(rows: NDArray[np.int64], rate: NDArray[np.float64], key: int) -> NDArray[np.int64]:
    """Return `rows`, each floor(rate) times or once more: by chance, which the key decides.

    Over keys, a row comes `rate` times on average; which rows come once more depends on the row
    and the key alone.
    """
    whole = np.floor(rate)
    more = uniform(rows, key) < rate - whole
    return np.repeat(rows, whole.astype(np.int64) + more)
