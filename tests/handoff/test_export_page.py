"""The page about exports: its code, run with the true readers, gives what the loader gives.

The readers live in an environment of their own, `.readers`, or the one of `CUVEE_READERS`.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.handoff import StageLoader
from cuvee.handoff.exports import export_stage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "exports.md").read_text()
SPECS: dict[str, dict[str, Any]] = {
    "narrow": {},
    "wide": {"vocabulary": 100_000, "eos": 5, "pad": 5, "seq_len": 33},
}

# Runs the page's block for each export, then what a test adds to it, and keeps its `kept`.
DRIVER = """
import pathlib, sys
import numpy as np

if __name__ == "__main__":
    code = pathlib.Path(sys.argv[1]).read_text()
    for out in sys.argv[2:]:
        names = {"work": out + "-work"}
        exec(code.replace("exports/core", out).replace('"work"', "work"), names)
        np.savez(out + ".npz", **names["kept"])
"""

MEGATRON = """
rows = [row(position) for position in range(len(first) - 1)]
kept = dict(zip(("tokens", "labels", "loss_mask"), map(np.array, zip(*(r[:3] for r in rows)))))
kept["ends"] = np.concatenate([r[3] for r in rows])

from types import SimpleNamespace
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.utils import Split

special = about["special_ids"]
tokenizer = SimpleNamespace(
    vocab_size=about["vocabulary_size"], unique_identifiers={"class": "made-up"}, **special,
    eod=special["eos"],
)
config = GPTDatasetConfig(
    random_seed=1, sequence_length=24, split="1,0,0", path_to_cache=work, tokenizer=tokenizer,
    reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
)
samples = GPTDataset(data, str(out / "tokens"), np.arange(len(data)), None, Split.train, config)
stream = np.concatenate([data[int(i)] for i in samples.document_index])
assert len(samples) == (len(stream) - 1) // 24
for i, place in enumerate(samples.shuffle_index):
    text = stream[24 * place : 24 * place + 25]
    assert samples[i]["tokens"].tolist() == text[:-1].tolist()
    assert samples[i]["labels"].tolist() == text[1:].tolist()
    assert samples[i]["loss_mask"].all()
assert len(data.sequence_lengths) == len(set(samples.document_index))
kept["real"] = len(stream)
"""

OLMO = """
import torch
from olmo_core.data.utils import iter_document_indices

loader.reset()
loader.reshuffle(epoch=1)
batches = list(loader)
kept = {
    "tokens": torch.cat([b["input_ids"] for b in batches]).numpy(),
    "labels": torch.cat([get_labels(b) for b in batches]).numpy(),
    "index": torch.cat([b["index"] for b in batches]).numpy(),
}
size = about["global_batch"]["sequences"]
for rank in range(2):
    loader.reset()
    loader.dp_world_size, loader.dp_rank = 2, rank
    loader.reshuffle(epoch=1)
    for step, batch in enumerate(loader):
        assert batch["index"].tolist() == [step * size + slot for slot in range(rank, size, 2)]
segments = [span for path in paths for span in iter_document_indices(path)]
kept["lengths"] = np.array([end - start for start, end in segments])
"""

MOSAIC = """
from streaming import LocalDataset
from streaming.base.partition import get_partitions

samples = list(dataset)
assert [s["position"] for s in samples] == list(range(about["sequences"]))
for one, other in zip(samples, LocalDataset(str(out)), strict=True):
    assert all(np.array_equal(one[name], other[name]) for name in one)
rows = [row(sample) for sample in samples]
kept = dict(zip(("tokens", "labels", "loss_mask"), map(np.array, zip(*(r[:3] for r in rows)))))
kept["ends"] = np.concatenate([r[3] for r in rows])
kept["sources"] = np.array([about["sources"].index(s["source"]) for s in samples])

# How streaming shares a dataset among ranks: [nodes, ranks, workers, batches, rows].
for nodes, ranks, workers in ((1, 2, 1), (1, 4, 2), (2, 2, 1), (4, 1, 2)):
    share = 8 // (nodes * ranks)
    places = get_partitions(dataset.partition_algo, 48, 1, nodes, ranks, workers, share)
    steps = places.transpose(3, 2, 0, 1, 4).reshape(6, 8)  # workers take turns
    assert np.sort(steps).tolist() == np.arange(48).reshape(6, 8).tolist()
"""


@pytest.fixture(scope="module")
def readers() -> Path:
    """The interpreter that has megatron-core, OLMo-core and streaming."""
    python = Path(os.environ.get("CUVEE_READERS") or ROOT / ".readers" / "bin" / "python")
    if not python.exists():
        pytest.skip(f"{python} is not there; `make readers` installs the readers of exports")
    return python


def block(name: str) -> str:
    """The Python block under a heading of the page."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    text = next(part for part in sections if part.startswith(name))
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    return code[1]


