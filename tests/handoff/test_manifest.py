"""The manifest: its schema, its bytes, and what is refused."""

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.handoff import read_manifest
from cuvee.handoff.manifest import Manifest, SourceShare, manifest_sha, write_manifest

SCHEMA = json.loads(resources.files("cuvee.handoff").joinpath("manifest.schema.json").read_text())


def edit(stage: Any, change: Any) -> None:
    path = stage.directory / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_manifest_validates_against_the_shipped_schema(make_stage: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = json.loads((make_stage().directory / "manifest.json").read_text())
    jsonschema.validate(document, SCHEMA)
    document["files"][0]["path"] = "../elsewhere.parquet"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_the_schema_asks_for_exactly_the_fields_there_are(make_stage: Any) -> None:
    document = json.loads((make_stage().directory / "manifest.json").read_text())

    def compare(part: Any, schema: Any) -> None:
        schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
        if isinstance(part, list):
            compare(part[0], schema["items"])
        elif isinstance(part, dict) and "properties" in schema:
            assert list(part) == list(schema["properties"]) == schema["required"]
            assert schema["additionalProperties"] is False
            for key, value in part.items():
                compare(value, schema["properties"][key])

    compare(document, SCHEMA)


def test_a_manifest_comes_back_as_written(make_stage: Any) -> None:
    stage = make_stage()
    assert read_manifest(stage.directory) == stage.manifest
    assert (stage.manifest.sequences, stage.manifest.steps) == (120, 15)


def test_it_is_written_whole_and_named_by_its_sha256(make_stage: Any, tmp_path: Path) -> None:
    manifest: Manifest = make_stage().manifest
    sha = write_manifest(tmp_path, manifest)
    assert sha == manifest_sha(tmp_path / "manifest.json") == write_manifest(tmp_path, manifest)
    assert not list(tmp_path.glob("*.tmp"))
    assert write_manifest(tmp_path, dataclasses.replace(manifest, stage="other")) != sha


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, Path("x")])
def test_metadata_that_is_no_json_is_refused(make_stage: Any, tmp_path: Path, value: Any) -> None:
    manifest = dataclasses.replace(make_stage().manifest, meta={"key": value})
    with pytest.raises(RequestError, match="stage 'core': meta"):
        write_manifest(tmp_path, manifest)
    assert not (tmp_path / "manifest.json").exists()


def test_a_directory_without_a_manifest_is_no_stage(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no manifest\.json"):
        read_manifest(tmp_path)


def test_another_format_version_is_refused_before_its_keys(make_stage: Any) -> None:
    stage = make_stage()
    edit(stage, lambda d: d.update(format_version=4, new_key=1))
    with pytest.raises(RequestError, match="version 4"):
        read_manifest(stage.directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("dtype"), "missing keys ['dtype']"),
        (lambda d: d.update(extra=1), "unknown keys ['extra']"),
        (lambda d: d.update(seq_len="32"), "seq_len: '32'; int needed"),
        (lambda d: d.update(seq_len=True), "seq_len: True; int needed"),
        (lambda d: d["files"][1].update(rows=1.5), "files[1].rows: 1.5; int needed"),
        (lambda d: d.update(files={}), "files: {}; list needed"),
        (lambda d: d.update(sources=[3]), "sources[0]: 3; dict needed"),
        (lambda d: d.update(files=[]), "files is empty"),
        (lambda d: d["files"].reverse(), "000002.parquet: positions"),
        (lambda d: d["files"][0].update(path="a/b.parquet"), "own directory"),
        (lambda d: d["files"][2].update(last_step=99), "000002.parquet"),
        (lambda d: d["global_batch"].update(tokens=1), "global_batch.tokens"),
        (lambda d: d.update(dtype="uint32"), "dtype"),
        (lambda d: d["special_ids"].update(pad=1000), "special_ids"),
        (lambda d: d["sources"][0].update(weights_q32=[1]), "weights_q32"),
        (lambda d: d["sources"][0].update(name="s1"), "one name"),
        (lambda d: d.update(seq_len=0), "at least 1"),
    ],
)
def test_a_damaged_manifest_says_where(make_stage: Any, change: Any, said: str) -> None:
    stage = make_stage()
    edit(stage, change)
    with pytest.raises(CorruptShard) as caught:
        read_manifest(stage.directory)
    assert said in str(caught.value)
    assert "manifest.json" in str(caught.value)


def test_a_cut_off_manifest_is_corrupt(make_stage: Any) -> None:
    path = make_stage().directory / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptShard, match="is no manifest"):
        read_manifest(path.parent)


def test_a_whole_number_stands_for_a_float(make_stage: Any) -> None:
    stage = make_stage()
    edit(stage, lambda d: d["sources"][0].update(epochs=2))
    source: SourceShare = read_manifest(stage.directory).sources[0]
    assert source.epochs == 2.0
    assert type(source.epochs) is float
