"""Write numbers of tokens as a recipe does: 1.2B."""

from itertools import count
from typing import NamedTuple

UNITS = ((12, "T"), (9, "B"), (6, "M"), (3, "K"))  # power of ten, suffix: as the recipe reads them


class Amount(NamedTuple):
    """A number of tokens as a recipe writes it, and its exact value."""

    tokens: int
    text: str


def amount(tokens: int, decimals: int = 1) -> Amount:
    """Return `tokens` to so many decimals of its unit, halves up: 1.2B; below 1,000 as it is."""
    for power, suffix in UNITS:
        if tokens >= 10**power:
            shown = min(decimals, power)
            least = 10 ** (power - shown)
            whole, part = divmod((tokens + least // 2) // least, 10**shown)
            return Amount((whole * 10**shown + part) * least, f"{whole}.{part:0{shown}d}{suffix}")
    return Amount(tokens, str(tokens))


def decimals_apart(few: int, many: int) -> int:
    """Return the fewest decimals, at least one, with which two numbers look different."""
    return next(d for d in count(1) if amount(few, d) != amount(many, d))


def apart(few: int, many: int) -> tuple[str, str]:
    """Return two different numbers of tokens with enough decimals to be told apart.

    >>> apart(1_999_999, 2_000_000), apart(1_000, 2_000_000)
    (('1.999999M', '2.000000M'), ('1.0K', '2.0M'))
    """
    decimals = decimals_apart(few, many)
    return amount(few, decimals).text, amount(many, decimals).text
