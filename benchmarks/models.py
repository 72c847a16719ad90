"""Measure what fastText models cost, here and by the library, document by document.

    python benchmarks/models.py web.jsonl.zst books.parquet

The language model is lid.176; the classifier has word bigrams and is trained on the spot, on
documents of the first file against those of the others. Both sides get the same texts in the same
run, on one thread, in turns; CPU seconds count, the best of three. All documents are compared.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fasttext
import machine
import numpy as np
import pyarrow as pa
import texts
from kernels import MODEL, RUNS
from rich.console import Console
from texts import MB

from cuvee.corpus.paths import local_file
from cuvee.corpus.terminal import house_table
from cuvee.filters import classifier, language, models
from cuvee.filters.classifier import Training

TRAINED_ON = 2000  # documents of a class
Outcome = tuple[str, float]


class Task(NamedTuple):
    """What a model is asked: by us of a batch, by the library of a document."""

    name: str
    ours: Callable[[pa.LargeStringArray], list[Outcome]]
    theirs: Callable[[str], Outcome]
    most_bytes: int  # of a document that are read


def languages(path: Path) -> Task:
    """Name the likeliest language."""
    ours, theirs = language.load(path), fasttext.load_model(str(path))

    def identify(batch: pa.LargeStringArray) -> list[Outcome]:
        found = language.identify(ours, batch)
        return list(zip(found.language.to_pylist(), found.score.tolist(), strict=True))

    def predict(text: str) -> Outcome:
        head = text.encode()[: language.READ_BYTES].decode("utf-8", "ignore")
        labels, shares = theirs.predict(models.line(head), k=1)
        return labels[0].removeprefix(models.LABEL), min(float(shares[0]), 1.0)

    return Task("language, lid.176", identify, predict, language.READ_BYTES)


def bigrams(documents: Sequence[list[str]], folder: Path) -> Task:
    """Train a classifier with word bigrams, and score by it."""
    lines = [
        classifier.training_line("hq" if n == 0 else "other", text)
        for n, of_file in enumerate(documents)
        for text in of_file[:TRAINED_ON]
    ]
    order = np.random.default_rng(0).permutation(len(lines))
    training, path = folder / "train.txt", folder / "model.bin"
    training.write_text("\n".join(lines[n] for n in order) + "\n", encoding="utf-8")
    classifier.train(training, path, Training())
    ours, theirs = classifier.load(path, "hq"), fasttext.load_model(str(path))

    def score(batch: pa.LargeStringArray) -> list[Outcome]:
        return [("hq", share) for share in classifier.score(ours, "hq", batch).tolist()]

    def predict(text: str) -> Outcome:
        labels, shares = theirs.predict(classifier.normalise(text), k=-1)
        return "hq", min(float(shares[labels.index(models.LABEL + "hq")]), 1.0)

    return Task("classifier, word bigrams, 16 numbers", score, predict, sys.maxsize)


def cpu_seconds(work: Callable[[], list[Outcome]]) -> tuple[float, list[Outcome]]:
    """Time one call."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def row(task: Task, documents: list[str]) -> list[str]:
    """Time a task on both sides, and compare."""
    array = pa.array(documents, pa.large_string())  # the engine takes 32 MB at a time
    size = sum(min(len(text.encode()), task.most_bytes) for text in documents) / MB

    def ours() -> list[Outcome]:
        return task.ours(array)

    def theirs() -> list[Outcome]:
        return [task.theirs(text) for text in documents]

    task.ours(array[:1])
    found: list[list[Outcome]] = [[], []]
    taken: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for side, work in enumerate((ours, theirs)):
            seconds, found[side] = cpu_seconds(work)
            taken[side].append(seconds)
    best = [min(seconds) for seconds in taken]
    same = np.mean([one[0] == other[0] for one, other in zip(*found, strict=True)])
    furthest = max(abs(one[1] - other[1]) for one, other in zip(*found, strict=True))
    speeds = [f"{size / best[0]:.1f}", f"{size / best[1]:.1f}", f"{best[1] / best[0]:.1f}"]
    return [task.name, *speeds, f"{same:.2%}", f"{furthest:.1e}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to run on")
    parser.add_argument("--mb", type=float, default=8.0, help="text of each file, in MB")
    asked = parser.parse_args()
    read = partial(texts.sample, most_bytes=asked.mb * MB)
    documents = [[one.text for one in read([file])] for file in asked.files]
    together = [text for of_file in documents for text in of_file]
    table = house_table("model")
    for name in ("ours, MB/s", "fastText, MB/s", "ratio", "same label", "furthest apart"):
        table.add_column(name, justify="right", no_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        for task in (languages(local_file(MODEL, Path.cwd())), bigrams(documents, Path(folder))):
            table.add_row(*row(task, together))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"\n{machine.line()}\n", highlight=False)
    console.print(table)
    print(f"{len(together)} documents, {sum(len(t.encode()) for t in together) / MB:.1f} MB")


if __name__ == "__main__":
    main()
