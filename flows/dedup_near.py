"""Near-duplicates: the shingle sets of candidates by group, and who is removed of a group.

A *group* is a whole number of components (`filters.buckets`) whose shingle sets and memberships are
held at once (`Budget.group`); a component that is larger is alone in its group, and its sets lie in
a memory-mapped file that is let go of again and again, so that only what a block of documents is
compared with is resident: what is not bounded then is 41 bytes a document and 64 a membership of
that component.
"""

import mmap
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cuvee.corpus.whole import whole
from cuvee.filters.buckets import NONE, Buckets, Ordinals, Rows, distinct
from cuvee.filters.dedup import Removals, Rule, resolve_minhash
from cuvee.filters.shingles import Hashes, Offsets, copy_sets, shingle_sets
from cuvee.flows.dedup_files import Layout, nameless, open_arrays, save_arrays
from cuvee.flows.dedup_foreign import foreign_sets
from cuvee.flows.dedup_keys import save_removals
from cuvee.flows.dedup_spread import near_of, units_of
from cuvee.flows.deduplication import ranks_of
from cuvee.flows.partfiles import document_groups, texts_of

Counts = Mapping[str, int]

FOREIGN = "foreign"  # the name of the earlier documents, where parts have theirs


class Sets(NamedTuple):
    """Shingle sets by rank, and the codes of their documents; the first `foreign` never go."""

    codes: Rows
    offsets: Offsets
    hashes: Hashes
    foreign: int


def shingle_part(layout: Layout, number: int) -> Counts:
    """Write the shingle sets of a part's candidates: the sets, and where those of a group are.

    Memory is that of one row group of text and its shingles, about 32 and 45 MB.
    """
    part, first = layout.parts[number], layout.starts[number]
    documents = layout.job.table("documents", part)
    groups, count, _ = open_arrays(layout.file("all", "groups"))

    def blocks() -> Iterator[tuple[Rows, Offsets, Hashes]]:
        at = first
        for table in document_groups(documents, ["text"]):
            ordinals = at + np.flatnonzero(groups[at : at + table.num_rows] != NONE)
            texts = texts_of(table).take(ordinals - at)
            at += table.num_rows
            yield ordinals, *shingle_sets(texts, near_of(layout).ngram)

    if not (groups[first : layout.starts[number + 1]] != NONE).any():
        return _write_sets(layout, str(part), groups, int(count[0]), iter(()))
    return _write_sets(layout, str(part), groups, int(count[0]), blocks())


def shingle_foreign(layout: Layout) -> Counts:
    """Write the shingle sets of the earlier documents that are met, as those of a part."""
    groups, count, met = open_arrays(layout.file("all", "groups"))
    blocks = (
        (layout.documents + rows, offsets, hashes)
        for rows, offsets, hashes in foreign_sets(layout, met, near_of(layout).ngram)
    )
    return _write_sets(layout, FOREIGN, groups, int(count[0]), blocks)


def _write_sets(
    layout: Layout,
    name: str,
    groups: Ordinals,
    count: int,
    blocks: Iterator[tuple[Rows, Offsets, Hashes]],
) -> Counts:
    """Write blocks of (codes, offsets, hashes), each by group, and the index of all."""
    index, written = [np.empty((3, 0), np.int64)], 0
    with whole(layout.file("sets", name), lasting=False) as temporary, temporary.open("wb") as file:
        for codes, offsets, hashes in blocks:
            order = np.argsort(groups[codes], kind="stable")
            sizes = np.diff(offsets)[order]
            at = np.cumsum(sizes) - sizes
            ordered = np.empty(len(hashes), np.uint64)
            copy_sets(hashes, offsets[:-1][order], sizes, ordered, at)
            file.write(ordered.data.cast("B") if len(ordered) else b"")
            index.append(np.stack([codes[order], written + at, sizes]))
            written += len(hashes)
    codes, starts, sizes = np.concatenate(index, axis=1)
    order = np.argsort(groups[codes], kind="stable")
    bounds = np.searchsorted(groups[codes][order], np.arange(count + 1))
    save_arrays(layout.file("places", name), [bounds, *(c[order] for c in (codes, starts, sizes))])
    return {"docs": len(codes), "shingles": written}


