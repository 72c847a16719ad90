"""What every position of a stage reads, streamed: its pool, and the segments of its sequence.

Positions read each pool's sequences in order, so that one pass over the packs of all pools beside
one over the schedule gives every position its segments. Memory: a *chunk* of positions.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

CHUNK = 2**16  # positions that are looked at together
PACK_ROWS = 2**16  # segments that are read at once
# A segment as it is compared and hashed: little-endian, 32 bytes.
SEGMENT = np.dtype([("doc_id", "V16"), ("doc_start", "<i8"), ("length", "<i4"), ("offset", "<i4")])
_COLUMNS = ["ordinal", "offset", "length", "doc_id", "doc_start", "epoch"]


class Reads(NamedTuple):
    """A run of positions: the pool and ordinal that each reads."""

    first: int  # the first of the positions
    pools: NDArray[np.integer]  # numbers among the packs
    ordinals: NDArray[np.int64]


class Chunk(NamedTuple):
    """What some positions read; segments are in the order of positions and offsets."""

    first: int
    pools: NDArray[np.integer]
    ordinals: NDArray[np.int64]
    epochs: NDArray[np.int32]  # of the first segment of each position
    counts: NDArray[np.int64]  # segments of each position
    segments: NDArray[np.void]  # SEGMENT


def scheduled(pools: NDArray[np.integer], size: int) -> Iterator[Reads]:
    """Yield the positions of a schedule, `size` at a time; ordinals count each pool's from 0."""
    seen = np.zeros(int(pools.max(initial=0)) + 1, np.int64)
    for first in range(0, len(pools), size):
        here = pools[first : first + size]
        ordinals = np.empty(len(here), np.int64)
        for pool, where in _by_pool(here):
            ordinals[where] = np.arange(len(where)) + seen[pool]
            seen[pool] += len(where)
        yield Reads(first, here, ordinals)


def planned(plan: Path, names: Sequence[str], size: int, first: int = 0) -> Iterator[Reads]:
    """Yield the positions of a stored plan from `first` on, `size` at a time.

    `names` are the pools, by number; `first` is a multiple of `size`.
    """
    with pq.ParquetFile(plan) as file:
        groups = _groups_from(file, "position", first)
        batches = file.iter_batches(
            size, row_groups=groups, columns=["position", "source", "ordinal"]
        )
        held: list[pa.RecordBatch] = []
        for batch in batches:
            here = batch.column("position").to_numpy() >= first
            held.append(batch.filter(pa.array(here)))
            while sum(len(one) for one in held) >= size:
                table = pa.Table.from_batches(held)
                yield _reads(table.slice(0, size), names)
                held = table.slice(size).to_batches()
        if sum(len(one) for one in held):
            yield _reads(pa.Table.from_batches(held), names)


def chunks(reads: Iterator[Reads], packs: Sequence[Path]) -> Iterator[Chunk]:
    """Yield what positions read; `packs` is where each pool's sequences are, by its number."""
    streams: dict[int, _Sequences] = {}
    for run in reads:
        parts = list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.void]]]()
        for pool, where in _by_pool(run.pools):
            low = int(run.ordinals[where[0]])
            if pool not in streams:
                streams[pool] = _Sequences(packs[pool], low)
            ordinal, epoch, segments = streams[pool].take(low + len(where))
            parts.append((where[ordinal - low], epoch, segments))
        at, epoch, segments = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(at, kind="stable")
        counts = np.bincount(at, minlength=len(run.pools))
        epochs = epoch[order][np.cumsum(counts) - counts]
        yield Chunk(*run, epochs, counts, segments[order])


def _by_pool(pools: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each pool and the places where it is, both ascending."""
    order = np.argsort(pools, kind="stable")  # of 16 bits: by radix, one pass for all pools
    ends = np.cumsum(np.bincount(pools))
    for pool in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
        yield pool, order[ends[pool - 1] if pool else 0 : ends[pool]]


class _Sequences:
    """The segments of one pool's sequences, read in order."""

    def __init__(self, packs: Path, first: int) -> None:
        self._file = pq.ParquetFile(packs)
        groups = _groups_from(self._file, "ordinal", first)
        self._batches = self._file.iter_batches(PACK_ROWS, row_groups=groups, columns=_COLUMNS)
        self._ordinal, self._epoch = np.empty(0, np.int64), np.empty(0, np.int32)
        self._segments = np.empty(0, SEGMENT)
        self._first = first

    def take(self, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.void]]:
        """Return ordinals, epochs and segments of the sequences before `stop` that were not taken.

        What belongs to the last sequence is known only when the next begins.
        """
        held = [(self._ordinal, self._epoch, self._segments)]
        while not len(held[-1][0]) or held[-1][0][-1] < stop:
            batch = next(self._batches, None)
            if batch is None:
                self._file.close()
                break
            held.append(_columns(batch))
        ordinal, epoch, segments = held[0]
        if len(held) > 1:  # most chunks end within what is held: it is not copied for them
            ordinal, epoch, segments = (np.concatenate(part) for part in zip(*held, strict=True))
        low, high = np.searchsorted(ordinal, [self._first, stop])
        self._ordinal, self._epoch, self._segments = ordinal[high:], epoch[high:], segments[high:]
        self._first = stop
        return ordinal[low:high], epoch[low:high], segments[low:high]


def _columns(
    batch: pa.RecordBatch,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.void]]:
    """Return a batch of packs as ordinals, epochs and segments."""
    segments = np.empty(batch.num_rows, SEGMENT)
    ids: Any = batch.column("doc_id")
    data = cast(memoryview, ids.buffers()[1])
    segments["doc_id"] = np.frombuffer(data, "V16")[ids.offset : ids.offset + len(ids)]
    for name in ("doc_start", "length", "offset"):
        segments[name] = batch.column(name).to_numpy()
    return batch.column("ordinal").to_numpy(), batch.column("epoch").to_numpy(), segments


def _reads(rows: pa.Table, names: Sequence[str]) -> Reads:
    """Return rows of a stored plan as what is read there."""
    known: Mapping[str, int] = {name: number for number, name in enumerate(names)}
    source: Any = rows.column("source").cast(pa.string()).combine_chunks().dictionary_encode()
    numbers = np.array([known[name] for name in source.dictionary.to_pylist()], np.int64)
    pools = numbers[source.indices.to_numpy()]
    return Reads(int(rows.column("position")[0].as_py()), pools, rows.column("ordinal").to_numpy())


def _groups_from(file: pq.ParquetFile, name: str, first: int) -> list[int]:
    """Return the row groups of a file that may hold `first` or more of an ascending column."""
    at = file.schema_arrow.get_field_index(name)
    found = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(at).statistics
        last: Any = None if statistics is None else statistics.max
        if last is None or last >= first:
            found.append(group)
    return found
