"""Write stage shards: Parquet files whose rows are training sequences in training order.

A *sequence* is one row: `seq_len` input slots and one *lookahead* slot behind them, so that every
input slot has a next token. The first `n_tokens` slots are real, the others hold the pad id; the
lookahead holds the next token of the last document where that document fills the sequence and goes
on, else the pad id. A *segment* is the run of tokens that a sequence takes from one document;
`cu_seqlens` holds 0 and then the end of each segment, so its last entry is `n_tokens`. A *global
batch* is the rows of one optimizer step. A *row group* is what a reader reads at once.

Tokens are fixed-length bytes, never a list column: those read 3.4 times slower and need twice the
space before compression. The same rows give the same bytes with the same pyarrow.

A stage may have more *columns*: the loss mask of its records; what a *teacher* model said of each
slot, `k` ids and their probabilities; and its *media*, the slots that stand for an image, a video
or audio, as a list of structs, whose fields Arrow gives as flat arrays.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1 << 20
# A row group is what a loader holds in memory and what one random read costs; below about 1 MiB
# the footers of a large stage outweigh their use. Whole batches of at most 4 MiB give 2 to 4 MiB.
GROUP_BYTES = 4 * MIB
# Raw bytes: 128 to 256 MiB a file, large enough for object stores, small enough that the worker
# which assembles one can hold it in memory.
FILE_BYTES = 256 * MIB
# Token ids compress from 16 to about 4.6 bits at level 3; level 6 gains little at twice the cost.
ZSTD_LEVEL = 3
UINT16_VOCABULARY = 1 << 16
PROBABILITY_BYTES = 2  # float16: 11 bits, where cross-entropies of a teacher need about 8


@dataclass(frozen=True)
class Columns:
    """What the rows of a stage have beside their tokens.

    loss_mask: whether records say which tokens bear loss. teacher_k: ids and probabilities of each
    slot, 0 for none. media: whether slots stand for media.
    """

    loss_mask: bool = False
    teacher_k: int = 0
    media: bool = False


PLAIN = Columns()
MEDIA_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("offset", pa.int32(), nullable=False),
            pa.field("length", pa.int32(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("ref", pa.string(), nullable=False),
        ]
    )
)


@dataclass(frozen=True)
class ShardRows:
    """Consecutive sequences of one stage, n of them, as arrays.

    tokens: uint16 or uint32 [n, seq_len + 1].
    positions: int64 [n], the place of each sequence in the stage, from 0.
    steps: int32 [n], the global batch it belongs to.
    source_ids: int [n], indices into `source_names`.
    cu_seqlens: int32, the boundaries of all rows one after the other.
    cu_offsets: int64 [n + 1]; row i owns cu_seqlens[cu_offsets[i]:cu_offsets[i + 1]].
    n_tokens: int32 [n], real tokens of each row.
    loss_mask: bool [n, seq_len], False where the target of a slot must not be trained on; None
        where packing alone decides.
    teacher_ids: the ids' dtype [n, seq_len, k], the teacher's likeliest tokens behind each slot;
        None without a teacher.
    teacher_probs: float16 [n, seq_len, k], their probabilities; 0 where nothing is known.
    media: MEDIA_TYPE [n], the media of each row in order, an empty list or null where it has none;
        None without media.
    """

    tokens: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    positions: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int32]
    source_ids: npt.NDArray[np.integer]
    source_names: tuple[str, ...]
    cu_seqlens: npt.NDArray[np.int32]
    cu_offsets: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.bool_] | None = None
    teacher_ids: npt.NDArray[np.unsignedinteger] | None = None
    teacher_probs: npt.NDArray[np.float16] | None = None
    media: "pa.Array[Any] | None" = None

    @property
    def columns(self) -> Columns:
        """What there is beside tokens."""
        k = 0 if self.teacher_ids is None else self.teacher_ids.shape[2]
        return Columns(self.loss_mask is not None, k, self.media is not None)


def token_dtype(vocabulary_size: int) -> str:
    """Return "uint16" where every id of the vocabulary fits two bytes, else "uint32"."""
    return "uint16" if vocabulary_size <= UINT16_VOCABULARY else "uint32"


def row_bytes(seq_len: int, dtype: str, teacher_k: int = 0) -> int:
    """Return the bytes of one row's tokens, lookahead included, and of what its teacher said."""
    width = np.dtype(dtype).itemsize
    return (seq_len + 1) * width + seq_len * teacher_k * (width + PROBABILITY_BYTES)


