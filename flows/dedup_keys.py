"""Copies by key, of equal text or equal address: section by section, and the table of duplicates.

A *removal* is a document that goes and the one that stays in its place. Removals are spilled as
array files: the removed ordinals (uint32), both halves of the removed and of the kept ids (uint64
each), similarities (float64); so the tables are written without another look-up.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from cuvee.corpus.dedup_index import matches
from cuvee.corpus.schemas import DUPLICATES
from cuvee.corpus.whole import write_part
from cuvee.filters.buckets import NONE, Rows, first_of_equals
from cuvee.filters.shingles import Hashes
from cuvee.flows.dedup_files import Array, Layout, open_arrays, read_records, save_arrays
from cuvee.flows.dedup_foreign import foreign_ids, foreign_salts, number_of
from cuvee.flows.deduplication import ranks_of, salts_of

Counts = Mapping[str, int]

KEY_KINDS = (np.uint64, np.uint64, np.uint32)
WRITTEN_BYTES = 2**27  # of removals that are sorted at once
REMOVAL_BYTES = 128  # with what sorting takes
FIRST_FOREIGN = -(2**62)  # ranks of earlier documents come before all of this run's


class Keyed(NamedTuple):
    """Records of a section: halves of keys, codes and ranks of documents.

    A code is an ordinal, or the number of documents and an earlier document's number.
    """

    high: Hashes
    low: Hashes
    codes: Rows
    ranks: Rows


def equal_keys(layout: Layout, kind: str, section: int, target: Path) -> Counts:
    """Write the removals among the documents with equal keys of one section.

    Memory is four times the section's records (`Budget.section`).
    """
    high, low, ordinals = read_records(layout.files(kind), section, KEY_KINDS)
    if kind == "exact" and layout.dedup.url is not None:
        alive = remaining(layout)[ordinals]
        high, low, ordinals = high[alive], low[alive], ordinals[alive]
    ranks = ranks_of(layout, "url" if kind == "url" else "main")[ordinals].astype(np.int64)
    keyed = Keyed(high, low, ordinals.astype(np.int64), ranks)
    if layout.earlier is not None:
        keyed = _with_earlier(layout, kind, keyed)
    elif layout.dedup.scope != "all":
        keyed = keyed._replace(high=keyed.high ^ salts_of(layout, ordinals))
    removed, kept = first_of_equals(keyed.high, keyed.low, keyed.ranks)
    own = keyed.codes[removed] < layout.documents
    save_removals(layout, target, keyed.codes[removed[own]], keyed.codes[kept[own]], None)
    return {"docs": len(ordinals), "duplicates": int(own.sum())}


def _with_earlier(layout: Layout, kind: str, keyed: Keyed) -> Keyed:
    """Add the earlier documents that have one of the keys, and tell scopes apart."""
    assert layout.earlier is not None  # the caller's condition
    order = np.lexsort((keyed.low, keyed.high))
    high, low = keyed.high[order], keyed.low[order]
    found = matches(layout.earlier, kind, np.stack([high, low], axis=1))
    numbers = number_of(layout, found.entry, found.doc)
    _, once = np.unique(numbers, return_index=True)  # many documents may ask for one
    high, low, numbers = high[found.row[once]], low[found.row[once]], numbers[once]
    own_high = keyed.high
    if layout.dedup.scope != "all":
        own_high = own_high ^ salts_of(layout, keyed.codes.astype(np.uint32))
        high = high ^ foreign_salts(layout, numbers)
    return Keyed(
        np.concatenate([own_high, high]),
        np.concatenate([keyed.low, low]),
        np.concatenate([keyed.codes, numbers + layout.documents]),
        np.concatenate([keyed.ranks, numbers + FIRST_FOREIGN]),
    )


def save_removals(
    layout: Layout, target: Path, removed: Rows, kept: Rows, similarity: Array | None
) -> None:
    """Write removals by the codes of documents; without similarities they are 1."""
    if similarity is None:
        similarity = np.ones(len(removed))
    ids = (*ids_of(layout, removed), *ids_of(layout, kept))
    save_arrays(target, [removed.astype(np.uint32), *ids, similarity])


def ids_of(layout: Layout, codes: Rows) -> tuple[Hashes, Hashes]:
    """Look up both halves of documents' ids by code."""
    high, low = open_arrays(layout.file("all", "ids"))
    own = codes < layout.documents
    if own.all():
        return high[codes], low[codes]
    found = np.empty((2, len(codes)), np.uint64)
    found[:, own] = high[codes[own]], low[codes[own]]
    found[:, ~own] = foreign_ids(layout, codes[~own] - layout.documents)
    return found[0], found[1]


def mark_remaining(layout: Layout, removals: Sequence[Path], target: Path) -> Counts:
    """Write which documents are survivors and not removed so far, bool by ordinal."""
    alive = ranks_of(layout, "main") != NONE
    for path in removals:
        alive[open_arrays(path)[0]] = False
    save_arrays(target, [alive])
    return {"docs": int(alive.sum())}


def remaining(layout: Layout, after: str = "url") -> Array:
    """Return which documents are left after the copies of a kind are removed."""
    return open_arrays(layout.file("all", f"after_{after}"))[0]


def write_duplicates(kind: str, removals: Sequence[Path], target: Path) -> Counts:
    """Write the table of duplicates of one kind by document, whole, and count it.

    The rows are sorted in as many passes over the spilled removals as keep one in `WRITTEN_BYTES`.
    """
    total = sum(len(open_arrays(path)[0]) for path in removals)
    passes = 1
    while total * REMOVAL_BYTES > passes * WRITTEN_BYTES:
        passes *= 2
    return {"duplicates": write_part(target, DUPLICATES, _sorted(kind, removals, passes))}


def _sorted(kind: str, removals: Sequence[Path], passes: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the table in the order of their ids."""
    shift = np.uint64(64 - (passes.bit_length() - 1))
    for n in range(passes):
        held: list[list[Array]] = []
        for path in removals:
            columns = open_arrays(path)[1:]
            here = columns[0] >> shift == n if passes > 1 else np.ones(len(columns[0]), bool)
            held.append([column[here] for column in columns])
        if not held:
            return
        high, low, kept_high, kept_low, similarity = map(np.concatenate, zip(*held, strict=True))
        order = np.lexsort((low, high))
        yield pa.record_batch(
            [
                _ids(high[order], low[order]),
                _ids(kept_high[order], kept_low[order]),
                pa.array([kind]).take(np.zeros(len(order), np.int64)),
                pa.array(similarity[order]),
            ],
            schema=DUPLICATES,
        )


def _ids(high: Hashes, low: Hashes) -> pa.FixedSizeBinaryArray:
    """Join halves to ids of 16 bytes."""
    data = np.stack([high, low], axis=1).astype(">u8").tobytes()
    found = pa.Array.from_buffers(pa.binary(16), len(high), [None, pa.py_buffer(data)])
    assert isinstance(found, pa.FixedSizeBinaryArray)  # the type that was asked for
    return found
