"""Documents that earlier runs kept, as deduplication meets them: by number.

The *number* of an earlier document counts through all entries of the index that are asked, so an
earlier one is lower. They rank before all documents of the run, in this order, and are never
removed; their texts are read only where a document of the run shares a bucket with them.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cuvee.corpus.dedup_index import Earlier, locate
from cuvee.filters.buckets import Rows
from cuvee.filters.shingles import Hashes, Offsets, shingle_sets
from cuvee.flows.dedup_files import Layout, halves
from cuvee.flows.dedup_spread import salt, scope_of
from cuvee.flows.index_texts import kept_texts


def number_of(layout: Layout, entry: Rows, doc: Rows) -> Rows:
    """Count documents through all entries, by their entries and numbers there."""
    return _starts(_asked(layout))[entry] + doc


def foreign_ids(layout: Layout, numbers: Rows) -> NDArray[np.uint64]:
    """Look up both halves of ids, uint64 [2, n]."""
    asked = _asked(layout)
    found = np.empty((2, len(numbers)), np.uint64)
    for at, entry, docs in _by_entry(asked, numbers):
        found[:, at] = halves(locate(asked, entry, docs)["doc_id"])
    return found


def foreign_sizes(layout: Layout, numbers: Rows) -> NDArray[np.uint32]:
    """Look up how many shingles documents have."""
    asked = _asked(layout)
    found = np.zeros(len(numbers), np.uint32)
    for at, entry, docs in _by_entry(asked, numbers):
        sizes = locate(asked, entry, docs)["n_shingles"].to_pylist()
        found[at] = [size or 0 for size in sizes]
    return found


def foreign_salts(layout: Layout, numbers: Rows) -> Hashes:
    """Return what tells the keys of documents' scopes, by their sources, from those of others."""
    asked = _asked(layout)
    found = np.zeros(len(numbers), np.uint64)
    for at, entry, docs in _by_entry(asked, numbers):
        parts = locate(asked, entry, docs)["part"].to_pylist()
        sources = [str(part).rpartition("/")[0] for part in parts]
        found[at] = [salt(scope_of(layout, source)) for source in sources]
    return found


def foreign_sets(
    layout: Layout, numbers: Rows, ngram: int
) -> Iterator[tuple[Rows, Offsets, Hashes]]:
    """Yield (rows of `numbers`, offsets, hashes): the shingle sets of documents, none twice."""
    asked = _asked(layout)
    for at, entry, docs in _by_entry(asked, numbers):
        row_of = {int(doc): int(row) for row, doc in zip(at, docs, strict=True)}
        for found in kept_texts(asked, entry, docs):
            rows = np.array([row_of[int(doc)] for doc in found.numbers], np.int64)
            yield rows, *shingle_sets(found.texts, ngram)


def _asked(layout: Layout) -> Earlier:
    """Return the index that the recipe names."""
    assert layout.earlier is not None  # numbers come of it alone
    return layout.earlier


def _starts(asked: Earlier) -> Rows:
    """Return the first number of each entry and, at the end, how many there are."""
    return np.cumsum([0, *(entry.docs for entry in asked.entries)])


def _by_entry(asked: Earlier, numbers: Rows) -> Iterator[tuple[Rows, int, Rows]]:
    """Yield (rows of `numbers`, entry, numbers in it) for each entry that is met."""
    starts = _starts(asked)
    entries = np.searchsorted(starts, numbers, side="right") - 1
    for entry in np.unique(entries):
        at = np.flatnonzero(entries == entry)
        yield at, int(entry), numbers[at] - starts[entry]
