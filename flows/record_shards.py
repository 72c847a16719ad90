"""What records add to a stage while it is assembled: loss masks, media, and what teachers said.

Loss and teachers have buffers of their own beside that of the tokens, mapped from files. Media are
few: each part's are written as a table of *placements*, by position in the stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import MixInfeasible
from cuvee.corpus.whole import write_part
from cuvee.flows.partfiles import column, row_groups
from cuvee.flows.teacher_parts import taught_table
from cuvee.handoff.shards import MEDIA_TYPE, PLAIN, Columns
from cuvee.tokenize.pack import Segments
from cuvee.tokenize.spans import unpack_bits
from cuvee.tokenize.store import Part as TokenRows
from cuvee.tokenize.store import from_blobs, scatter_rows, scatter_targets

# One row a medium in its place; media in the order of `position` and `offset`.
PLACED = pa.schema(
    [("position", pa.int64()), *((field.name, field.type) for field in MEDIA_TYPE.value_type)]
)


@dataclass(frozen=True)
class RecordBuffers:
    """The memory-mapped rows of a stage beside its tokens; `loss` says to take loss masks.

    Slots of media never bear loss, so a stage with media has a loss mask in any case.
    """

    folder: Path
    shape: tuple[int, int]  # sequences, seq_len
    dtype: str
    columns: Columns = PLAIN
    loss: bool = False

    def targets(self) -> "np.memmap[Any, np.dtype[np.bool_]]":
        """Map whether the target of each slot bears loss: bool [sequences, seq_len]."""
        return np.memmap(self.folder / "loss.bin", np.bool_, "r+", shape=self.shape)

    def taught(self) -> "tuple[np.memmap[Any, Any], np.memmap[Any, Any]]":
        """Map ids and probabilities: [sequences, seq_len, k]."""
        shape = (*self.shape, self.columns.teacher_k)
        ids = np.memmap(self.folder / "teacher_ids.bin", self.dtype, "r+", shape=shape)
        return ids, np.memmap(self.folder / "teacher_probs.bin", "<f2", "r+", shape=shape)

    def placed(self, source: str, part: str) -> Path:
        """Return where the placements of the media of a part are."""
        return self.folder / "media" / source / f"{part}.parquet"


def make_buffers(buffers: RecordBuffers) -> None:
    """Make the files of the buffers: all slots bear loss, nothing is taught, there is no medium."""
    for left in buffers.folder.glob("media/*/*.parquet"):
        left.unlink()
    slots = buffers.shape[0] * buffers.shape[1]
    if buffers.columns.loss_mask:
        with (buffers.folder / "loss.bin").open("wb") as file:
            for start in range(0, slots, 2**20):
                file.write(b"\x01" * min(2**20, slots - start))
    k, width = buffers.columns.teacher_k, np.dtype(buffers.dtype).itemsize
    for name, size in (("teacher_ids", width), ("teacher_probs", 2)) if k else ():
        with (buffers.folder / f"{name}.bin").open("wb") as file:
            file.truncate(slots * k * size)  # a hole, which reads as zeros


def record_columns(tokens: Path, buffers: RecordBuffers) -> list[str]:
    """Return which columns of a part of the token store the buffers take."""
    names = pq.read_schema(tokens).names if buffers.columns.loss_mask else []
    return [name for name in ("loss_mask", "media") if name in names]


def scatter_records(
    table: pa.Table,
    part: TokenRows,
    placed: tuple[Segments, NDArray[np.int64]],
    buffers: RecordBuffers,
) -> Iterator[pa.RecordBatch]:
    """Write the loss of some rows of the token store to its places; yield where their media are.

    placed: the segments of these rows, and the position of each one's sequence. MixInfeasible where
    the end of a sequence would cut a medium.
    """
    if "loss_mask" not in table.column_names:
        return
    segments, rows = placed
    bears, media = _loss(table, part.offsets, buffers.loss), column(table, "media").to_pylist()
    for document, held in enumerate(media):
        for one in held or ():
            start = part.offsets[document] + one["start"]
            bears[start : start + one["length"]] = False
    scatter_targets(part._replace(ids=bears), segments, rows, buffers.targets())
    found = []
    for k in range(len(rows)) if any(media) else ():
        document = int(segments.doc_row[k]) - part.first_row
        for one in media[document] or ():
            place = _placed(one, segments, k)
            if place is not None:
                if place["offset"] < 0 or place["offset"] + place["length"] > place.pop("end"):
                    raise _cut(column(table, "doc_id")[document].as_py(), one)
                found.append({"position": int(rows[k]), **place})
    if found:
        yield pa.RecordBatch.from_pylist(found, PLACED)


def _loss(table: pa.Table, offsets: NDArray[np.int64], masked: bool) -> NDArray[np.bool_]:
    """Return which tokens of some rows bear loss: bool, one a token."""
    bears = np.ones(int(offsets[-1]), np.bool_)
    for row, mask in enumerate(column(table, "loss_mask").to_pylist() if masked else ()):
        if mask is not None:
            first, end = offsets[row], offsets[row + 1]
            bears[first:end] = unpack_bits(mask, end - first)
    return bears


def _placed(medium: dict[str, Any], segments: Segments, k: int) -> dict[str, Any] | None:
    """Return where a medium is in the sequence of segment `k`, None where it has no slot there.

    Its `offset` is negative, or it goes beyond `end`, where the segment has only some of it; both
    are from the segment's start then.
    """
    start = medium["start"] - int(segments.doc_start[k])
    length, held = medium["length"], int(segments.length[k])
    if start + length <= 0 or start >= held:
        return None
    at = int(segments.offset[k])
    end = at + held
    offset = start + at if start >= 0 else -1
    return {
        "offset": offset,
        "length": length,
        "kind": medium["kind"],
        "ref": medium["ref"],
        "end": end,
    }


def _cut(doc_id: bytes, medium: dict[str, Any]) -> MixInfeasible:
    """Say that a medium does not fit."""
    return MixInfeasible(
        f"The end of a sequence would cut the {medium['kind']} of {medium['length']:,} tokens at "
        f"token {medium['start']:,} of document {doc_id.hex()}.",
        "A medium stands in one sequence as a whole.",
        "Give the stage packing: {long: skip} and the policy best_fit or pad, or a larger seq_len.",
    )


def write_placed(path: Path, batches: Sequence[pa.RecordBatch]) -> None:
    """Write the placements of a part's media."""
    write_part(path, PLACED, batches)


