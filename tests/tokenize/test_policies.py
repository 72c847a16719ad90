"""The three ways to fill sequences, each against a plain twin that lays token after token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.tokenize.pack import Pieces, Segments, take
from cuvee.tokenize.policies import Policy, fill

Token = tuple[int, int, int]  # document, place in it, epoch
CASES = st.tuples(
    st.lists(st.integers(1, 70), max_size=50),
    st.sampled_from([1, 7, 8, 31]),
    st.integers(0, 12),
    st.integers(0, 12),
)


def pieces_of(lengths: list[int]) -> Pieces:
    rows = np.arange(len(lengths), dtype=np.int64)
    return Pieces(rows, (rows * 3) % 5, np.array(lengths, np.int64), (rows % 2).astype(np.int32))


def tokens_of(pieces: Pieces) -> list[Token]:
    return [
        (int(row), int(start) + at, int(epoch))
        for row, start, length, epoch in zip(*pieces, strict=True)
        for at in range(length)
    ]


def sequences_of(segments: Segments) -> list[list[Token]]:
    """The tokens of each sequence; segments must tile it from its first slot on."""
    found: list[list[Token]] = []
    for ordinal, offset, length, row, start, epoch in zip(*segments, strict=True):
        if ordinal == len(found):
            found.append([])
        assert ordinal == len(found) - 1
        assert offset == len(found[ordinal])
        found[ordinal] += [(int(row), int(start) + at, int(epoch)) for at in range(length)]
    return found


def plain_concat(pieces: Pieces, seq_len: int) -> list[list[Token]]:
    stream = tokens_of(pieces)
    return [stream[at : at + seq_len] for at in range(0, len(stream), seq_len)]


def plain_pad(pieces: Pieces, seq_len: int) -> list[list[Token]]:
    found = []
    for at in range(len(pieces.length)):
        own = tokens_of(take(pieces, np.array([at])))
        found += [own[low : low + seq_len] for low in range(0, len(own), seq_len)]
    return found


@settings(max_examples=120, deadline=None)
@given(CASES, st.sampled_from(["concat", "pad"]))
def test_sequences_are_those_of_the_plain_twin(
    case: tuple[list[int], int, int, int], policy: Policy
) -> None:
    lengths, seq_len, sequences, keep = case
    pieces, plain = pieces_of(lengths), plain_concat if policy == "concat" else plain_pad
    segments, left = fill(policy, pieces, seq_len, (sequences, keep))
    expected = plain(pieces, seq_len)
    assert sequences_of(segments) == expected[: min(sequences, keep)]
    assert tokens_of(left) == [t for held in expected[min(sequences, keep) :] for t in held]


@settings(max_examples=120, deadline=None)
@given(CASES, st.sampled_from(["best_fit", "concat", "pad"]))
def test_a_sequence_does_not_depend_on_how_many_are_kept(
    case: tuple[list[int], int, int, int], policy: Policy
) -> None:
    lengths, seq_len, sequences, keep = case
    pieces = pieces_of(lengths)
    all_, _ = fill(policy, pieces, seq_len, (sequences, sequences))
    some, left = fill(policy, pieces, seq_len, (sequences, keep))
    assert sequences_of(some) == sequences_of(all_)[:keep]
    placed = [token for held in sequences_of(some) for token in held]
    assert sorted(placed + tokens_of(left)) == sorted(tokens_of(pieces))
    order = list(zip(left.doc_row.tolist(), left.start.tolist(), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize("policy", ["best_fit", "concat", "pad"])
def test_a_document_decodes_to_its_tokens_by_its_segments(policy: Policy) -> None:
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 300, 400)
    text = [rng.integers(0, 50_000, length) for length in lengths]
    nothing = np.zeros(len(lengths), np.int64)
    pieces = Pieces(np.arange(400), nothing, lengths, nothing.astype(np.int32))
    segments, left = fill(policy, pieces, 64, (10**6, 10**6))
    assert len(left.length) == 0
    order = np.lexsort((segments.doc_start, segments.doc_row))
    for row in range(400):
        mine = order[segments.doc_row[order] == row]
        parts = [
            text[row][start : start + length]
            for start, length in zip(segments.doc_start[mine], segments.length[mine], strict=True)
        ]
        assert np.concatenate(parts).tolist() == text[row].tolist()
