"""What decontamination does to one part: find hits, and say what is done about them.

The search (`Search`) is made once, when the first unit asks for it, and read by all threads: no
unit has a copy. Memory is the index (`cuvee.filters.contamination`) and, for each thread, one row
group of text (32 MB) and what is found in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cuvee.configs.decontamination import Decontaminate
from cuvee.corpus.schemas import CONTAMINATION, CUTS
from cuvee.corpus.whole import part_writer, write_part
from cuvee.filters.contamination import Hits, Item, NgramIndex, build_index, find
from cuvee.filters.contamination_cuts import Stretch, cuts_of
from cuvee.filters.lcs import common_words
from cuvee.flows.partfiles import column, document_groups, texts_of

Counts = Mapping[str, int]
T = TypeVar("T")
CUT_WHOLE, CUT_PARAGRAPH = "mask", "drop_paragraph"  # policies that cut


class Shared(Generic[T]):
    """A value that is made when it is first asked for, once for all threads."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock, self._made = make, Lock(), list[T]()

    def get(self) -> T:
        """Return the value."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def take(self) -> T:
        """Return the value and hold it no longer."""
        value = self.get()
        self._made.clear()
        return value


@dataclass(frozen=True)
class Search:
    """What is looked for and what is done about it: `policy` is by item, as are the `texts`."""

    spec: Decontaminate
    index: NgramIndex
    policy: pa.StringArray
    texts: pa.LargeStringArray  # passage and question; empty where the method does not read them


def index_of(items: Sequence[Item], spec: Decontaminate) -> NgramIndex:
    """Index items with the n-grams that a recipe asks for."""
    return build_index(items, spec.longest, spec.least_words, spec.shortest)


def make_search(spec: Decontaminate, items: Sequence[Item]) -> Search:
    """Prepare the search for items."""
    texts = [f"{item.passage}\n{item.text}" for item in items] if spec.method != "ngram" else []
    policy = ["report"] * len(items)
    if spec.method != "token8":
        policy = [spec.splits.get(item.split, spec.policy) for item in items]
    columns = pa.array(policy, pa.string()), pa.array(texts, pa.large_string())
    return Search(spec, index_of(items, spec), *columns)


def find_part(documents: Path, target: Path, cuts: Path | None, search: Shared[Search]) -> Counts:
    """Write every hit of a benchmark item and what is done about it; and, where hits are cut, cuts.

    A hit about which nothing is done, because its score is too low, has the policy `report`.
    """
    found, counts = search.get(), {"docs": 0, "hits": 0}
    cut_rows: list[pa.RecordBatch] = []
    with part_writer(target, CONTAMINATION) as writer:
        for table in document_groups(documents, ["doc_id", "text"]):
            texts = texts_of(table)
            hits = find(texts, found.index)
            score, policy = judged(texts, hits, found)
            rows = _contamination(table, hits, score, policy, found.index)
            for batch in rows.to_batches():
                writer.write(batch)
            if cuts is not None:
                cut_rows.append(_cuts(texts, hits, policy, counts["docs"]))
            counts["docs"] += table.num_rows
            counts["hits"] += len(hits.row)
    if cuts is not None:
        counts["cuts"] = write_part(cuts, CUTS, cut_rows)
    return counts


def judged(
    texts: pa.LargeStringArray, hits: Hits, search: Search
) -> tuple[NDArray[np.float64], pa.StringArray]:
    """Give the score of each hit by the method, and what is done about it."""
    score = hits.score
    counts = score >= search.spec.min_score
    if search.spec.method == "lcs":
        items = search.texts.take(hits.item)
        common = common_words(texts, hits.row, (hits.first_byte, hits.end_byte), items)
        score = common.share
        counts = common.contaminated & (score >= search.spec.min_score)
    policy = pc.if_else(pa.array(counts), search.policy.take(hits.item), "report")
    return score, cast("pa.StringArray", policy)


def _contamination(
    table: pa.Table,
    hits: Hits,
    score: NDArray[np.float64],
    policy: pa.StringArray,
    index: NgramIndex,
) -> pa.Table:
    """Return hits as rows of the table of contamination."""
    found = {
        "doc_id": column(table, "doc_id").take(hits.row),
        "benchmark": index.benchmark.take(hits.item),
        "split": index.split.take(hits.item),
        "item_id": index.item_id.take(hits.item),
        "span_start": pa.array(hits.span_start),
        "span_end": pa.array(hits.span_end),
        "score": pa.array(score),
        "ngram": hits.ngram.cast(pa.string()),
        "policy": policy,
    }
    return pa.table(found, schema=CONTAMINATION)


def _cuts(
    texts: pa.LargeStringArray, hits: Hits, policy: pa.StringArray, first_row: int
) -> pa.RecordBatch:
    """Return the cuts of those hits whose policy cuts; the first text is row `first_row`."""
    kinds = policy.to_pylist()
    columns = (hits.row.tolist(), hits.first_byte.tolist(), hits.end_byte.tolist(), kinds)
    stretches = [
        Stretch(row, start, end, kind == CUT_PARAGRAPH)
        for row, start, end, kind in zip(*columns, strict=True)
        if kind in (CUT_WHOLE, CUT_PARAGRAPH)
    ]
    rows = list(dict.fromkeys(stretch.row for stretch in stretches))
    held = texts.take(np.array(rows, np.int64)).cast(pa.large_binary()).to_pylist()
    cuts = cuts_of([text or b"" for text in held], stretches)
    return pa.RecordBatch.from_pydict(
        {
            "row": [cut.row + first_row for cut in cuts],
            "start": [cut.start for cut in cuts],
            "end": [cut.end for cut in cuts],
            "step": ["decontaminate"] * len(cuts),
            "reason": ["benchmark"] * len(cuts),
            "replacement": [cut.replacement for cut in cuts],
        },
        schema=CUTS,
    )
