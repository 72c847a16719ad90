"""Make micro-batches of rows: inputs, targets, and what packing means for both.

A *micro-batch* is what one forward pass takes. A *run* is a maximal range of slots that belong
together: each segment of a document, and the padding behind the last one.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cuvee.handoff.manifest import SpecialIds
from cuvee.handoff.reader import ShardGroup


class MediaRef(NamedTuple):
    """A medium: slots `offset` to `offset + length` of its sequence stand for `ref`.

    kind is image, video or audio. The slots hold a placeholder, and bear no loss.
    """

    offset: int
    length: int
    kind: str
    ref: str


class Batch(NamedTuple):
    """A micro-batch of m sequences of one step, each of `seq_len` slots.

    It is a named tuple of numpy arrays that share no memory with each other (but the entries of
    `cu_seqlens`), which torch's DataLoader turns into one of tensors by itself. The large ones lie
    in one block, which is used again when none of them is held any more.

    tokens: int64 [m, seq_len], the inputs.
    labels: int64 [m, seq_len], the token after each input; no ignore index is ever written here.
    loss_mask: bool [m, seq_len], True where the label continues the input's own document and may
        be trained on; False at padding and at the last token of a document.
    position_ids: int64 [m, seq_len], slots since the start of the run, from 0.
    cu_seqlens: m arrays, int32, 0 and then the end of each segment; the last is the row's number
        of real tokens. What variable-length attention kernels take.
    source_ids: int64 [m], indices into the loader's `sources`.
    positions: int64 [m], the places of the sequences in the stage.
    step: the global batch that they belong to.
    source_counts: int64 [sources], how many of the m sequences each of the loader's `sources` gave.
    micro: which of the rank's micro-batches of this step it is, from 0; `micros`: how many it has.
    teacher_ids: int64 [m, seq_len, k], what a teacher thinks likeliest to follow each input, and
        teacher_probs: float16, how likely; 0 where it said nothing. None in a stage without one.
        They go with `labels`: what `loss_mask` leaves out is not to be learned from them either.
    media: for each sequence its media in order; None in a stage without media.
    waited: seconds that the caller waited for the data of this micro-batch to be read.
    """

    tokens: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    loss_mask: npt.NDArray[np.bool_]
    position_ids: npt.NDArray[np.int64]
    cu_seqlens: list[npt.NDArray[np.int32]]
    source_ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    step: int
    source_counts: npt.NDArray[np.int64]
    micro: int = 0
    micros: int = 1
    waited: float = 0.0
    teacher_ids: npt.NDArray[np.int64] | None = None
    teacher_probs: npt.NDArray[np.float16] | None = None
    media: list[list[MediaRef]] | None = None

    @property
    def closes_step(self) -> bool:
        """Whether it is the rank's last micro-batch of its step: now the optimizer may step."""
        return self.micro + 1 == self.micros


def make_batch(
    group: ShardGroup,
    rows: range,
    special: SpecialIds,
    source_of: npt.NDArray[np.int64],
    sources: int,
) -> Batch:
    """Build the micro-batch of some rows of a row group, all of one step.

    rows: row numbers in the group. source_of: int64, the loader's id of each of the group's
    source names. sources: how many the loader has.
    """
    picked = slice(rows.start, rows.stop, rows.step)
    raw = group.tokens[picked]
    bounds = [group.cu_seqlens[group.cu_offsets[i] : group.cu_offsets[i + 1]] for i in rows]
    # One copy for all rows: the arrays given out must not be views of Arrow's read-only memory.
    flat = np.concatenate(bounds)
    sizes = np.array([len(bound) for bound in bounds])
    ends = np.cumsum(sizes)
    source_ids = source_of[group.source_ids[picked]]
    slots, mask = _memory(len(rows), raw.shape[1] - 1)
    own_document(flat, sizes, raw, special, mask)
    if group.mask_bits is not None:
        bits = group.mask_bits[picked]
        mask &= np.unpackbits(bits, axis=1, count=mask.shape[1], bitorder="little").view(np.bool_)
    slots[0], slots[1] = raw[:, :-1], raw[:, 1:]
    _count_places(flat, sizes, slots[2])
    return Batch(
        tokens=slots[0],
        labels=slots[1],
        loss_mask=mask,
        position_ids=slots[2],
        cu_seqlens=[flat[end - size : end] for end, size in zip(ends, sizes, strict=True)],
        source_ids=source_ids,
        positions=group.positions[picked].copy(),
        step=int(group.steps[rows.start]),
        source_counts=np.bincount(source_ids, minlength=sources),
        **_beside(group, picked, rows),
    )