def resolve_group(layout: Layout, group: int) -> Counts:
    """Write the removals of one group."""
    near = near_of(layout)
    sets, let_go = _read_sets(layout, group)
    buckets = distinct(_read_buckets(layout, group, sets.codes))
    rule = Rule(near.verify, near.measure == "containment", foreign=sets.foreign)
    found = resolve_minhash(buckets, (sets.offsets, sets.hashes), rule, let_go)
    target = layout.file("removed_minhash", group)
    removed, kept = sets.codes[found.removed], _in_index(layout, sets.codes[found.kept])
    save_removals(layout, target, removed, kept, found.similarity)
    return _counts(found, sets)


def _in_index(layout: Layout, codes: Rows) -> Rows:
    """Return codes with the numbers of earlier documents, which were counted as they were met."""
    met = open_arrays(layout.file("all", "groups"))[2]
    earlier = codes >= layout.documents
    codes = codes.copy()
    codes[earlier] = layout.documents + met[codes[earlier] - layout.documents]
    return codes


def _counts(found: Removals, sets: Sets) -> Counts:
    """Say what a group was and what it took."""
    return {
        "candidates": len(sets.codes) - sets.foreign,
        "duplicates": len(found.removed),
        "comparisons": found.comparisons,
        "cut_short": found.cut_short,
    }


def _read_sets(layout: Layout, group: int) -> tuple[Sets, Callable[[], None] | None]:
    """Gather the shingle sets of a group by rank, and how to let go of them if they are large."""
    names = [str(part) for part in layout.parts] + [FOREIGN] * (layout.earlier is not None)
    places = []
    for name in names:
        bounds, *columns = open_arrays(layout.file("places", name))
        places.append([column[bounds[group] : bounds[group + 1]] for column in columns])
    codes, sizes = (np.concatenate([place[k] for place in places]) for k in (0, 2))
    foreign = codes >= layout.documents
    ranks = np.where(foreign, codes, 0)
    ranks[~foreign] = ranks_of(layout, "main")[codes[~foreign]]
    order = np.lexsort((ranks, ~foreign))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[order])])
    at = np.empty(len(codes), np.int64)
    at[order] = offsets[:-1]
    hashes, let_go = _room(layout, group, int(offsets[-1]))
    done = 0
    for name, (_, starts, lengths) in zip(names, places, strict=True):
        if len(starts):
            spilled = np.memmap(layout.file("sets", name), np.uint64, "c")
            copy_sets(spilled, starts, lengths, hashes, at[done : done + len(starts)])
            done += len(starts)
        if let_go is not None:
            let_go()
    return Sets(codes[order], offsets, hashes, int(foreign.sum())), let_go


def _room(layout: Layout, group: int, n: int) -> tuple[Hashes, Callable[[], None] | None]:
    """Make room for hashes: in memory, or in a file when they are more than the budget."""
    if 8 * n <= layout.budget.group:
        return np.empty(n, np.uint64), None
    mapped = nameless(layout.file("removed_minhash", group), 8 * n)

    def let_go() -> None:
        mapped.madvise(mmap.MADV_DONTNEED)

    return np.frombuffer(mapped, np.uint64), let_go


def _read_buckets(layout: Layout, group: int, codes: Rows) -> Buckets:
    """Read the buckets of a group; members are the places of documents in `codes`."""
    starts, members = [np.zeros(1, np.int64)], [np.empty(0, np.uint32)]
    total = 0
    for unit in range(len(units_of(layout))):
        bounds, all_starts, all_members = open_arrays(layout.file("grouped", unit))
        here = all_starts[bounds[group] : bounds[group + 1] + 1]
        members.append(all_members[here[0] : here[-1]])
        starts.append(here[1:] - here[0] + total)
        total += int(here[-1] - here[0])
    by_code = np.argsort(codes)
    at = np.searchsorted(codes[by_code], np.concatenate(members))
    return Buckets(np.concatenate(starts), by_code[at])
