"""Canonical addresses: each step by example, and equal to a twin in plain Python on any URL."""

import re

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from cuvee.filters.url_keys import TRACKING, canonical_urls, url_keys

UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
RESERVED = b":/?#[]@!$&'()*+,;="


def canonical(url: str | None) -> str | None:
    found: str | None = canonical_urls(pa.array([url], pa.string())).to_pylist()[0]
    return found


def encoded(part: bytes) -> str:
    def one(match: re.Match[bytes]) -> bytes:
        text = match[0]
        if len(text) == 3:
            byte = bytes([int(text[1:], 16)])
            return byte if byte in UNRESERVED else b"%%%02X" % byte[0]
        return text if text in UNRESERVED + RESERVED else b"%%%02X" % text[0]

    return re.sub(rb"%[0-9a-fA-F]{2}|.", one, part, flags=re.DOTALL).decode("ascii")


def plain_path(path: bytes) -> str:
    kept: list[str] = []
    for segment in path.split(b"/")[1:]:
        name = encoded(segment)
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    return "".join(f"/{name}" for name in kept).rstrip("/")


def plain_query(query: bytes) -> str:
    named = [encoded(parameter) for parameter in query.split(b"&")]
    kept = []
    for parameter in filter(None, named):
        name = re.sub("[A-Z]", lambda m: m[0].lower(), parameter.partition("=")[0])
        utm = re.match("utm_", re.sub("[A-Z]", lambda m: m[0].lower(), parameter))
        if name not in TRACKING and not utm:
            kept.append(parameter)
    return "?" + "&".join(sorted(kept)) if kept else ""


def plain(url: str) -> str | None:
    data = url.encode().strip(bytes(range(0x21))).partition(b"#")[0]
    match = re.match(rb"(?:([A-Za-z0-9+.-]*):)?//", data)
    scheme = ""
    if match and (match[1] or data.startswith(b"//")):
        scheme, data = (match[1] or b"").decode().lower(), data[match.end() :]
    elif match:  # `://` without a name
        scheme, data = "", data[match.end() :]
    authority, rest = re.fullmatch(rb"([^/?#]*)(.*)", data, re.DOTALL).groups()  # type: ignore[union-attr]  # always
    host = authority.rpartition(b"@")[2]
    port_at = re.search(rb":([0-9]*)\Z", host)
    port = b""
    if port_at:
        host, port = host[: port_at.start()], port_at[1]
    host = host.rstrip(b".")
    if len(host) > 4 and host[:4].lower() == b"www.":
        host = host[4:]
    if not host:
        return None
    parts = re.split("(%[0-9A-F]{2})", encoded(host))
    name = "".join(part if part.startswith("%") else part.lower() for part in parts)
    number = port.lstrip(b"0").decode()
    default = "443" if scheme == "https" else "80"
    colon = f":{number}" if port and number != default else ""
    path, mark, query = rest.partition(b"?")
    shown = f"{scheme}://" if scheme not in ("", "http", "https") else ""
    return shown + name + colon + plain_path(path) + plain_query(query if mark else b"")


URLS = st.one_of(
    st.text(alphabet="ab/.?&=%#:@ \t2eEéwW+-[]utm_", max_size=40),
    st.builds(
        "{}{}{}{}{}{}".format,
        st.sampled_from(["", "http://", "HTTPS://", "//", "ftp://", "://"]),
        st.sampled_from(["", "u:p@", "www.", "WWW."]),
        st.sampled_from(["a.b", "A.%C3%a9", "é.org", "a.b.", "", "[::1]"]),
        st.sampled_from(["", ":80", ":443", ":", ":0080", ":8080"]),
        st.sampled_from(["", "/", "/a/../..", "/a/./b//", "/%7e%2f%zz/%", "/a%2E%2e/.%2e/c"]),
        st.sampled_from(["", "?", "?b=2&a=1&&", "?utm_x=1&GCLID=2&c", "?c#d?e=1", "?%41=é&a"]),
    ),
)


@settings(max_examples=300, deadline=None)
@example("http://%4")
@given(URLS)
def test_forms_equal_those_of_plain_python(url: str) -> None:
    assert canonical(url) == plain(url)


@settings(max_examples=100, deadline=None)
@example("..")
@given(URLS)
def test_a_canonical_form_is_its_own_form(url: str) -> None:
    form = canonical(url)
    if form is not None and re.match("(ftp://)?[a-z.]+(/|$)", form):
        assert canonical(form) == form


@pytest.mark.parametrize(
    "other",
    [
        "http://example.org/a?x=1&y=2",
        "HTTPS://WWW.EXAMPLE.ORG:443/a/?y=2&x=1",
        "example.org./b/../a?x=1&y=2#part",
        "//user:secret@example.org:80/%61?utm_source=feed&x=1&y=2&fbclid=abc",
    ],
)
def test_versions_of_an_address_have_one_key(other: str) -> None:
    first = "https://example.org/a?x=1&y=2"
    keys = url_keys(pa.array([first, other], pa.string())).to_pylist()
    assert keys[0] == keys[1] == xxh3_128_digest(b"example.org/a?x=1&y=2")


@pytest.mark.parametrize(
    "other", ["http://example.org/A", "http://example.org/a?", "http://example.org:8080/a",
              "ftp://example.org/a", "http://m.example.org/a", "http://example.org/a?page=1"]
)  # fmt: skip
def test_other_pages_have_other_keys_but_for_an_empty_query(other: str) -> None:
    same = canonical(other) == canonical("http://example.org/a")
    assert same == other.endswith("?")


def test_no_host_is_no_key() -> None:
    keys = url_keys(pa.array([None, "", " ", "http://", "/path", "#top"], pa.string()))
    assert keys.to_pylist() == [None] * 6
