"""Filling in the middle, media, and bits of loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import TokenizerError
from cuvee.tokenize.fim import Odds, cut, restore, sentinels
from cuvee.tokenize.media import MediaMaker
from cuvee.tokenize.pack import Segments
from cuvee.tokenize.spans import Medium, Span, encode_runs, pack_bits, runs_of, unpack_bits
from cuvee.tokenize.store import Part, scatter_rows, scatter_targets
from cuvee.tokenize.tokenizer import Tokenizer

SPELLINGS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
ids_16 = st.binary(min_size=16, max_size=16)


@given(doc_id=ids_16, text=st.text(max_size=40), spm=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=80, deadline=None)
def test_a_document_that_was_cut_comes_back(
    small: Tokenizer, doc_id: bytes, text: str, spm: float
) -> None:
    marks = sentinels(small, *SPELLINGS)
    runs = cut(doc_id, text, Odds(1.0, spm, 3), marks)
    ids = encode_runs(small, [runs]).encoded.ids
    order = [one for one in ids.tolist() if one in marks]
    assert order == [marks.prefix, marks.suffix, marks.middle]
    prefix, middle, suffix = restore(ids, marks)
    assert small.decode(np.concatenate([prefix, middle, suffix])) == text
    assert runs == cut(doc_id, text, Odds(1.0, spm, 3), marks)


def test_the_shares_of_cut_documents_and_of_their_orders_are_as_asked(small: Tokenizer) -> None:
    marks, rng = sentinels(small, *SPELLINGS), np.random.default_rng(5)
    made = [cut(rng.bytes(16), "a text of words", Odds(0.3, 0.25, 9), marks) for _ in range(4000)]
    done = [runs for runs in made if runs[0].token >= 0]
    spm = [runs for runs in done if runs[1].token == marks.suffix]  # or an empty prefix: 1 / 16
    assert abs(len(done) / 4000 - 0.3) < 0.03
    assert abs(len(spm) / len(done) - (0.25 + 0.75 / 8)) < 0.05
    assert all(runs[0].text == "a text of words" for runs in made if runs not in done)


def test_a_document_that_is_left_alone_is_its_text(small: Tokenizer) -> None:
    marks = sentinels(small, *SPELLINGS)
    runs = cut(bytes(16), "some text", Odds(0.0, 0.5, 0), marks)
    ids = encode_runs(small, [runs]).encoded.ids
    assert ids.tolist() == small.encode_batch(["some text"]).ids.tolist()
    assert small.decode(restore(ids, marks)[0]) == "some text"


def test_a_tokenizer_without_the_sentinels_is_refused(small: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="<fim_prefix>"):
        sentinels(small, "<fim_prefix>", *SPELLINGS[1:])


def test_media_keep_their_order_and_cost_and_bear_no_loss(small: Tokenizer) -> None:
    content = [
        {"type": "image", "ref": "a.png", "tokens": 5},
        {"type": "text", "text": "some words"},
        {"type": "video", "ref": "b.mp4", "tokens": 2},
        {"type": "audio", "ref": "c.wav", "tokens": 1},
    ]
    made = MediaMaker()([content])
    assert not isinstance(made, str)
    text, spans = made[0], [Span(**span) for span in made[1]]
    assert text == "some words"
    image = small.control_tokens["<|image|>"]
    result = encode_runs(small, [runs_of(text, spans, small.control_tokens, image)])
    ids, words = result.encoded.ids, len(small.encode_texts([text]).ids)
    assert result.media == [
        [
            Medium(0, 5, "image", "a.png"),
            Medium(5 + words, 2, "video", "b.mp4"),
            Medium(7 + words, 1, "audio", "c.wav"),
        ]
    ]
    assert (ids == image).tolist() == [True] * 5 + [False] * words + [True] * 3 + [False]
    assert result.loss.tolist() == [False] * 5 + [True] * words + [False] * 4
    assert small.decode(ids[5 : 5 + words]) == text


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        [],
        [3],
        [{"type": "image", "ref": "a"}],
        [{"type": "image", "ref": "a", "tokens": 0}],
        [{"type": "image", "ref": "a", "tokens": True}],
        [{"type": "smell", "ref": "a", "tokens": 1}],
        [{"type": "text", "text": None}],
    ],
)
def test_content_that_is_no_list_of_media_has_a_reason(content: object) -> None:
    assert MediaMaker()([content]) == "not_media_content"


@given(lengths=st.lists(st.integers(0, 20), min_size=1, max_size=6), data=st.data())
@settings(max_examples=40, deadline=None)
def test_bits_of_loss_come_back(lengths: list[int], data: st.DataObject) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    total = int(offsets[-1])
    loss = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)), np.bool_)
    for row, mask in enumerate(pack_bits(loss, offsets)):
        due = loss[offsets[row] : offsets[row + 1]]
        assert (unpack_bits(mask, len(due)) == due).all()
        assert (mask is None) == bool(due.all())


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_slots_have_the_loss_of_their_targets_and_the_teachers_rows_of_their_tokens(
    data: st.DataObject, seed: int
) -> None:
    rng, seq_len = np.random.default_rng(seed), data.draw(st.integers(1, 9))
    lengths = rng.integers(1, 20, 5)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    bears, taught = rng.random(offsets[-1]) < 0.5, rng.random((int(offsets[-1]), 2))
    rows: list[int] = []
    drawn: list[tuple[int, ...]] = []
    for document in range(5):
        for start in range(0, int(lengths[document]), seq_len):
            length = min(seq_len, int(lengths[document]) - start)
            drawn.append((len(rows), 0, length, document + 7, start, 0))
            rows.append(len(rows))
    columns = [np.array(values) for values in zip(*drawn, strict=True)]
    segments, place = Segments(*columns), np.array(rows)
    mask = np.ones((len(rows), seq_len), np.bool_)
    out = np.zeros((len(rows), seq_len, 2))
    scatter_targets(Part(bears, offsets, 7), segments, place, mask)
    scatter_rows(Part(taught, offsets, 7), segments, place, out)
    for row, _, length, doc_row, start, _ in drawn:
        first, end = offsets[doc_row - 7], offsets[doc_row - 6]
        for slot in range(seq_len):
            token = first + start + slot
            target = token + 1 < end and slot < length
            assert mask[row, slot] == (bears[token + 1] if target else True)
            assert (out[row, slot] == (taught[token] if slot < length else 0)).all()
