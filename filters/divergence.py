"""How far a document's tokens are from the corpus': the Kullback-Leibler divergence, in nats.

For a document whose token t has the share p(t), and a corpus where it has q(t),
KL(document || corpus) is the sum over the document's tokens of p(t) * log(p(t) / q(t)). It is 0
where the shares are the same, and high where a document consists of tokens that are rare in the
corpus. With N tokens in all and V in the vocabulary, q(t) = (n(t) + 1) / (N + V): each token is
taken to occur once more than it does, so that no share is 0. Short documents are far from any
corpus, since they have few different tokens.

Counts are integers, and a sum goes through a document's tokens in ascending order, so that the
numbers do not depend on how the documents were batched. *Bags* are documents as their different
tokens, ascending, with how often each occurs.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Bags(NamedTuple):
    """Documents as bags: those of document i are at offsets[i]:offsets[i + 1]."""

    tokens: NDArray[np.int32]
    counts: NDArray[np.int32]
    offsets: NDArray[np.int64]


@njit(nogil=True, cache=True)
def _count(
    ids: NDArray[Any], offsets: NDArray[np.int64], vocab_size: int, out: Bags
) -> NDArray[np.int64]:
    """Fill the bags; return how often each token occurs in all."""
    times, total = np.zeros(vocab_size, np.int32), np.zeros(vocab_size, np.int64)
    end = 0
    for row in range(len(offsets) - 1):
        start = end
        for at in range(offsets[row], offsets[row + 1] - 1):  # the last is the end-of-text token
            token = ids[at]
            if times[token] == 0:
                out.tokens[end] = token
                end += 1
            times[token] += 1
        out.tokens[start:end].sort()
        for at in range(start, end):
            token = out.tokens[at]
            out.counts[at] = times[token]
            total[token] += times[token]
            times[token] = 0
        out.offsets[row + 1] = end
    return total


def count_tokens(
    ids: NDArray[Any], offsets: NDArray[np.int64], vocab_size: int
) -> tuple[Bags, NDArray[np.int64]]:
    """Count the tokens of documents, and of all together: int64 [vocab_size].

    Document i is ids[offsets[i]:offsets[i + 1]], its last token the end of text, which is not
    counted. About 3 ns a byte of text on one core; memory is 8 bytes a token.
    """
    bags = Bags(np.empty(len(ids), np.int32), np.empty(len(ids), np.int32), np.zeros_like(offsets))
    total = _count(ids, offsets, vocab_size, bags)
    end = bags.offsets[-1]
    return Bags(bags.tokens[:end], bags.counts[:end], bags.offsets), total


def log_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log q(t) of every token of the vocabulary from how often it occurs in the corpus.

    >>> log_shares(np.array([2, 0])).tolist() == [math.log(3 / 4), math.log(1 / 4)]
    True
    """
    total = int(counts.sum()) + len(counts)
    # Python's logarithm: numpy's last bit depends on the processor.
    return np.array([math.log((n + 1) / total) for n in counts.tolist()])


@njit(nogil=True, cache=True)
def divergences(bags: Bags, log_q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return KL(document || corpus) of every bag in nats; NaN where a document has no token."""
    found = np.full(len(bags.offsets) - 1, np.nan)
    for row in range(len(found)):
        lo, hi = bags.offsets[row], bags.offsets[row + 1]
        if lo == hi:
            continue
        length = bags.counts[lo:hi].sum()
        sum_ = 0.0
        for at in range(lo, hi):
            share = bags.counts[at] / length
            sum_ += share * (math.log(share) - log_q[bags.tokens[at]])
        found[row] = sum_
    return found
