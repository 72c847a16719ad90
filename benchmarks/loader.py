"""Measure how fast stages are read, in million tokens a CPU second, from the page cache.

    python benchmarks/loader.py TOKENIZER EOS web.jsonl.zst books.parquet --tokens 64

A stage is made of the texts, again and again, as `cuvee build` would write it. A *raw read* gives
the rows of every row group; of a *finished batch* all is made that a trainer is given. The peer is
what small trainers do: ids in one memory-mapped file, documents found by their end, the same
arrays made in numpy. Its ids are 2 or 4 bytes on disk, and nothing says whether they are right.
torch is measured where it is installed. Of three runs the best and the median count.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import texts
from rich.console import Console
from texts import MB

from cuvee.corpus.terminal import house_table
from cuvee.handoff import Batch, StageLoader
from cuvee.handoff.manifest import (
    FORMAT_VERSION,
    WEIGHT_UNIT,
    GlobalBatch,
    Manifest,
    Packing,
    SourceShare,
    SpecialIds,
    TokenizerIdentity,
    describe_shard,
    write_manifest,
)
from cuvee.handoff.places import LocalPlace
from cuvee.handoff.reader import ShardReader
from cuvee.handoff.shards import ShardRows, row_bytes, rows_per_group, shard_name, write_shard
from cuvee.handoff.stream import GroupStream
from cuvee.tokenize import tokenizer as tokenizers

RUNS = 3
BATCH, SOURCES = 128, 4  # sequences of a global batch; sources of the stage


@dataclass(frozen=True)
class Stage:
    """A stage on disk, and the same ids in one file of their own.

    tokens: of the stage, in millions. eos: the id that ends a document.
    """

    directory: Path
    flat: Path
    manifest: Manifest
    tokens: float
    eos: int

    @property
    def bits(self) -> float:
        """Bits on disk per token."""
        return float(sum(file.bytes for file in self.manifest.files) * 8 / (self.tokens * MB))


def rows_of(flat: npt.NDArray[Any], seq_len: int, eos: int) -> ShardRows:
    """Cut the chain into rows of one segment a document."""
    count = len(flat) // seq_len
    tokens = np.lib.stride_tricks.sliding_window_view(flat, seq_len + 1)[::seq_len].copy()
    tokens[tokens[:, -2] == eos, -1] = eos  # the pad id: no document goes on
    row, slot = np.nonzero(tokens[:, :-1] == eos)
    starts, ends = np.arange(count) * (seq_len + 1), row * (seq_len + 1) + slot + 1
    bounds = np.unique(np.concatenate([starts, ends, starts + seq_len]))
    sizes = np.bincount(bounds // (seq_len + 1), minlength=count)
    return ShardRows(
        tokens=tokens,
        positions=np.arange(count),
        steps=(np.arange(count) // BATCH).astype(np.int32),
        source_ids=np.arange(count) % SOURCES,
        source_names=tuple(f"source {i}" for i in range(SOURCES)),
        cu_seqlens=(bounds % (seq_len + 1)).astype(np.int32),
        cu_offsets=np.concatenate([[0], np.cumsum(sizes)]),
        n_tokens=np.full(count, seq_len, np.int32),
    )


def build(folder: Path, rows: ShardRows, eos: int, vocabulary: int, compression: str) -> Stage:
    """Write a stage of one file, and the chain that it was cut from."""
    folder.mkdir()
    (count, slots), dtype = rows.tokens.shape, rows.tokens.dtype.name
    path, group = folder / shard_name(0), rows_per_group(BATCH, row_bytes(slots - 1, dtype))
    write_shard(path, rows, group)
    if compression == "none":
        table = pq.read_table(path)
        pq.write_table(
            table,
            path,
            compression="none",
            use_dictionary=["source"],  # type: ignore[arg-type] # the stubs know only bool
            row_group_size=group,
            write_page_checksum=True,
        )
    share = SourceShare(
        "", 1 / SOURCES, (WEIGHT_UNIT // SOURCES,), count // SOURCES, 0, 0, 0, 0, 1.0, 0.0
    )
    manifest = Manifest(
        FORMAT_VERSION, "core", "r", "p", TokenizerIdentity("benchmark", "0" * 64), vocabulary,
        rows.tokens.dtype.name, SpecialIds(eos, eos), slots - 1,
        GlobalBatch(BATCH, BATCH * (slots - 1)), {}, (count,),
        tuple(SourceShare(name, *list(vars(share).values())[1:]) for name in rows.source_names),
        Packing(0.0, 0), (describe_shard(path, path.name, rows),),
    )  # fmt: skip
    write_manifest(folder, manifest)
    flat = folder / "ids.bin"
    np.append(rows.tokens[:, :-1].ravel(), rows.tokens[-1, -1]).tofile(flat)
    return Stage(folder, flat, manifest, count * (slots - 1) / MB, eos)


def read_raw(stage: Stage) -> None:
    """Read every row group, page checksums and all, without hashing the file."""
    path, manifest = stage.directory / shard_name(0), stage.manifest
    with ShardReader(path, manifest.seq_len, manifest.dtype) as reader:
        for group in range(len(reader.starts) - 1):
            reader.read(group)


def read_hashed(stage: Stage) -> None:
    """Read every row group as the loader does: the file is hashed before."""
    for _ in GroupStream(LocalPlace(stage.directory), stage.manifest).groups(0):
        pass


def read_batches(stage: Stage, micro: int, prefetch: int) -> None:
    """Make all batches of the stage in numpy."""
    for _ in StageLoader(stage.directory, micro_batch=micro, prefetch=prefetch):
        pass


def read_tensors(stage: Stage, micro: int, prefetch: int) -> None:
    """Make all batches of the stage in torch, by its own DataLoader."""
    from torch.utils.data import DataLoader

    loader = StageLoader(stage.directory, micro_batch=micro, prefetch=prefetch)
    for _ in DataLoader(loader, batch_size=None):
        pass


def read_arrays(stage: Stage, micro: int, prefetch: int) -> None:
    """Make all batches of the stage in torch, each array by itself."""
    import torch

    for batch in StageLoader(stage.directory, micro_batch=micro, prefetch=prefetch):
        batch._replace(
            **{
                name: torch.from_numpy(getattr(batch, name))
                for name in ("tokens", "labels", "loss_mask", "position_ids", "source_ids")
            },
            cu_seqlens=[torch.from_numpy(bounds) for bounds in batch.cu_seqlens],
        )


def read_memmap(stage: Stage, micro: int) -> None:
    """Make the same batches from the memory-mapped ids."""
    for _ in memmap_batches(stage, micro):
        pass


def memmap_batches(stage: Stage, micro: int) -> Iterator[Batch]:
    """Make batches of rows one behind the other; a document ends with its eos."""
    flat = np.memmap(stage.flat, stage.manifest.dtype, "r")
    seq_len, eos, size = stage.manifest.seq_len, stage.eos, micro * stage.manifest.seq_len
    for first in range(0, len(flat) - 1, size):
        buffer = np.asarray(flat[first : first + size + 1])
        tokens, labels = buffer[:-1].astype(np.int64), buffer[1:].astype(np.int64)
        ends = np.flatnonzero(buffer[:-1] == eos) + 1
        starts = np.union1d(ends[ends < size], np.arange(0, size, seq_len))
        position_ids = np.arange(size) - np.repeat(starts, np.diff(starts, append=size))
        mask = tokens != eos
        bounds = np.split(starts, np.searchsorted(starts, np.arange(seq_len, size, seq_len)))
        shape, rows = (micro, seq_len), first // seq_len + np.arange(micro)
        yield Batch(
            tokens.reshape(shape), labels.reshape(shape), mask.reshape(shape),
            position_ids.reshape(shape),
            [np.append(b - i * seq_len, seq_len).astype(np.int32) for i, b in enumerate(bounds)],
            rows % SOURCES, rows, int(rows[0]) // BATCH,
            np.bincount(rows % SOURCES, minlength=SOURCES),
        )  # fmt: skip


def same_batches(stage: Stage, micro: int) -> None:
    """Refuse to compare what is not the same, but for the lookahead where a document ended."""
    pairs = zip(StageLoader(stage.directory, micro_batch=micro), memmap_batches(stage, micro),
                strict=True)  # fmt: skip
    for ours, theirs in pairs:
        for mine, other in zip(ours[:4], theirs[:4], strict=True):
            assert np.array_equal(mine[:, :-1], other[:, :-1])
        assert all(map(np.array_equal, ours.cu_seqlens, theirs.cu_seqlens))


def seconds(work: Callable[[], object]) -> float:
    """Time one run: CPU seconds of all threads, what other programs take left out."""
    began = time.process_time()
    work()
    return time.process_time() - began


def has_torch() -> bool:
    """Say whether torch is there, keeping it to one thread if so."""
    try:
        import torch
    except ImportError:
        return False
    torch.set_num_threads(1)
    return True


def tasks(stage: Stage, micros: list[int]) -> dict[str, Callable[[], object]]:
    """List what is timed."""
    found: dict[str, Callable[[], object]] = {
        "raw read, without hashing": partial(read_raw, stage),
        "raw read, the file hashed first": partial(read_hashed, stage),
    }
    for micro in micros:
        rows = f"{micro} row{'s'[: micro > 1]}"
        found[f"finished batches of {rows}, read when asked"] = partial(
            read_batches, stage, micro, 0
        )
        found[f"finished batches of {rows}, prefetched"] = partial(read_batches, stage, micro, 2)
        if has_torch():
            found[f"torch batches of {rows}, from_numpy"] = partial(read_arrays, stage, micro, 2)
            found[f"torch batches of {rows}, DataLoader"] = partial(read_tensors, stage, micro, 2)
        found[f"memory-mapped ids, batches of {rows}"] = partial(read_memmap, stage, micro)
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("tokenizer", type=Path, help="tokenizer.json or rank file")
    parser.add_argument("eos", help="the token that ends a document")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to read")
    parser.add_argument("--tokens", type=float, default=64, help="of a stage, in millions")
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--micro", nargs="+", type=int, default=[1, 4, 16], metavar="ROWS")
    parser.add_argument("--mb", type=float, default=50.0, help="text to load at most, in MB")
    return parser.parse_args()


def main() -> None:
    """Build stages of both widths, plain and compressed, and time each."""
    asked = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    documents = pa.array([one.text for one in texts.first(asked.files, asked.mb * MB)],
                         pa.large_string())  # fmt: skip
    tokenizer = tokenizers.load(asked.tokenizer, asked.eos)
    encoded = tokenizer.encode_batch(documents)
    steps = max(1, round(asked.tokens * MB / (BATCH * asked.seq_len)))
    console = Console(width=None if os.isatty(1) else 120)
    console.print(f"\n{machine.line()}\n", highlight=False)
    for dtype, size in (("uint16", 1 << 16), ("uint32", 1 << 17)):
        if tokenizer.vocab_size > size:
            continue
        ids = np.resize(encoded.ids.astype(dtype), steps * BATCH * asked.seq_len + 1)
        rows = rows_of(ids, asked.seq_len, tokenizer.eos_id)
        for compression in ("zstd", "none"):
            with tempfile.TemporaryDirectory() as folder:
                stage = build(Path(folder) / "core", rows, tokenizer.eos_id, size, compression)
                show(stage, compression, asked.micro, console)
    if not has_torch():
        print("torch is not installed: its batches were left out")


def show(stage: Stage, compression: str, micros: list[int], console: Console) -> None:
    """Time the tasks on a stage and print the table."""
    kind = f"{stage.manifest.dtype}, {compression}, {stage.bits:.1f} bits a token"
    table = house_table(kind, max_width=60)
    for name in ("M tokens/CPU s", "median"):
        table.add_column(name, justify="right", no_wrap=True)
    for micro in micros:
        same_batches(stage, micro)
    for name, work in tasks(stage, micros).items():
        taken = [seconds(work) for _ in range(RUNS)]
        speeds = (stage.tokens / min(taken), stage.tokens / statistics.median(taken))
        table.add_row(name, *(f"{speed:,.0f}" for speed in speeds))
    console.print(table)


if __name__ == "__main__":
    main()
