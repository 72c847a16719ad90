"""Exports: whole or not at all, the same bytes again, and what is refused with which status."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.flows import cli
from cuvee.handoff.exports import FORMATS, export_stage

every_format = pytest.mark.parametrize("export_format", FORMATS)


@every_format
def test_the_same_stage_gives_the_same_bytes(
    make_stage: Any, tmp_path: Path, export_format: str
) -> None:
    stage = make_stage(masked=True)
    for name in ("one", "two"):
        export_stage(stage.directory, export_format, tmp_path / name)
    one, two = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for name in ("one", "two")
        for folder in [tmp_path / name]
    )
    assert one == two


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "a byte too many": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a missing file": Path.unlink,
}


@every_format
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_stage_is_refused_and_leaves_nothing(
    make_stage: Any, tmp_path: Path, export_format: str, damage: Callable[[Path], object]
) -> None:
    stage = make_stage()
    before = sorted(tmp_path.iterdir())
    damage(stage.directory / "000001.parquet")
    with pytest.raises(CorruptShard, match=r"core/000001\.parquet"):
        export_stage(stage.directory, export_format, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_folder_may_be_there_and_a_used_one_may_not(
    make_stage: Any, tmp_path: Path
) -> None:
    stage, out = make_stage(), tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    export_stage(stage.directory, "memmap", out)
    with pytest.raises(RequestError, match="holds files already"):
        export_stage(stage.directory, "memmap", out)
    with pytest.raises(RequestError, match="is a file"):
        export_stage(stage.directory, "memmap", out / "tokens.bin")
    assert sorted(p.name for p in out.parent.iterdir()) == ["out"]


def test_what_is_no_stage_and_an_unknown_format_are_refused(
    make_stage: Any, tmp_path: Path
) -> None:
    stage = make_stage()
    with pytest.raises(RequestError, match=r"manifest\.json"):
        export_stage(tmp_path, "npy", tmp_path / "out")
    with pytest.raises(RequestError, match=r"megatron, npy, mds, memmap.*mean memmap"):
        export_stage(stage.directory, "memap", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_beyond_int32_is_not_for_megatron(make_stage: Any, tmp_path: Path) -> None:
    stage = make_stage(vocabulary=100_000)
    stage.write_manifest(replace(stage.manifest, vocabulary_size=(1 << 31) + 1))
    with pytest.raises(RequestError, match="int32"):
        export_stage(stage.directory, "megatron", tmp_path / "out")


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit status of `cuvee`, in this process."""
    monkeypatch.setattr(sys, "argv", ["cuvee", *map(str, words)])
    return cli.guarded(cli.app)


def test_the_command_exports_and_says_what_was_lost(
    make_stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "shards").mkdir()
    make_stage("shards/core")
    out = tmp_path / "out"
    words = ("export", tmp_path, "--stage", "core", "--format", "npy", "--out", out)
    assert command(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    assert "120 sequences" in shown
    assert json.loads((out / "cuvee.json").read_text())["lost"][0] in shown


@pytest.mark.parametrize(
    ("stage", "export_format", "status", "said"),
    [
        ("cor", "npy", 2, "Did you mean core?"),
        ("core", "nyp", 2, "Did you mean npy?"),
        ("core", "npy", 1, "000000.parquet"),
    ],
)
def test_a_wrong_request_ends_with_2_and_a_damaged_stage_with_1(
    make_stage: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    stage: str,
    export_format: str,
    status: int,
    said: str,
) -> None:
    (tmp_path / "shards").mkdir()
    flip(make_stage("shards/core").directory / "000000.parquet")
    words = ("--stage", stage, "--format", export_format, "--out", tmp_path / "out")
    assert command(monkeypatch, "export", tmp_path, *words) == status
    assert said in capsys.readouterr().err


def test_a_run_without_a_stage_says_how_to_build_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    words = ("--stage", "core", "--format", "npy", "--out", tmp_path / "out")
    assert command(monkeypatch, "export", tmp_path, *words) == 2
    assert "cuvee build" in capsys.readouterr().err


@every_format
def test_columns_that_no_format_carries_are_named(
    make_stage: Any, tmp_path: Path, export_format: str
) -> None:
    stage = make_stage(teacher=2, media=True)
    lost = " ".join(export_stage(stage.directory, export_format, tmp_path / "out").lost)
    assert "teacher_ids and teacher_probs" in lost
    assert "media_refs" in lost


@every_format
def test_an_interrupted_export_leaves_nothing(
    make_stage: Any, tmp_path: Path, export_format: str
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stage = make_stage()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export_stage(stage.directory, export_format, tmp_path / "out", interrupt)
    assert sorted(tmp_path.iterdir()) == before
