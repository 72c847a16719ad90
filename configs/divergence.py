"""The key of a recipe about outlier tokens: how far a document's may be from the corpus'."""

from typing import Annotated

from pydantic import Field

from cuvee.configs.forms import Name, Part


class TokenKl(Part):
    """Measure how far each document's tokens are from the corpus'; with `max`, drop those beyond.

    The divergence is KL(document || corpus) in nats, of Llama 3 (Grattafiori et al. 2024, section
    3.1.1), which gives no limit. The tokens are those of the recipe's tokenizer file, or of
    another; `eos` is that one's end-of-sequence token, which is counted in neither.
    """

    max: Annotated[float, Field(ge=0)] | None = None  # nats; None only measures
    tokenizer: str | None = None  # a file; None is tokenizer.path
    eos: str | None = None  # None is tokenizer.eos
    sources: list[Name] | None = None  # the sources whose documents it may drop; None is all
