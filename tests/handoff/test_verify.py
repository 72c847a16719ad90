"""Verification: every byte, every row, the mixture; and what names the file."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.handoff import read_manifest, verify_stage
from cuvee.handoff.manifest import WEIGHT_UNIT, manifest_sha


def failed(directory: Path) -> dict[str, int]:
    return {c.name: c.problems for c in verify_stage(directory).checks if c.problems}


def said(directory: Path) -> str:
    return "\n".join(str(problem) for problem in verify_stage(directory).problems)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"masked": True},
        {"vocabulary": 128_000, "teacher": 3, "media": True},
        {"seq_len": 1},
        {"batch": 1},
        {"pad": 0},
    ],
)
def test_a_sound_stage_has_no_problems_and_counts_all_it_looked_at(
    make_stage: Any, spec: dict[str, int]
) -> None:
    stage = make_stage(**spec)
    report = verify_stage(stage.directory)
    rows = stage.manifest.sequences
    report.raise_first()
    assert {check.name: check.counted for check in report.checks} == {
        "listing": 3,
        "bytes": 3,
        "rows": 3,
        **dict.fromkeys(
            ("batches", "positions", "steps", "segments", "ids", "padding", "sources"), rows
        ),
        **dict.fromkeys(("masks", "teacher", "media"), rows),
        "tokens": 3,
        "packing": 1,
        "quota": rows,
        "deviation": 3,
    }
    assert report.manifest == manifest_sha(stage.directory / "manifest.json")


def test_any_flipped_byte_is_found_and_its_file_named(make_stage: Any) -> None:
    stage, rng = make_stage(), random.Random(5)
    for _ in range(150):
        path = stage.directory / rng.choice(stage.manifest.files).path
        held = path.read_bytes()
        at = rng.randrange(len(held))
        path.write_bytes(held[:at] + bytes([held[at] ^ 1 << rng.randrange(8)]) + held[at + 1 :])
        problems = verify_stage(stage.directory).problems
        assert [path.name in str(problem) for problem in problems] == [True]
        path.write_bytes(held)
    verify_stage(stage.directory).raise_first()


def test_a_missing_file_is_named_and_the_stage_not_judged(make_stage: Any) -> None:
    stage = make_stage()
    (stage.directory / "000001.parquet").unlink()
    report = verify_stage(stage.directory)
    assert "000001.parquet: it is missing" in said(stage.directory)
    assert "quota" not in {check.name for check in report.checks}
    with pytest.raises(CorruptShard, match="000001"):
        report.raise_first()


def test_an_extra_file_is_named(make_stage: Any) -> None:
    stage = make_stage()
    (stage.directory / "000009.parquet").write_bytes(b"")
    assert failed(stage.directory) == {"listing": 1}
    assert "000009.parquet" in said(stage.directory)


def test_a_cut_off_file_is_named(make_stage: Any) -> None:
    path = make_stage().directory / "000002.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert "000002.parquet" in said(path.parent)


def test_swapped_files_are_told_from_damaged_ones(make_stage: Any) -> None:
    stage = make_stage()
    one, two = stage.directory / "000000.parquet", stage.directory / "000001.parquet"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    files = list(stage.manifest.files)
    for i in (0, 1):  # as if they had one size
        files[i] = dataclasses.replace(
            files[i], bytes=(stage.directory / files[i].path).stat().st_size
        )
    stage.write_manifest(dataclasses.replace(stage.manifest, files=tuple(files)))
    assert "000000.parquet: it is a copy of 000001.parquet" in said(stage.directory)
    assert "000001.parquet: it is a copy of 000000.parquet" in said(stage.directory)


def altered(rows: Any, name: str, at: Any, value: Any) -> Any:
    array = getattr(rows, name).copy()
    array[at] = value
    return dataclasses.replace(rows, **{name: array})


def short_row(rows: Any) -> int:
    return int(np.flatnonzero(rows.n_tokens < 30)[0])


BUILDER_FAULTS = {
    "positions": lambda rows: altered(rows, "positions", 77, 76),
    "steps": lambda rows: altered(rows, "steps", 77, 0),
    "ids": lambda rows: altered(rows, "tokens", (77, 0), 1000),
    "padding": lambda rows: altered(rows, "tokens", (short_row(rows), 31), 5),
    "segments": lambda rows: altered(rows, "cu_seqlens", rows.cu_offsets[77], 1),
    "sources": lambda rows: dataclasses.replace(rows, source_names=("s0", "s1", "foreign")),
}


@pytest.mark.parametrize("check", BUILDER_FAULTS)
def test_rows_that_were_written_wrong_are_found(make_stage: Any, check: str) -> None:
    stage = make_stage()
    stage.rewrite(BUILDER_FAULTS[check](stage.rows))
    assert set(failed(stage.directory)) == {check}
    assert ".parquet: " in said(stage.directory)


@pytest.mark.parametrize("name", ["n_tokens", "last bound", "equal bounds", "no bounds"])
def test_broken_boundaries_are_found(make_stage: Any, name: str) -> None:
    stage = make_stage()
    rows = stage.rows
    many = int(np.flatnonzero(np.diff(rows.cu_offsets) > 3)[0])
    start, end = rows.cu_offsets[many], rows.cu_offsets[many + 1]
    faults = {
        "n_tokens": lambda: altered(rows, "n_tokens", many, 33),
        "last bound": lambda: altered(rows, "cu_seqlens", end - 1, 33),
        "equal bounds": lambda: altered(rows, "cu_seqlens", start + 1, rows.cu_seqlens[start + 2]),
        "no bounds": lambda: altered(rows, "cu_offsets", many + 1, start),
    }
    stage.rewrite(faults[name]())
    assert failed(stage.directory) == {"segments": 1}


def test_an_id_beyond_the_vocabulary_is_found_in_the_padding_too(make_stage: Any) -> None:
    stage = make_stage()
    stage.rewrite(altered(stage.rows, "tokens", (short_row(stage.rows), 32), 1000))
    assert failed(stage.directory) == {"ids": 1}


def test_a_file_with_other_rows_than_listed_is_found(make_stage: Any) -> None:
    stage = make_stage(steps=12)
    files = list(stage.manifest.files)
    files[0] = dataclasses.replace(files[0], rows=40, last_position=39, last_step=4)
    files[1] = dataclasses.replace(files[1], rows=56, first_position=40, first_step=5)
    stage.write_manifest(dataclasses.replace(stage.manifest, files=tuple(files)))
    assert failed(stage.directory) == {"rows": 2}
    assert "48 rows where 40 were written" in said(stage.directory)


@pytest.mark.parametrize("key", ["sequences", "realised_tokens", "padding_tokens"])
def test_totals_that_are_not_the_rows_are_found(make_stage: Any, key: str) -> None:
    stage = make_stage()
    first, *others = stage.manifest.sources
    lie = dataclasses.replace(first, **{key: getattr(first, key) + 1})
    stage.write_manifest(dataclasses.replace(stage.manifest, sources=(lie, *others)))
    assert failed(stage.directory) == {"tokens": 1}
    assert "manifest.json: source 's0'" in said(stage.directory)


def test_a_padding_share_that_is_not_the_rows_is_found(make_stage: Any) -> None:
    stage = make_stage()
    packing = dataclasses.replace(stage.manifest.packing, padding_share=0.5)
    stage.write_manifest(dataclasses.replace(stage.manifest, packing=packing))
    assert failed(stage.directory) == {"packing": 1}


def test_a_deviation_that_is_not_the_rows_is_found(make_stage: Any) -> None:
    stage = make_stage()
    first, *others = stage.manifest.sources
    lie = dataclasses.replace(first, max_deviation=first.max_deviation - 1e-6)
    stage.write_manifest(dataclasses.replace(stage.manifest, sources=(lie, *others)))
    assert failed(stage.directory) == {"deviation": 1}


def test_an_order_that_leaves_the_mixture_is_found_at_its_first_position(make_stage: Any) -> None:
    stage = make_stage(weights=(WEIGHT_UNIT // 2, -1))
    order = stage.rows.source_ids
    assert order[40:44].tolist() == [0, 1, 0, 1]
    stage.rewrite(altered(stage.rows, "source_ids", slice(40, 44), [0, 0, 1, 1]))
    assert failed(stage.directory)["quota"] == 1
    assert "after position 41 source 's0'" in said(stage.directory)


def test_the_tokenizer_is_only_recorded(make_stage: Any) -> None:
    stage = make_stage()
    other = dataclasses.replace(stage.manifest.tokenizer, sha256="00" * 32)
    stage.write_manifest(dataclasses.replace(stage.manifest, tokenizer=other))
    verify_stage(stage.directory).raise_first()
    assert read_manifest(stage.directory).tokenizer.sha256 == "00" * 32


def test_an_unfinished_stage_is_refused(make_stage: Any) -> None:
    stage = make_stage()
    (stage.directory / "manifest.json").unlink()
    with pytest.raises(RequestError):
        verify_stage(stage.directory)
