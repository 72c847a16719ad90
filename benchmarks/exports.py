"""Measure how fast a stage is exported, in each format, and the memory that it takes.

    python benchmarks/exports.py --tokens 50 --out exports

The stage is made up: ids by Zipf's law over 50,000, which compress to 11 bits each, where those of
text take about 5; documents of 600 tokens on average in rows of 4,096, one in ten not full. Of
three runs the best and the median count; files are on the disk when a run ends. Tokens per second
of processor time say what a run alone on its machine would do at most. Peak memory is of a process
of its own. Linux only.
"""

import argparse
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import machine
import numpy as np
import processes
from rich.console import Console

from cuvee.corpus.terminal import house_table
from cuvee.handoff.exports import FORMATS, Export, export_stage
from cuvee.handoff.manifest import (
    FORMAT_VERSION,
    WEIGHT_UNIT,
    GlobalBatch,
    Manifest,
    Packing,
    ShardFile,
    SourceShare,
    SpecialIds,
    TokenizerIdentity,
    describe_shard,
    read_manifest,
    write_manifest,
)
from cuvee.handoff.shards import (
    ShardRows,
    row_bytes,
    rows_per_file,
    rows_per_group,
    shard_name,
    write_shard,
)

RUNS = 3
MEGA = 1_000_000
VOCABULARY, EOS, PAD = 50_000, 0, 1
ZIPF = 1.2
SEQ_LEN, BATCH, DOCUMENT = 4096, 128, 600
FULL = 0.9  # of the rows; the others end anywhere
EXPORT = "import sys; from cuvee.handoff.exports import export_stage; export_stage(*sys.argv[1:])"


def make_rows(first: int, count: int) -> ShardRows:
    """Make up `count` rows from position `first` on."""
    rng = np.random.default_rng(first)
    n_tokens = np.where(rng.random(count) < FULL, SEQ_LEN, rng.integers(1, SEQ_LEN, count))
    tokens = (rng.zipf(ZIPF, (count, SEQ_LEN + 1)) % (VOCABULARY - 2) + 2).astype(np.uint16)
    tokens[np.arange(SEQ_LEN + 1) >= n_tokens[:, None] + (n_tokens[:, None] == SEQ_LEN)] = PAD
    bounds = []
    for row, end in enumerate(n_tokens):
        cuts = np.flatnonzero(rng.random(end - 1) < 1 / DOCUMENT) + 1
        tokens[row, cuts - 1] = EOS
        bounds.append(np.concatenate([[0], cuts, [end]]))
    positions = np.arange(first, first + count)
    return ShardRows(
        tokens=tokens,
        positions=positions,
        steps=(positions // BATCH).astype(np.int32),
        source_ids=positions % 2,
        source_names=("web", "books"),
        cu_seqlens=np.concatenate(bounds).astype(np.int32),
        cu_offsets=np.cumsum([0, *map(len, bounds)]),
        n_tokens=n_tokens.astype(np.int32),
    )


def make_stage(folder: Path, sequences: int) -> None:
    """Write a stage of made-up rows."""
    folder.mkdir(parents=True)
    width, files = row_bytes(SEQ_LEN, "uint16"), list[ShardFile]()
    per_file = rows_per_file(BATCH, width)
    for index, first in enumerate(range(0, sequences, per_file)):
        rows, path = make_rows(first, min(per_file, sequences - first)), folder / shard_name(index)
        write_shard(path, rows, rows_per_group(BATCH, width))
        files.append(describe_shard(path, path.name, rows))
    half, tokens = sequences // 2, sequences // 2 * SEQ_LEN
    sources = tuple(
        SourceShare(name, 0.5, (WEIGHT_UNIT // 2,), half, tokens, tokens, 0, tokens, 1.0, 0.5)
        for name in ("web", "books")
    )
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        stage="core",
        recipe_fingerprint="made up",
        plan_fingerprint="made up",
        tokenizer=TokenizerIdentity("made up", "0" * 64),
        vocabulary_size=VOCABULARY,
        dtype="uint16",
        special_ids=SpecialIds(EOS, PAD),
        seq_len=SEQ_LEN,
        global_batch=GlobalBatch(BATCH, BATCH * SEQ_LEN),
        meta={},
        pieces=(sequences,),
        sources=sources,
        packing=Packing(0.0, 0),
        files=tuple(files),
    )
    write_manifest(folder, manifest)


class Timing(NamedTuple):
    """Wall seconds of the best and the median run, processor seconds of the best."""

    best: float
    median: float
    processor: float


def time_export(stage: Path, export_format: str, out: Path) -> tuple[Timing, Export]:
    """Return how long an export took, and what was written."""
    wall, processor = [], []
    for _ in range(RUNS):
        shutil.rmtree(out, ignore_errors=True)
        start, begun = time.perf_counter(), time.process_time()
        made = export_stage(stage, export_format, out)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - begun)
    shutil.rmtree(out)
    return Timing(min(wall), statistics.median(wall), min(processor)), made


def main() -> None:
    """Make the stage, export it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=float, default=50, help="of the stage, in millions")
    parser.add_argument("--out", type=Path, required=True, help="a folder for stage and exports")
    asked = parser.parse_args()
    stage, out = asked.out / "stage", asked.out / "export"
    shutil.rmtree(stage, ignore_errors=True)
    make_stage(stage, round(asked.tokens * MEGA / SEQ_LEN / BATCH) * BATCH)
    held = sum(file.bytes for file in read_manifest(stage).files)
    table = house_table("format")
    for head in ("M tokens/s", "median", "per CPU s", "MB/s written", "MB", "peak MiB"):
        table.add_column(head, justify="right")
    for name in FORMATS:
        took, made = time_export(stage, name, out)
        peak = processes.take([sys.executable, "-c", EXPORT, str(stage), name, str(out)]).peak_mib
        shutil.rmtree(out)
        rates = [f"{made.tokens / MEGA / seconds:.0f}" for seconds in took]
        size = made.bytes / MEGA
        table.add_row(name, *rates, f"{size / took.best:.0f}", f"{size:.0f}", f"{peak:.0f}")
    console = Console(highlight=False)
    console.print(f"{made.tokens:,} tokens, {held / MEGA:.0f} MB of shards", table, machine.line())


if __name__ == "__main__":
    main()
