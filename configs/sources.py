"""The keys of a recipe about sources: where documents come from, and views of them.

A *source* is a named set of documents. One without paths is *unbound*: its stages can be planned
from its declared size, and paths are bound to it when it is run. A *view* is some of a source's
documents under a name of its own, each as often as the view says.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from cuvee.configs.forms import Name, Part, PositiveCount, Share
from cuvee.configs.mixtures import Number, Positive
from cuvee.configs.records import Records


class Fields(Part):
    """Which field of a record holds what; a dotted path reaches into nested records."""

    text: str = "text"
    id: str | None = None
    url: str | None = None
    date: str | None = None
    license: str | None = None


class Source(Records):
    """Documents of one kind, read from files."""

    format: Literal["jsonl", "parquet", "text"] | None = None
    paths: list[str] = []
    exclude: list[str] = []
    fields: Fields = Fields()
    tags: dict[str, str] = {}
    # Its size, where nothing is measured yet; in `documents` only shares of examples need it.
    tokens: PositiveCount | None = None
    documents: PositiveCount | None = None
    sample: PositiveCount | None = None  # use about so many of its tokens, a random sample
    # Times that a document may be seen over the whole run; four are almost as good as fresh
    # data (Muennighoff et al. 2023, arXiv 2305.16264).
    max_epochs: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _bound_whole(self) -> Self:
        if self.paths and self.format is None:
            raise ValueError("give the format of paths, too")
        if self.format == "text" and (self.chat or self.media):
            raise ValueError("a file of format text is one text; chat and media need records")
        return self


class Upsample(Part):
    """Documents read more often the better they are, by their rank in a score.

    The worst `drop` of the tokens is left out; from there the copies of a document rise from
    `floor` to `cap` as a power of its rank, such that all together come to `mean` times the
    view's tokens. Olmo 3 (arXiv 2512.13961) drops 40 % and reads the best 7 times.
    """

    by: Name  # a column of the view `signals`, like score_quality
    mean: Positive  # tokens drawn in one pass / tokens of the documents
    cap: Positive = 7.0
    floor: Number = 0.0
    drop: Share = 0.4
    buckets: PositiveCount = 20  # of equal tokens; all documents of one have the same rate

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least, most = (1 - self.drop) * self.floor, (1 - self.drop) * self.cap
        if not least < self.mean < most:
            raise ValueError(
                f"got mean {self.mean:g}; with drop {self.drop:g} a curve from {self.floor:g} to "
                f"{self.cap:g} has a mean between {least:g} and {most:g}"
            )
        return self


class View(Part):
    """Some documents of a source; its repetitions count with the source's, document by document."""

    of: Name
    min_tokens: PositiveCount | None = None  # of a document, its end mark included
    max_tokens: PositiveCount | None = None
    where: str | None = None  # a condition in SQL over the views `documents` and `signals`
    upsample: Upsample | None = None
    # Times that it may be gone through; what bounds a document is its source's max_epochs.
    max_epochs: Positive | None = None
    tokens: PositiveCount | None = None  # declared, as a source's
    documents: PositiveCount | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if (self.min_tokens, self.max_tokens, self.where, self.upsample) == (None,) * 4:
            raise ValueError("give min_tokens, max_tokens, where or upsample: what it shows")
        return self
