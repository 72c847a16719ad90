"""Check that a mixture held at every prefix of a stage.

A *piece* is a run of positions with the same weights. After t sequences of it, a source of weight w
(out of 2**32) there is due w * t / 2**32 more of them than before. The mixture *holds* when each
source's count lies between the floor and the ceiling of what it is due, at every prefix, which is
the same as a *deviation*, count less due, strictly between -1 and 1; and when no source is drawn
where its weight is 0. All arithmetic is on integers, so the answer is exact; positions up to 2**31
are taken.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from cuvee.handoff.manifest import WEIGHT_UNIT

# Positions looked at together: w * BLOCK must fit int64, and memory is a few BLOCK x 8 bytes.
BLOCK = 1 << 16
NEVER = 1 << 62  # beyond every position


class PrefixQuota:
    """Deviations of every source over the prefixes seen so far.

    pieces: the sequences of each piece. weights_q32: per source, a weight for each piece, out of
    2**32. `counts` int64 [sources] are the sequences
    drawn; `broken` is the first (position, source id) at which the mixture did not hold, or None.
    """

    def __init__(self, pieces: Sequence[int], weights_q32: Sequence[Sequence[int]]) -> None:
        self._ends = [*accumulate(pieces[:-1]), NEVER]
        self._weights = [list(weights) for weights in weights_q32]
        self._due = [0] * len(self._weights)
        self._worst = [0] * len(self._weights)
        self._seen = 0
        self.counts = np.zeros(len(self._weights), np.int64)
        self.broken: tuple[int, int] | None = None

    def add(self, source_ids: npt.NDArray[np.integer]) -> None:
        """Go on with the sources of the next positions, int [n]."""
        start = 0
        while start < len(source_ids):
            piece = bisect_right(self._ends, self._seen)
            stop = min(start + BLOCK, start + self._ends[piece] - self._seen)
            self._add_block(source_ids[start:stop], piece)
            start = stop

    def max_deviation(self, source: int) -> float:
        """Return the largest |count - due| of a source over all prefixes, in sequences."""
        return self._worst[source] / WEIGHT_UNIT

    def _add_block(self, ids: npt.NDArray[np.integer], piece: int) -> None:
        """Follow every source through a part of a piece; deviations are in units of 1 / 2**32."""
        ticks = np.arange(1, len(ids) + 1, dtype=np.int64)
        for source, weights in enumerate(self._weights):
            before = int(self.counts[source]) * WEIGHT_UNIT - self._due[source]
            drawn = np.cumsum(ids == source, dtype=np.int64)
            deviation = np.abs(before + drawn * WEIGHT_UNIT - weights[piece] * ticks)
            worst = int(deviation.max())
            self._worst[source] = max(self._worst[source], worst)
            if worst >= WEIGHT_UNIT:
                self._note_break(self._seen + int((deviation >= WEIGHT_UNIT).argmax()), source)
            if weights[piece] == 0 and drawn[-1]:
                self._note_break(self._seen + int(drawn.argmax()), source)
            self.counts[source] += drawn[-1]
            self._due[source] += weights[piece] * len(ids)
        self._seen += len(ids)

    def _note_break(self, position: int, source: int) -> None:
        """Keep the earliest break."""
        if self.broken is None or position < self.broken[0]:
            self.broken = (position, source)