def loaded(stage: Any) -> Any:
    """All rows in one batch, as the loader gives them."""
    batches = list(StageLoader(stage.directory))
    columns = ("tokens", "labels", "loss_mask", "source_ids")
    whole = {name: np.concatenate([getattr(b, name) for b in batches]) for name in columns}
    whole["ends"] = np.concatenate([ends for b in batches for ends in b.cu_seqlens])
    return whole


def read_by(
    readers: Path,
    make_stage: Any,
    folder: Path,
    format_and_block: tuple[str, str, str],
    **also: Any,
) -> list[tuple[Any, Any]]:
    """Export stages, run the page's block on each, and give what was read and what is due."""
    export_format, heading, extra = format_and_block
    stages = [make_stage(f"stage-{name}", **spec, **also) for name, spec in SPECS.items()]
    outs = [folder / name for name in SPECS]
    for stage, out in zip(stages, outs, strict=True):
        export_stage(stage.directory, export_format, out)
    code, driver = folder / "code.py", folder / "driver.py"
    code.write_text(block(heading) + extra)
    driver.write_text(DRIVER)
    done = subprocess.run(
        [readers, "-W", "ignore", driver, code, *outs],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [
        (np.load(out.with_suffix(".npz")), loaded(stage))
        for stage, out in zip(stages, outs, strict=True)
    ]


def test_megatron_core_reads_every_row_and_makes_samples_of_the_segments(
    readers: Path, make_stage: Any, tmp_path: Path
) -> None:
    given = ("megatron", "Megatron", MEGATRON)
    for name, (read, due) in zip(SPECS, read_by(readers, make_stage, tmp_path, given), strict=True):
        for column in ("loss_mask", "tokens", "ends"):
            np.testing.assert_array_equal(read[column], due[column])
        # A lookahead that is no target is padding, in the stage as on the page.
        np.testing.assert_array_equal(read["labels"], due["labels"])
        about = json.loads((tmp_path / name / "cuvee.json").read_text())
        assert read["real"] == about["tokens"] + due["loss_mask"][:, -1].sum()


def test_olmo_core_reads_every_row_in_order_at_two_world_sizes(
    readers: Path, make_stage: Any, tmp_path: Path
) -> None:
    given = ("npy", "OLMo-core", OLMO)
    for read, due in read_by(readers, make_stage, tmp_path, given, masked=True):
        np.testing.assert_array_equal(read["tokens"], due["tokens"])
        labels = np.where(due["loss_mask"], due["labels"], -100)
        labels[:, -1] = -100
        np.testing.assert_array_equal(read["labels"], labels)
        assert read["index"].tolist() == list(range(len(due["tokens"])))
        lengths = np.diff(due["ends"])
        assert read["lengths"].tolist() == lengths[due["ends"][1:] > 0].tolist()


def test_streaming_reads_every_row_in_order(readers: Path, make_stage: Any, tmp_path: Path) -> None:
    given = ("mds", "MosaicML", MOSAIC)
    for read, due in read_by(readers, make_stage, tmp_path, given, masked=True):
        for column in ("tokens", "labels", "loss_mask", "ends"):
            np.testing.assert_array_equal(read[column], due[column])
        assert read["sources"].tolist() == due["source_ids"].tolist()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("masked", [False, True])
def test_numpy_maps_what_the_loader_gives(
    make_stage: Any, tmp_path: Path, spec: dict[str, Any], masked: bool
) -> None:
    stage, out = make_stage(**spec, masked=masked), tmp_path / "out"
    export_stage(stage.directory, "memmap", out)
    names: dict[str, Any] = {}
    exec(block("Memory map").replace("exports/core", str(out)), names)
    due = loaded(stage)
    rows = [names["row"](position) for position in range(names["about"]["sequences"])]
    for i, column in enumerate(("tokens", "labels", "loss_mask")):
        np.testing.assert_array_equal([row[i] for row in rows], due[column])
    np.testing.assert_array_equal(np.concatenate([row[3] for row in rows]), due["ends"])
    assert names["sources"].tolist() == due["source_ids"].tolist()
    assert names["about"]["sources"] == list(StageLoader(stage.directory).sources)


def test_the_page_names_the_versions_that_are_installed_for_it() -> None:
    pinned = (ROOT / "tests" / "readers.txt").read_text().splitlines()
    for name in ("megatron-core", "ai2-olmo-core", "mosaicml-streaming", "torch"):
        line = next(line for line in pinned if line.startswith(f"{name}=="))
        assert f"{name} {line.partition('==')[2]}" in PAGE
