"""The hash chain of a stage's plan: proof that a part that was read is still what it was.

A *link* is the sha256 of the link before it, 32 zero bytes for the first, and of what one step
reads: the first 8 bytes of the sha256 of each position's pool name, the number of segments of each
(4 bytes, little-endian), and every segment as 32 bytes (`positions.SEGMENT`): document, first token
in it, length, first slot. A *mark* is every `EVERY`th link, as is kept in a plan's chain.json; the
*head* is the last link. Two plans with the same link after a step read the same up to there.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cuvee.flows.job import require
from cuvee.flows.positions import CHUNK, Chunk, chunks, planned

EVERY = 256  # steps between marks
START = bytes(32)


@dataclass
class Chain:
    """The links of a stage, made step by step."""

    names: Sequence[str]  # of the pools, by number
    batch: int  # positions of a step
    link: bytes = START
    steps: int = 0
    marks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the pools' tags."""
        heads = [hashlib.sha256(name.encode()).digest()[:8] for name in self.names]
        self._tags = np.frombuffer(b"".join(heads), "<u8")

    def add(self, chunk: Chunk) -> None:
        """Go on over the steps of a chunk, which holds whole steps."""
        tags, counts = self._tags[chunk.pools], chunk.counts.astype("<u4")
        ends = np.append(0, np.cumsum(chunk.counts))
        for low in range(0, len(tags), self.batch):
            high = low + self.batch
            made = hashlib.sha256(self.link)
            made.update(tags[low:high].tobytes())
            made.update(counts[low:high].tobytes())
            made.update(chunk.segments[ends[low] : ends[min(high, len(tags))]].tobytes())
            self.link = made.digest()
            self.steps += 1
            if self.steps % EVERY == 0:
                self.marks.append(self.link.hex())

    def stored(self, seq_len: int) -> dict[str, Any]:
        """Return what is kept of the chain."""
        return {
            "algorithm": "sha256 of link and step, version 1",
            "steps": self.steps,
            "batch_sequences": self.batch,
            "seq_len": seq_len,
            "every": EVERY,
            "marks": self.marks,
            "head": self.link.hex(),
        }


@dataclass(frozen=True)
class StoredPlan:
    """A stage's plan where it lies: the table of positions, its chain, the packs of its pools."""

    plan: Path
    chain: Path
    packs: Path  # a folder

    def read(self) -> dict[str, Any]:
        """Return what is kept of the chain."""
        require(self.chain, "The plan", "cuvee build RECIPE --out RUN")
        held: dict[str, Any] = json.loads(self.chain.read_text())
        return held

    @property
    def names(self) -> list[str]:
        """The pools of the stage."""
        return sorted(path.stem for path in self.packs.glob("*.parquet"))

    def rows(self, first_step: int = 0) -> Iterator[Chunk]:
        """Yield what the positions read from a step on, whole steps at a time."""
        batch = int(self.read()["batch_sequences"])
        names = self.names
        reads = planned(self.plan, names, steps_of_chunk(batch) * batch, first_step * batch)
        return chunks(reads, [self.packs / f"{name}.parquet" for name in names])


def steps_of_chunk(batch: int) -> int:
    """Return how many steps are looked at together; it divides `EVERY`, or is a multiple of it.

    Marks then lie between chunks or inside, and a plan is read from any mark on.
    """
    steps = EVERY
    while steps > 1 and steps * batch > CHUNK:
        steps //= 2
    return steps


def stored_plan(run: Path, folder: str) -> StoredPlan:
    """Return where the plan of a stage lies in a run."""
    plan = run / "plan"
    return StoredPlan(
        plan / f"{folder}.parquet", plan / f"{folder}.chain.json", run / "packs" / folder
    )


def first_difference(run_a: Path, run_b: Path, stage: str) -> int | None:
    """Return the first position of a stage (its folder's name) at which two runs differ.

    None where they do not. They differ where a position is in another step, reads another pool or
    other segments, or is there in one of them alone.
    """
    return difference(stored_plan(run_a, stage), stored_plan(run_b, stage))


def difference(a: StoredPlan, b: StoredPlan) -> int | None:
    """Return the first position at which two plans differ, None where they do not."""
    chain_a, chain_b = a.read(), b.read()
    if chain_a["seq_len"] != chain_b["seq_len"]:
        return 0
    if chain_a["head"] == chain_b["head"] and chain_a["steps"] == chain_b["steps"]:
        return None
    batch = int(chain_a["batch_sequences"])
    if batch != chain_b["batch_sequences"]:
        return min(batch, int(chain_b["batch_sequences"]), *_sequences(a, b))
    marks = zip(chain_a["marks"], chain_b["marks"], strict=False)
    same = next((n for n, (mine, theirs) in enumerate(marks) if mine != theirs), None)
    if same is None:
        same = min(len(chain_a["marks"]), len(chain_b["marks"]))
    from_step = same * EVERY
    end = from_step * batch
    for one, other in zip_longest(a.rows(from_step), b.rows(from_step)):
        if one is None or other is None:
            return end
        here = _differing((a.names, one), (b.names, other))
        if here is not None:
            return int(one.first) + here
        end = int(one.first) + len(one.pools)
    return None


def link_after(plan: StoredPlan, step: int) -> str:
    """Return the link after so many steps, in hex; `step` is at most the plan's steps."""
    held = plan.read()
    if step == held["steps"]:
        return str(held["head"])
    mark = step // EVERY
    start = bytes.fromhex(held["marks"][mark - 1]) if mark else START
    chain = Chain(plan.names, int(held["batch_sequences"]), start, mark * EVERY)
    if chain.steps < step:
        for chunk in plan.rows(chain.steps):
            chain.add(head(chunk, (step - chain.steps) * chain.batch))
            if chain.steps >= step:
                break
    return chain.link.hex()


def head(chunk: Chunk, positions: int) -> Chunk:
    """Return the first positions of a chunk."""
    if positions >= len(chunk.pools):
        return chunk
    return Chunk(
        chunk.first,
        chunk.pools[:positions],
        chunk.ordinals[:positions],
        chunk.epochs[:positions],
        chunk.counts[:positions],
        chunk.segments[: int(chunk.counts[:positions].sum())],
    )


def _differing(one: tuple[Sequence[str], Chunk], other: tuple[Sequence[str], Chunk]) -> int | None:
    """Return the first place at which two chunks that begin alike differ, None where none does."""
    (names_a, a), (names_b, b) = one, other
    both = min(len(a.pools), len(b.pools))
    pools = np.array(names_a)[a.pools[:both]] != np.array(names_b)[b.pools[:both]]
    counts = a.counts[:both] != b.counts[:both]
    whole = int(np.argmax(np.append(pools | counts, True)))
    rows = int(a.counts[:whole].sum())
    differ = a.segments[:rows] != b.segments[:rows]
    if differ.any():
        row = int(np.argmax(differ))
        return int(np.searchsorted(np.cumsum(a.counts[:whole]), row, side="right"))
    return None if whole == len(a.pools) == len(b.pools) else whole


def _sequences(*plans: StoredPlan) -> list[int]:
    """Return how many positions plans have."""
    return [pq.ParquetFile(plan.plan).metadata.num_rows for plan in plans]
