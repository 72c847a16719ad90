"""Which documents a stage can use, and how much of each: lengths, policies, exclusions.

A stage *takes* so many tokens of a document: all of them, the first that fit a sequence, or none.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.stages import Packing


class Fit(NamedTuple):
    """What a stage's sequences are, and which documents of one source it passes over."""

    seq_len: int  # tokens
    packing: Packing = Packing()
    excluded: NDArray[np.bool_] | None = None  # bool[n]


def taken(lengths: NDArray[np.integer], fit: Fit) -> NDArray[np.int32]:
    """Return the tokens that a stage takes of each document, int32[n].

    0 is a document that the stage excludes. One that its packing leaves out, because it is shorter
    than `min_tokens`, or longer than a sequence where such are skipped, has its tokens below 0.
    """
    out = lengths.astype(np.int32)
    if fit.packing.long == "truncate":
        out = np.minimum(out, np.int32(fit.seq_len))
    without = lengths < fit.packing.min_tokens
    if fit.packing.long == "skip":
        without |= lengths > fit.seq_len
    out[without] = -lengths[without]
    if fit.excluded is not None:
        out[fit.excluded] = 0
    return out


def room(tokens: NDArray[np.integer], fit: Fit) -> NDArray[np.integer]:
    """Return the tokens of room that pieces of documents need; padded ones fill sequences.

    0 and less stay as `taken` gives them.
    """
    if fit.packing.policy != "pad":
        return tokens
    return np.where(tokens > 0, -(-tokens // fit.seq_len) * fit.seq_len, tokens)