def scatter_taught(
    tokens: Path,
    first_row: int,
    placed: tuple[Segments, NDArray[np.int64]],
    buffers: RecordBuffers,
) -> None:
    """Write what a teacher says of a part to its places; nothing where no teacher knows the part.

    placed: the part's segments, sorted by nothing, and the position of each one's sequence. Memory:
    a row group of the taught table: 32 MiB, or its longest document.
    """
    table, (segments, rows) = taught_table(tokens), placed
    if not table.exists():
        return
    ids_out, probs_out = buffers.taught()
    k = buffers.columns.teacher_k
    for group in row_groups(table, ["ids", "probs"]):
        here = (segments.doc_row >= first_row) & (segments.doc_row < first_row + group.num_rows)
        mine = Segments(*cast(Any, [values[here] for values in segments]))
        for name, out in (("ids", ids_out), ("probs", probs_out)):
            blobs: Any = column(group, name).fill_null(b"")
            flat = from_blobs(cast(pa.LargeBinaryArray, blobs), out.dtype)
            part = TokenRows(flat.ids.reshape(-1, k), flat.offsets // k, first_row)
            scatter_rows(part, mine, rows[here], np.asarray(out))
        first_row += group.num_rows
    ids_out.flush()
    probs_out.flush()


def media_of_span(
    buffers: RecordBuffers, sources: Sequence[str], span: tuple[int, int]
) -> "pa.Array[Any]":
    """Return the media of each position of a span, in order, as the column of a shard has them."""
    first, last = span
    filters = (pc.field("position") >= first) & (pc.field("position") < last)
    paths = [
        path
        for source in sources
        for path in sorted((buffers.folder / "media" / source).glob("*.parquet"))
    ]
    tables = [pq.read_table(path, schema=PLACED, filters=filters) for path in paths]
    found = pa.concat_tables([PLACED.empty_table(), *tables]).sort_by(
        [("position", "ascending"), ("offset", "ascending")]
    )
    counts = np.bincount(found.column("position").to_numpy() - first, minlength=last - first)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = [found.column(field.name).combine_chunks() for field in MEDIA_TYPE.value_type]
    structs = pa.StructArray.from_arrays(
        [cast(Any, value) for value in values], fields=list(MEDIA_TYPE.value_type)
    )
    offsets: Any = pa.array(ends)
    return pa.ListArray.from_arrays(offsets, structs, type=cast(Any, MEDIA_TYPE))
