"""What the build flow does to one source: draw its documents for every stage, and pack them.

A unit of work: it takes paths and values, writes its outputs whole, and returns counts. One source
is one unit, because the stages go on from one another and its pools share one count of how often
each document was seen.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import MixInfeasible
from cuvee.configs.stages import Packing
from cuvee.corpus.schemas import PACKS
from cuvee.corpus.whole import PartWriter, part_writer, write_json
from cuvee.flows.exclusions import read_excluded
from cuvee.flows.partfiles import column
from cuvee.flows.views import PoolFile, rows_of
from cuvee.mixers.fits import Fit
from cuvee.mixers.ledger import Given, Ledger, Need
from cuvee.mixers.lines import Line
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
from cuvee.tokenize.pack import Pieces, Segments
from cuvee.tokenize.policies import fill

Counts = Mapping[str, int]


@dataclass(frozen=True)
class PoolNeed:
    """What a stage takes from one pool."""

    pool: str
    number: int  # among the pools of the plan
    target: Path  # where its packs go


@dataclass(frozen=True)
class StageNeed:
    """What a stage takes from one source."""

    stage: Stage
    packing: Packing
    excluded: Path | None  # the rows that it passes over, where it excludes any
    pools: tuple[PoolNeed, ...]


@dataclass(frozen=True)
class SourceStore:
    """One source: where its tokens and pools are, and how often a document may be seen."""

    name: str
    tokens: tuple[Path, ...]
    max_epochs: float
    pools: Mapping[str, PoolFile]
    replayed: Mapping[str, Pool]


@dataclass
class PackStatistics:
    """How one stage's sequences of one pool are filled; counts of documents and tokens.

    `mean_context` is the mean over the placed tokens of the tokens before each one in its document
    and sequence. `pool_tokens` are those of one pass of the pool, `source_tokens` of one of its
    source. `seen_tokens` are those of the source that the ways to the stage's end placed,
    through any pool; `most_seen` is how often they began the document that they began most often.
    `left_out` is what packing left out when its turn came, `truncated_tokens` what it cut off.
    """

    sequences: int = 0
    tokens: int = 0
    padding: int = 0
    unique_tokens: int = 0
    documents: int = 0
    cut_documents: int = 0
    segments: int = 0
    mean_context: float = 0.0
    truncated_tokens: int = 0
    left_out_documents: int = 0
    left_out_tokens: int = 0
    pool_tokens: int = 0
    source_tokens: int = 0
    seen_tokens: int = 0
    most_seen: int = 0


def pack_source(
    store: SourceStore,
    parents: Mapping[str, Sequence[str]],
    needs: Sequence[StageNeed],
    statistics: Path,
) -> Counts:
    """Draw a source's documents for every stage in turn and pack them at the stage's length.

    `needs` come parents first; `parents` are of all folders. Memory: 20 bytes a document of the
    source, 10 a document for each stage, and one window of pieces for each pool of a stage.
    """
    table = pa.concat_tables(
        [pq.read_table(path, columns=["doc_id", "n_tokens"]) for path in store.tokens]
    )
    lengths = column(table, "n_tokens").to_numpy()
    pools = {name: rows_of(file) for name, file in store.pools.items()}
    ledger = Ledger(store.name, lengths, store.max_epochs, pools, parents, store.replayed)
    found: dict[str, dict[str, PackStatistics]] = {}
    for need in needs:
        found[need.stage.name] = _pack_stage(need, ledger, column(table, "doc_id"))
        _count_seen(ledger, need.stage.name, found)
    write_json(
        statistics,
        {
            stage: {pool: asdict(one) for pool, one in pools.items()}
            for stage, pools in found.items()
        },
    )
    return {"documents": len(lengths), "stages": len(needs)}


def read_statistics(path: Path) -> dict[str, dict[str, PackStatistics]]:
    """Return what `pack_source` counted, by stage and pool."""
    return {
        stage: {pool: PackStatistics(**value) for pool, value in pools.items()}
        for stage, pools in json.loads(path.read_text()).items()
    }


def _pack_stage(
    need: StageNeed, ledger: Ledger, doc_ids: "pa.Array[Any]"
) -> dict[str, PackStatistics]:
    """Draw and pack what one stage takes from a source; return how each pool was packed."""
    excluded = None if need.excluded is None else read_excluded(need.excluded, need.stage.of)
    fit = Fit(need.stage.seq_len, need.packing, excluded)
    with ExitStack() as files:
        packers = {
            pool.pool: _Packer(
                files.enter_context(part_writer(pool.target, PACKS)), ledger.lengths, doc_ids, fit
            )
            for pool in need.pools
        }
        asked = {pool.pool: _need(need, pool) for pool in need.pools}
        given = ledger.take(
            need.stage.name,
            need.stage.of,
            fit,
            {name: (one, packers[name].place) for name, one in asked.items()},
        )
        for name, one in given.items():
            _refuse_short(need.stage.name, name, asked[name].sequences - one.sequences)
    return {name: packer.statistics(given[name]) for name, packer in packers.items()}


def _need(need: StageNeed, pool: PoolNeed) -> Need:
    """Return the sequences that a stage takes from a pool, and where they are if that matters."""
    stage, positions = need.stage, None
    if len(need.pools) > 1:
        positions = np.flatnonzero(stage.schedule == pool.number).astype(np.uint32)
    return Need(pool.pool, stage.seed, int(stage.counts[pool.number]), positions)


def _refuse_short(stage: str, pool: str, missing: int) -> None:
    """Refuse a stage that documents at their caps leave short by more than lengths foretold."""
    if missing > 0:
        raise MixInfeasible(
            f"Stage {stage!r}: {pool!r} gives {missing:,} sequences too few, since its documents "
            "were read through other pools as often as they may be.",
            do=f"Lower the weight of {pool!r} there, or raise max_epochs of its source.",
        )


class _Packer:
    """Packs what a stage takes from one pool, and counts."""

    def __init__(
        self,
        out: PartWriter,
        lengths: NDArray[np.integer],
        doc_ids: "pa.Array[Any]",
        fit: Fit,
    ) -> None:
        self._out, self._lengths, self._doc_ids, self._fit = out, lengths, doc_ids, fit
        self._placed = np.zeros(len(lengths), np.int64)  # tokens of each document
        self._cut = np.zeros(len(lengths), np.bool_)
        self._found = PackStatistics()
        self._before = 0  # of every token, the tokens before it

    def place(self, line: Line, window: int, keep: int) -> tuple[Line, NDArray[np.int64]]:
        """Pack a line into a window of sequences, of which the first `keep` are written."""
        fit = self._fit
        segments, left = fill(fit.packing.policy, Pieces(*line), fit.seq_len, (window, keep))
        self._out.write(pack_rows(segments, self._found.sequences, self._doc_ids))
        self._count(segments, keep)
        return Line(*left), segments.doc_row

    def statistics(self, given: Given) -> PackStatistics:
        """Return what was counted."""
        found = self._found
        found.padding = found.sequences * self._fit.seq_len - found.tokens
        found.unique_tokens = int(np.minimum(self._placed, self._lengths).sum())
        found.documents = int((self._placed > 0).sum())
        found.cut_documents = int(self._cut.sum())
        found.mean_context = self._before / max(1, found.tokens)
        found.left_out_documents, found.left_out_tokens = given.left_out
        return found

    def _count(self, segments: Segments, sequences: int) -> None:
        """Count the segments of one window."""
        whole, length = self._lengths[segments.doc_row], segments.length.astype(np.int64)
        found, seq_len = self._found, self._fit.seq_len
        found.sequences += sequences
        found.segments += len(length)
        found.tokens += int(length.sum())
        self._before += int((length * (length - 1) // 2).sum())
        np.add.at(self._placed, segments.doc_row, length)
        self._cut[segments.doc_row[length < whole]] = True
        if self._fit.packing.long == "truncate":
            begun = whole[segments.doc_start == 0]
            found.truncated_tokens += int(np.maximum(begun - seq_len, 0).sum())


def _count_seen(
    ledger: Ledger, stage: str, found: Mapping[str, Mapping[str, PackStatistics]]
) -> None:
    """Count what the ways to a stage's end read of the source."""
    ways = [*ledger.ancestors[stage], stage]
    tokens = sum(one.tokens for way in ways for one in found.get(way, {}).values())
    whole = _tokens(ledger, ledger.source)
    most = int((ledger.seen(stage).astype(np.int64) + ledger.begun(stage)).max(initial=0))
    for pool, one in found[stage].items():
        one.seen_tokens, one.most_seen = tokens, most
        one.pool_tokens, one.source_tokens = _tokens(ledger, pool), whole


def _tokens(ledger: Ledger, pool: str) -> int:
    """Return the tokens of one pass of a pool."""
    rows = ledger.rows_of(pool).rows
    lengths = ledger.lengths if rows is None else ledger.lengths[rows]
    return int(lengths.sum(dtype=np.int64))


def pack_rows(segments: Segments, first_ordinal: int, doc_ids: "pa.Array[Any]") -> pa.RecordBatch:
    """Return the segments of one window as rows of the packs table."""
    columns = [
        pa.array(segments.ordinal + first_ordinal),
        pa.array(segments.offset),
        pa.array(segments.length),
        doc_ids.take(segments.doc_row),
        pa.array(segments.doc_start),
        pa.array(segments.doc_row),
        pa.array(segments.epoch),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PACKS)
