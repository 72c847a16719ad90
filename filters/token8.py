"""How much of a text lies in 8-grams that the other side has, too: Llama 3's analysis.

Llama 3 (arXiv 2407.21783, section 5.1.4) calls an item contaminated where a share of its tokens
lies in an 8-gram of tokens that occurs in the training corpus; the share is set by benchmark, so
it is measured here and nothing decided. A *token* is a word of `cuvee.filters.ngram_words`: a
tokenizer's tokens depend on case, on the space before them and on where a text begins, so the same
words may be other tokens, and where the recipe trains the tokenizer there is none yet. An 8-gram
without a letter counts for nothing, as everywhere in decontamination.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.filters.ngram_table import I64, Table
from cuvee.filters.ngrams import FIRST_WORD, TEXT
from cuvee.filters.readings import changes


class Covered(NamedTuple):
    """Words of each text and how many lie in an n-gram of the table, both int64 [texts]."""

    n_words: I64
    n_covered: I64

    @property
    def share(self) -> NDArray[np.float64]:
        """The second as a share of the first, 0 for a text without words."""
        return self.n_covered / np.maximum(self.n_words, 1)


def covered(found: I64, n_words: I64, table: Table) -> Covered:
    """Count the words of each text that lie in an n-gram of a table of n-grams of one length.

    `found` and `n_words` are what `cuvee.filters.ngrams.occurrences` gives, or some of its rows.
    """
    text, first = found[:, TEXT], found[:, FIRST_WORD]
    # In order of text and place: an n-gram reaches as far as its length or the start of the next.
    reach = np.full(first.size, table.lengths[-1])
    follows = ~changes(text)[1:]
    reach[:-1][follows] = np.minimum(np.diff(first), reach[:-1])[follows]
    return Covered(n_words, np.bincount(text, reach, n_words.size).astype(np.int64))
