"""The keys of a recipe about scores: classifiers, ensembles of them, and what they keep.

A *score* is a number of every document, higher for better: a classifier's probability, or an
ensemble's bucket. Its name is the column `score_<name>`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cuvee.configs.forms import Name, Part, PositiveCount


class OnlyIf(Part):
    """Ask a rule only about documents whose score is below a number, or not known.

    Nemotron-CC asks its heuristic rules only about what its classifiers find low.
    """

    score: Name  # of a classifier or an ensemble
    below: float


class ClassifierTraining(Part):
    """Train a fastText classifier from documents of this run: `positive` against `negative`."""

    positive: list[Name] = Field(min_length=1)
    negative: list[Name] = Field(min_length=1)
    documents: PositiveCount = 4000  # per class, sampled by document id
    # Where these defaults come from: cuvee.filters.classifier.Training.
    epochs: Annotated[int, Field(ge=1, lt=2**31)] = 5  # times that each document is seen
    lr: Annotated[float, Field(gt=0, le=10)] = 0.5
    dim: Annotated[int, Field(ge=1, le=1024)] = 16  # of vectors
    word_ngrams: Annotated[int, Field(ge=1, le=16)] = 2  # words of the longest n-gram


class Keep(Part):
    """Keep by score: at least `min`, the `top` share of the documents that it judges, or a draw.

    `pareto` is the alpha of GPT-3's draw: a document stays if Pareto(alpha) > 1 - score, so a few
    low ones stay, too. GPT-3 has 9 (Brown et al. 2020, appendix A), NeMo Curator 3.
    """

    min: float | None = None
    top: Annotated[float, Field(gt=0, le=1)] | None = None
    by: Literal["source", "language"] | None = None  # `top` of each of these, not of all together
    pareto: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if [self.min, self.top, self.pareto].count(None) != 2:
            raise ValueError(
                "give one of min (a score), top (a share of the documents) and pareto (an alpha)"
            )
        if self.by is not None and self.top is None:
            raise ValueError("by says of what top is a share; without top it has no meaning")
        return self


class Classifier(Part):
    """A fastText quality classifier: a model file, or one trained from two kinds of sources."""

    name: Name
    model: str | None = None
    train: ClassifierTraining | None = None
    label: str = "hq"
    keep: Keep | None = None  # None scores without dropping
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all
    only_if: OnlyIf | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.model is None) == (self.train is None):
            raise ValueError("give either model (a path) or train (the sources to learn from)")
        return self


class Ensemble(Part):
    """One score of several: the highest of a document's buckets, from 0 to `buckets` - 1.

    Each classifier's scores are parted into buckets of equal numbers of documents of the corpus.
    Nemotron-CC has 20 buckets of three classifiers (Su et al. 2024, arXiv 2412.02595).
    """

    name: Name
    of: list[Name] = Field(min_length=1)  # classifiers
    buckets: int = Field(default=20, ge=2, le=1000)
    keep: Keep | None = None  # None ranks without dropping
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all
    only_if: OnlyIf | None = None
