"""Say which language a document is in, with a fastText language model such as lid.176.

A *language* is the label of the model without its prefix: `en` for lid.176, `eng_Latn` for models
that tell scripts apart. A document without a visible character is `und`, ISO 639's undetermined.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.errors import ModelError
from cuvee.filters import fasttext_scores, models
from cuvee.filters.models import FastText
from cuvee.filters.shingles import utf8_views

UNDETERMINED = "und"
# Bytes of a document that are read. The language of a text shows in its first few hundred words;
# 64 KiB is ten thousand, and bounds the work on a file of many megabytes.
READ_BYTES = 65536
# ISO 639-1 or -3, perhaps with a script or region; lid.176 also has "eml" and the like.
CODE = re.compile(r"[a-z]{2,3}([_-][A-Za-z0-9]+)*")


class Languages(NamedTuple):
    """One row a document: `language` string, `score` float32 in [0, 1], the model's probability."""

    language: pa.StringArray
    score: NDArray[np.float32]


def load(path: Path) -> FastText:
    """Load a language model. ModelError where the file is none, or its labels are no languages."""
    model = models.load(path)
    strange = [label for label in models.labels(model) if not CODE.fullmatch(label)]
    if strange:
        raise ModelError(
            f"{path.name} is no language model: it has the label {strange[0]!r}.",
            "The labels of a language model are codes such as en or eng_Latn.",
            "Name a language model, such as lid.176.ftz.",
        )
    return model


def identify(model: FastText, texts: pa.LargeStringArray) -> Languages:
    """Name the likeliest language of every text, as its first `READ_BYTES` show it.

    The label and probability are the library's. A score is not a number where the model's are not.
    """
    offsets, data = utf8_views(texts)
    spans = np.stack([offsets[:-1], _heads(offsets, data)], axis=1)
    sums = model.sums(data, spans, joined=False)
    found = fasttext_scores.best(model.output, sums)
    named = np.where(sums.visible, found.label, fasttext_scores.UNLISTED)
    names = pa.array([*model.names, UNDETERMINED], pa.string())  # UNLISTED is the last
    language = names.take(pa.array(named % len(names)))
    return Languages(language, np.where(sums.visible, found.share, np.float32(0)))


def _heads(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Say where the part of each text ends that is read; a character that is cut is left out."""
    ends = offsets[1:].copy()
    cut = np.flatnonzero(ends - offsets[:-1] > READ_BYTES)
    ends[cut] = offsets[cut] + READ_BYTES
    for _ in range(3):  # the bytes of a character that are not its first
        ends[cut] -= data[ends[cut]] & 0xC0 == 0x80
    return ends
