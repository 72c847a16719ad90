"""What a recipe says of listed URLs, listed words and personal data.

A *list* is a file with one entry a line, plain or compressed; blank lines and comments, which are
`#` alone or before a space, are no entries (`#word` is one: real lists have such).
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from cuvee.configs.forms import Name, Part, Share


class UrlRule(Part):
    """Drop documents by their URL, for one of five reasons; each list may be several files."""

    domains: list[str] = []  # hosts, and all beneath them
    urls: list[str] = []  # single addresses
    hard_words: list[str] = []  # one of them bars
    soft_words: list[str] = []  # two different ones bar: datatrove's threshold
    subwords: list[str] = []  # bar anywhere in the letters and digits
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all

    @model_validator(mode="after")
    def _some_list(self) -> Self:
        if not any(self.lists.values()):
            raise ValueError(f"it names no file; give at least one of {', '.join(self.lists)}")
        return self

    @property
    def lists(self) -> dict[str, list[str]]:
        """The files of each list, by its key."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "sources"}


class BadWordsRule(Part):
    """Drop documents with more than `max` occurrences of listed words: C4's rule.

    A document is compared with the list of its language where `curate.language` identifies it,
    else with all lists.
    """

    lists: dict[str, str] = Field(min_length=1)  # language -> file
    anywhere: list[str] = ["ja", "th", "zh"]  # languages whose words stand within others (C4)
    max: Annotated[int, Field(ge=0)] = 0  # occurrences
    keep_fraction: Share = 0.0  # of the documents that it would drop, by URL; none without one
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all


class PiiRule(Part):
    """Count personal data; with `max`, drop documents that have more of it in all.

    With `mask`, examples that stand for nobody take its place in every text that stays.
    """

    kinds: Annotated[list[str], Field(min_length=1)] | None = None  # None is every kind
    max: Annotated[int, Field(ge=0)] | None = None  # spans; Dolma drops above 5
    mask: bool = False
    sources: list[Name] | None = None  # the sources whose documents it may drop or mask; None: all
