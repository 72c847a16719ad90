"""Verdicts on URLs against a plain twin, and with lists that are in use."""

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.filters.urls import REASONS, url_lists, url_verdicts

LISTS = Path(__file__).parents[2].parent / "shared" / "data" / "lists"


def plain_parts(url: str) -> tuple[str, str]:
    """Host and the rest."""
    after = re.sub(r"^([A-Za-z0-9+.-]*:)?//", "", url)
    authority = re.match(r"[^/?#]*", after)
    assert authority
    host = re.sub(r":[0-9]*$", "", authority[0].rpartition("@")[2])
    host = re.sub(r"[A-Z]", lambda m: m[0].lower(), host).rstrip(".")
    host = host[4:] if host.startswith("www.") and len(host) > 4 else host
    return host, after[authority.end() :].partition("#")[0].rstrip("/")


def squeeze(text: str) -> str:
    return re.sub("[^a-z0-9]", "", re.sub("[A-Z]", lambda m: m[0].lower(), text))


def plain_verdict(url: str | None, lists: dict[str, list[str]]) -> str | None:
    if not url:
        return None
    host, rest = plain_parts(url)
    parents = {host[m.end() :] for m in re.finditer(r"^|\.", host)} if host else set()
    domains = {plain_parts(d.lstrip("."))[0] for d in lists["domains"]} - {""}
    if parents & domains:
        return "url_domain"
    if host and (host, rest) in {plain_parts(u) for u in lists["urls"]}:
        return "url_full"
    pieces = set(re.findall("[a-z0-9]+", re.sub("[A-Z]", lambda m: m[0].lower(), url)))
    hard, soft, sub = (
        {squeeze(word) for word in lists[kind]} - {""}
        for kind in ("hard_words", "soft_words", "subwords")
    )
    if pieces & hard:
        return "url_hard_word"
    if len(pieces & soft) >= 2:
        return "url_soft_words"
    return "url_subword" if any(word in squeeze(url) for word in sub) else None


BITS = st.sampled_from(
    [*"ab./:@?#-1é", "http://", "https://www.", "www.", "WWW.", "A.b", "Bad", "so.ft", "/p/", ":80"]
)
URLS = st.lists(BITS, max_size=8).map("".join)
WORDS = st.lists(
    st.sampled_from(["a", "B", "bad", "so", "ft", "b-a", "", "ab1", "p80"]), max_size=3
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.one_of(st.none(), URLS), max_size=4),
    st.fixed_dictionaries(
        {
            "domains": st.lists(URLS, max_size=3),
            "urls": st.lists(URLS, max_size=3),
            "hard_words": WORDS,
            "soft_words": WORDS,
            "subwords": WORDS,
        }
    ),
)
def test_verdicts_are_those_of_the_plain_twin(
    urls: list[str | None], lists: dict[str, list[str]]
) -> None:
    verdicts = url_verdicts(pa.array(urls, pa.string()), url_lists(**lists))
    assert verdicts.to_pylist() == [plain_verdict(url, lists) for url in urls]
    assert verdicts.type == pa.string()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:pw@www.Bad.org:8080/x", "url_domain"),
        ("http://deep.below.bad.org", "url_domain"),
        ("http://notbad.org/", None),
        ("HTTP://ok.org:80/page/#top", "url_full"),
        ("http://ok.org/Page", None),
        ("http://ok.org/HARD-case", "url_hard_word"),
        ("http://ok.org/hardcase", None),
        ("http://ok.org/Cheap/pills", "url_soft_words"),
        ("http://ok.org/cheap/cheap", None),
        ("http://ok.org/a-Ho.T-pocket", "url_subword"),
        ("", None),
        (None, None),
    ],
)
def test_each_list_bars_what_it_says(url: str | None, reason: str | None) -> None:
    lists = url_lists(
        domains=["bad.org"],
        urls=["www.ok.org/page/"],
        hard_words=["Hard"],
        soft_words=["cheap", "pills"],
        subwords=["hot pocket"],
    )
    assert url_verdicts(pa.array([url], pa.string()), lists).to_pylist() == [reason]


def test_empty_lists_bar_nothing() -> None:
    assert url_verdicts(pa.array(["http://a.org", None]), url_lists()).null_count == 2
    assert len(url_verdicts(pa.array([], pa.string()), url_lists())) == 0


@pytest.mark.skipif(not LISTS.exists(), reason="the lists are not here")
def test_lists_in_use_bar_their_own_entries_and_little_else() -> None:
    domains, urls = (
        gzip.decompress((LISTS / "ut1" / name).read_bytes()).decode().split()
        for name in ("dating__domains.txt.gz", "adult__urls.txt.gz")
    )
    words = [
        (LISTS / f"datatrove_{name}.txt").read_text().splitlines()
        for name in ("banned_words", "soft_banned_words", "banned_subwords")
    ]
    lists = url_lists(domains, urls, *words)
    barred = url_verdicts(pa.array([f"https://www.{d}/x" for d in domains]), lists)
    assert set(barred.to_pylist()) == {"url_domain"}
    barred = url_verdicts(pa.array([f"http://{url}/#a" for url in urls]), lists)
    assert set(barred.to_pylist()) <= set(REASONS[:2])
    fine = ["https://en.wikipedia.org/wiki/Wine", "https://docs.python.org/3/library/re.html"]
    assert url_verdicts(pa.array(fine), lists).null_count == 2