def mask_bytes(seq_len: int) -> int:
    """Return the bytes of one row's stored loss mask: one bit a slot, lowest bit first."""
    return -(-seq_len // 8)


def rows_per_group(batch_sequences: int, bytes_per_row: int) -> int:
    """Return the rows of a row group: as many whole global batches as fit 4 MiB, at least one."""
    return max(1, GROUP_BYTES // (batch_sequences * bytes_per_row)) * batch_sequences


def rows_per_file(batch_sequences: int, bytes_per_row: int) -> int:
    """Return the rows of a file: as many whole row groups as fit 256 MiB, at least one."""
    group = rows_per_group(batch_sequences, bytes_per_row)
    return max(1, FILE_BYTES // (group * bytes_per_row)) * group


def shard_name(index: int) -> str:
    """Return the file name of a stage's shard `index`; names sort in training order."""
    return f"{index:06d}.parquet"


def shard_schema(seq_len: int, dtype: str, columns: Columns = PLAIN) -> pa.Schema:
    """Return the columns of a shard; only `loss_mask` and `media_refs` may be null."""
    taught, slots = list["pa.Field[Any]"](), seq_len * columns.teacher_k
    if columns.teacher_k:
        width = np.dtype(dtype).itemsize
        taught += [
            pa.field("teacher_ids", pa.binary(slots * width), nullable=False),
            pa.field("teacher_probs", pa.binary(slots * PROBABILITY_BYTES), nullable=False),
        ]
    media = [pa.field("media_refs", MEDIA_TYPE)] if columns.media else []
    return pa.schema(
        [
            pa.field("position", pa.int64(), nullable=False),
            pa.field("step", pa.int32(), nullable=False),
            pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("tokens", pa.binary(row_bytes(seq_len, dtype)), nullable=False),
            pa.field("cu_seqlens", pa.binary(), nullable=False),
            pa.field("loss_mask", pa.binary(), nullable=True),
            pa.field("n_tokens", pa.int32(), nullable=False),
            *taught,
            *media,
        ]
    )


def write_shard(path: Path, rows: ShardRows, group_rows: int) -> None:
    """Write `rows` to `path`, `group_rows` of them to a row group (see `rows_per_group`).

    The file is not whole until this returns: give a temporary path and rename it.
    """
    table = _table(rows)
    with pq.ParquetWriter(
        path,
        table.schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=["source"],  # type: ignore[arg-type] # the stubs know only bool
        write_statistics=["position", "step", "source", "n_tokens"],
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table, row_group_size=group_rows)


def _table(rows: ShardRows) -> pa.Table:
    """Wrap the arrays as Arrow columns; the tokens are not copied."""
    slots = rows.tokens.shape[1]
    little = rows.tokens.dtype.newbyteorder("<")
    schema = shard_schema(slots - 1, rows.tokens.dtype.name, rows.columns)
    sources = pa.DictionaryArray.from_arrays(
        pa.array(rows.source_ids, pa.int32()), pa.array(rows.source_names, pa.string())
    )
    columns: list[pa.Array[Any]] = [
        pa.array(rows.positions, pa.int64()),
        pa.array(rows.steps, pa.int32()),
        sources,
        _fixed(rows.tokens.astype(little, copy=False)),
        _binary(rows.cu_seqlens.astype("<i4"), rows.cu_offsets * 4),
        _mask_column(rows),
        pa.array(rows.n_tokens, pa.int32()),
    ]
    if rows.teacher_ids is not None and rows.teacher_probs is not None:
        columns.append(_fixed(rows.teacher_ids.astype(little, copy=False)))
        columns.append(_fixed(rows.teacher_probs.astype("<f2", copy=False)))
    if rows.media is not None:
        columns.append(rows.media)
    return pa.Table.from_arrays(columns, schema=schema)


def _fixed(values: npt.NDArray[np.generic]) -> "pa.Array[Any]":
    """View an array's rows as fixed-length bytes; they are copied only where they lie apart."""
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    kind = pa.binary(rows.shape[1] * rows.itemsize)
    buffer = pa.py_buffer(rows.view(np.uint8).data)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(rows), [None, buffer])


def _mask_column(rows: ShardRows) -> "pa.Array[Any]":
    """Pack the loss mask to one bit a slot; a column of nulls where there is none."""
    if rows.loss_mask is None:
        return pa.nulls(len(rows.tokens), pa.binary())
    packed = np.packbits(rows.loss_mask, axis=1, bitorder="little")
    return _binary(packed, np.arange(len(packed) + 1) * packed.shape[1])


def _binary(values: npt.NDArray[np.generic], offsets: npt.NDArray[np.integer]) -> "pa.Array[Any]":
    """Cut the bytes of `values` at the byte `offsets` into a binary column."""
    buffers = [
        None,
        pa.py_buffer(np.ascontiguousarray(offsets, np.int32).data),
        pa.py_buffer(np.ascontiguousarray(values).data),
    ]
    return pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers)
