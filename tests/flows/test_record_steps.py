"""What the recipe says of a stage's rows."""

from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Recipe
from cuvee.flows.job import Job
from cuvee.flows.record_steps import columns_of, records_of
from cuvee.handoff.shards import Columns


def job(tmp_path: Path, sources: dict[str, Any], **stage: Any) -> Job:
    files = {"format": "jsonl", "paths": ["a.jsonl"]}
    shape = {"name": "core", "tokens": "1M", "seq_len": 64, "batch": {"sequences": 2}}
    even = {name: 1 / len(sources) for name in sources}
    asked = {
        "name": "records",
        "sources": {name: files | keys for name, keys in sources.items()},
        "tokenizer": {"train": {"vocab_size": 300}},
        "stages": [shape | {"mixture": even} | stage],
    }
    return Job(Recipe.model_validate(asked), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("stage", "sources", "due"),
    [
        ({}, {"a": {"chat": {}}}, (Columns(), False)),
        ({"loss_mask": True}, {"a": {"chat": {}}, "b": {}}, (Columns(True), True)),
        ({"loss_mask": True}, {"b": {}}, (Columns(), False)),
        ({}, {"a": {"media": {}}}, (Columns(True, 0, True), False)),
        ({}, {"a": {"teacher": {"paths": ["t"]}}}, (Columns(), False)),
        (
            {"teacher": True},
            {"a": {"teacher": {"paths": ["t"], "k": 4}}},
            (Columns(False, 4), False),
        ),
        ({"teacher": True}, {"a": {}}, (Columns(), False)),
    ],
)
def test_a_stage_has_the_columns_that_it_and_its_sources_ask_for(
    tmp_path: Path, stage: dict[str, Any], sources: dict[str, Any], due: tuple[Columns, bool]
) -> None:
    assert columns_of(job(tmp_path, sources, **stage), "core", list(sources)) == due


def test_teachers_of_two_shapes_and_media_that_would_be_cut_are_refused(tmp_path: Path) -> None:
    taught = {name: {"teacher": {"paths": ["t"], "k": k}} for name, k in (("a", 1), ("b", 2))}
    with pytest.raises(RecipeError, match="teachers that differ"):
        columns_of(job(tmp_path, taught, teacher=True), "core", ["a", "b"])
    media = job(tmp_path, {"a": {"media": {}}}, packing={"policy": "concat"})
    with pytest.raises(RecipeError, match="cuts anywhere"):
        columns_of(media, "core", ["a"])


def test_a_template_is_a_file_or_itself_and_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("{{ messages[0].content }}")
    inline = {"a": {"chat": {"template": "{{ messages[0].content }}"}}}
    filed = {"a": {"chat": {"template": "chat.jinja"}}}
    one, two = (records_of(job(tmp_path, sources), "a") for sources in (inline, filed))
    assert one is not None
    assert two is not None
    assert one.identity == two.identity
    with pytest.raises(RecipeError, match="no Jinja template"):
        records_of(job(tmp_path, {"a": {"chat": {"template": "{% if %}"}}}), "a")
    assert records_of(job(tmp_path, {"a": {}}), "a") is None
