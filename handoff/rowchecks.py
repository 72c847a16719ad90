"""What must hold for the rows of a shard: one function per check, on the rows of one row group.

Each takes the row group and what the manifest says is `Due`, and answers with None, or with a
sentence about the first row that breaks it. `ROW_CHECKS` is the table of them all, in order: where
one fails in a file, those after it are not asked there, since they build on it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cuvee.handoff.batches import media_of
from cuvee.handoff.manifest import Manifest
from cuvee.handoff.reader import ShardGroup

# k probabilities are rounded to float16 each, by 2**-11 of themselves at most.
PROBABILITY_SLACK = 2**-10


class Due(NamedTuple):
    """What a row group should be: rows of this stage, from position `first` on."""

    manifest: Manifest
    first: int


def whole_batches(group: ShardGroup, due: Due) -> str | None:
    """Check that a row group holds whole global batches."""
    batch, rows = due.manifest.global_batch.sequences, len(group.positions)
    if due.first % batch or rows % batch:
        return f"a row group holds {rows} rows from position {due.first}, batches have {batch}"
    return None


def positions_follow(group: ShardGroup, due: Due) -> str | None:
    """Check that positions go up by one from the last file's."""
    expected = np.arange(due.first, due.first + len(group.positions))
    wrong = np.flatnonzero(group.positions != expected)
    if len(wrong):
        return f"position {group.positions[wrong[0]]} stands where {expected[wrong[0]]} follows"
    return None


def steps_follow(group: ShardGroup, due: Due) -> str | None:
    """Check that a row's step is its position divided by the global batch."""
    expected = group.positions // due.manifest.global_batch.sequences
    wrong = np.flatnonzero(group.steps != expected)
    if len(wrong):
        at = wrong[0]
        return f"position {group.positions[at]} has step {group.steps[at]}, not {expected[at]}"
    return None


def segments_tile(group: ShardGroup, due: Due) -> str | None:
    """Check that cu_seqlens is 0, then strictly rising, then n_tokens, which is 1 to seq_len."""
    bounds, offsets, real = group.cu_seqlens, group.cu_offsets, group.n_tokens
    good = (np.diff(offsets) >= 2) & (real >= 1) & (real <= due.manifest.seq_len)
    if good.all():
        rises = np.append(np.diff(bounds) > 0, True)
        rises[offsets[1:] - 1] = True  # from one row's end to the next row's 0
        good = (bounds[offsets[:-1]] == 0) & (bounds[offsets[1:] - 1] == real)
        good &= np.logical_and.reduceat(rises, offsets[:-1])
    wrong = np.flatnonzero(~good)
    if len(wrong):
        at = wrong[0]
        held = bounds[offsets[at] : offsets[at + 1]].tolist()
        return f"position {group.positions[at]}: cu_seqlens {held[:8]} for {real[at]} tokens"
    return None


def ids_in_vocabulary(group: ShardGroup, due: Due) -> str | None:
    """Check that every id, padding included, is below the vocabulary's size."""
    size = due.manifest.vocabulary_size
    if int(group.tokens.max()) < size:
        return None
    row, slot = np.argwhere(group.tokens >= size)[0]
    found = group.tokens[row, slot]
    return f"position {group.positions[row]}, slot {slot}: id {found} of a vocabulary of {size}"


def empty_slots_hold_pad(group: ShardGroup, due: Due) -> str | None:
    """Check that the slots behind a row's real tokens, the lookahead too, hold the pad id."""
    pad = due.manifest.special_ids.pad
    for row in np.flatnonzero(group.n_tokens < due.manifest.seq_len):
        if (group.tokens[row, group.n_tokens[row] :] != pad).any():
            return f"position {group.positions[row]}: an empty slot holds another id than pad {pad}"
    return None


def sources_known(group: ShardGroup, due: Due) -> str | None:
    """Check that every source is one of the manifest's."""
    unknown = set(group.source_names) - {source.name for source in due.manifest.sources}
    return f"source {min(unknown)!r} is not in the manifest" if unknown else None


def masks_as_listed(group: ShardGroup, due: Due) -> str | None:
    """Check that rows have loss masks where the manifest says so, and else none."""
    if (group.mask_bits is not None) == due.manifest.columns.loss_mask:
        return None
    return f"position {group.positions[0]}: loss_mask is not as the manifest's columns say"


def teacher_sound(group: ShardGroup, due: Due) -> str | None:
    """Check a teacher's ids, and that the probabilities of a slot are 0 to 1 and sum to 1 at most.

    Slots without a token have none.
    """
    if group.teacher_ids is None or group.teacher_probs is None:
        return None
    empty = np.arange(due.manifest.seq_len) >= group.n_tokens[:, None]
    for row, (ids, probs) in enumerate(zip(group.teacher_ids, group.teacher_probs, strict=True)):
        wide = probs.astype(np.float32)
        sound = bool((wide >= 0).all()) and float(wide.sum(axis=1).max()) <= 1 + PROBABILITY_SLACK
        if not sound or int(ids.max()) >= due.manifest.vocabulary_size or wide[empty[row]].any():
            return f"position {group.positions[row]}: teacher_ids or teacher_probs cannot be"
    return None


def media_fit(group: ShardGroup, due: Due) -> str | None:
    """Check that each medium lies in one segment, and that they follow one another."""
    if group.media is None:
        return None
    for row in range(len(group.positions)):
        first, last = group.cu_offsets[row : row + 2]
        bounds, at = group.cu_seqlens[first:last], 0
        for medium in media_of(group.media, row):
            end = medium.offset + medium.length
            segment = int(np.searchsorted(bounds, medium.offset, side="right"))
            if medium.offset < at or segment >= len(bounds) or not at < end <= bounds[segment]:
                return f"position {group.positions[row]}: {medium} is not in one segment"
            at = end
    return None


ROW_CHECKS: dict[str, Callable[[ShardGroup, Due], str | None]] = {
    "batches": whole_batches,
    "positions": positions_follow,
    "steps": steps_follow,
    "segments": segments_tile,
    "ids": ids_in_vocabulary,
    "padding": empty_slots_hold_pad,
    "sources": sources_known,
    "masks": masks_as_listed,
    "teacher": teacher_sound,
    "media": media_fit,
}
