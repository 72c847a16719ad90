"""fastText models as they are applied here: a file's content laid out for kernels, and its text.

The library trusts a file after its first eight bytes, holds Python's lock while it predicts, and
hashes a word anew each time that it comes: so files are read by `fasttext_file` and applied by
`fasttext_words` and `fasttext_scores`, in threads. The library trains.

A *line* is what the library reads as one document: it may hold no line break, no NUL, no
`</s>` (the library stops there) and no `__label__` (it takes what follows for a label).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import ModelError
from cuvee.filters import fasttext_file, fasttext_rows, fasttext_scores, fasttext_words
from cuvee.filters.fasttext_rows import Index
from cuvee.filters.fasttext_scores import Output
from cuvee.filters.fasttext_words import Sums

LABEL = "__label__"  # fastText's own prefix of labels

RESERVED = ("\n", "\r", "\0", "</s>", LABEL)


class FastText(NamedTuple):
    """A loaded model. Threads may share it; nothing is written to it.

    `names` are its labels without their prefix, in the model's order.
    """

    names: tuple[str, ...]
    input: Index
    matrix: NDArray[np.float32]
    output: Output

    def sums(self, data: NDArray[np.uint8], spans: NDArray[np.int64], joined: bool) -> Sums:
        """Sum the rows of texts, as `fasttext_words.sums` does."""
        return fasttext_words.sums(self.input, self.matrix, data, spans, joined)


def line(text: str) -> str:
    """Make a text one line: what fastText reserves becomes a space."""
    for mark in RESERVED:
        text = text.replace(mark, " ")
    return text


def load(path: Path) -> FastText:
    """Load a supervised model. ModelError where the file is none, or is damaged."""
    try:
        parsed = fasttext_file.parse(fasttext_file.open_file(path))
        index, output = fasttext_rows.index(parsed), fasttext_scores.output(parsed)
    except (OSError, ValueError, MemoryError) as error:
        raise ModelError(
            f"{path.name} is not a fastText model that can be read: {error}.",
            "A model is a .bin or .ftz file of a supervised (classifying) fastText model.",
            "Check the path, or fetch the file again if it was cut off.",
        ) from error
    if not all(label.startswith(LABEL) for label in parsed.labels):
        raise ModelError(
            f"{path.name} has labels such as {parsed.labels[0]!r}.",
            f"Labels start with {LABEL}.",
            "Train it again with fastText's default -label.",
        )
    names = tuple(label.removeprefix(LABEL) for label in parsed.labels)
    return FastText(names, index, parsed.input, output)


def labels(model: FastText) -> list[str]:
    """Give the labels of a model without their prefix, sorted."""
    return sorted(model.names)
