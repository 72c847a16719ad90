"""Bindings: what is read of them, which sources they reach, and what is refused."""

from pathlib import Path

import pytest
import yaml

from cuvee.configs.bindings import bind, format_of, overrides_of, read_bindings
from cuvee.configs.errors import RecipeError
from cuvee.configs.load import apply_override

SOURCES = {"web": {}, "books": {"format": "text", "paths": ["books/"]}, "code": None}


def bound(*given: str, here: Path = Path("/here")) -> dict[str, tuple[dict[str, object], Path]]:
    return bind(read_bindings(given, here), SOURCES)


def test_a_source_is_bound_to_what_the_suffix_tells() -> None:
    found = bound("web=texts/*.jsonl.gz")
    assert found == {"web": ({"format": "jsonl", "paths": ["texts/*.jsonl.gz"]}, Path("/here"))}


def test_paths_of_one_source_add_up() -> None:
    (keys, _) = bound("web=a.parquet", "web=b.parquet")["web"]
    assert keys["paths"] == ["a.parquet", "b.parquet"]


def test_a_star_binds_what_is_unbound_and_no_more() -> None:
    found = bound("*=all.jsonl", "web=web.txt")
    assert {name: keys["paths"] for name, (keys, _) in found.items()} == {
        "web": ["web.txt"],
        "code": ["all.jsonl"],
    }


def test_a_file_of_bindings_has_paths_of_its_own_folder(tmp_path: Path) -> None:
    held: dict[str, dict[str, object]] = {
        "web": {"paths": ["w/*.jsonl"], "fields": {"text": "content"}, "exclude": ["w/x*"]},
        "*": {"format": "text", "paths": ["rest/"]},
    }
    (tmp_path / "bindings.yaml").write_text(yaml.safe_dump(held))
    found = bound(str(tmp_path / "bindings.yaml"))
    assert found["web"] == ({"format": "jsonl", **held["web"]}, tmp_path)
    assert found["code"] == ({"format": "text", "paths": ["rest/"]}, tmp_path)
    assert "books" not in found


def test_what_is_bound_comes_back_from_its_overrides() -> None:
    keys = {"format": "jsonl", "paths": ['a "b", é.jsonl', "#c.jsonl"], "fields": {"text": "t"}}
    document: dict[str, object] = {"sources": {"web": None}}
    for override in overrides_of("web", keys):
        apply_override(document, override)
    assert document == {"sources": {"web": keys}}


@pytest.mark.parametrize(
    ("path", "told"), [("a.jsonl", "jsonl"), ("b.JSON.zst", "jsonl"), ("c/*.md", "text")]
)
def test_a_suffix_tells_a_format(path: str, told: str) -> None:
    assert format_of(path) == told


WRONG = [
    (
        ("wob=a.jsonl",),
        "--bind names 'wob', which is no source of the recipe. Sources: web, books, code. "
        "Did you mean 'web'?",
    ),
    (
        ("web=a.bin",),
        "--bind cannot tell the format of 'a.bin' from its suffix. Known: .jsonl, .json, .ndjson, "
        ".parquet, .txt, .md, .rst, .tex, .html, .py; with .gz or .zst behind, too. Write a file "
        'of bindings that says it: SOURCE: {format: text, paths: ["a.bin"]}.',
    ),
    (
        ("web=a.txt", "web=b.jsonl"),
        "--bind web has paths of two formats, text and jsonl. All files of a source have one. "
        "Make two sources of it.",
    ),
    (
        ("none.yaml",),
        "--bind /here/none.yaml: the file cannot be read: No such file or directory. It takes "
        "SOURCE=PATH, like web=texts/*.jsonl, or a YAML file of bindings.",
    ),
    (
        ("=a.jsonl",),
        "--bind got '=a.jsonl'. It takes SOURCE=PATH, like web=texts/*.jsonl, or a YAML file of "
        "bindings.",
    ),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[case[0][-1] for case in WRONG])
def test_a_wrong_binding_is_refused_in_words(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        bound(*given)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("- a", "no mapping of sources"),
        ("web: {path: a.jsonl}", "web.path: no such key. Allowed here: format, paths, fields"),
        ("web: {paths: a.jsonl}", "web.paths: got 'a.jsonl'. It is a list of paths or patterns."),
        ("web: {", "is not YAML"),
    ],
)
def test_a_wrong_file_of_bindings_is_refused(tmp_path: Path, held: str, said: str) -> None:
    (tmp_path / "b.yaml").write_text(held)
    with pytest.raises(RecipeError) as caught:
        bound("b.yaml", here=tmp_path)
    assert said in str(caught.value)
