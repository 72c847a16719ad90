"""The keys of a recipe about benchmarks: which items must not be trained on, and what is done."""

from pydantic import Field

from cuvee.configs.forms import Part


class Decontaminate(Part):
    """Benchmark items that must not be trained on: a document with any hit is dropped."""

    benchmarks: list[str] = Field(min_length=1)
    fields: dict[str, str] = {}  # benchmark, split, id, text -> the names in the file
    ngram: int = Field(default=13, ge=1)  # words; GPT-3 and marin use 13
