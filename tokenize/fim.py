"""Cut documents in three so that a model learns to fill in the middle.

A document's *prefix*, *middle* and *suffix* are its text between two cuts at random characters.
PSM writes them as PRE prefix SUF suffix MID middle, SPM as PRE SUF suffix MID prefix middle
(Bavarian et al. 2022, arXiv 2207.14255, appendix D: its second form, which codes the prefix and
the middle as one text). What is drawn for a document follows from the seed and its id alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee.configs.errors import TokenizerError
from cuvee.tokenize.spans import Run
from cuvee.tokenize.tokenizer import Tokenizer


class Sentinels(NamedTuple):
    """The ids of the control tokens that begin the parts."""

    prefix: int
    middle: int
    suffix: int


class Odds(NamedTuple):
    """The share of documents that are cut, the share of those in SPM order, and the seed."""

    share: float
    spm: float
    seed: int


def sentinels(tokenizer: Tokenizer, prefix: str, middle: str, suffix: str) -> Sentinels:
    """Return the ids of the sentinels' spellings. TokenizerError where one is no control token."""
    missing = [name for name in (prefix, middle, suffix) if name not in tokenizer.control_tokens]
    if missing:
        known = ", ".join(list(tokenizer.control_tokens)[:20])
        raise TokenizerError(
            f"{tokenizer.name} has no control token {missing[0]!r}, which fim needs.",
            f"Its control tokens: {known}.",
            "Set the source's fim.prefix, fim.middle and fim.suffix to three of them.",
        )
    ids = [tokenizer.control_tokens[name] for name in (prefix, middle, suffix)]
    return Sentinels(*ids)


def cut(doc_id: bytes, text: str, odds: Odds, ids: Sentinels) -> list[Run]:
    """Return the runs of a document: the text itself, or its three parts with their sentinels."""
    draws = xxhash.xxh3_128_intdigest(doc_id, seed=odds.seed % 2**64)
    cuts = xxhash.xxh3_128_intdigest(doc_id + b"cuts", seed=odds.seed % 2**64)
    if (draws & 0xFFFFFFFF) >= odds.share * 2**32:
        return [Run(text)]
    first, second = sorted(((cuts >> shift) % 2**64) % (len(text) + 1) for shift in (0, 64))
    prefix, middle, suffix = text[:first], text[first:second], text[second:]
    if (draws >> 32 & 0xFFFFFFFF) < odds.spm * 2**32:
        parts = [(ids.prefix, ""), (ids.suffix, suffix), (ids.middle, prefix + middle)]
    else:
        parts = [(ids.prefix, prefix), (ids.suffix, suffix), (ids.middle, middle)]
    runs = [run for number, part in parts for run in (Run("", number), Run(part))]
    return [run for run in runs if run.token >= 0 or run.text]


def restore(
    ids: Sequence[int] | NDArray[Any], sentinels: Sentinels
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of (prefix, middle, suffix) of a document, EOS and sentinels taken out.

    Of a document that was not cut, all is the prefix. In SPM order prefix and middle are one text:
    both are the middle. The text is that of prefix, middle and suffix one behind the other.
    """
    inner = np.asarray(ids, np.int64)[:-1]
    nothing = inner[:0]
    if not len(inner) or inner[0] != sentinels.prefix:
        return inner, nothing, nothing
    suffix = int(np.flatnonzero(inner == sentinels.suffix)[0])
    middle = int(np.flatnonzero(inner == sentinels.middle)[0])
    return inner[1:suffix], inner[middle + 1 :], inner[suffix + 1 : middle]
