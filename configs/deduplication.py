"""The keys of a recipe about duplicates: which copies are found, and which one stays."""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cuvee.configs.forms import Name, Part, Share
from cuvee.configs.text_dedup import LineDedup, NgramDedup, ParagraphDedup


class BestScore(Part):
    """Keep the copy with the highest value of a score column, such as `score_quality`."""

    best: str


class UrlCopies(Part):
    """One document of each address stays; addresses are compared in `filters.url_keys`' form."""

    keep: Literal["newest", "longest", "first"] = "newest"


class MinHash(Part):
    """Near-duplicates: candidates by MinHash-LSH, removal by the true similarity.

    5-grams in 14 bands of 8 rows are FineWeb's (datatrove, code); a candidate is removed when its
    similarity to the kept document is at least `verify` (0.8: Dolma 3, code). In place of bands and
    rows a `threshold` may be given: datasketch finds the bands and rows of at most `permutations`
    whose false positives and false negatives around it, times `weights`, are fewest.
    """

    ngram: int = Field(default=5, ge=1)  # words a shingle
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)  # hash functions a band
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None  # a Jaccard similarity
    permutations: int = Field(default=256, ge=2)
    weights: tuple[Share, Share] = (0.5, 0.5)  # of false positives, of false negatives
    verify: Share = 0.8
    measure: Literal["jaccard", "containment"] = "jaccard"
    keep: Literal["longest", "newest", "first"] | BestScore = "longest"

    @model_validator(mode="before")
    @classmethod
    def _scheme(cls, value: Any) -> Any:
        """Find bands and rows for a threshold, and refuse others beside it."""
        if not isinstance(value, dict) or value.get("threshold") is None:
            return value
        permutations = value.get("permutations", cls.model_fields["permutations"].default)
        weights = value.get("weights", cls.model_fields["weights"].default)
        try:
            bands, rows = scheme(float(value["threshold"]), int(permutations), *map(float, weights))
        except (TypeError, ValueError):
            return value  # what is wrong with a field is told where the field is checked
        found = {"bands": bands, "rows": rows}
        for name, count in found.items():
            if value.get(name, count) != count:
                raise ValueError(
                    f"{name} is {value[name]}, but the threshold needs {bands} bands of {rows} "
                    "rows; give either threshold, or bands and rows"
                )
        return value | found

    @model_validator(mode="after")
    def _for_a_threshold(self) -> Self:
        """Refuse what is for a threshold without one, and weights that mean nothing."""
        fields = type(self).model_fields
        for name in ("permutations", "weights"):
            if self.threshold is None and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} is for a threshold, which is not given")
        if abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"weights sum to {sum(self.weights):g}; they must sum to 1")
        return self


@cache
def scheme(
    threshold: float, permutations: int, positives: float, negatives: float
) -> tuple[int, int]:
    """Return the bands and rows that datasketch finds for a threshold.

    Of all b x r <= permutations those with the least weighted sum of the areas under the curve of
    candidates below the threshold and over it above.

    >>> scheme(0.8, 256, 0.5, 0.5)
    (17, 15)
    """
    # Imports scipy and redis, 2 s, which a recipe without a threshold is spared.
    from datasketch import MinHashLSH

    found = MinHashLSH(threshold=threshold, num_perm=permutations, weights=(positives, negatives))
    return int(found.b), int(found.r)


def _url_form(value: Any) -> Any:
    """Let `url: true` be written for its defaults, and `url: newest` for `{keep: newest}`."""
    if isinstance(value, bool):
        return {} if value else None
    return {"keep": value} if isinstance(value, str) else value


class Dedup(Part):
    """Which duplicates are removed: of equal address, equal text, and similar text, in this order.

    `exact` compares texts with white space folded. Documents are compared within a *scope*: all, a
    source, a language, or a group of sources (those in no group are one more). A copy of a source
    that `priority` names earlier wins over others, before `keep` is asked. `against` is an index of
    the documents that earlier runs kept (`cuvee index add`), which are not kept again.
    """

    url: Annotated[UrlCopies | None, BeforeValidator(_url_form)] = None
    exact: bool = True
    minhash: MinHash | None = None
    lines: LineDedup | None = None
    paragraphs: ParagraphDedup | None = None
    ngrams: NgramDedup | None = None
    scope: Literal["all", "source", "language"] | list[list[Name]] = "all"
    priority: list[Name] = []
    against: str | None = None

    @property
    def groups(self) -> list[list[str]]:
        """The groups of sources that documents are compared within; none for other scopes."""
        return [] if isinstance(self.scope, str) else self.scope

    @model_validator(mode="after")
    def _once(self) -> Self:
        """Refuse a source in two groups, or twice in the order of priority."""
        grouped = [name for group in self.groups for name in group]
        for key, names in (("scope", grouped), ("priority", self.priority)):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{key} names {name!r} more than once")
        if self.against is not None and self.scope == "language":
            raise ValueError("against knows no languages of earlier documents: scope by source")
        return self
