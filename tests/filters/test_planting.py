"""What is planted: every change against its plainest reading, and that hosts stay whole."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters import wordchars
from cuvee.filters.planting import (
    EVERY,
    FILLERS,
    KINDS,
    VERBATIM,
    Kind,
    choice,
    folded_line,
    folded_words,
    plant,
    variant,
)

BY_NAME = {kind.name: kind for kind in KINDS}
TEXTS = st.text("aB é'\"-\u2013\u2014“”.,(3720\n\t_漢ß", min_size=1, max_size=60).filter(str.strip)
HOSTS = st.text("ab \n漢.", min_size=2, max_size=40).filter(str.strip)


def changed(name: str, text: str) -> str:
    """Give the text as a kind changes it, also where it changes nothing."""
    return variant(BY_NAME[name], text) or text.strip()


def plain_words(text: str) -> list[str]:
    table = wordchars.character_table()
    out = ""
    for char in text:
        entry = int(table[ord(char)])
        kind, folded = entry >> wordchars.KIND_SHIFT, chr(entry & wordchars.FOLDED_MASK)
        out += {
            wordchars.LETTER: folded,
            wordchars.DIGIT: char,
            wordchars.GONE: "",
            wordchars.ALONE: f" {folded} ",
            wordchars.END: " ",
        }[kind]
    return out.split()


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=40))
def test_folded_words_equal_the_plain_twin(text: str) -> None:
    assert folded_words(text) == plain_words(text)
    assert folded_line(text).split(" ") == ["", *plain_words(text), ""]


@settings(max_examples=60, deadline=None)
@given(HOSTS, TEXTS, st.sampled_from(KINDS))
def test_a_host_keeps_all_its_words_around_what_is_planted(host: str, text: str, k: Kind) -> None:
    found = plant(host, text, k.place)
    assert found.text[found.start : found.end] == text
    rest = found.text[: found.start] + found.text[found.end :]
    assert "".join(rest.split()) == "".join(host.split())
    around = (found.text[found.start - 1 : found.start], found.text[found.end : found.end + 1])
    gap = "\n" if k.place == "line" else " "
    wanted = {"start": ("", " "), "end": (" ", "")}.get(k.place, (gap, gap))
    assert around == wanted


def test_a_variant_stands_about_the_middle_between_words() -> None:
    assert plant("one two\nthree four five\nsix", "X", "line").text == (
        "one two\nthree four five\nX\nsix"
    )
    assert plant("one two\nthree four five\nsix", "X", "inside").text == (
        "one two\nthree X four five\nsix"
    )
    assert plant("no line break", "X", "line").text == "no line\nX\nbreak"
    assert plant("漢漢漢漢", "X", "inside").text == "漢漢 X 漢漢"


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.sampled_from([k for k in KINDS if k.family in ("case", "spacing", "marks")]))
def test_case_spacing_and_marks_leave_the_folded_words(text: str, kind: Kind) -> None:
    kept = text.replace("ß", "s")  # in upper case ß is two letters
    assert folded_words(changed(kind.name, kept)) == folded_words(kept)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_every_digit_is_another_one_and_nothing_else_changes(text: str) -> None:
    given_, found = text.strip(), changed("other numbers", text)
    assert len(found) == len(given_)
    for before, after in zip(given_, found, strict=True):
        if before.isdecimal():
            assert before != after
            assert after in "123456789"
        else:
            assert before == after


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_punctuation_goes_and_nothing_else(text: str) -> None:
    kept = [c for c in text.strip() if not unicodedata.category(c).startswith("P")]
    found = variant(BY_NAME["no punctuation"], text)
    assert list(found or "") == (kept if len(kept) < len(text.strip()) else [])


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_first_half_is_half_of_the_words(text: str) -> None:
    words, half = text.split(), changed("first half", text)
    assert text.strip().startswith(half)
    assert half.split() == words[: (len(words) + 1) // 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.from_regex(r"[a-c]{1,3}", fullmatch=True), min_size=1, max_size=45))
def test_one_word_in_ten_is_another(words: list[str]) -> None:
    found = changed("1 word in 10 another", " ".join(words)).split()
    other = [n for n, word in enumerate(found) if word != words[n]]
    assert len(found) == len(words)
    assert other == list(range(other[0], len(words), EVERY))
    assert other[0] < EVERY
    assert {found[n] for n in other} <= set(FILLERS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("upper case", '“I\'M” - "IT" IS 3.5?'),
        ("no-break spaces", '“I\'m”\u00a0-\u00a0"it"\u00a0is\u00a03.5?'),
        ("curly quotes", "“I\u2019m” - “it” is 3.5?"),
        ("straight quotes", '"I\'m" - "it" is 3.5?'),
        ("full-width marks", "“I\uff07m” \uff0d \uff02it\uff02 is 3\uff0e5\uff1f"),
        ("other dashes", '“I\'m” \u2013 "it" is 3.5?'),
    ],
)
def test_marks_become_others(name: str, expected: str) -> None:
    assert variant(BY_NAME[name], ' “I\'m” - "it" is 3.5?\n') == expected


def test_what_a_kind_leaves_as_it_is_has_no_variant_but_verbatim_has() -> None:
    for kind in KINDS:
        assert (variant(kind, "abc") == "abc") == (kind.family == VERBATIM)
    assert {kind.name for kind in KINDS if variant(kind, "abc") not in (None, "abc")} == {
        "upper case",
        "title case",
        "1 word in 10 another",
    }


def test_names_of_kinds_are_unique_and_choices_depend_on_the_bounds_of_texts() -> None:
    assert len(BY_NAME) == len(KINDS)
    assert choice("ab", "c") != choice("a", "bc")
    assert choice("ab", "c") == choice("ab", "c")
