"""Micro-batches against a twin that walks every slot."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.handoff.batches import make_batch
from cuvee.handoff.manifest import SpecialIds
from cuvee.handoff.reader import ShardGroup

EOS = 0


@st.composite
def packed_row(draw: Any, seq_len: int, pad: int) -> tuple[list[int], list[int], bool]:
    """Draw slots, cu_seqlens, and whether the last document goes on behind the row."""
    real = draw(st.one_of(st.just(seq_len), st.integers(1, seq_len)))
    bounds = sorted({0, real} | draw(st.sets(st.integers(1, real), max_size=3)))
    inside = st.integers(2, 20)
    tokens = [draw(inside) for _ in range(real)]
    goes_on = real == seq_len and draw(st.booleans())
    if not goes_on:
        tokens[-1] = EOS
    ahead = draw(st.one_of(st.just(EOS), inside)) if goes_on else pad
    return tokens + [pad] * (seq_len - real) + [ahead], bounds, goes_on


@st.composite
def packed_rows(draw: Any) -> tuple[int, int, list[tuple[list[int], list[int], bool]], Any]:
    seq_len, pad = draw(st.integers(1, 12)), draw(st.sampled_from([EOS, 1]))
    rows = draw(st.lists(packed_row(seq_len, pad), min_size=1, max_size=6))
    slots = st.lists(st.booleans(), min_size=seq_len, max_size=seq_len)
    masks = draw(st.none() | st.lists(slots, min_size=len(rows), max_size=len(rows)))
    return seq_len, pad, rows, masks


def group_of(rows: list[tuple[list[int], list[int], bool]], masks: Any) -> ShardGroup:
    count = len(rows)
    return ShardGroup(
        tokens=np.array([tokens for tokens, _, _ in rows], np.uint16),
        positions=np.arange(100, 100 + count),
        steps=np.full(count, 9, np.int32),
        source_ids=np.arange(count, dtype=np.int32) % 2,
        source_names=("a", "b"),
        cu_seqlens=np.array([b for _, bounds, _ in rows for b in bounds], np.int32),
        cu_offsets=np.cumsum([0, *(len(bounds) for _, bounds, _ in rows)]),
        n_tokens=np.array([bounds[-1] for _, bounds, _ in rows], np.int32),
        mask_bits=None
        if masks is None
        else np.packbits(np.array(masks, bool), axis=1, bitorder="little"),
    )


def plain_slots(bounds: list[int], seq_len: int, goes_on: bool) -> tuple[list[int], list[bool]]:
    """Position ids and own-document mask of one row, slot by slot."""
    places, own, start = [], [], 0
    for slot in range(seq_len):
        if slot in bounds:
            start = slot
        places.append(slot - start)
        real_next = slot + 1 < bounds[-1] and slot + 1 not in bounds
        own.append(real_next or (slot + 1 == seq_len == bounds[-1] and goes_on))
    return places, own


@settings(max_examples=150, deadline=None)
@given(packed_rows(), st.integers(0, 2), st.integers(1, 3))
def test_masks_and_position_ids_are_those_of_the_layout(
    made: tuple[int, int, list[tuple[list[int], list[int], bool]], Any], first: int, stride: int
) -> None:
    seq_len, pad, rows, masks = made
    picked = range(min(first, len(rows) - 1), len(rows), stride)
    source_of = np.array([5, 3])
    batch = make_batch(group_of(rows, masks), picked, SpecialIds(EOS, pad), source_of, 6)
    for i, row in enumerate(picked):
        tokens, bounds, goes_on = rows[row]
        places, own = plain_slots(bounds, seq_len, goes_on)
        if masks is not None:
            own = [a and b for a, b in zip(own, masks[row], strict=True)]
        assert batch.tokens[i].tolist() == tokens[:-1]
        assert batch.labels[i].tolist() == tokens[1:]
        assert batch.position_ids[i].tolist() == places
        assert batch.loss_mask[i].tolist() == own
        assert batch.cu_seqlens[i].tolist() == bounds
    assert batch.positions.tolist() == [100 + row for row in picked]
    assert batch.source_ids.tolist() == [(5, 3)[row % 2] for row in picked]
    assert batch.step == 9


def test_arrays_have_the_promised_types_and_may_be_written_to() -> None:
    rows = [([2, 3, EOS, 1, 1], [0, 2, 3], False), ([4, 5, 6, 7, 8], [0, 4], True)]
    batch = make_batch(group_of(rows, None), range(2), SpecialIds(EOS, 1), np.arange(2), 2)
    kinds = [array.dtype.name for array in batch if isinstance(array, np.ndarray)]
    assert kinds == ["int64", "int64", "bool", "int64", "int64", "int64", "int64"]
    assert [c.dtype.name for c in batch.cu_seqlens] == ["int32", "int32"]
    batch.labels[~batch.loss_mask] = -100
    assert batch.tokens.tolist() == [[2, 3, EOS, 1], [4, 5, 6, 7]]
    assert all(bounds.flags.writeable for bounds in batch.cu_seqlens)
    assert batch.positions.flags.writeable


@pytest.mark.parametrize(
    ("last", "ahead", "pad", "real"),
    [
        (7, 8, 1, True),  # the document goes on
        (7, EOS, 1, True),  # with its last token
        (7, EOS, EOS, True),  # the same where pad is eos
        (EOS, 1, 1, False),  # the document ended
        (EOS, EOS, EOS, False),
        (7, 1, 1, True),  # a text that holds the pad token itself
        (EOS, 8, 1, True),  # a text that holds eos inside
    ],
)
def test_the_lookahead_counts_where_the_document_goes_on(
    last: int, ahead: int, pad: int, real: bool
) -> None:
    rows = [([5, 6, last, ahead], [0, 3], real)]
    batch = make_batch(group_of(rows, None), range(1), SpecialIds(EOS, pad), np.arange(2), 2)
    assert batch.loss_mask.tolist() == [[True, True, real]]


def test_no_array_of_a_batch_shares_memory_with_another() -> None:
    rows = [([2, 3, EOS, 1, 1], [0, 2, 3], False), ([4, 5, 6, 7, 8], [0, 4], True)]
    made = group_of(rows, None)
    batches = [make_batch(made, range(2), SpecialIds(EOS, 1), np.arange(2), 2) for _ in range(2)]
    arrays: list[Any] = [p for batch in batches for p in batch if isinstance(p, np.ndarray)]
    arrays += [made.tokens, made.positions, made.cu_seqlens]
    for one, other in combinations(arrays, 2):
        assert not np.shares_memory(one, other)