def _beside(group: ShardGroup, picked: slice, rows: range) -> dict[str, Any]:
    """Return what some rows have beside tokens: teacher and media, where the stage has them."""
    if group.teacher_ids is None and group.media is None:
        return {}
    media, ids, probs = group.media, group.teacher_ids, group.teacher_probs
    return {
        "teacher_ids": None if ids is None else ids[picked].astype(np.int64),
        "teacher_probs": None if probs is None else probs[picked].astype(np.float16),
        "media": None if media is None else [media_of(media, row) for row in rows],
    }


def media_of(media: "pa.Array[Any]", row: int) -> list[MediaRef]:
    """Return the media of one row."""
    return [MediaRef(**one) for one in media[row].as_py() or []]


def _memory(rows: int, seq_len: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return memory for int64 [3, rows, seq_len] and bool [rows, seq_len], not yet written.

    It is Arrow's, which uses again what an earlier batch had. numpy gives large arrays back to the
    system, and getting them anew takes five to twenty times as long as filling them.
    """
    count = rows * seq_len
    block = np.frombuffer(memoryview(pa.allocate_buffer(count * 25)), np.uint8)
    slots, mask = block[: count * 24].view(np.int64), block[count * 24 :].view(np.bool_)
    return slots.reshape(3, rows, seq_len), mask.reshape(rows, seq_len)


def _count_places(
    flat: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64], out: npt.NDArray[np.int64]
) -> None:
    """Count slots from the start of each run, into `out` [m, seq_len].

    flat: all rows' cu_seqlens, one after the other; sizes: entries of each row. Every entry starts
    a run: the last of a row starts its padding, which may be empty.
    """
    starts = _starts(flat, sizes, out.shape[1])
    starts = starts[np.append(starts[1:], out.size) > starts]  # those of no slots start nothing
    places = out.reshape(-1)
    places.fill(1)
    places[0] = 0
    places[starts[1:]] -= starts[1:] - starts[:-1]
    np.cumsum(places, out=places)


def _starts(
    flat: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64], seq_len: int
) -> npt.NDArray[np.int64]:
    """Return the slot of each entry of cu_seqlens, counted over all rows."""
    starts = np.repeat(np.arange(0, len(sizes) * seq_len, seq_len), sizes)
    starts += flat
    return starts


def own_document(
    flat: npt.NDArray[np.int32],
    sizes: npt.NDArray[np.int64],
    raw: npt.NDArray[np.unsignedinteger],
    special: SpecialIds,
    out: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """Return bool [m, seq_len]: where the next token is of the slot's own document.

    flat: all rows' cu_seqlens, one after the other; sizes: entries of each row; raw: the tokens
    [m, seq_len + 1], lookahead included. out: where to write it; None makes a new array.
    """
    rows, seq_len = raw.shape[0], raw.shape[1] - 1
    mask = np.empty((rows, seq_len), np.bool_) if out is None else out
    mask.fill(True)
    # An entry above 0 ends a segment, and the label of the slot before it is another document's.
    mask.reshape(-1)[_starts(flat, sizes, seq_len)[flat > 0] - 1] = False
    real = flat[np.cumsum(sizes) - 1]
    for row in np.flatnonzero(real < seq_len):
        mask[row, real[row] :] = False
    # Every document ends with eos. A full row whose last token is another goes on behind it, and
    # so does one whose lookahead is no padding; both are asked because pad may be eos, and a
    # document may hold eos inside.
    goes_on = (raw[:, seq_len] != special.pad) | (raw[:, seq_len - 1] != special.eos)
    mask[:, seq_len - 1] = goes_on & (real == seq_len)
    return mask
