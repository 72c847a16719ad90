"""Plant benchmark items into documents, changed in the ways in which the web changes them.

A *kind* is one way: a *change* of the item's text and the *place* of the host document where the
result is put. Kinds that change the same thing are a *family*. A *variant* is an item's text after
the change; an item that a change leaves as it is (numbers where it has none) has no variant of
that kind. A *folded word* is a word of `cuvee.filters.ngrams`: case, accents and marks are gone.

Where a kind has to choose, it does so by the XXH3 hash of what is planted, so the same items and
hosts give the same documents everywhere. Whether what was planted is found is not decided here.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, NamedTuple

import xxhash

from cuvee.filters.wordchars import (
    ALONE,
    DIGIT,
    FOLDED_MASK,
    GONE,
    KIND_SHIFT,
    LETTER,
    character_table,
)

Place = Literal["start", "line", "inside", "end"]
Change = Callable[[str, int], str]
"""Give the text of an item as it is planted; the number is a hash to choose by."""

EVERY: Final = 10  # words, of which one is substituted
FILLERS: Final = ("window", "garden", "seven", "across", "letter", "often", "mountain", "bright")

_SPACES: Final = re.compile(r"\s+")
_DIGITS: Final = re.compile(r"\d")
_CURLY: Final = str.maketrans({"'": "\u2019"})
_STRAIGHT: Final = str.maketrans("\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", "''" + '"' * 5)
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F) if not chr(code).isalnum()}
_DASHES: Final = str.maketrans("-\u2010\u2013\u2014", "\u2013---")


class Kind(NamedTuple):
    """One way in which an item may stand in a document."""

    name: str
    family: str
    change: Change
    place: Place


class Planted(NamedTuple):
    """A document with a variant at characters `start` to `end`, half open."""

    text: str
    start: int
    end: int


def choice(*parts: str) -> int:
    """Hash texts to 64 bits; no other list of texts is hashed as the same bytes."""
    return xxhash.xxh3_64_intdigest("".join(f"{len(part)}:{part}" for part in parts).encode())


def variant(kind: Kind, text: str) -> str | None:
    """Give an item's text as the kind changes it, or None where it changes or leaves nothing.

    A kind of the family `verbatim` changes nothing by its nature; the text is its variant.
    """
    changed = kind.change(text.strip(), choice(kind.name, text))
    differs = changed != text.strip() or kind.family == VERBATIM
    return changed if changed and differs else None


def plant(host: str, planted: str, place: Place) -> Planted:
    """Put a text into a host without changing it.

    `start` and `end` stand on the host's first or last line, a space between; `line` is a line of
    its own, and `inside` between two words of a line, about the middle of the host.
    """
    if place == "start":
        return Planted(f"{planted} {host}", 0, len(planted))
    if place == "end":
        return Planted(f"{host} {planted}", len(host) + 1, len(host) + 1 + len(planted))
    middle, gap = len(host) // 2, "\n" if place == "line" else " "
    cuts = (host.find(gap, middle), host.find(" ", middle), middle)
    cut = next(cut for cut in cuts if cut >= 0)
    before, after = host[:cut].rstrip() + gap, gap + host[cut:].lstrip()
    return Planted(before + planted + after, len(before), len(before) + len(planted))


def folded_words(text: str) -> list[str]:
    """Give the folded words of a text, digits as they stand.

    >>> folded_words("L'Été 2024, c'est-à-dire 夏天")
    ['l', 'ete', '2024', 'c', 'est', 'a', 'dire', '夏', '天']
    """
    table = character_table()
    words: list[str] = []
    inside = False
    for char in text:
        entry = int(table[ord(char)])
        kind, folded = entry >> KIND_SHIFT, chr(entry & FOLDED_MASK)
        if kind == GONE:
            continue
        extends = kind in (LETTER, DIGIT)
        if extends and inside:
            words[-1] += char if kind == DIGIT else folded
        elif extends or kind == ALONE:
            words.append(char if kind == DIGIT else folded)
        inside = extends
    return words


def folded_line(text: str) -> str:
    """Give the folded words with one space around each, so that `in` compares whole words.

    >>> folded_line("What is 2 + 2?") in folded_line('He asked: "what is 2 - 2"')
    True
    """
    return " ".join(["", *folded_words(text), ""])


def _same(text: str, _: int) -> str:
    """Change nothing."""
    return text


def _spaced(gap: str, text: str, _: int) -> str:
    """Put a gap where white space is."""
    return _SPACES.sub(gap, text)


def _other_numbers(text: str, chosen: int) -> str:
    """Put another digit for each, never 0, so that numbers keep their lengths."""

    def other(found: re.Match[str]) -> str:
        digit, turn = unicodedata.decimal(found[0]), chosen + 7 * found.start()
        return str(1 + (digit + turn % 8) % 9 if digit else 1 + turn % 9)

    return _DIGITS.sub(other, text)


def _curly(text: str, _: int) -> str:
    """Open and close straight quotes in turn, as a word processor does."""
    pieces = text.translate(_CURLY).split('"')
    marks = ("\u201c", "\u201d")
    return pieces[0] + "".join(marks[n % 2] + piece for n, piece in enumerate(pieces[1:]))


def _translated(table: Mapping[int, str | int | None], text: str, _: int) -> str:
    """Put marks for others."""
    return text.translate(table)


def _unmarked(text: str, _: int) -> str:
    """Leave punctuation out; what stood on both sides of it becomes one word."""
    return "".join(char for char in text if unicodedata.category(char)[0] != "P")


def _first_half(text: str, _: int) -> str:
    """Keep the first half of the words between white space, the middle one with them."""
    words = list(re.finditer(r"\S+", text))
    return text[: words[(len(words) - 1) // 2].end()] if words else text


def _substituted(text: str, chosen: int) -> str:
    """Put another word for one of every `EVERY`, the first of them at a place that is chosen."""
    words = list(re.finditer(r"\S+", text))
    first = chosen % min(EVERY, max(len(words), 1))
    pieces, done = [], 0
    for n, word in enumerate(words[first::EVERY]):
        pieces += [text[done : word.start()], FILLERS[(chosen // EVERY + n) % len(FILLERS)]]
        done = word.end()
    return "".join([*pieces, text[done:]])


VERBATIM: Final = "verbatim"

KINDS: Final = (
    Kind("a line of its own", VERBATIM, _same, "line"),
    Kind("prefix", VERBATIM, _same, "start"),
    Kind("inside a line", VERBATIM, _same, "inside"),
    Kind("suffix", VERBATIM, _same, "end"),
    Kind("upper case", "case", lambda text, _: text.upper(), "line"),
    Kind("lower case", "case", lambda text, _: text.lower(), "line"),
    Kind("title case", "case", lambda text, _: text.title(), "line"),
    Kind("line breaks", "spacing", partial(_spaced, "\n"), "line"),
    Kind("double spaces", "spacing", partial(_spaced, "  "), "line"),
    Kind("tabs", "spacing", partial(_spaced, "\t"), "line"),
    Kind("no-break spaces", "spacing", partial(_spaced, "\u00a0"), "line"),
    Kind("curly quotes", "marks", _curly, "line"),
    Kind("straight quotes", "marks", partial(_translated, _STRAIGHT), "line"),
    Kind("full-width marks", "marks", partial(_translated, _FULL_WIDTH), "line"),
    Kind("other dashes", "marks", partial(_translated, _DASHES), "line"),
    Kind("no punctuation", "no marks", _unmarked, "line"),
    Kind("other numbers", "numbers", _other_numbers, "line"),
    Kind("first half", "half", _first_half, "line"),
    Kind("1 word in 10 another", "words", _substituted, "line"),
)
