"""The keys of a recipe about duplicates: which copies are found, and which one stays."""

from typing import Literal

from pydantic import Field

from cuvee.configs.forms import Part, Share


class BestScore(Part):
    """Keep the copy with the highest value of a score column, such as `score_quality`."""

    best: str


class MinHash(Part):
    """Near-duplicates: candidates by MinHash-LSH, removal by true Jaccard similarity.

    5-grams in 14 bands of 8 rows are FineWeb's (datatrove, code); a candidate is removed when its
    Jaccard similarity to the kept document is at least `verify` (0.8: Dolma 3, code).
    """

    ngram: int = Field(default=5, ge=1)  # words a shingle
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)  # hash functions a band
    verify: Share = 0.8
    keep: Literal["longest", "newest", "first"] | BestScore = "longest"


class Dedup(Part):
    """Which duplicates are removed; `exact` compares texts with white space folded."""

    exact: bool = True
    minhash: MinHash | None = None
