"""Documents that are not encoded as one text: what each stretch of them becomes.

A *span* is a stretch of a document's text as its record was made: its bytes, whether a control
token of this spelling is meant, whether it bears loss; a *medium* (image, video, audio) is a span
without text that takes so many slots. A *run* is what is encoded at once: a text, or one id so
often. Neighbouring spans of text that bear loss alike are one run, so that ids are those of the
whole text, cut only at control tokens, media and where loss begins or ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.tokenize.store import Encoded
from cuvee.tokenize.tokenizer import Tokenizer


class Span(NamedTuple):
    """A stretch of `n_bytes` of UTF-8; `media`, `ref` and `n_tokens` are those of a medium."""

    n_bytes: int
    control: bool = False
    loss: bool = True
    media: str | None = None
    ref: str | None = None
    n_tokens: int = 0


class Run(NamedTuple):
    """A text, or the id `token` (where it is not negative) `times` times."""

    text: str = ""
    token: int = -1
    times: int = 1
    loss: bool = True
    media: str | None = None
    ref: str | None = None


class Medium(NamedTuple):
    """A medium of a document: slots `start` to `start + length` stand for `ref`."""

    start: int
    length: int
    kind: str
    ref: str


class Made(NamedTuple):
    """Documents made of runs: their ids, EOS included, which bear loss, and the media of each.

    loss: bool, as long as `encoded.ids`.
    """

    encoded: Encoded
    loss: NDArray[np.bool_]
    media: list[list[Medium]]


def runs_of(
    text: str, spans: Iterable[Span], control: Mapping[str, int], placeholder: int
) -> list[Run]:
    """Return the runs of a document from its spans, which cover its text.

    `control` has the ids of control tokens, `placeholder` is the id that fills a medium's slots.
    """
    data, at, runs = text.encode(), 0, list[Run]()
    for span in spans:
        piece = data[at : at + span.n_bytes].decode()
        at += span.n_bytes
        if span.media is not None:
            medium = Run("", placeholder, span.n_tokens, False, span.media, span.ref)
            runs.append(medium)
        elif span.control and piece in control:
            runs.append(Run("", control[piece], 1, span.loss))
        elif runs and runs[-1].token < 0 and runs[-1].loss == span.loss:
            runs[-1] = runs[-1]._replace(text=runs[-1].text + piece)
        else:
            runs.append(Run(piece, loss=span.loss))
    if at != len(data):
        raise ValueError(f"the spans have {at} bytes, the text {len(data)}")
    return runs


def encode_runs(tokenizer: Tokenizer, documents: Sequence[Sequence[Run]]) -> Made:
    """Encode documents run by run, each closed by EOS where its runs do not end with it.

    An EOS that is added bears loss where none of the document's runs is without it, as in plain
    text. The ids are in the tokenizer's dtype. Takes 2 microseconds a run beside the encoding.
    """
    texts = [run.text for runs in documents for run in runs if run.token < 0]
    encoded = tokenizer.encode_texts(texts)
    parts, losses, media = list[NDArray[Any]](), list[NDArray[np.bool_]](), list[list[Medium]]()
    offsets, row = np.zeros(len(documents) + 1, np.int64), 0
    for number, runs in enumerate(documents):
        at, found = 0, list[Medium]()
        for run in _closed(runs, tokenizer.eos_id):
            if run.token < 0:
                ids = encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]]
                row += 1
            else:
                ids = np.full(run.times, run.token, tokenizer.dtype)
            if run.media is not None:
                found.append(Medium(at, run.times, run.media, run.ref or ""))
            parts.append(ids)
            losses.append(np.full(len(ids), run.loss))
            at += len(ids)
        media.append(found)
        offsets[number + 1] = offsets[number] + at
    ids = np.concatenate([np.empty(0, tokenizer.dtype), *parts]).astype(tokenizer.dtype)
    return Made(Encoded(ids, offsets), np.concatenate([np.empty(0, np.bool_), *losses]), media)


def _closed(runs: Sequence[Run], eos_id: int) -> Iterable[Run]:
    """Yield a document's runs and the EOS behind them."""
    yield from runs
    if not runs or runs[-1].token != eos_id or runs[-1].media is not None:
        yield Run("", eos_id, 1, all(run.loss for run in runs))


def pack_bits(loss: NDArray[np.bool_], offsets: NDArray[np.int64]) -> list[bytes | None]:
    """Return each document's loss as one bit a token, lowest first; None where all bear loss."""
    documents = np.split(loss, offsets[1:-1]) if len(offsets) > 1 else []
    return [
        None if one.all() else np.packbits(one, bitorder="little").tobytes() for one in documents
    ]


def unpack_bits(mask: bytes | None, length: int) -> NDArray[np.bool_]:
    """Return a document's loss as bool[length] from what `pack_bits` gives."""
    if mask is None:
        return np.ones(length, np.bool_)
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=length, bitorder="little")
    return bits.view(np.bool_)
