"""Deduplicate many short documents, made of the texts of files, and say what each step takes.

    python benchmarks/dedup.py web.jsonl.zst books.parquet --under build --documents 250000

A *piece* is 20 words in a row of a text; a document is two pieces that are no neighbours, about 250
bytes. Of ten documents one is another one with a word or more exchanged (half of these are similar
enough to be removed), and one of a hundred an exact copy. Documents are written as parts of a run,
and the flow's own steps are run on them, on threads, without Prefect: at `--documents` and, for
`--times` 2 4 8, at so many times as many. Memory is the highest proportional set size (PSS), seen
every 20 ms, and without the pages of files (`anonymous`), which the system takes back as it likes.
Steps are given in CPU seconds, which other work on the machine hardly changes, all of them in
seconds of the clock, too.
"""

import argparse
import multiprocessing
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pyarrow as pa
import texts
from rich.console import Console
from texts import MB

from cuvee.configs.load import parse
from cuvee.corpus.schemas import DOCUMENTS, JUDGED
from cuvee.corpus.terminal import house_table
from cuvee.corpus.whole import write_part
from cuvee.flows.dedup_files import starts_of
from cuvee.flows.dedup_steps import deduplicate, sign
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.job import Documents, Job, Part
from cuvee.flows.screen import Screen

PIECE_WORDS = 20
PART_DOCUMENTS = 250_000  # 62 MB of text, as many as a part of a recipe
BATCH = 4096
NEAR, EXACT = 0.1, 0.01  # shares of documents
STEPS = ("sign", "spread", "rank", "exact", "buckets", "cluster", "shingle", "resolve", "minhash")


@dataclass
class Timed(Engine):
    """An engine that runs the units of a step on threads and remembers its CPU seconds."""

    seconds: dict[str, float] = field(default_factory=dict)
    clock: float = 0.0

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        """Run all units; nothing is recorded."""
        start, clock = time.process_time(), time.perf_counter()
        for unit in units:
            for output in unit.outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(lambda unit: unit.work(*unit.arguments), units):
                pass
        name = step.name if step.name in STEPS else "exact"  # its keys, and what is left after it
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        self.clock += time.perf_counter() - clock
        return [""] * len(units)


class Memory:
    """The highest memory of this process while the block runs, in bytes."""

    def __init__(self) -> None:
        self.pss = self.anonymous = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        """Read what the kernel says, again and again."""
        while not self._done.wait(0.02):
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            held = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
            self.pss = max(self.pss, held["Pss:"])
            self.anonymous = max(self.anonymous, held["Pss_Anon:"])


def pieces(files: list[Path], most_mb: float) -> list[str]:
    """Cut the texts of files into pieces."""
    found = []
    for document in texts.first(files, most_mb * MB):
        words = document.text.split()
        starts = range(0, len(words) - PIECE_WORDS + 1, PIECE_WORDS)
        found += [" ".join(words[at : at + PIECE_WORDS]) for at in starts]
    return found


def documents(parts: list[str], count: int, chance: random.Random) -> Iterator[str]:
    """Make documents of pieces; see the module."""
    before = [""] * 5000
    for n in range(count):
        kind = chance.random()
        if n >= len(before) and kind < NEAR:
            words = chance.choice(before).split()
            for _ in range(chance.choice([1, 1, 2, 4])):
                words[chance.randrange(len(words))] = f"word{chance.randrange(1000)}"
            yield " ".join(words)
        elif n >= len(before) and kind < NEAR + EXACT:
            yield chance.choice(before)
        else:
            text = f"{chance.choice(parts)} {chance.choice(parts)}"
            before[n % len(before)] = text
            yield text


