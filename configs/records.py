"""The keys of a source whose records are more than a text, or whose texts are changed for training.

A *record* becomes a document with a text, which curation judges, and says besides which tokens
bear loss, which are control tokens and where media stand.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cuvee.configs.forms import Part, PositiveCount, Share


class Chat(Part):
    """A conversation as a list of messages, made a text by a Jinja chat template."""

    messages: str = "messages"  # the field; a dotted path reaches into nested records
    tools: str | None = None  # the field of the functions that the assistant may call
    template: str | None = None  # a file, or the template itself; None is ChatML
    # Roles whose messages bear loss, end of turn included. A template with {% generation %} blocks
    # says so itself.
    mask: list[str] = ["assistant"]
    # Spellings that messages may use as control tokens, like <think>; all others stay text there.
    allow: list[str] = []
    bos: str = ""  # what the template's bos_token stands for; eos_token is the tokenizer's eos


class Media(Part):
    """A record of texts, images, videos and audio in an order, each medium with its cost."""

    # The field: a list of {type: text, text} and {type: image | video | audio, ref, tokens}.
    content: str = "content"
    # The control token that fills the slots of a medium; None is the pad token.
    placeholder: str | None = None


class Fim(Part):
    """Documents cut in three so that a model learns to fill in the middle.

    The order of the parts is PSM or SPM (Bavarian et al. 2022, arXiv 2207.14255), both with the
    same sentinels; the spellings are those of Qwen2.5-Coder and cl100k.
    """

    share: Share = 0.5  # of the documents; StarCoder (arXiv 2305.06161) takes a half
    spm: Share = 0.5  # of those; a half in the paper, and in StarCoder
    prefix: str = "<|fim_prefix|>"
    middle: str = "<|fim_middle|>"
    suffix: str = "<|fim_suffix|>"


class Teacher(Part):
    """What a teacher model gives for each token: the likeliest next tokens, and how likely.

    Parquet files with `doc_id` (16 bytes, or their hex), `ids` and `probs`, each a list with `k`
    values for every token of the document in the token store, the end token included.
    """

    paths: list[str] = Field(min_length=1)
    k: PositiveCount = 1


def _key_of_one_group(pattern: str) -> str:
    """Refuse a pattern that cannot be followed."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"got {pattern!r}, which is no pattern: {error}") from error
    if compiled.groups > 1:
        raise ValueError(f"got {pattern!r} with {compiled.groups} groups; the key is one group")
    return pattern


class Join(Part):
    """Documents of one key, like the files of a repository, made one document of training."""

    by: Literal["path", "url"] = "path"
    # Finds the key in it: the first group, or the whole match where there is none. Documents
    # without a key stay alone.
    pattern: Annotated[str, AfterValidator(_key_of_one_group)]
    separator: str = "\n"  # text between two of them; one that is a control token becomes it
    max_tokens: PositiveCount = 2**20  # of a joined document, its end mark included


class Records(Part):
    """The keys of a source about its records and what is made of them."""

    chat: Chat | None = None
    media: Media | None = None
    fim: Fim | None = None
    teacher: Teacher | None = None
    join: Join | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        """Refuse what cannot be done to one source at once."""
        apart = [name for name in ("chat", "media", "fim", "join") if getattr(self, name)]
        if len(apart) > 1:
            raise ValueError(f"got {' and '.join(apart)}; a source has one of them")
        return self
