"""What the build flow does to one part, one source or one stage: tokens, packs, plan, shards.

Every function here is the work of one unit: it takes paths and values, writes its outputs whole,
and returns counts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import MixInfeasible
from cuvee.corpus.schemas import PACKS, PLAN, TOKENS
from cuvee.corpus.whole import part_writer, whole, write_json, write_part
from cuvee.flows.exclusions import read_excluded
from cuvee.flows.partfiles import column, finished_groups, texts_of
from cuvee.mixers.cursor import Cursor, draw, draw_limit
from cuvee.mixers.plan import Stage
from cuvee.mixers.plan import plan as plan_columns
from cuvee.tokenize.pack import Pieces, Segments, chain, pack, take
from cuvee.tokenize.store import to_blobs
from cuvee.tokenize.tokenizer import Tokenizer
from cuvee.tokenize.train import train

Counts = Mapping[str, int]
WINDOW_SEQUENCES = 4096  # packed at once: enough for best fit to pad 0.02 % (measured), and bounded
PLAN_ROWS = 2**20  # rows of a plan that are written at once


@dataclass(frozen=True)
class Kept:
    """A part's documents and their verdicts, which are row-aligned."""

    documents: Path
    verdicts: Path

    def texts(self) -> Iterator[tuple["pa.Array[Any]", pa.LargeStringArray]]:
        """Yield (doc_id, finished text) of the documents that were kept, a row group at a time."""
        kept = pq.read_table(self.verdicts, columns=["kept"]).column("kept").combine_chunks()
        start = 0
        for table in finished_groups(self.documents, ["doc_id", "text"]):
            here = table.filter(kept.slice(start, table.num_rows))
            start += table.num_rows
            if here.num_rows:
                yield column(here, "doc_id"), texts_of(here)


def train_tokenizer(
    sources: Sequence[Sequence[Kept]], vocab_size: int, sample_bytes: int, eos: str, target: Path
) -> Counts:
    """Train a byte-level BPE on kept text, the same number of bytes from every source."""
    share = sample_bytes // len(sources)
    sample = [text for parts in sources for text in _first_texts(parts, share)]
    contents = train(sample, vocab_size, eos)
    with whole(target) as temporary:
        temporary.write_text(contents, encoding="utf-8")
    return {"docs": len(sample), "bytes": sum(len(text.encode()) for text in sample)}


def _first_texts(parts: Sequence[Kept], n_bytes: int) -> Iterator[str]:
    """Yield texts of a source, an equal share from each part, up to `n_bytes` in all."""
    for part in parts:
        left = n_bytes // len(parts)
        for _, texts in part.texts():
            for text in texts:
                if left <= 0:
                    break
                value: str = text.as_py()[:left]
                left -= len(value.encode())
                yield value


def tokenise_part(part: Kept, target: Path, tokenizer: Tokenizer) -> Counts:
    """Write the tokens of a part's kept documents, each closed by EOS."""
    counts = {"docs": 0, "tokens": 0, "bytes": 0}
    with part_writer(target, TOKENS) as writer:
        for doc_ids, texts in part.texts():
            encoded = tokenizer.encode_batch(texts)
            lengths = np.diff(encoded.offsets).astype(np.int32)
            columns = [doc_ids, to_blobs(encoded), pa.array(lengths)]
            writer.write(pa.RecordBatch.from_arrays(columns, schema=TOKENS))
            counts["docs"] += len(texts)
            counts["tokens"] += int(lengths.sum())
            counts["bytes"] += texts.nbytes
    return counts


@dataclass(frozen=True)
class StageNeed:
    """What one stage takes from one source."""

    name: str
    of: str  # the stage whose phase it is
    seq_len: int
    sequences: int
    target: Path
    excluded: Path | None = None  # the rows that it passes over, where it excludes any


@dataclass
class PackStatistics:
    """How one stage's sequences of one source are filled; counts of documents and tokens."""

    sequences: int = 0
    tokens: int = 0
    padding: int = 0
    unique_tokens: int = 0
    documents: int = 0
    cut_documents: int = 0