def write(run: Path, parts: list[str], count: int) -> tuple[Documents, int]:
    """Write the tables of a run of so many documents; return its parts and its bytes of text."""
    job, chance, named, n_bytes = job_of(run), random.Random(count), list[Part](), 0
    rng = np.random.default_rng(count)
    for number, first in enumerate(range(0, count, PART_DOCUMENTS)):
        part, here = Part("web", number), min(PART_DOCUMENTS, count - first)
        made = list(documents(parts, here, chance))
        text = pa.array(made, pa.large_string())
        sizes = pa.array([len(one.encode()) for one in made], pa.int64())
        n_bytes += sum(sizes.to_pylist())
        ids = pa.array([row.tobytes() for row in rng.integers(0, 256, (here, 16), np.uint8)])
        columns = {"doc_id": ids.cast(pa.binary(16)), "text": text, "n_bytes": sizes}
        columns["source"] = pa.array(["web"] * here)
        none = {n: pa.nulls(here, DOCUMENTS.field(n).type) for n in DOCUMENTS.names}
        judged = {n: pa.nulls(here, JUDGED.field(n).type) for n in JUDGED.names}
        judged |= {"doc_id": columns["doc_id"], "kept": pa.array([True] * here)}
        for name, table in (
            ("documents", pa.table(none | columns, schema=DOCUMENTS)),
            ("judged", pa.table(judged, schema=JUDGED)),
        ):
            write_part(job.table(name, part), table.schema, table.to_batches(BATCH))
        named.append(part)
    return Documents(named, [""] * len(named)), n_bytes


def job_of(run: Path) -> Job:
    """Make a job that only deduplicates."""
    stage = {"name": "core", "tokens": 1, "seq_len": 1, "batch": {"sequences": 1}}
    recipe = {
        "name": "dedup",
        "sources": {"web": {"format": "jsonl", "paths": ["none"]}},
        "curate": {"dedup": {"minhash": {}}},
        "tokenizer": {"train": {}},
        "stages": [stage | {"mixture": {"web": 1}}],
    }
    return Job(parse(recipe), run, run)


def alone(work: Callable[..., Any], *arguments: object) -> Any:
    """Call in a process of its own, so that one call's memory is not another's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def warm(run: Path, parts: list[str]) -> None:
    """Deduplicate a few documents, so that all kernels are loaded."""
    made, _ = write(run, parts, 6000)
    engine = Timed(job_of(run), 1, Screen(Console(quiet=True)))
    signed = sign(engine, made)
    deduplicate(engine, made, signed, signed)
    shutil.rmtree(run)


def measure(run: Path, made: Documents, n_bytes: int, workers: int, parts: list[str]) -> list[str]:
    """Deduplicate the documents of a run; return the cells of a column."""
    warm(run.with_name("dedup-warm"), parts)
    job, count = job_of(run), starts_of([job_of(run).table("documents", p) for p in made.parts])[-1]
    engine = Timed(job, workers, Screen(Console(quiet=True)))
    with Memory() as memory:
        signed = sign(engine, made)
        deduplicate(engine, made, signed, signed)
    shutil.rmtree(run)
    total, mb = sum(engine.seconds.values()), n_bytes / MB
    return [
        f"{mb:,.0f}",
        *(f"{engine.seconds.get(step, 0.0):.2f}" for step in STEPS),
        f"{total:.1f}",
        f"{mb / total:.0f}",
        f"{engine.clock:.1f}",
        f"{mb / engine.clock:.0f}",
        f"{total / count * 1e6:.1f}",
        f"{memory.pss / MB:,.0f}",
        f"{memory.anonymous / MB:,.0f}",
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to cut")
    parser.add_argument("--under", type=Path, required=True, help="folder for runs and their files")
    parser.add_argument("--documents", type=int, default=250_000)
    parser.add_argument("--times", nargs="+", type=int, default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mb", type=float, default=50.0, help="text to cut at most, in MB")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    parts = pieces(asked.files, asked.mb)
    counts = [asked.documents * times for times in asked.times]
    columns, run = [], asked.under / "dedup"
    for count in counts:
        made = alone(write, run, parts, count)
        columns.append(alone(measure, run, *made, asked.workers, parts[:5000]))
    names = ["text, MB", *(f"{step}, s" for step in STEPS), "all, s", "MB/s of CPU time"]
    names += ["clock, s", "MB/s", "us a document", "highest PSS, MB", "anonymous, MB"]
    table = house_table("documents")
    for count in counts:
        table.add_column(f"{count:,}", justify="right", no_wrap=True)
    for name, *cells in zip(names, *columns, strict=True):
        table.add_row(name, *cells)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"\n{machine.line()}\n", highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
