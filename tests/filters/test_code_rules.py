"""Comments, lines and visible text of code: the kernels against plain Python, and verdicts."""

import re

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.rules import RuleUse, judge
from cuvee.filters.signals import measure

BLOCKS = {"/*": "*/", '"""': '"""', "'''": "'''", "<!--": "-->"}
LINE_COMMENT = re.compile(r"//|--|;|%|#(?![A-Za-z\[!])")
NAME_ENDS = r"(?=[>/\x00-\x20]|\Z)"
HIDDEN = "|".join(
    rf"<{name}{NAME_ENDS}[^>]*(?:>|\Z).*?(?=</{name}{NAME_ENDS}|\Z)" for name in ("script", "style")
)
MARKUP = re.compile(
    rf"<!--.*?-->|<!--.*|{HIDDEN}|<[A-Za-z/!?][^>]*(?:>|\Z)", re.ASCII | re.IGNORECASE | re.DOTALL
)
PAGE = re.compile("<html|<!doctype html", re.ASCII | re.IGNORECASE)


def comment_chars(text: str) -> int:
    chars, close = 0, ""
    for line in map(str.strip, text.splitlines()):
        if close:
            chars += len(line)
            close = "" if close in line else close
            continue
        opened = next((mark for mark in BLOCKS if line.startswith(mark)), "")
        if opened:
            close = "" if BLOCKS[opened] in line[len(opened) :] else BLOCKS[opened]
        chars += len(line) if opened or LINE_COMMENT.match(line) else 0
    return chars


def visible(text: str) -> int:
    page = PAGE.search(text)
    if page is None or page.start() >= 1000 or not text.lstrip().startswith("<"):
        return len(text)
    shown = len(MARKUP.sub("", text))
    return shown if shown >= 100 else 0


def found(texts: list[str]) -> list[tuple[float, int, float]]:
    table = measure(pa.array(texts, pa.large_string()), ["code@nemo"])
    names = ("code_comment_ratio", "code_lines", "code_visible_ratio")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


PIECES = [
    *("\n", "\r\n", "\r", "\u2028", "\t", " ", "  ", "x", "é", "漢", "\0"),
    *('"""', "'''", "/*", "*/", "<!--", "-->", "//", "--", ";", "%", "#", "#include", "#[a]", "#!"),
    *("<", ">", "<html>", "<HTML lang=en>", "<!DOCTYPE html>", "<p>", "</p>", "<br/>", "a < b"),
    *("<script>", "</script>", "<SCRIPT src='x'>", "</Script >", "<scripts>", "<style", "</style"),
    *("visible words " * 8, " " * 1000, "<?xml", "</"),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map(lambda pieces: "<html>" + "".join(pieces)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_comments_lines_and_visible_text_equal_their_plain_twin(batch: list[str]) -> None:
    for text, row in zip(batch, found(batch), strict=True):
        whole = max(len(text), 1)
        expected = comment_chars(text) / whole, text.count("\n") + 1, visible(text) / whole
        assert row == expected, repr(text)


@pytest.mark.parametrize(
    ("line", "is_comment"),
    [
        ("# a note", True),
        ("    // a note", True),
        ("-- a note", True),
        (";; a note", True),
        ("% a note", True),
        ("/* a note */", True),
        ('"""A docstring."""', True),
        ("<!-- a note -->", True),
        ("#include <stdio.h>", False),
        ("#[derive(Debug)]", False),
        ("#!/bin/sh", False),
        ("x = 1  # a note", False),
    ],
)
def test_a_comment_is_known_by_how_its_line_begins(line: str, is_comment: bool) -> None:
    ((share, _, _),) = found([line])
    assert (share > 0) == is_comment


def test_a_block_is_a_comment_to_its_end() -> None:
    ((share, _, _),) = found(["/* one\n   two\n   three */\nint four;"])
    assert share == len("/* one" + "two" + "three */") / len(
        "/* one\n   two\n   three */\nint four;"
    )


def verdict(text: str, **limits: float | None) -> str | None:
    table = measure(pa.array([text], pa.large_string()), ["code@nemo"])
    reason: str | None = judge(pl.DataFrame(table), [RuleUse("code@nemo", limits)])["reason"][0]
    return reason


def test_code_is_judged_by_the_limits_of_nemo() -> None:
    lines = ["# what follows adds", *["total = total + step"] * 10]
    page = "<html><body>" + "<div class='a'></div>" * 40 + "words to read " * 9 + "</body></html>"
    assert verdict("\n".join(lines)) is None
    assert verdict("\n".join(lines[1:])) == "comment_ratio"
    assert verdict("\n".join(lines[:1] * 12)) == "comment_ratio"
    assert verdict("\n".join(lines[:9])) == "num_lines"
    assert verdict("\n".join([*lines, *["a = b"] * 20_000])) is not None
    turned_off = {"min_comment_to_code_ratio": None, "min_lines": None}
    assert verdict(page, **turned_off) == "html_boilerplate"
    assert verdict(page.replace("<div class='a'></div>", ""), **turned_off) is None
