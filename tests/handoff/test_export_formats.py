"""The bytes of every format of export, against plain readings of them."""

import csv
import gzip
import hashlib
import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cuvee.handoff import export_mds, export_megatron
from cuvee.handoff.exports import FORMATS, export_stage
from cuvee.handoff.manifest import manifest_sha

SPECS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "with masks": {"masked": True},
    "wide ids, pad is eos": {"vocabulary": 100_000, "eos": 5, "pad": 5, "masked": True},
    "rows of odd length": {"seq_len": 13, "seed": 3},
    "long rows": {"seq_len": 700, "steps": 3, "weights": (-1,)},
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_format = pytest.mark.parametrize("export_format", FORMATS)


class Row(NamedTuple):
    """A row by the definitions: all slots, segments with the lookahead, and the loss mask."""

    slots: list[int]
    segments: list[list[int]]
    mask: list[bool]
    bounds: list[int]


def plain_rows(stage: Any) -> list[Row]:
    """What the stage was made from, row by row in plain Python."""
    rows, spec = [], stage.spec
    for i, slots in enumerate(stage.rows.tokens.tolist()):
        low, high = stage.rows.cu_offsets[i : i + 2]
        bounds = stage.rows.cu_seqlens[low:high].tolist()
        segments = [slots[a:b] for a, b in pairwise(bounds)]
        mask = [a + 1 < b for a, b in own_runs(bounds, spec.seq_len)]
        if bounds[-1] == spec.seq_len and (slots[-1] != spec.pad or slots[-2] != spec.eos):
            segments[-1].append(slots[-1])
            mask[-1] = True
        if stage.rows.loss_mask is not None:
            mask = [a and bool(b) for a, b in zip(mask, stage.rows.loss_mask[i], strict=True)]
        rows.append(Row(slots, segments, mask, bounds))
    return rows


def own_runs(bounds: list[int], seq_len: int) -> list[tuple[int, int]]:
    """Each slot, with the end of its segment; padding is all by itself."""
    return [(i, next((b for b in bounds if b > i), i)) for i in range(seq_len)]


def about(out: Path) -> Any:
    return json.loads((out / "cuvee.json").read_text())


def numbers(data: bytes, kind: str, start: int, count: int) -> list[int]:
    """Little-endian integers by the struct module."""
    return list(struct.unpack_from(f"<{count}{kind}", data, start))


