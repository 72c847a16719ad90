"""What a source can give, measured: the draws of all stages are made on lengths, without packing.

A stage's demand is met when what it drew holds the tokens that it asks for. Packing then finds them
too: it fills at least as many sequences as the tokens would without a gap, and what it leaves waits
in line. Only where pools of one source overlap and documents come to their caps may packing, which
begins other documents of a window first, find a few less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cuvee.mixers.fits import Fit, room
from cuvee.mixers.ledger import Ledger, Need, Rows
from cuvee.mixers.lines import Line, Place
from cuvee.mixers.pools import UNSEEN, Demand, Pool, replay_pool


@dataclass(frozen=True, eq=False)
class MeasuredSupply:
    """One source, its documents known; `fits` says of every folder which of them it can use.

    `give` takes about 100 ns a draw and 2 bytes a document for each stage that draws.
    """

    source: str
    max_epochs: float
    lengths: NDArray[np.integer]  # tokens of each document, integer[n], each above 0
    pools: Mapping[str, Rows]  # of the source and its views
    fits: Mapping[str, Fit]

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Tokens of the source and of each view, each document as often as a pass has it."""
        return {name: self._tokens(rows) for name, rows in self.pools.items()}

    @cached_property
    def documents(self) -> Mapping[str, int]:
        """Documents of the source and of each view, each as often as a pass has it."""
        n = len(self.lengths)
        return {
            name: n if held.rows is None else len(held.rows) for name, held in self.pools.items()
        }

    def give(self, demands: Sequence[Demand], max_epochs: float | None = None) -> NDArray[np.int64]:
        """Return the tokens that it can give to each demand, as `cuvee.mixers.pools.Supply` says.

        Where a stage lacks tokens, those that it gets are whole sequences.
        """
        ledger = Ledger(
            self.source,
            self.lengths,
            self.max_epochs if max_epochs is None else max_epochs,
            self.pools,
            {demand.stage: demand.parents for demand in demands},
            self._replayed(demands),
        )
        given: dict[tuple[str, str], int] = {}
        for folder, here in groupby(demands, key=lambda demand: demand.stage):
            fit, held = self.fits[folder], [demand for demand in here if demand.tokens]
            if not held:
                continue
            needs = {demand.pool: (_need(demand, fit), _from_head(fit)) for demand in held}
            got = ledger.take(folder, held[0].of, fit, needs)
            given |= {(folder, pool): one.sequences * fit.seq_len for pool, one in got.items()}
        found = [min(d.tokens, given.get((d.stage, d.pool), 0)) for d in demands]
        return np.array(found, np.int64)

    def _tokens(self, held: Rows) -> int:
        """Return the tokens of a pool's rows."""
        lengths = self.lengths if held.rows is None else self.lengths[held.rows]
        return int(lengths.sum(dtype=np.int64))

    def _replayed(self, demands: Sequence[Demand]) -> dict[str, Pool]:
        """Return the pools of what stages drew or left, among those demanded."""
        stages = {demand.of for demand in demands}
        found = {}
        for name in {demand.pool for demand in demands} - self.pools.keys():
            stage = name.removeprefix(f"{self.source}@")
            seen = stage in stages or not stage.startswith(UNSEEN)
            found[name] = replay_pool(self.source, stage.removeprefix("" if seen else UNSEEN), seen)
        return found


def _need(demand: Demand, fit: Fit) -> Need:
    """Return a demand in whole sequences."""
    return Need(demand.pool, demand.seed, -(-demand.tokens // fit.seq_len))


def _from_head(fit: Fit) -> Place:
    """Return how to place pieces as they come, without gaps."""

    def place(line: Line, _: int, keep: int) -> tuple[Line, NDArray[np.int64]]:
        return from_head(line, keep * fit.seq_len, fit)

    return place


def from_head(line: Line, budget: int, fit: Fit) -> tuple[Line, NDArray[np.int64]]:
    """Take `budget` tokens of room from the head of a line; return the rest, and the rows taken."""
    ends = np.cumsum(room(line.length, fit))
    whole = int(np.searchsorted(ends, budget, side="right"))
    used = budget - (int(ends[whole - 1]) if whole else 0)
    rest = Line(line.doc_row[whole:], line.start[whole:], line.length[whole:], line.epoch[whole:])
    if used and len(rest.doc_row):
        start, length = rest.start.copy(), rest.length.copy()
        start[0] += used
        length[0] -= used
        return rest._replace(start=start, length=length), line.doc_row[: whole + 1]
    return rest, line.doc_row[:whole]
