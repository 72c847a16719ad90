"""The keys of a recipe about benchmarks: which items must not be trained on, and what is done."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cuvee.configs.forms import Part, PositiveCount, Share

Policy = Literal["drop", "report", "drop_paragraph", "mask"]
TOKEN8 = 8  # words of an n-gram of `token8`; Llama 3 (arXiv 2407.21783, section 5.1.4), in tokens


class NgramRange(Part):
    """N-grams of several lengths, of which those in common usage are no evidence (AFM).

    Defaults are those of Apple's foundation models (arXiv 2407.21075): 4- to 13-grams, unless they
    occur 1,000 times.
    """

    shortest: int = Field(default=4, ge=1)  # words
    longest: int = Field(default=13, ge=1)  # words
    common: PositiveCount = 1000  # occurrences in the documents from which on an n-gram is common

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest {self.shortest} is above longest {self.longest}")
        return self


def _ngram_form(value: Any) -> str:
    """Tell the two ways to write n-grams apart, so that an error speaks of the one meant."""
    return "(range)" if isinstance(value, NgramRange | dict) else "(words)"


class Decontaminate(Part):
    """Benchmark items that must not be trained on: by default a document with a hit is dropped."""

    benchmarks: list[str] = Field(min_length=1)
    # benchmark, split, id, text, question, answer, passage -> the names in the file
    fields: dict[str, str] = {}
    method: Literal["ngram", "lcs", "token8"] = "ngram"
    ngram: Annotated[
        Annotated[Annotated[int, Field(ge=1)], Tag("(words)")]
        | Annotated[NgramRange, Tag("(range)")],
        Discriminator(_ngram_form),
    ] = 13  # words; GPT-3 and marin use 13
    # The shortest item that is matched, as a whole; never more than an n-gram. GPT-3's floor.
    min_words: int = Field(default=8, ge=1)
    min_score: Share = 0.0  # of a hit, for something to be done about it
    policy: Policy = "drop"
    splits: dict[str, Policy] = {}  # split of a benchmark -> what is done, where it is not `policy`

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        """Refuse what a method does not have."""
        if self.method != "ngram" and isinstance(self.ngram, NgramRange):
            raise ValueError(f"method {self.method} has n-grams of one length; give a number")
        if self.method == "token8" and self.cuts:
            raise ValueError("method token8 only reports: it cuts and masks nothing")
        return self

    @property
    def cuts(self) -> bool:
        """Say whether hits, or their paragraphs, are cut out of documents."""
        return bool({"drop_paragraph", "mask"} & {self.policy, *self.splits.values()})

    @property
    def longest(self) -> int:
        """Words of the longest n-gram."""
        if self.method == "token8":
            return TOKEN8
        return self.ngram.longest if isinstance(self.ngram, NgramRange) else self.ngram

    @property
    def shortest(self) -> int | None:
        """Words of the shortest n-gram; None where there is one length and short items count."""
        if self.method == "token8":
            return TOKEN8
        return self.ngram.shortest if isinstance(self.ngram, NgramRange) else None

    @property
    def least_words(self) -> int:
        """Words of the shortest item that is matched."""
        return min(self.min_words, self.longest) if self.shortest is None else self.shortest
