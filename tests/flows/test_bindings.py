"""Bindings on the command line: paths as the recipe's base sees them, and files that must be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cuvee.configs.errors import RecipeError, SourceError
from cuvee.configs.load import load
from cuvee.flows.bindings import with_bindings

RECIPE = """
name: unbound
sources:
  web: {max_epochs: 8}
  books: {max_epochs: 8}
  notes: {format: jsonl, paths: [notes.jsonl]}
tokenizer: {train: {vocab_size: 300, sample_bytes: 10K}}
stages:
  - {name: core, tokens: 2K, seq_len: 64, batch: {sequences: 4}, mixture: {web: 0.5, books: 0.5}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "unbound.yaml").write_text(RECIPE)
    (tmp_path / "texts").mkdir()
    lines = [json.dumps({"text": f"The garden has {n} gates by the river."}) for n in range(90)]
    (tmp_path / "texts" / "a.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_kept_relative_to_the_recipe(folder: Path) -> None:
    path = Path("recipes/unbound.yaml")
    overrides = with_bindings(path, ["seed=3"], ["*=texts/*.jsonl"])
    assert overrides[-1] == "seed=3"
    recipe = load(path, overrides)
    for source in ("web", "books"):
        assert recipe.sources[source].paths == ["../texts/*.jsonl"]
        assert recipe.sources[source].format == "jsonl"
        assert recipe.sources[source].max_epochs == 8
    assert recipe.sources["notes"].paths == ["notes.jsonl"]


def test_paths_of_a_file_are_its_folders_and_absolute_ones_stay(folder: Path) -> None:
    whole = str(folder / "texts" / "a.jsonl")
    held = {"web": {"paths": ["*.jsonl"]}, "books": {"paths": [whole]}}
    (folder / "texts" / "b.yaml").write_text(yaml.safe_dump(held))
    path = Path("recipes/unbound.yaml")
    recipe = load(path, with_bindings(path, [], ["texts/b.yaml"]))
    assert recipe.sources["web"].paths == ["../texts/*.jsonl"]
    assert recipe.sources["books"].paths == [whole]


def test_what_set_binds_is_not_unbound(folder: Path) -> None:
    path = Path("recipes/unbound.yaml")
    given = ["sources.web.paths=[w.jsonl]", "sources.web.format=jsonl"]
    recipe = load(path, with_bindings(path, given, ["*=texts/*.jsonl"]))
    assert recipe.sources["web"].paths == ["w.jsonl"]
    assert recipe.sources["books"].paths == ["../texts/*.jsonl"]


def test_an_unbound_recipe_is_planned_and_run_once_it_is_bound(
    folder: Path, cuvee: Callable[..., Any]
) -> None:
    path = folder / "recipes" / "unbound.yaml"
    path.write_text(RECIPE.replace("notes.jsonl", "../texts/a.jsonl"))
    held = ("--set", "curate.dedup.exact=false", "--out", folder / "run")
    done = cuvee("run", path, *held)
    assert done.returncode == 2
    assert "RecipeError: No files are bound to web, books." in done.stderr
    assert "--bind web=PATH, or --bind '*=PATH' for all" in done.stderr
    done = cuvee("run", path, *held, "--bind", f"*={folder / 'texts' / '*.jsonl'}")
    assert done.returncode == 0, done.stderr
    assert cuvee("verify", folder / "run").returncode == 0


def test_a_binding_to_nothing_is_refused(folder: Path) -> None:
    path = Path("recipes/unbound.yaml")
    with pytest.raises(SourceError, match=r"^text/\*\.jsonl names no file\."):
        with_bindings(path, [], ["web=text/*.jsonl"])
    with pytest.raises(RecipeError, match="Did you mean 'books'"):
        with_bindings(path, [], ["book=texts/a.jsonl"])
