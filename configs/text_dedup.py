"""The keys of a recipe about text that repeats within and between the documents that stay.

They cut text out of documents after copies of whole documents have gone. All leave the original,
count only documents of their `sources`, and drop a document that they leave without a word, or with
fewer than `min_left`. A *line*, also called paragraph, is what lies between two line feeds; words
are those of MinHash, in which case, accents and punctuation are folded away.
"""

from pydantic import Field

from cuvee.configs.forms import Name, Part, PositiveCount, Share


class LineDedup(Part):
    """Cut every occurrence of a line that occurs more than `max` times in a bucket of documents.

    Lines are equal when their words are, digits being all one. 6 in 30 million documents are
    Llama 3's (Grattafiori et al. 2024, 3.1.1), after ccNet (Wenzek et al. 2020), whose folding of
    lines this follows.
    """

    max: int = Field(default=6, ge=0)  # occurrences of a line that stays
    per: PositiveCount = 30_000_000  # documents a bucket, in the recipe's order
    min_words: int = Field(default=0, ge=0)  # of a line that is counted; one without words never is
    min_left: int = Field(default=0, ge=0)  # words that a document it cuts must be left with
    sources: list[Name] | None = None  # the sources that it counts and cuts; None is all


class ParagraphDedup(Part):
    """Cut a paragraph that stood before, in an earlier document or its own; the first one stays.

    Paragraphs are equal when their characters are, with white space folded. Newline paragraphs are
    Dolma's and DCLM's (code).
    """

    min_words: int = Field(default=0, ge=0)  # of a paragraph that is looked at
    min_left: int = Field(default=0, ge=0)  # words that a document it cuts must be left with
    sources: list[Name] | None = None  # the sources that it counts and cuts; None is all


class NgramDedup(Part):
    """Cut a paragraph most of whose n-grams stood before: DCLM's BFF, `old-both`, in one order.

    13-grams, none shorter, and 0.8 are DCLM's (Li et al. 2024, dedup/bff/README.md). n-grams are
    known by a Bloom filter of `memory` bytes: 1.2 bytes an n-gram, a quarter of the bytes of the
    text, give the 1 % of false positives that DCLM asks for.
    """

    ngram: int = Field(default=13, ge=1)  # words and marks
    min_ngram: int = Field(default=13, ge=1)  # a paragraph of so many, but not `ngram`, is one
    share: Share = 0.8  # of known n-grams, above which a paragraph or a document is cut
    memory: PositiveCount = 256 * 2**20  # bytes of the filter
    min_left: int = Field(default=0, ge=0)  # words that a document it cuts must be left with
    sources: list[Name] | None = None  # the sources that it counts and cuts; None is all
