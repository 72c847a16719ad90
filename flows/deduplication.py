"""Which copy stays: documents ranked by the recipe's policy, out of core.

The *rank* of a document says how much it is to be kept, 0 first. It is decided by the priority of
its source, then by `keep`, then by doc_id, so it does not depend on the order of the documents
unless `keep` is `first`. DuckDB sorts (`MEMORY_LIMIT`, the rest spills below the run directory);
what comes of it lies in arrays by ordinal that are memory-mapped: 4 bytes a document and policy,
16 for its id and 4 for its number of shingles.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from cuvee.configs.deduplication import BestScore
from cuvee.filters.buckets import NONE, Ordinals
from cuvee.filters.shingles import Hashes
from cuvee.flows.dedup_files import Layout, open_arrays, save_arrays
from cuvee.flows.dedup_spread import policies, salt, scope_of

MEMORY_LIMIT = "1GB"  # of DuckDB, the rest spills
RANKED_AT_ONCE = 2**20

# A policy is a total order of documents, the best first; the id decides what is left open.
_ORDERS = {
    "longest": "n_bytes DESC, high, low",
    "newest": "date DESC NULLS LAST, high, low",
    "first": "ordinal",
    "best": "score DESC NULLS LAST, high, low",
}


@contextmanager
def scratch_database(target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database beside `target` that spills there and leaves nothing behind."""
    scratch = target.parent / f".{target.stem}.duckdb"
    scratch.unlink(missing_ok=True)
    connection = duckdb.connect(str(scratch), config={"memory_limit": MEMORY_LIMIT})
    try:
        connection.execute("SET enable_progress_bar = false")  # it would be drawn over ours
        yield connection
    finally:
        connection.close()
        scratch.unlink(missing_ok=True)


def rank_all(layout: Layout) -> Mapping[str, int]:
    """Write the rank of every document by each policy, and what else is looked up by ordinal."""
    counts = {"docs": layout.documents}
    for name, keep in policies(layout).items():
        order = _ORDERS["best" if isinstance(keep, BestScore) else keep]
        counts["survivors"] = _rank(layout, name, order)
    _write_ids(layout)
    if layout.dedup.minhash is not None:
        _join(layout, "sizes")
    if layout.dedup.scope == "language":
        _join(layout, "scopes")
    return counts


def ranks_of(layout: Layout, policy: str) -> Ordinals:
    """Return the rank of each document by a policy, uint32, `NONE` where it is no survivor."""
    return open_arrays(layout.file("all", f"rank_{policy}"))[0]


def salts_of(layout: Layout, ordinals: Ordinals) -> Hashes:
    """Return what tells the keys of each document's scope from those of others."""
    if layout.dedup.scope == "language":
        by_row: Hashes = open_arrays(layout.file("all", "scopes"))[0]
        return by_row[ordinals]
    salts = [salt(scope_of(layout, part.source)) for part in layout.parts]
    return np.array([*salts, 0], np.uint64)[layout.part_of(ordinals)]


def _rank(layout: Layout, name: str, order: str) -> int:
    """Sort the survivors by one policy; return how many there are."""
    target = layout.file("all", f"rank_{name}")
    ranks = np.full(layout.documents, NONE, np.uint32)
    n = 0
    files = [str(path) for path in layout.files("order")]
    with scratch_database(target) as connection:
        if files:
            batches = connection.sql(
                f"SELECT ordinal FROM read_parquet(?) ORDER BY priority, {order}", params=[files]
            ).to_arrow_reader(RANKED_AT_ONCE)
            for batch in batches or ():
                ranks[batch.column(0).to_numpy()] = np.arange(n, n + batch.num_rows)
                n += batch.num_rows
    save_arrays(target, [ranks])
    return n


def _write_ids(layout: Layout) -> None:
    """Write the two halves of every survivor's id by ordinal, uint64 [documents] each."""
    high, low = (np.zeros(layout.documents, np.uint64) for _ in range(2))
    for path in layout.files("order"):
        table = pq.read_table(path, columns=["ordinal", "high", "low"])
        at = table["ordinal"].to_numpy()
        high[at], low[at] = table["high"].to_numpy(), table["low"].to_numpy()
    save_arrays(layout.file("all", "ids"), [high, low])


def _join(layout: Layout, kind: str) -> None:
    """Put what the parts wrote by row into one array by ordinal."""
    arrays = [open_arrays(path)[0] for path in layout.files(kind)]
    save_arrays(layout.file("all", kind), [np.concatenate(arrays or [np.empty(0, np.uint64)])])
