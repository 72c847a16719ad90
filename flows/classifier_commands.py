"""What `cuvee classifier train` and `eval` do, over labelled files that belong to no run.

Documents get ids as a source's do, from the file's name below the folder that all files of its
class share, so the same files give the same model wherever they lie.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console

from cuvee.configs.errors import ModelError, SourceError
from cuvee.corpus.fingerprint import file_fingerprint
from cuvee.corpus.ingest import ingest_part
from cuvee.corpus.paths import SourceFile, resolve
from cuvee.corpus.readers import Reject, read
from cuvee.filters import classifier, evaluation
from cuvee.filters.classifier import Training
from cuvee.flows.classifier_tables import (
    Confusion,
    confusions_table,
    excerpt,
    figures_table,
    thresholds_table,
)
from cuvee.flows.classifier_training import Class, train_classifier
from cuvee.flows.screen import make_console

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
COMPRESSED = (".gz", ".zst")
AT_ONCE = 512  # documents whose text is held while they are scored
EXAMPLES = 5  # confusions shown of each kind
TAKEN = f"chosen at {evaluation.DECIDE}"


@dataclass(frozen=True)
class Labelled:
    """Files of both classes by pattern, the label of the first, and the field of the text."""

    positive: Sequence[str]
    negative: Sequence[str]
    label: str
    text_field: str

    def files(self) -> tuple[list[SourceFile], list[SourceFile]]:
        """Return the files of the positive and the negative class, no file in both."""
        here = Path.cwd()
        positive, negative = (resolve(names, [], here) for names in (self.positive, self.negative))
        for file in [*positive, *negative]:
            format_of(file)
        both = sorted({file.url for file in positive} & {file.url for file in negative})
        if both:
            raise SourceError(
                f"{both[0]} is in both classes.", do="Give it as --positive or as --negative."
            )
        return positive, negative


def format_of(file: SourceFile) -> str:
    """Return the format that a file's extension names; SourceError where it names none."""
    name = file.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    for ending, format_ in FORMATS.items():
        if name.endswith(ending):
            return format_
    raise SourceError(
        f"{file.name} has no extension that says what it holds.",
        f"Known are {', '.join(FORMATS)}, the text formats also with {' or '.join(COMPRESSED)}.",
        "Rename it.",
    )


def train(files: Labelled, out: Path, documents: int, params: Training) -> None:
    """Train a model on labelled files, and print how it does on what was held out."""
    if out.suffix != ".bin":
        raise ModelError(
            f"--out is {out.name!r}; .txt and .json are written beside the model.",
            "A model's name ends in .bin.",
        )
    console, (positive, negative) = make_console(), files.files()
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".cuvee-", dir=out.parent) as scratch:
        folder = Path(scratch)
        classes = (
            _read_class(console, "positive", positive, files.text_field, folder),
            _read_class(console, "negative", negative, files.text_field, folder),
        )
        train_classifier(classes, files.label, documents, params, out)
    card = json.loads(out.with_suffix(".json").read_text())
    console.print(
        f"  [green]✓[/] trained on {sum(card['trained_on'].values()):,} documents, "
        f"seen on {card['held_out']['n']:,} others:"
    )
    console.print("", figures_table(card["held_out"]), "", sep="\n")
    console.print(thresholds_table(card["held_out"]["thresholds"]), "", sep="\n")
    console.print(f"  [green]✓[/] {out}, its lines in .txt and its card in .json", soft_wrap=True)


def _read_class(
    console: Console, kind: str, files: Sequence[SourceFile], text_field: str, folder: Path
) -> Class:
    """Read the files of a class into documents tables, one a file."""
    tables, prints, counts = list[Path](), list[str](), Counter[str]()
    for number, file in enumerate(files):
        table = folder / kind / f"{number:05d}.parquet"
        arguments = (format_of(file), {"text": text_field}, table, table.with_suffix(".rejects"))
        counts.update(ingest_part(kind, [file], *arguments))
        tables.append(table)
        prints.append(f"{file.name} {file_fingerprint(file.url)}")
    reasons = {k.removeprefix("reason:"): n for k, n in counts.items() if k.startswith("reason:")}
    _say_read(console, kind, counts["docs"], reasons)
    return Class(tuple(tables), tuple(prints))


def _say_read(console: Console, kind: str, docs: int, rejects: Mapping[str, int]) -> None:
    """Print how many documents a class has, and what could not be read."""
    lost = ", ".join(f"{n:,} {reason}" for reason, n in sorted(rejects.items()))
    not_read = f"; not read: {lost}" if lost else ""
    console.print(f"  [green]✓[/] {kind}: {docs:,} documents{not_read}")


def evaluate(model: Path, files: Labelled) -> None:
    """Score labelled files, and print figures, thresholds and the worst confusions."""
    console, (positive, negative) = make_console(), files.files()
    fitted = classifier.load(model, files.label)
    seen = Seen()
    for kind, paths in (("positive", positive), ("negative", negative)):
        rejects = Counter[str]()
        docs = 0
        for texts in _batches(paths, files.text_field, rejects):
            seen.add(classifier.score(fitted, files.label, texts), kind == "positive", texts)
            docs += len(texts)
        _say_read(console, kind, docs, rejects)
        if not docs:
            raise SourceError(f"The {kind} class has no documents.", do="Check --text-field.")
    scores, truth = np.concatenate(seen.scores), np.concatenate(seen.truth)
    console.print("", figures_table(evaluation.compare(scores, truth)._asdict()), sep="\n")
    found = [trade._asdict() for trade in evaluation.trades(scores, truth)]
    console.print("", thresholds_table(found), sep="\n")
    console.print("", confusions_table(seen.chosen, f"without the label, {TAKEN}"), sep="\n")
    console.print("", confusions_table(seen.missed, f"with the label, not {TAKEN}"), sep="\n")


def _batches(
    files: Sequence[SourceFile], text_field: str, rejects: Counter[str]
) -> Iterator[pa.LargeStringArray]:
    """Yield the texts of files, some at a time; count by reason what could not be read."""
    texts: list[str] = []
    for file in files:
        for got in read(file, format_of(file), {"text": text_field}):
            if isinstance(got, Reject):
                rejects[got.reason] += 1
                continue
            texts.append(got.text)
            if len(texts) == AT_ONCE:
                yield pa.array(texts, pa.large_string())
                texts = []
    if texts:
        yield pa.array(texts, pa.large_string())


@dataclass
class Seen:
    """Scores and truth of what was read so far, and excerpts of the worst confusions."""

    scores: list[NDArray[np.float32]] = field(default_factory=list)
    truth: list[NDArray[np.bool_]] = field(default_factory=list)
    chosen: list[Confusion] = field(default_factory=list)
    missed: list[Confusion] = field(default_factory=list)

    def add(self, scores: NDArray[np.float32], is_true: bool, texts: pa.LargeStringArray) -> None:
        """Add scored texts of one class."""
        truth = np.full(len(scores), is_true)
        rows = evaluation.confusions(scores, truth, EXAMPLES)
        found = [
            [(float(scores[row]), excerpt(texts[int(row)].as_py())) for row in kind]
            for kind in rows
        ]
        # Sorting is stable: of equal scores the first that was read stays.
        self.chosen = sorted(self.chosen + found[0], key=lambda case: -case[0])[:EXAMPLES]
        self.missed = sorted(self.missed + found[1], key=lambda case: case[0])[:EXAMPLES]
        self.scores.append(scores)
        self.truth.append(truth)
