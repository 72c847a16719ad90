"""What `cuvee dedup eval` does: near-duplicates of some files, beside the truth and judgements."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from cuvee.configs.deduplication import MinHash
from cuvee.configs.errors import RecipeError, SourceError
from cuvee.configs.load import apply_override
from cuvee.corpus.paths import SourceFile, resolve
from cuvee.corpus.readers import Document, read
from cuvee.corpus.streams import Lost, lines
from cuvee.flows import dedup_tables as tables
from cuvee.flows.classifier_commands import format_of
from cuvee.flows.dedup_evaluation import Evaluation, Judged, JudgedBin, hash_documents, judge
from cuvee.flows.dedup_evaluation import evaluate as compare
from cuvee.flows.screen import make_console


def evaluate(files: Sequence[str], pairs: Path | None, overrides: Sequence[str]) -> None:
    """Print what bands find of all similar pairs, what goes, and how that fits the judgements."""
    console, near = make_console(), parameters(overrides)
    texts = read_texts(resolve(files, [], Path.cwd()))
    hashed, rank = hash_documents(list(texts.values()), near)
    numbers = dict(zip(texts, rank.tolist(), strict=True))
    judged = [] if pairs is None else list(read_pairs(pairs, numbers))
    console.print("", tables.parameters_table(near), "", sep="\n")
    found = compare(hashed)
    console.print(tables.bins_table(found), "", sep="\n")
    _say_removed(console, found)
    if judged:
        bins = judge(hashed, judged)
        console.print("", tables.judged_table(bins), "", sep="\n")
        _say_judged(console, bins)


def parameters(overrides: Sequence[str]) -> MinHash:
    """Return how near-duplicates are found; RecipeError for a key or value that cannot be."""
    document: dict[str, Any] = {}
    for override in overrides:
        apply_override(document, override)
    try:
        return MinHash.model_validate(document)
    except ValidationError as error:
        problems = [(".".join(map(str, p["loc"])), p["msg"]) for p in error.errors()]
        raise RecipeError(
            "\n".join(f"--set {key}: {message}." for key, message in problems),
            f"Keys are {', '.join(MinHash.model_fields)}.",
        ) from error


def read_texts(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return texts by id; SourceError for a line without either, or an id that comes twice."""
    texts: dict[str, str] = {}
    for file in files:
        for got in read(file, format_of(file), {}):
            if not isinstance(got, Document):
                raise SourceError(f"{file.name}, row {got.row}: {got.reason}.", do="Correct it.")
            if got.id is None or got.id in texts:
                what = "no id" if got.id is None else f"the id {got.id!r} of an earlier document"
                raise SourceError(
                    f"{file.name}, row {got.row} has {what}.",
                    "Each document needs an id of its own, since pairs name documents by it.",
                )
            texts[got.id] = got.text
    return texts


def read_pairs(path: Path, numbers: Mapping[str, int]) -> Iterator[Judged]:
    """Yield judged pairs; SourceError for a line that is none, or names no document."""
    (file,) = resolve([str(path)], [], Path.cwd())
    for row, line in enumerate(lines(file)):
        if not isinstance(line, Lost) and not line.strip():
            continue
        try:
            value = {} if isinstance(line, Lost) else json.loads(line)
            left, right = numbers[value["a"]], numbers[value["b"]]
            yield Judged(left, right, {True: True, False: False}[value["duplicate"]])
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(
                f"{path}, line {row + 1} is no judged pair: {type(error).__name__} {error}.",
                'A line is {"a": ID, "b": ID, "duplicate": true}, of documents that were read.',
            ) from error


def _say_removed(console: Console, found: Evaluation) -> None:
    """Print how many candidates are pairs to find, and how alike what goes is to what stays."""
    right = found.enough.candidates
    precision = f"{right / found.candidates:.3f}" if found.candidates else "-"
    console.print(
        f"  {found.candidates:,} candidates, of which {right:,} are pairs to find: precision "
        f"{precision} before their similarity is verified",
        f"  {found.removed:,} of {found.documents:,} documents go; the least similarity of one to "
        f"the document that stays is {found.least:.4f}",
        sep="\n",
    )


def _say_judged(console: Console, bins: Sequence[JudgedBin]) -> None:
    """Print precision and recall by judgement."""
    right = sum(one.duplicates_found for one in bins)
    shown = [
        f"{right / whole:.3f}" if whole else "-"
        for whole in (
            right + sum(one.others_found for one in bins),
            sum(one.duplicates for one in bins),
        )
    ]
    console.print(f"  of the judged pairs: precision {shown[0]}, recall {shown[1]}")
