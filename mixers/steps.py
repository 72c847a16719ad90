"""Turn a budget of tokens into whole training steps.

A *step* reads one global batch: `batch_sequences` sequences of `seq_len` tokens.
"""


def steps(tokens: int, seq_len: int, batch_sequences: int) -> int:
    """Return the number of steps nearest to a budget of `tokens`, at least 1; halves round up.

    Integers throughout: a float has 53 bits, and a budget of trillions times two needs them all.

    >>> steps(6_300_000_000_000, seq_len=4096, batch_sequences=4096)
    375509
    """
    return max(1, nearest(tokens, seq_len * batch_sequences))


def nearest(tokens: int, unit: int) -> int:
    """Return how many units come nearest to `tokens`, at least 0; halves round up."""
    return max(0, (2 * tokens + unit) // (2 * unit))
