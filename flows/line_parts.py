"""Which lines repeat over a whole corpus, and where they stand: the work of the units.

The keys of every part are *spilled*, sorted, below RUN/scratch; then one *range* of keys after the
other is counted over all parts; then every part looks its own keys up in what was found. A spill is
an .npy of uint64 [2, keys]: the keys in order, and how often each occurs in the part. A *number* is
a document's place among the survivors of the sources that are asked, in the recipe's order; a
*bucket* is `per` of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.corpus.schemas import CUTS
from cuvee.corpus.whole import part_writer, whole
from cuvee.filters.line_keys import Lines, again, found, lines_of, reach_back
from cuvee.flows.partfiles import document_groups, texts_of

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
RANGE_KEYS = 2**22  # keys of all parts that are counted at once: 200 MB


@dataclass(frozen=True)
class LinePart:
    """A part whose lines are looked at, and how."""

    documents: Path
    verdicts: Path  # what is kept so far
    first: int  # number of its first survivor
    per: int  # documents a bucket
    min_words: int  # of a line that is looked at
    exact: bool  # which key it gets

    def groups(self) -> Iterator["_Group"]:
        """Yield the lines of survivors, a row group at a time."""
        kept = pq.read_table(self.verdicts, columns=["kept"]).column("kept").to_numpy()
        start, number = 0, self.first
        for table in document_groups(self.documents, ["doc_id", "text"]):
            rows = np.flatnonzero(kept[start : start + table.num_rows])
            lines = lines_of(texts_of(table).take(rows), self.exact)
            long = lines.words >= self.min_words
            doc, start_, end, key, words = lines
            lines = Lines(doc[long], start_[long], end[long], key[long], words[long])
            yield _Group(start + rows[lines.doc], (number + lines.doc) // self.per, lines)
            start += table.num_rows
            number += len(rows)


class _Group(NamedTuple):
    """Lines, with the row in the part and the bucket of each."""

    row: I64
    bucket: I64
    lines: Lines


def spill_part(part: LinePart, targets: Mapping[int, Path]) -> Mapping[str, int]:
    """Write the keys of a part's lines and how often each occurs, a file a bucket.

    Memory: a row group and 50 bytes a line of the part. 168 MB/s folded, 116 MB/s exact.
    """
    spilled: dict[int, list[U64]] = {bucket: [np.empty((2, 0), np.uint64)] for bucket in targets}
    lines = 0
    for group in part.groups():
        lines += len(group.row)
        for bucket in targets:
            keys, times = np.unique(group.lines.key[group.bucket == bucket], return_counts=True)
            spilled[bucket].append(np.stack([keys, times.astype(np.uint64)]))
    for bucket, target in targets.items():
        _save(target, np.stack(_summed(np.concatenate(spilled[bucket], axis=1))))
    return {"lines": lines}


def count_lines(
    spills: Sequence[Path], keys: tuple[int, int], most: int, target: Path
) -> Mapping[str, int]:
    """Write the keys, in order, that occur more than `most` times in the spills of a bucket."""
    slices = [_slice(spill, keys) for spill in spills]
    key, times = _summed(np.concatenate(slices, axis=1))
    repeated = key[times > most]
    _save(target, repeated)
    return {"keys": len(key), "repeated": len(repeated)}


def count_paragraphs(
    spills: Sequence[Path], keys: tuple[int, int], target: Path
) -> Mapping[str, int]:
    """Write for every spill the keys that an earlier one has.

    uint64 [spills + 1 + keys]: where each spill's keys start in this very array, and its end.
    """
    slices = [_slice(spill, keys)[0] for spill in spills]
    numbers = np.repeat(np.arange(len(slices)), [len(own) for own in slices])
    key = np.concatenate(slices)
    order = np.argsort(key, kind="stable")  # of equal keys the earliest spill comes first
    key, numbers = key[order], numbers[order]
    later = np.zeros(len(key), np.bool_)
    later[1:] = key[1:] == key[:-1]
    seen, by = key[later], numbers[later]
    starts = np.concatenate([[0], np.cumsum(np.bincount(by, minlength=len(slices)))])
    starts = (starts + len(starts)).astype(np.uint64)
    _save(target, np.concatenate([starts, seen[np.argsort(by, kind="stable")]]))
    return {"keys": len(key), "repeated": len(seen)}


def cut_lines_of(
    part: LinePart,
    spills: Mapping[int, Path],
    repeated: Mapping[int, Sequence[Path]],
    target: Path,
) -> Mapping[str, int]:
    """Write a cut for every line of a part whose key is repeated in its bucket."""
    among = {}
    for bucket, files in repeated.items():
        own = np.load(spills[bucket])[0]
        found_in = [own[found(own, np.load(file, mmap_mode="r"))] for file in files]
        among[bucket] = np.sort(np.concatenate(found_in))

    def cut(group: _Group) -> NDArray[np.bool_]:
        hit = np.zeros(len(group.row), np.bool_)
        for bucket, keys in among.items():
            hit |= (group.bucket == bucket) & found(group.lines.key, keys)
        return hit

    return _write(part, cut, ("lines", "repeated_line"), target)


def cut_paragraphs_of(
    part: LinePart, spill: Path, number: int, earlier: Sequence[Path], target: Path
) -> Mapping[str, int]:
    """Write a cut for every paragraph of part `number` that an earlier part or line has."""
    own = np.load(spill)[0]
    seen = np.zeros(len(own), np.bool_)
    for file in earlier:
        seen[np.searchsorted(own, _seen_before(file, number))] = True

    def cut(group: _Group) -> NDArray[np.bool_]:
        return again(np.searchsorted(own, group.lines.key), seen)

    return _write(part, cut, ("paragraphs", "repeated_paragraph"), target)


def _write(
    part: LinePart,
    cut: Callable[[_Group], NDArray[np.bool_]],
    name: tuple[str, str],
    target: Path,
) -> Mapping[str, int]:
    """Write the cuts of a part: step and reason `name`, for the lines that `cut` says."""
    step, reason = name
    counts = {"lines": 0, "cut": 0}
    with part_writer(target, CUTS) as writer:
        for group in part.groups():
            hit = cut(group)
            rows, row = int(hit.sum()), group.row[hit]
            start, end = group.lines.start[hit], group.lines.end[hit]
            reach_back(row, start, end)
            columns: list[pa.Array[Any]] = [
                pa.array(row),
                pa.array(start),
                pa.array(end),
                pa.repeat(pa.scalar(step), rows),
                pa.repeat(pa.scalar(reason), rows),
                pa.nulls(rows, pa.string()),
            ]
            writer.write(pa.RecordBatch.from_arrays(columns, schema=CUTS))
            counts["lines"] += len(group.row)
            counts["cut"] += rows
    return counts


def _summed(spilled: U64) -> tuple[U64, U64]:
    """Return the different keys, in order, and how often each occurs in all."""
    if not spilled.shape[1]:
        return spilled[0], spilled[1]
    order = np.argsort(spilled[0], kind="stable")
    keys, times = spilled[0][order], spilled[1][order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(times, first)


def _slice(spill: Path, keys: tuple[int, int]) -> U64:
    """Return the part of a spill whose keys are in a range, the last included."""
    mapped = np.load(spill, mmap_mode="r")
    start = np.searchsorted(mapped[0], np.uint64(keys[0]), side="left")
    end = np.searchsorted(mapped[0], np.uint64(keys[1]), side="right")
    return np.array(mapped[:, start:end])


def _seen_before(file: Path, number: int) -> U64:
    """Return what `count_paragraphs` found of one spill."""
    mapped = np.load(file, mmap_mode="r")
    return np.array(mapped[int(mapped[number]) : int(mapped[number + 1])])


def _save(target: Path, array: U64) -> None:
    """Write an array, whole."""
    with whole(target) as temporary, temporary.open("wb") as file:
        np.save(file, array)