@every_spec
@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_megatron_files_hold_segments_as_sequences_and_rows_as_documents(
    make_stage: Any,
    tmp_path: Path,
    spec: dict[str, Any],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_megatron, "CHUNK", chunk)
    stage, out = make_stage(**spec), tmp_path / "out"
    export_stage(stage.directory, "megatron", out)
    index, tokens = (out / "tokens.idx").read_bytes(), (out / "tokens.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, count, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (version, code) == (1, {"uint16": 8, "uint32": 4}[stage.manifest.dtype])
    lengths = numbers(index, "i", 34, count)
    places = numbers(index, "q", 34 + 4 * count, count)
    first = numbers(index, "q", 34 + 12 * count, documents)
    assert len(index) == 34 + 12 * count + 8 * documents
    kind, width = {8: ("H", 2), 4: ("i", 4)}[code]
    read = [numbers(tokens, kind, p, n) for p, n in zip(places, lengths, strict=True)]
    rows = [read[a:b] for a, b in pairwise(first)]
    assert rows == [row.segments for row in plain_rows(stage)]
    assert len(tokens) == width * sum(lengths)


@every_spec
def test_olmo_arrays_hold_the_inputs_and_their_masks_at_the_targets(
    make_stage: Any, tmp_path: Path, spec: dict[str, Any]
) -> None:
    stage, out = make_stage(**spec), tmp_path / "out"
    export_stage(stage.directory, "npy", out)
    rows, done, seq_len = plain_rows(stage), 0, stage.spec.seq_len
    for number, file in enumerate(stage.manifest.files):
        here = rows[done : done + file.rows]
        tokens = np.fromfile(out / f"{number:06d}.npy", f"<u{stage.rows.tokens.itemsize}")
        masks = np.fromfile(out / "label_mask" / f"{number:06d}.npy", np.uint8)
        assert tokens.tolist() == [t for row in here for t in row.slots[:-1]]
        assert masks.tolist() == [m for row in here for m in [False, *row.mask[:-1]]]
        with gzip.open(out / f"{number:06d}.csv.gz", "rt") as lines:
            held = list(csv.reader(lines))
        assert held == [
            [str(i * seq_len + a), str(i * seq_len + b), f"{p}-{k}", source, str(p)]
            for i, row in enumerate(here)
            for p, source in [(done + i, f"s{stage.rows.source_ids[done + i]}")]
            for k, (a, b) in enumerate(zip(row.bounds[:-1], row.bounds[1:], strict=True))
        ]
        done += file.rows
    assert done == len(rows)
    last = sum(row.mask[-1] for row in rows)
    assert f"{last:,} of {sum(map(sum, [r.mask for r in rows])):,} targets" in about(out)["lost"][0]


def plain_sample(data: bytes, shard: Any) -> dict[str, Any]:
    """A sample as the format describes it: sizes of what has none fixed, then the columns."""
    names, fixed = shard["column_names"], shard["column_sizes"]
    unsized = fixed.count(None)
    sizes = iter(numbers(data, "I", 0, unsized))
    place, sample = 4 * unsized, {}
    for name, size in zip(names, fixed, strict=True):
        held = size or next(sizes)
        sample[name] = data[place : place + held]
        place += held
    assert place == len(data)
    return sample


@every_spec
@pytest.mark.parametrize("limit", [1 << 26, 2000, 1])
def test_mds_shards_hold_every_row_as_a_sample(
    make_stage: Any,
    tmp_path: Path,
    spec: dict[str, Any],
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_mds, "SHARD_BYTES", limit)
    stage, out = make_stage(**spec), tmp_path / "out"
    export_stage(stage.directory, "mds", out)
    samples: list[dict[str, Any]] = []
    for shard in json.loads((out / "index.json").read_text())["shards"]:
        data = (out / shard["raw_data"]["basename"]).read_bytes()
        count = numbers(data, "I", 0, 1)[0]
        assert count == shard["samples"]
        assert count == 1 or len(data) <= limit
        assert len(data) == shard["raw_data"]["bytes"]
        assert hashlib.sha256(data).hexdigest() == shard["raw_data"]["hashes"]["sha256"]
        ends = numbers(data, "I", 4, count + 1)
        assert json.loads(data[8 + 4 * count : ends[0]]).items() <= shard.items()
        samples += [plain_sample(data[a:b], shard) for a, b in pairwise(ends)]
    assert len(samples) == len(stage.rows.tokens)
    for i, (row, sample) in enumerate(zip(plain_rows(stage), samples, strict=True)):
        width = {"uint16": "H", "uint32": "I"}[stage.manifest.dtype]
        assert numbers(sample["tokens"], width, 0, stage.spec.seq_len + 1) == row.slots
        bits = np.unpackbits(np.frombuffer(sample["loss_mask"], np.uint8), bitorder="little")
        assert bits[: stage.spec.seq_len].tolist() == row.mask
        assert sample["cu_seqlens"][:2] == bytes([4, len(row.bounds)])
        assert numbers(sample["cu_seqlens"], "i", 2, len(row.bounds)) == row.bounds
        assert numbers(sample["position"], "q", 0, 1) == [i]
        assert sample["source"].decode() == f"s{stage.rows.source_ids[i]}"


@pytest.mark.parametrize("length", [2, 255, 256, 65535, 65536])
def test_a_vector_of_any_length_bears_its_length(length: int) -> None:
    data = export_mds.encode_vector(np.arange(length, dtype=np.int32))
    kind, size = {0: ("B", 1), 1: ("H", 2), 2: ("I", 4)}[data[0] & 3]
    assert data[0] >> 2 == 1
    assert numbers(data, kind, 1, 1) == [length]
    assert numbers(data, "i", 1 + size, length) == list(range(length))


@every_format
def test_an_export_says_of_which_stage_it_is_and_what_is_in_it(
    make_stage: Any, tmp_path: Path, export_format: str
) -> None:
    stage, out = make_stage(masked=True), tmp_path / "out"
    finished: list[None] = []
    made = export_stage(stage.directory, export_format, out, lambda: finished.append(None))
    said, rows = about(out), plain_rows(stage)
    assert said["manifest_sha256"] == manifest_sha(stage.directory / "manifest.json")
    assert said["special_ids"] == {"eos": 0, "pad": 1}
    assert said["meta"] == stage.manifest.meta
    assert (said["sequences"], said["steps"]) == (made.sequences, 15) == (120, 15)
    assert said["tokens"] == made.tokens == sum(row.bounds[-1] for row in rows)
    assert said["targets"] == sum(map(sum, [row.mask for row in rows]))
    assert said["lost"] == list(made.lost)
    assert len(made.lost) == (export_format in ("megatron", "npy"))
    held = [p for p in out.rglob("*") if p.is_file() and p.name != "cuvee.json"]
    assert {str(p.relative_to(out)) for p in held} == said["files"].keys()
    assert (made.files, len(finished)) == (len(held) + 1, 3)
    for path in held:
        entry, data = said["files"][str(path.relative_to(out))], path.read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
        if "shape" in entry:
            size = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
            assert size == len(data)