def pack_source(
    tokens: Sequence[Path],
    cursor: Cursor,
    max_epochs: float,
    needs: Sequence[StageNeed],
    statistics: Path,
) -> Counts:
    """Draw a source's documents for every stage in turn and pack them at the stage's length.

    Memory: 20 bytes a document of the source, and one window of pieces.
    """
    store = pa.concat_tables(
        [pq.read_table(path, columns=["doc_id", "n_tokens"]) for path in tokens]
    )
    lengths = column(store, "n_tokens").to_numpy()
    doc_ids, limit = column(store, "doc_id"), draw_limit(max_epochs, len(lengths))
    nothing = np.empty(0, np.int64)
    line = Pieces(nothing, nothing, nothing, np.empty(0, np.int32))
    found: dict[str, PackStatistics] = {}
    for need in needs:
        report = found[need.name] = PackStatistics()
        taken, line, held = _taken(need, lengths, line)
        placed = np.zeros(len(lengths), np.int64)
        cut = np.zeros(len(lengths), np.bool_)
        with part_writer(need.target, PACKS) as writer:
            while report.sequences < need.sequences:
                window = min(need.sequences - report.sequences, WINDOW_SEQUENCES)
                missing = window * need.seq_len - int(line.length.sum())
                drawn = draw(cursor, taken, missing, limit)
                cursor, here = drawn.cursor, taken[drawn.doc_row] > 0
                line = _behind(line, drawn.doc_row[here], drawn.epoch[here], lengths)
                _refuse_short(need, window, line)
                segments, line = pack(line, need.seq_len, window)
                writer.write(_pack_rows(segments, report.sequences, doc_ids))
                report.sequences += window
                report.tokens += int(segments.length.sum())
                np.add.at(placed, segments.doc_row, segments.length)
                cut[segments.doc_row[segments.length < lengths[segments.doc_row]]] = True
        report.padding = need.sequences * need.seq_len - report.tokens
        report.unique_tokens = int(np.minimum(placed, lengths).sum())
        report.documents, report.cut_documents = int((placed > 0).sum()), int(cut.sum())
        line = chain(held, line)
    write_json(statistics, {name: asdict(report) for name, report in found.items()})
    return {"documents": len(lengths), "draws": cursor.draws}


def _taken(
    need: StageNeed, lengths: NDArray[np.int32], line: Pieces
) -> tuple[NDArray[np.int32], Pieces, Pieces]:
    """Return the lengths that a stage draws by, 0 where it passes over, and the line parted so."""
    taken = lengths
    if need.excluded is not None:
        taken = np.where(read_excluded(need.excluded, need.of), 0, lengths).astype(np.int32)
    here = taken[line.doc_row] > 0
    return taken, take(line, np.flatnonzero(here)), take(line, np.flatnonzero(~here))


def _refuse_short(need: StageNeed, window: int, line: Pieces) -> None:
    """Refuse a stage whose source runs out because of what it passes over."""
    missing, source = window * need.seq_len - int(line.length.sum()), need.target.stem
    if missing > 0:
        raise MixInfeasible(
            f"Stage {need.name!r} passes over so much of source {source!r} that {missing:,} tokens "
            "and more are missing.",
            do=f"Exclude less, lower its weight there, or raise sources.{source}.max_epochs.",
        )


def _behind(
    line: Pieces, rows: NDArray[np.int64], epochs: NDArray[np.int32], lengths: NDArray[np.int32]
) -> Pieces:
    """Return the line with newly drawn, whole documents behind what was left over."""
    starts = np.zeros(len(rows), np.int64)
    return chain(line, Pieces(rows, starts, lengths[rows].astype(np.int64), epochs))


def _pack_rows(segments: Segments, first_ordinal: int, doc_ids: "pa.Array[Any]") -> pa.RecordBatch:
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


def plan_stage(stage: Stage, packs: Mapping[str, Path], target: Path) -> Counts:
    """Write the plan of one stage: which source and which of its sequences each position reads.

    `packs` are those of the stage's sources, the ones with a weight, in the recipe's order. Memory:
    38 bytes a position.
    """
    columns = plan_columns(stage)
    epoch = np.zeros(stage.sequences, np.int32)
    names = list(packs)
    source = np.searchsorted(stage.drawn, columns.source).astype(np.int32)
    for number, path in enumerate(packs.values()):
        here = source == number
        if here.any():
            table = pq.read_table(path, columns=["offset", "epoch"])
            first = table.column("offset").to_numpy() == 0
            epoch[here] = table.column("epoch").to_numpy()[first]

    def rows() -> Iterator[pa.RecordBatch]:
        for start in range(0, stage.sequences, PLAN_ROWS):
            part = slice(start, start + PLAN_ROWS)
            length = len(columns.position[part])
            stage_column = pa.DictionaryArray.from_arrays(
                np.zeros(length, np.int32), pa.array([stage.name])
            )
            source_column = pa.DictionaryArray.from_arrays(source[part], pa.array(names))
            arrays = [stage_column, *(pa.array(c[part]) for c in columns[:3]), source_column]
            arrays += [pa.array(epoch[part]), pa.array(columns.ordinal[part])]
            yield pa.RecordBatch.from_arrays(arrays, schema=PLAN)

    return {"positions": write_part(target, PLAN, rows())}


def read_statistics(path: Path) -> dict[str, PackStatistics]:
    """Return what `pack_source` counted, by stage."""
    return {name: PackStatistics(**value) for name, value in json.loads(path.read_text()).items()}
