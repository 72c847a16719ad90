"""Assemble a stage's shards: scatter every document's tokens to its places, then encode files.

Documents are drawn in permuted order, so a sequence needs tokens from anywhere in the token store.
Reading the store once in its own order and writing each segment to its place in one memory-mapped
buffer of the stage (sequences x (seq_len + 1) tokens, on disk) needs neither random reads nor
memory: the kernel's page cache does the sorting.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.corpus.whole import whole, write_json
from cuvee.flows.partfiles import column, row_groups
from cuvee.flows.record_shards import (
    RecordBuffers,
    make_buffers,
    media_of_span,
    record_columns,
    scatter_records,
    scatter_taught,
    write_placed,
)
from cuvee.handoff.manifest import describe_shard
from cuvee.handoff.shards import PLAIN, Columns, ShardRows, row_bytes, rows_per_group, write_shard
from cuvee.tokenize.pack import Segments
from cuvee.tokenize.store import Part as TokenRows
from cuvee.tokenize.store import cu_seqlens, from_blobs, scatter

Counts = Mapping[str, int]
FILL_ROWS_BYTES = 2**24  # bytes of padding that are written at once


@dataclass(frozen=True)
class StageBuffer:
    """The memory-mapped rows of one stage while it is assembled.

    columns: what rows have beside tokens. loss: whether to take the loss masks of records.
    """

    path: Path
    sequences: int
    seq_len: int
    dtype: str
    columns: Columns = PLAIN
    loss: bool = False

    def rows(self) -> "np.memmap[Any, np.dtype[Any]]":
        """Map the rows for reading and writing: [sequences, seq_len + 1]."""
        return np.memmap(self.path, self.dtype, "r+", shape=(self.sequences, self.seq_len + 1))

    @property
    def records(self) -> RecordBuffers:
        """What there is beside the rows."""
        shape = (self.sequences, self.seq_len)
        return RecordBuffers(self.path.parent, shape, self.dtype, self.columns, self.loss)


@dataclass(frozen=True)
class SourcePack:
    """One source of a stage, and where its packs lie."""

    source: str
    packs: Path


def fill_buffer(buffer: StageBuffer, pad_id: int) -> Counts:
    """Make the buffer, every slot holding the pad id."""
    width = np.dtype(buffer.dtype).itemsize
    size = buffer.sequences * (buffer.seq_len + 1) * width
    padding = np.full(FILL_ROWS_BYTES // width, pad_id, buffer.dtype).tobytes()
    with whole(buffer.path) as temporary, temporary.open("wb") as file:
        for start in range(0, size, len(padding)):
            file.write(padding[: size - start])
    make_buffers(buffer.records)
    return {"bytes": size}


def scatter_part(
    tokens: Path, first_row: int, pack: SourcePack, plan: Path, buffer: StageBuffer
) -> Counts:
    """Write the tokens of one part of the token store to their places in the stage.

    Memory: one row group of tokens, and 48 bytes a segment of this part.
    """
    positions = positions_of(plan, pack.source)
    rows = buffer.rows()
    counts = {"segments": 0, "tokens": 0}
    n_docs = pq.ParquetFile(tokens).metadata.num_rows
    held = read_segments(pack.packs, "doc_row", first_row, first_row + n_docs)
    first_document, media = first_row, list[pa.RecordBatch]()
    for table in row_groups(tokens, _columns(tokens, buffer)):
        encoded = from_blobs(
            cast(pa.LargeBinaryArray, column(table, "tokens")), np.dtype(buffer.dtype)
        )
        part = TokenRows(encoded.ids, encoded.offsets, first_row)
        mine = (held.doc_row >= first_row) & (held.doc_row < first_row + table.num_rows)
        here = _chosen(held, mine)
        scatter(part, here, positions[here.ordinal], rows)
        media += scatter_records(table, part, (here, positions[here.ordinal]), buffer.records)
        counts["segments"] += len(here.ordinal)
        counts["tokens"] += int(here.length.sum())
        first_row += table.num_rows
    rows.flush()
    if buffer.columns.teacher_k:
        scatter_taught(tokens, first_document, (held, positions[held.ordinal]), buffer.records)
    if buffer.columns.media:
        write_placed(buffer.records.placed(pack.source, tokens.stem), media)
    return counts


def _columns(tokens: Path, buffer: StageBuffer) -> list[str]:
    """Return which columns of a part of the token store a stage takes."""
    extra = record_columns(tokens, buffer.records)
    return ["tokens", *(["doc_id", *extra] if extra else [])]


def write_stage_file(
    buffer: StageBuffer,
    plan: Path,
    packs: Sequence[SourcePack],
    span: tuple[int, int],
    target: Path,
) -> Counts:
    """Encode the sequences of a span of positions as one shard, and describe it beside."""
    first, last = span
    table = pq.read_table(
        plan, filters=(ds.field("position") >= first) & (ds.field("position") < last)
    )
    names = [pack.source for pack in packs]
    source_ids = _numbers(column(table, "source"), names)
    boundaries, bounds = _boundaries(table, source_ids, [pack.packs for pack in packs])
    batch = int(table.column("slot").to_numpy().max()) + 1
    rows = ShardRows(
        tokens=np.asarray(buffer.rows()[first:last]),
        positions=table.column("position").to_numpy(),
        steps=table.column("step").to_numpy(),
        source_ids=source_ids,
        source_names=tuple(names),
        cu_seqlens=boundaries,
        cu_offsets=bounds,
        n_tokens=boundaries[bounds[1:] - 1],
        **_beside(buffer, names, span),
    )
    group = rows_per_group(batch, row_bytes(buffer.seq_len, buffer.dtype, buffer.columns.teacher_k))
    with whole(target) as temporary:
        write_shard(temporary, rows, group)
        entry = describe_shard(temporary, target.name, rows)
    write_json(description(target), vars(entry))
    return {"sequences": last - first, "bytes": entry.bytes}


def _beside(buffer: StageBuffer, sources: Sequence[str], span: tuple[int, int]) -> dict[str, Any]:
    """Return what the rows of a span have beside tokens."""
    first, last = span
    found: dict[str, Any] = {}
    if buffer.columns.loss_mask:
        found["loss_mask"] = np.asarray(buffer.records.targets()[first:last])
    if buffer.columns.teacher_k:
        ids, probs = buffer.records.taught()
        found["teacher_ids"] = np.asarray(ids[first:last])
        found["teacher_probs"] = np.asarray(probs[first:last])
    if buffer.columns.media:
        found["media"] = media_of_span(buffer.records, sources, span)
    return found


def description(shard: Path) -> Path:
    """Return where a shard's entry of the manifest waits until all shards are there."""
    stage = shard.parent
    return stage.parent.parent / "scratch" / stage.name / f"{shard.stem}.json"


