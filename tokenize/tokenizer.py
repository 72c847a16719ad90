"""Tokenizers: text in, token ids out, the end-of-sequence token after every document.

A tokenizer is read from a `tokenizer.json` or a rank file (see `ranks`). gigatoken encodes, ten
times as fast as the *reference* (see `encoders`), but only if it gave the reference's ids on every
text it was tried on. *Control tokens* steer a model (end of sequence, chat roles): text that
spells one is encoded as the letters it is made of, never as the control token. Other added tokens
(runs of spaces, placeholders) are part of the vocabulary for text and stay so.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gigatoken
import numpy as np
import tiktoken
import zstandard
from numba import njit
from numpy.typing import NDArray

from cuvee.configs.errors import TokenizerError
from cuvee.tokenize import ranks as rank_files
from cuvee.tokenize.encoders import (
    Backend,
    JsonReference,
    RankReference,
    Reference,
    Texts,
    encode_fast,
    encode_slowly,
    is_panic,
    load_fast,
)
from cuvee.tokenize.sample import adversarial
from cuvee.tokenize.store import Encoded

LARGEST_UINT16_VOCABULARY = 65_536  # ids; above it a token takes 4 bytes

# Added tokens that steer a model although their file does not mark them special, as Qwen's do.
_CONTROL = re.compile(r"<\|.*\|>|</?(think|tool_call|tool_response)>")
_PAD = re.compile(r"[<\[]\|?(pad|padding|finetune_right_pad_id)\|?[>\]]", re.IGNORECASE)


@dataclass(frozen=True)
class Tokenizer:
    """A loaded tokenizer; `load` makes one.

    `sha256` is of the file's contents, after decompression. `vocab_size` is one above the largest
    id. `pad_id` is EOS where there is no pad token. `control_tokens` maps the spelling of each
    control token to its id. `fallback_reason` says why gigatoken does not encode, if so.
    """

    name: str
    sha256: str
    vocab_size: int
    eos_id: int
    pad_id: int
    control_tokens: dict[str, int]
    fallback_reason: str | None
    reference: Reference = field(repr=False)
    fast: gigatoken.Tokenizer | None = field(repr=False)

    @property
    def backend(self) -> Backend:
        """The library that encodes."""
        return "gigatoken" if self.fast else self.reference.backend

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where every id fits, else uint32; little-endian."""
        return np.dtype("<u2" if self.vocab_size <= LARGEST_UINT16_VOCABULARY else "<u4")

    def encode_batch(self, texts: Texts) -> Encoded:
        """Encode documents, each followed by EOS; none is empty then. Ids are in `dtype`.

        Runs on the calling thread, without the GIL. Memory on top of the texts is 6 to 8 bytes a
        token with gigatoken, however long one document is; a reference takes about 40 bytes a
        token of its longest document more. No text may be null. RunError if a reference fails.
        """
        ids, offsets = self.encode_texts(texts)
        closed = np.empty(len(ids) + len(offsets) - 1, self.dtype)
        _close(ids, offsets, self.eos_id, closed)
        return Encoded(closed, offsets + np.arange(len(offsets)))

    def encode_texts(self, texts: Texts) -> Encoded:
        """Encode texts with nothing added; the ids are uint32. Else as `encode_batch`."""
        if self.fast:
            try:
                return encode_fast(self.fast, texts)
            except BaseException as fault:
                if not is_panic(fault):
                    raise  # only a panic is gigatoken's own; the reference gives the same ids
        return encode_slowly(self.reference, texts)

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the text of ids; control tokens spelled out, broken UTF-8 as U+FFFD."""
        return self.reference.decode([int(one) for one in ids])


def load(path: Path, eos: str, pretokenizer: str | None = None) -> Tokenizer:
    """Read a tokenizer.json, a tokenizer.json.zst or a rank file.

    `eos` is the spelling of the end-of-sequence token. A tokenizer.json must have it. A rank file
    holds no special tokens: those of a published file are known, and an `eos` that is not among
    them gets the next free id. `pretokenizer` says how a rank file splits text
    (`ranks.PRETOKENIZERS`); a published one need not be told. gigatoken is tried on an adversarial
    sample. TokenizerError if the file is no tokenizer, lacks `eos`, or would turn text that spells
    a control token into that token.
    """
    data = _read(path)
    if data.lstrip().startswith(b"{"):
        if pretokenizer:
            raise TokenizerError(
                got=f"pretokenizer {pretokenizer!r} for {path.name}.",
                allowed="A tokenizer.json says itself how text is split.",
                do="Remove tokenizer.pretokenizer.",
            )
        loaded = _from_json(data, path.name, eos)
    else:
        loaded = _from_ranks(data, path.name, eos, pretokenizer)
    _refuse_control_in_text(loaded)
    return verify(loaded, adversarial(loaded.control_tokens))


def verify(tokenizer: Tokenizer, texts: list[str]) -> Tokenizer:
    """Leave gigatoken out if it gives other ids than the reference on `texts`."""
    if tokenizer.fast is None:
        return tokenizer
    try:
        ids, offsets = encode_fast(tokenizer.fast, texts)
    except BaseException as fault:
        if not isinstance(fault, Exception) and not is_panic(fault):
            raise
        return replace(tokenizer, fast=None, fallback_reason=f"gigatoken fails: {fault}")
    for row, text in enumerate(texts):
        if ids[offsets[row] : offsets[row + 1]].tolist() != tokenizer.reference.encode(text):
            reason = f"gigatoken gives other ids than the reference on {text[:40]!r}"
            return replace(tokenizer, fast=None, fallback_reason=reason)
    return tokenizer


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().stream_reader(data).read()
    except (OSError, zstandard.ZstdError) as fault:
        raise TokenizerError(
            got=f"{path} cannot be read: {fault}.",
            allowed="A tokenizer is one file.",
            do="Set tokenizer.path to a tokenizer.json or a rank file.",
        ) from fault
    return data


def _from_json(data: bytes, name: str, eos: str) -> Tokenizer:
    try:
        spec = json.loads(data)
        added = spec.get("added_tokens") or []
        control = [one for one in added if _is_control(one, eos)]
        for one in control:
            one["special"] = True
        # Text alone decides the ids: nothing put around it, cut off or filled up.
        spec |= {"post_processor": None, "truncation": None, "padding": None}
        reference = JsonReference(json.dumps(spec))
    except Exception as fault:  # `tokenizers` raises nothing narrower
        raise TokenizerError(
            got=f"{name} is not a tokenizer.json: {fault}.",
            allowed="Its contents are those that `tokenizers` saves.",
            do="Set tokenizer.path to the tokenizer.json of the model.",
        ) from fault
    vocabulary = reference.tokenizer.get_vocab(with_added_tokens=True)
    if eos not in vocabulary:
        raise _no_eos(eos, name, [one["content"] for one in control])
    specials = {one["content"]: vocabulary[one["content"]] for one in control}
    ordinary = [one for one in added if one not in control]
    fast, reason = load_fast(json.dumps(spec | {"added_tokens": ordinary}))
    return Tokenizer(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        vocab_size=max(vocabulary.values()) + 1,
        eos_id=vocabulary[eos],
        pad_id=_pad_id(specials, vocabulary[eos]),
        control_tokens=specials | {eos: vocabulary[eos]},
        fallback_reason=reason,
        reference=reference,
        fast=fast,
    )


def _from_ranks(data: bytes, name: str, eos: str, pretokenizer: str | None) -> Tokenizer:
    sha256 = hashlib.sha256(data).hexdigest()
    published = rank_files.PUBLISHED.get(sha256)
    ranks = rank_files.parse(data, name)
    split = rank_files.pattern(pretokenizer, published, name)
    specials = rank_files.special_tokens(ranks, published, eos)
    encoding = tiktoken.Encoding(
        name, pat_str=split, mergeable_ranks=ranks, special_tokens=specials
    )
    fast, reason = load_fast(rank_files.tokenizer_json(ranks, split))
    return Tokenizer(
        name=published.name if published else name,
        sha256=sha256,
        vocab_size=max(specials[eos] + 1, published.vocab_size if published else 0),
        eos_id=specials[eos],
        pad_id=_pad_id(specials, specials[eos]),
        control_tokens=specials,
        fallback_reason=reason,
        reference=RankReference(encoding),
        fast=fast,
    )


def _is_control(token: dict[str, Any], eos: str) -> bool:
    spelling = token["content"]
    return bool(token["special"] or spelling == eos or _CONTROL.fullmatch(spelling))


def _pad_id(specials: dict[str, int], eos_id: int) -> int:
    return next((one for spelling, one in specials.items() if _PAD.fullmatch(spelling)), eos_id)


def _refuse_control_in_text(tokenizer: Tokenizer) -> None:
    for spelling, number in tokenizer.control_tokens.items():
        if number in tokenizer.reference.encode(f"{spelling} a{spelling}b"):
            raise TokenizerError(
                got=f"{tokenizer.name} encodes the text {spelling!r} as the control token.",
                allowed="A control token in the text of a document would steer the model.",
                do="Choose a byte-level tokenizer, whose control tokens are added tokens.",
            )


def _no_eos(eos: str, name: str, candidates: list[str]) -> TokenizerError:
    listed = ", ".join(candidates[:20]) or "none"
    return TokenizerError(
        got=f"{eos!r} is not in the vocabulary of {name}.",
        allowed=f"Its special tokens: {listed}.",
        do="Set tokenizer.eos to the one that ends a document.",
    )


@njit(nogil=True, cache=True)
def _close(ids: NDArray[Any], offsets: NDArray[np.int64], eos_id: int, out: NDArray[Any]) -> None:
    for row in range(len(offsets) - 1):
        for at in range(offsets[row], offsets[row + 1]):
            out[at + row] = ids[at]
        out[offsets[row + 1] + row] = eos_id
