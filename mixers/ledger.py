"""What every stage draws of one source, whichever pool it draws from: cursors, lines and counts.

A *line* is pieces of documents that were drawn and are not placed yet, in the order drawn. A
document is *begun* in the stage that places the first tokens of it, and *seen* as often as the
stages on the way to here began it: that is what its cap bounds, over all pools of the source. Only
drawn, it waits in its pool's line without counting, and loses its turn if it meanwhile came to its
cap. What a stage cannot use waits for the next that can.

A stage draws *windows*. Their size depends on the first sequence of each alone and they end with
an epoch, so that what a sequence holds does not depend on how long its stage is.

A child goes on from its first parent's cursors and lines, which are kept for each seed and pool;
seen are the counts of all its ancestors together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.mixers.cursor import MOST_SEEN, Cursor, Turns, draw, draw_limit
from cuvee.mixers.fits import Fit, room, taken
from cuvee.mixers.lines import (
    EMPTY,
    Line,
    Place,
    behind,
    count_again,
    some,
    window_sequences,
)
from cuvee.mixers.pools import Pool, lineage


class Held(NamedTuple):
    """Where a pool stands at the end of a stage."""

    cursor: Cursor
    line: Line


class Rows(NamedTuple):
    """The documents of a source or of a view."""

    rows: NDArray[np.int64] | None  # rows of the source, repeats allowed; None: each once
    whole: bool  # a source, whose max_epochs bound its draws
    max_epochs: float | None = None  # of a view; None: no limit of its own


class Need(NamedTuple):
    """What a stage takes from a pool."""

    pool: str
    seed: int
    sequences: int
    # The position of each of them in the stage, ascending; None: evenly spread. Where a stage has
    # several pools of a source, they draw in the order of their positions.
    positions: NDArray[np.integer] | None = None


@dataclass
class Ledger:
    """The draws of one source on all ways through a plan; stages are taken parents first.

    Memory: 2 bytes a document for each stage that draws, 1 for each that is replayed.
    """

    source: str
    lengths: NDArray[np.integer]  # tokens of each document, integer[n]
    max_epochs: float  # math.inf: no cap
    pools: Mapping[str, Rows]  # of the source and its views
    parents: Mapping[str, Sequence[str]]  # of every stage, by folder
    replayed: Mapping[str, Pool] = field(default_factory=dict)  # pools of what a stage drew or left
    _held: dict[str, dict[tuple[int, str], Held]] = field(default_factory=dict)
    _begun: dict[str, NDArray[np.uint16]] = field(default_factory=dict)
    _placed: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def take(
        self, folder: str, of: str, fit: Fit, needs: Mapping[str, tuple[Need, Place]]
    ) -> dict[str, "Given"]:
        """Draw and place what a stage needs of each pool; where draws run out it gets less.

        `of` is the stage of the recipe that the folder is a phase of.
        """
        seen = self.seen(folder)
        before, ends = seen.copy(), dict(self._state(folder))
        taking = _Taking(fit, taken(self.lengths, fit), seen, self._placed_by(of))
        drawings = [
            _Drawing(self, need, place, taking, ends.get((need.seed, name)))
            for name, (need, place) in needs.items()
        ]
        while waiting := [drawing for drawing in drawings if not drawing.done]:
            min(waiting, key=lambda drawing: drawing.reached).window()
        for drawing in drawings:
            ends[drawing.need.seed, drawing.need.pool] = drawing.close()
        self._held[folder], self._begun[folder] = ends, seen - before
        return {drawing.need.pool: drawing.given for drawing in drawings}

    def end_of(self, folder: str) -> Mapping[tuple[int, str], Held]:
        """Return where the pools stand behind a stage, by seed and pool, those ever drawn."""
        return self._held[folder] if folder in self._held else self._state(folder)

    def seen(self, folder: str) -> NDArray[np.uint16]:
        """Return how often each document was begun before a stage on the ways to it: uint16[n]."""
        seen = np.zeros(len(self.lengths), np.uint16)
        for older in self.ancestors[folder]:
            if older in self._begun:
                seen += np.minimum(self._begun[older], MOST_SEEN - seen)
        return seen

    def begun(self, folder: str) -> NDArray[np.uint16]:
        """Return how often a stage began each document: uint16[n]."""
        held = self._begun.get(folder)
        return np.zeros(len(self.lengths), np.uint16) if held is None else held

    def rows_of(self, pool: str) -> Rows:
        """Return the documents of a pool; those of a replay when its stage is taken."""
        if pool not in self.replayed:
            return self.pools[pool]
        about = self.replayed[pool]
        placed = self._placed.get(about.replay or "")
        if placed is None:
            placed = np.zeros(len(self.lengths), np.bool_)
        if about.seen:
            return Rows(np.flatnonzero(placed), whole=False)
        whole = self.pools[self.source].rows
        rows = np.arange(len(self.lengths)) if whole is None else whole
        return Rows(rows[~placed[rows]], whole=False)

    def limit_of(self, rows: Rows, m: int) -> int | None:
        """Return how many draws a pool of `m` rows allows; None where nothing bounds them."""
        epochs = self.max_epochs if rows.whole else rows.max_epochs
        return None if epochs is None or math.isinf(epochs) else draw_limit(epochs, m)

    def _placed_by(self, of: str) -> NDArray[np.bool_] | None:
        """Return which documents a stage of the recipe placed, None where nothing replays it."""
        if of not in self._placed and any(pool.replay == of for pool in self.replayed.values()):
            self._placed[of] = np.zeros(len(self.lengths), np.bool_)
        return self._placed.get(of)

    @cached_property
    def ancestors(self) -> dict[str, list[str]]:
        """The folders of all stages on the ways to a stage, by its folder."""
        return lineage(self.parents)

    @property
    def cap(self) -> int:
        """How often a document may be seen."""
        return MOST_SEEN + 1 if math.isinf(self.max_epochs) else math.ceil(self.max_epochs)

    def _state(self, folder: str) -> Mapping[tuple[int, str], Held]:
        """Return where every pool stands before a stage: as its first parent ends."""
        for parent in self.parents[folder][:1]:
            return self.end_of(parent)
        return {}


@dataclass
class Given:
    """What a stage got of a pool."""

    sequences: int = 0
    left_out: tuple[int, int] = (0, 0)  # documents that its packing left out, and their tokens


class _Taking(NamedTuple):
    """What the pools of a source share while a stage draws from them."""

    fit: Fit
    tokens: NDArray[np.int32]  # that the stage takes of each document
    seen: NDArray[np.uint16]
    placed: NDArray[np.bool_] | None  # documents that the stage placed, where that is replayed


class _Drawing:
    """One pool while a stage draws from it."""

    def __init__(
        self,
        ledger: Ledger,
        need: Need,
        place: Place,
        taking: _Taking,
        held: Held | None,
    ) -> None:
        rows = ledger.rows_of(need.pool)
        self.need, self.lengths, self.given = need, ledger.lengths, Given()
        self._place, self._fit, self._tokens = place, taking.fit, taking.tokens
        self._placed, self._rooms = taking.placed, room(taking.tokens, taking.fit)
        self._turns = Turns(rows.rows, taking.seen, ledger.cap)
        self._m = len(ledger.lengths) if rows.rows is None else len(rows.rows)
        self._limit = ledger.limit_of(rows, self._m)
        self._cursor = held.cursor if held else Cursor(need.seed, need.pool)
        self._waits, self._line = self._admitted(held.line if held else EMPTY)
        self._ended = self._m == 0

    @property
    def done(self) -> bool:
        """Say whether it has all it needs, or all there is."""
        return self.given.sequences >= self.need.sequences or (
            self._ended and self._room() < self._fit.seq_len
        )

    @property
    def reached(self) -> float:
        """Where in the stage its next sequence is."""
        if self.need.positions is None:
            return self.given.sequences / self.need.sequences
        return float(self.need.positions[self.given.sequences])

    def window(self) -> None:
        """Draw a window and place it; draws may run out first."""
        seq_len = self._fit.seq_len
        size = window_sequences(self.given.sequences, seq_len)
        while True:
            self._draw(size * seq_len - self._room())
            whole = min(size, self._room() // seq_len)
            if whole or self._ended:
                break
        keep = min(whole, self.need.sequences - self.given.sequences)
        if keep:
            self._line, rows = self._place(self._line, whole, keep)
            if self._placed is not None:
                self._placed[rows] = True
            self.given.sequences += keep

    def close(self) -> Held:
        """Return where the pool stands now; documents that were not begun do not count."""
        line, seen = self._line, self._turns.seen
        fresh = (line.start == 0) & (line.length == self._tokens[line.doc_row])
        np.subtract.at(seen, line.doc_row[fresh], 1)
        length = np.where(fresh, self.lengths[line.doc_row], line.length).astype(np.int64)
        return Held(self._cursor, behind(self._waits, line._replace(length=length)))

    def _room(self) -> int:
        """Return the tokens of room that the line needs."""
        return int(room(self._line.length, self._fit).sum())

    def _draw(self, missing: int) -> None:
        """Draw what is missing, or to the end of the epoch."""
        if missing <= 0 or self._ended:
            return
        at, m = self._cursor.draws, self._m
        end = (at // m + 1) * m
        stop = end if self._limit is None else min(end, self._limit)
        drawn = draw(self._cursor, self._rooms, missing, stop, self._turns)
        self._cursor, n = drawn.cursor, len(drawn.doc_row)
        documents, tokens = self.given.left_out
        self.given.left_out = documents + drawn.left_out[0], tokens + drawn.left_out[1]
        # A whole pass that gives nothing: so will the next.
        barren = n == 0 and at % m == 0 and self._cursor.draws == end
        self._ended = barren or self._cursor.draws == self._limit
        length = self._tokens[drawn.doc_row].astype(np.int64)
        fresh = Line(drawn.doc_row, np.zeros(n, np.int64), length, drawn.epoch)
        self._line = behind(self._line, fresh)

    def _admitted(self, line: Line) -> tuple[Line, Line]:
        """Part a line in what waits on and what the stage can use; what is at its cap goes.

        A document that was begun is used where the stage takes it whole.
        """
        tokens, lengths = self._tokens[line.doc_row], self.lengths[line.doc_row]
        fresh = (line.start == 0) & (line.length == lengths)
        usable = np.where(fresh, tokens > 0, tokens == lengths)
        waits = some(line, ~usable)
        used = some(
            line._replace(length=np.where(fresh, tokens, line.length).astype(np.int64)), usable
        )
        seen = count_again(used.doc_row, fresh[usable], self._turns.seen, self._turns.cap)
        return waits, some(used, seen)
