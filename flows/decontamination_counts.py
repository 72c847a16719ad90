"""What decontamination counts: n-grams of items in the documents, words in them, items never found.

Two methods need counts of all parts together: n-grams in common usage are no evidence, and the
share of an item that the documents cover (`cuvee.filters.token8`) is of all of them. N-grams are
numbered by their row in the index, which the items and the lengths alone decide.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.corpus.schemas import BENCHMARKS, COVERAGE, NGRAM_COUNTS, OVERLAP
from cuvee.corpus.whole import write_part
from cuvee.filters.contamination import Item, without
from cuvee.filters.ngram_table import I64, character_table
from cuvee.filters.ngram_words import count_words
from cuvee.filters.ngrams import GRAM, occurrences
from cuvee.filters.shingles import utf8_views
from cuvee.filters.token8 import Covered, covered
from cuvee.flows.decontamination_parts import Counts, Search, Shared
from cuvee.flows.partfiles import column, document_groups, texts_of


def count_part(
    documents: Path, counts: Path, overlap: Path | None, search: Shared[Search]
) -> Counts:
    """Write how often each n-gram of the items occurs and, for `overlap`, how much it covers.

    Memory beside the text: 8 bytes an n-gram of the index.
    """
    table = search.get().index.table
    total, docs, rows = np.zeros(table.keys.size, np.int64), 0, list[pa.RecordBatch]()
    for group in document_groups(documents, ["doc_id", "text"]):
        found, n_words = occurrences(texts_of(group), table)
        total += np.bincount(found[:, GRAM], minlength=total.size)
        docs += group.num_rows
        if overlap is not None:
            doc_id = {"doc_id": column(group, "doc_id")}
            shares = doc_id | _columns(covered(found, n_words, table))
            rows += pa.table(shares, schema=OVERLAP).to_batches()
    if overlap is not None:
        write_part(overlap, OVERLAP, rows)
    _write_counts(counts, total, least=1)
    return {"docs": docs, "ngrams": int(np.count_nonzero(total))}


def _columns(found: Covered) -> dict[str, "pa.Array[Any]"]:
    """Return what is covered as columns."""
    arrays = {"n_words": found.n_words, "n_covered": found.n_covered, "share": found.share}
    return {name: pa.array(values) for name, values in arrays.items()}


def _write_counts(target: Path, total: I64, least: int) -> int:
    """Write the n-grams that occur `least` times; return how many there are."""
    grams = np.flatnonzero(total >= least)
    found = {"gram": pa.array(grams), "occurrences": pa.array(total[grams])}
    return write_part(target, NGRAM_COUNTS, pa.table(found, schema=NGRAM_COUNTS).to_batches())


def _all_counts(parts: Sequence[Path], n_grams: int) -> I64:
    """Add up the counts of all parts, by n-gram."""
    total = np.zeros(n_grams, np.int64)
    for part in parts:
        table = pq.read_table(part, schema=NGRAM_COUNTS)
        total[table.column("gram").to_numpy()] += table.column("occurrences").to_numpy()
    return total


def common_ngrams(
    parts: Sequence[Path], target: Path, least: int, search: Shared[Search]
) -> Counts:
    """Write the n-grams that occur at least `least` times in all parts."""
    n_grams = search.get().index.table.keys.size
    common = _write_counts(target, _all_counts(parts, n_grams), least)
    return {"ngrams": n_grams, "common": common}


def without_common(search: Search, common: Path) -> Search:
    """Return the search as if no item held an n-gram in common usage."""
    unwanted = np.zeros(search.index.table.keys.size, np.bool_)
    unwanted[pq.read_table(common, schema=NGRAM_COUNTS).column("gram").to_numpy()] = True
    return replace(search, index=without(search.index, unwanted))


def cover_items(parts: Sequence[Path], target: Path, search: Shared[Search]) -> Counts:
    """Write how many words of each item lie in an n-gram that the documents have."""
    index, texts = search.get().index, search.get().texts
    seen = _all_counts(parts, index.table.keys.size) > 0
    found, n_words = occurrences(texts, index.table)
    got = covered(found[seen[found[:, GRAM]]], n_words, index.table)
    names = {"benchmark": index.benchmark, "split": index.split, "item_id": index.item_id}
    write_part(target, COVERAGE, pa.table(names | _columns(got), schema=COVERAGE).to_batches())
    return {"items": n_words.size, "covered": int(np.count_nonzero(got.n_covered))}


def count_items(target: Path, read: Callable[[], list[Item]], search: Shared[Search]) -> Counts:
    """Write how many items each split of each benchmark has and how many are never found."""
    found, texts = search.get(), pa.array([item.text for item in read()], pa.large_string())
    offsets, data = utf8_views(texts)
    unmatched = found.index.n_ngrams == 0
    long = count_words(data, offsets, character_table()) >= found.spec.least_words
    counts = {
        "items": np.ones(len(texts), np.int64),
        "unmatched": unmatched.astype(np.int64),
        "letterless": (unmatched & long).astype(np.int64),
    }
    names = {"benchmark": found.index.benchmark, "split": found.index.split, "policy": found.policy}
    grouped = pa.table(names | counts).group_by(list(names)).aggregate([(n, "sum") for n in counts])
    columns = [name if name in names else f"{name}_sum" for name in BENCHMARKS.names]
    rows = grouped.select(columns).rename_columns(BENCHMARKS.names).cast(BENCHMARKS)
    ordered = rows.sort_by([("benchmark", "ascending"), ("split", "ascending")])
    write_part(target, BENCHMARKS, ordered.to_batches())
    return {"items": len(texts), "unmatched": int(unmatched.sum())}
