"""Score documents with a fastText classifier, and train one from documents of two kinds or more.

A *label* is a name such as `hq`, without fastText's prefix. A *score* is the probability of one
label. A document is read whole, as one line: this is how DCLM trained and applied its classifier.

The library holds the GIL while it trains: call that in worker processes.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.configs.errors import ModelError
from cuvee.filters import fasttext_scores, models
from cuvee.filters.models import LABEL, FastText
from cuvee.filters.shingles import utf8_views

M_PERTURB = -6  # malloc.h


@dataclass(frozen=True)
class Training:
    """How a classifier is trained. The file is about `4 * dim * (bucket + words)` bytes."""

    # fastText's tutorial goes from 0.1 to 1.0. On 560 mails 0.1 (its default, and DCLM's for
    # 400,000 documents) stopped short: ROC AUC 0.87 on 140 others, and 0.996 with 0.5.
    lr: float = 0.5
    epoch: int = 5  # times that each document is seen; fastText's and DCLM's default
    dim: int = 16  # of vectors; lid.176 tells 176 labels apart with 16 (DCLM has 100)
    word_ngrams: int = 2  # words; DCLM's released model has bigrams
    bucket: int = 100_000  # rows for hashed bigrams; 6.4 MB, where fastText's 2,000,000 take 128 MB
    min_count: int = 2  # occurrences of a word in training; one says nothing about its label
    seed: int = 1  # of the initial vectors; 0 is 1 to the library


def normalise(text: str) -> str:
    r"""Make a text one line as DCLM does: stripped, its lines joined by a space, case as it is.

    >>> normalise(" One\nTwo </s>\n")
    'One Two  '
    """
    return models.line(" ".join(text.strip().splitlines()))


def training_line(label: str, text: str) -> str:
    """Write a labelled document as a line of a training file, without the line break."""
    if not label or label.split() != [label]:
        raise ModelError(f"The label {label!r} is no word.", "A label has no white space.")
    return f"{LABEL}{label} {normalise(text)}"


def train(training_file: Path, model: Path, params: Training) -> None:
    """Train on a file of training lines and write the model; the same file gives the same bytes.

    ModelError where the file does not hold two labels and words to tell them apart.
    """
    if not 0 < params.lr <= 10:  # beyond, weights are no numbers soon
        raise ModelError(f"The learning rate is {params.lr}.", "It is above 0 and up to 10.")
    if params.word_ngrams > 1 > params.bucket:  # the library would divide by the buckets
        raise _untrainable(training_file, f"Its {params.word_ngrams}-grams have no bucket")
    try:
        with _zeroed_memory():
            # Threads would race for the weights, and each race ends differently.
            fitted = fasttext.train_supervised(
                str(training_file), **asdict(params), thread=1, verbose=0
            )
    except (ValueError, RuntimeError) as error:
        raise _untrainable(training_file, f"fastText says: {error}") from error
    if len(fitted.get_labels()) < 2:
        raise _untrainable(training_file, f"It has the labels {fitted.get_labels()}")
    fitted.save_model(str(model))


def load(path: Path, label: str) -> FastText:
    """Load a classifier that knows a label. ModelError where the file is none, or does not."""
    model = models.load(path)
    if label not in models.labels(model):
        raise ModelError(
            f"{path.name} has no label {label!r}.",
            f"Its labels are {', '.join(models.labels(model)[:20])}.",
            "Name one of them.",
        )
    return model


def score(model: FastText, label: str, texts: pa.LargeStringArray) -> NDArray[np.float32]:
    """Give the probability of the label for every text: float32 [texts] in [0, 1].

    It is the library's for `normalise(text)`. A label that the model does not list for a text has
    probability 0. A score is not a number where the model's are not.
    """
    offsets, data = utf8_views(texts)
    spans = np.stack([offsets[:-1], offsets[1:]], axis=1)
    sums = model.sums(data, spans, joined=True)
    return fasttext_scores.shares(model.output, sums, model.names.index(label))


@contextmanager
def _zeroed_memory() -> Iterator[None]:
    """Let malloc hand out zeros, where the C library is glibc.

    With one thread fastText draws the first tenth of its input vectors and takes the others as
    memory holds them: zeros in a young process, later anything, and then `Encountered NaN` or
    another model from the same data.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(M_PERTURB, 0xFF)  # new memory is filled with the complement
    try:
        yield
    finally:
        mallopt(M_PERTURB, 0)


def _untrainable(training_file: Path, why: str) -> ModelError:
    """Say why nothing can be learned from a training file."""
    return ModelError(
        f"{training_file.name} trains no classifier. {why}.",
        "Allowed are lines of a label and words, with at least two labels.",
        "Give more documents, a lower min_count or a lower lr.",
    )
