"""Compare how tokens are made, written and read: here, by datatrove, mosaicml-streaming, numpy.

    python benchmarks/tokens.py TOKENIZER.json EOS web.jsonl.zst books.parquet --readers .readers

One run, one core, the same documents and the same tokens, CPU seconds of the best of three. The
peers run in the environment that `make readers` makes, to which `pip install --no-deps datatrove
loguru humanize multiprocess` is added. What is compared is said with each line: a reader of ours
hashes its files, and gives document boundaries and masks.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import loader
import machine
import numpy as np
import pyarrow as pa
import texts
from rich.console import Console
from texts import MB

from cuvee.corpus.terminal import house_table
from cuvee.handoff.exports import export_stage
from cuvee.handoff.shards import row_bytes, rows_per_group, shard_name, write_shard
from cuvee.tokenize import tokenizer as tokenizers
from cuvee.tokenize.pack import Pieces, pack

RUNS, SLICE = 3, 1024  # documents that are encoded at once
WINDOW = 4096  # sequences packed at once
HERE = Path(__file__).parent


class Row(NamedTuple):
    """One line of the table: who does what, how fast, and in which unit."""

    task: str
    who: str
    speed: float
    unit: str


def best(work: Callable[[], object]) -> float:
    """Return the CPU seconds of the best run."""
    return min(loader.seconds(work) for _ in range(RUNS))


def fresh_tokenising(asked: argparse.Namespace, documents: "pa.LargeStringArray") -> float:
    """Return the CPU seconds of encoding all documents by a tokenizer that knows no word yet."""
    taken = []
    for _ in range(RUNS):
        tokenizer = tokenizers.load(asked.tokenizer, asked.eos)
        began = time.process_time()
        for start in range(0, len(documents), SLICE):
            tokenizer.encode_batch(documents.slice(start, SLICE))
        taken.append(time.process_time() - began)
    return min(taken)


def packing(lengths: np.ndarray, seq_len: int) -> float:
    """Return documents a second, in millions, of filling windows by best fit."""
    count = max(1, int(np.searchsorted(np.cumsum(lengths), WINDOW * seq_len)))
    some = np.resize(lengths, count).astype(np.int64)
    zeros = np.zeros(count, np.int64)
    pieces = Pieces(np.arange(count), zeros, some, zeros.astype(np.int32))
    pack(pieces, seq_len, WINDOW)
    return count / best(lambda: pack(pieces, seq_len, WINDOW)) / MB


def peer(readers: Path, task: str, arguments: dict[str, Any]) -> float:
    """Return the CPU seconds of a peer's task, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "asked.json", Path(folder) / "result.json"
        given.write_text(json.dumps(arguments | {"scratch": folder}))
        command = [str(readers / "bin" / "python"), str(HERE / "tokens_peers.py"), task]
        done = subprocess.run(
            [*command, str(given), str(result)], capture_output=True, text=True,
            env=os.environ | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{task} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return float(json.loads(result.read_text()))


def flat_read(stage: loader.Stage) -> None:
    """Copy every row out of the memory-mapped ids."""
    flat, step = np.memmap(stage.flat, stage.manifest.dtype, "r"), stage.manifest.seq_len
    for start in range(0, len(flat) - step, step):
        np.array(flat[start : start + step + 1])


def measure(asked: argparse.Namespace, folder: Path) -> list[Row]:
    """Measure all tasks."""
    held = [one.text for one in texts.first(asked.files, asked.mb * MB)]
    documents = pa.array(held, pa.large_string())
    text_mb = texts.utf8_bytes(documents) / MB
    tokenizer = tokenizers.load(asked.tokenizer, asked.eos)
    encoded = tokenizer.encode_batch(documents)
    steps = max(1, round(asked.tokens * MB / (loader.BATCH * asked.seq_len)))
    dtype = tokenizer.dtype.name
    flat = np.resize(encoded.ids.astype(dtype), steps * loader.BATCH * asked.seq_len + 1)
    rows = loader.rows_of(flat, asked.seq_len, tokenizer.eos_id)
    stage = loader.build(folder / "core", rows, tokenizer.eos_id, tokenizer.vocab_size, "zstd")
    export_stage(stage.directory, "mds", folder / "mds")
    lines = folder / "documents.jsonl"
    lines.write_text("\n".join(map(json.dumps, held)), encoding="utf-8")
    arguments = {
        "documents": str(lines), "tokenizer": str(asked.tokenizer.resolve()), "eos": asked.eos,
        "eos_id": tokenizer.eos_id, "flat": str(stage.flat), "seq_len": asked.seq_len,
        "width": tokenizer.dtype.itemsize, "dtype": dtype, "sequences": len(rows.tokens),
        "mds": str(folder / "mds"),
    }  # fmt: skip
    group = rows_per_group(loader.BATCH, row_bytes(asked.seq_len, dtype))
    write = best(lambda: write_shard(folder / shard_name(0), rows, group))
    lengths = np.diff(encoded.offsets)
    speed: dict[tuple[str, str], float] = {
        ("raw rows", "here, zstd, checksums"): best(lambda: loader.read_raw(stage)),
        ("raw rows", "here, zstd, file hashed first"): best(lambda: loader.read_hashed(stage)),
        ("raw rows", "numpy memory map, copied"): best(lambda: flat_read(stage)),
        ("batches of 4", "here"): best(lambda: loader.read_batches(stage, 4, 2)),
        ("batches of 4", "numpy memory map"): best(lambda: loader.read_memmap(stage, 4)),
        ("rows with positions", "datatrove"): peer(asked.readers, "datatrove read", arguments),
        ("rows", "mosaicml-streaming"): peer(asked.readers, "mosaic read", arguments),
        ("write", "here, zstd, hashed when listed"): write,
        ("write", "mosaicml-streaming, hashed"): peer(asked.readers, "mosaic write", arguments),
    }
    theirs = peer(asked.readers, "datatrove tokenise", arguments)
    return [
        Row("tokenise", "here", text_mb / fresh_tokenising(asked, documents), "MB/s"),
        Row("tokenise and write", "datatrove", text_mb / theirs, "MB/s"),
        Row("pack, best fit", "here", packing(lengths, asked.seq_len), "M documents/s"),
        *(Row(*names, stage.tokens / taken, "M tokens/s") for names, taken in speed.items()),
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("tokenizer", type=Path, help="tokenizer.json")
    parser.add_argument("eos", help="the token that ends a document")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to read")
    parser.add_argument("--readers", type=Path, default=Path(".readers"), help="environment")
    parser.add_argument("--tokens", type=float, default=32, help="of a stage, in millions")
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--mb", type=float, default=16.0, help="text to load at most, in MB")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(asked, Path(folder))
    console = Console(width=None if os.isatty(1) else 120)
    console.print(f"\n{machine.line()}\n", highlight=False)
    table = house_table("task", max_width=40)
    for name in ("who", "speed of one core", ""):
        table.add_column(name, justify="right" if "speed" in name else "left", no_wrap=True)
    for row in rows:
        table.add_row(row.task, row.who, f"{row.speed:,.1f}", row.unit)
    console.print(table)


if __name__ == "__main__":
    main()