def positions_of(plan: Path, source: str) -> NDArray[np.int64]:
    """Return the position of every ordinal of one source: int64[sequences of the source]."""
    found = []
    with pq.ParquetFile(plan) as file:
        for batch in file.iter_batches(columns=["position", "source"]):
            here = _numbers(batch.column("source"), [source]) == 0
            found.append(batch.column("position").to_numpy()[here])
    return np.concatenate(found) if found else np.empty(0, np.int64)


def read_segments(packs: Path, key: str, low: int, high: int) -> Segments:
    """Return the segments of a packs table with low <= `key` < high."""
    held = [_segments(batch, key, low, high) for batch in _pack_batches(packs)]
    return _joined(held)


def _pack_batches(packs: Path) -> Iterator[pa.RecordBatch]:
    """Yield the packs table a batch at a time, at least one, which may be empty."""
    names = [*Segments._fields]
    with pq.ParquetFile(packs) as file:
        yield pa.RecordBatch.from_pylist([], file.schema_arrow).select(names)
        yield from file.iter_batches(columns=names)


def _segments(batch: pa.RecordBatch, key: str, low: int, high: int) -> list[NDArray[Any]]:
    """Return the columns of a batch's rows in a range."""
    values = batch.column(key).to_numpy()
    here = (values >= low) & (values < high)
    return [batch.column(name).to_numpy()[here] for name in Segments._fields]


def _numbers(names: "pa.Array[Any]", known: Sequence[str]) -> NDArray[np.int32]:
    """Return each name's number in `known`, -1 for another; a file's own codes mean nothing."""
    plain = cast(Any, names).cast(pa.string())
    found = pc.fill_null(pc.index_in(plain, pa.array(known)), -1)
    return cast(NDArray[np.int32], found.to_numpy(zero_copy_only=False))


def _joined(parts: Sequence[Sequence[NDArray[Any]]]) -> Segments:
    """Return several lists of segments as one."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Segments(*cast(Any, columns))


def _chosen(segments: Segments, which: NDArray[Any]) -> Segments:
    """Return the segments that a mask or an order chooses."""
    return Segments(*cast(Any, [values[which] for values in segments]))


def _boundaries(
    plan: pa.Table, source_ids: NDArray[np.integer], packs: Sequence[Path]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the document boundaries of planned sequences, as `cu_seqlens` gives them."""
    ordinals = plan.column("ordinal").to_numpy()
    parts = []
    for number, path in enumerate(packs):
        here = np.flatnonzero(source_ids == number)
        if len(here):
            low = int(ordinals[here[0]])
            found = read_segments(path, "ordinal", low, low + len(here))
            parts.append(found._replace(ordinal=here[found.ordinal - low]))
    merged = _joined(parts)
    order = np.lexsort((merged.offset, merged.ordinal))
    return cu_seqlens(_chosen(merged, order))
