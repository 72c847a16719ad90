"""Read the items of benchmarks from JSON lines.

Each file is one benchmark, named after the file unless a field says otherwise. Unlike a source, a
benchmark that cannot be read in full is refused: what is not indexed would pass unseen.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import fsspec

from cuvee.configs.decontamination import Decontaminate
from cuvee.configs.errors import SourceError
from cuvee.corpus.paths import SourceFile
from cuvee.filters.contamination import Item

DEFAULT_FIELDS = {"benchmark": "benchmark", "split": "split", "id": "id", "text": "text"}
PARTS = ("question", "answer", "passage")  # of an item, where they are named; no default


def benchmark_items(spec: Decontaminate, files: Sequence[SourceFile]) -> list[Item]:
    """Return the items that a recipe names; refuse a split with a policy that none of them has."""
    items = read_items(files, spec.fields)
    there = sorted({item.split for item in items})
    missing = sorted(set(spec.splits) - set(there))
    if missing:
        raise SourceError(
            f"curate.decontaminate.splits has {missing[0]!r}, which no item is of.",
            f"The benchmarks have {', '.join(map(repr, there))}.",
        )
    return items


def read_items(files: Sequence[SourceFile], fields: Mapping[str, str]) -> list[Item]:
    """Return every item of every file; `fields` renames benchmark, split, id and text.

    `question` is another name for `text`; `answer` and `passage` are read where they are named and
    a record has them. Several fields of one of these are joined by a line break: `text:
    prompt+canonical_solution`.
    """
    _check_fields(fields)
    names = DEFAULT_FIELDS | dict(fields)
    names["text"] = fields.get("question", names["text"])
    items = [item for file in files for item in _items(file, names)]
    for part in ("answer", "passage"):
        if items and part in fields and not any(getattr(item, part) for item in items):
            raise SourceError(
                f"curate.decontaminate.fields.{part} is {fields[part]!r}, which no item has.",
                do=f"Name the field that holds the {part}, or leave it out.",
            )
    return items


def _check_fields(fields: Mapping[str, str]) -> None:
    """Refuse a field that items do not have."""
    known = (*DEFAULT_FIELDS, *PARTS)
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise SourceError(
            f"curate.decontaminate.fields has {unknown[0]!r}.",
            f"A benchmark item has {', '.join(known)}.",
        )
    if {"text", "question"} <= set(fields):
        raise SourceError(
            "curate.decontaminate.fields has text and question, which are the same.",
            do="Leave out one of them.",
        )


def _items(file: SourceFile, names: Mapping[str, str]) -> Iterator[Item]:
    """Yield the items of one file; SourceError names the line that is not one."""
    stem = PurePosixPath(file.name).name.split(".")[0]
    for number, record in _records(file):
        texts = [record.get(name) for name in names["text"].split("+")]
        if not all(isinstance(text, str) for text in texts):
            raise SourceError(
                f"{file.name}, line {number}: no text in field {names['text']!r}.",
                f"Its fields: {', '.join(record)}.",
                "Set curate.decontaminate.fields.text to the field that holds the question.",
            )
        yield Item(
            str(record.get(names["benchmark"], stem)),
            str(record.get(names["split"], "")),
            str(record.get(names["id"], number)),
            "\n".join(str(text) for text in texts),
            _part(record, names.get("answer")),
            _part(record, names.get("passage")),
        )


def _part(record: Mapping[str, Any], names: str | None) -> str:
    """Return the text of a part that an item may have; empty where it has none."""
    found = [] if names is None else [record.get(name) for name in names.split("+")]
    return "\n".join(str(text) for text in found if isinstance(text, str | int | float))


def _records(file: SourceFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, record) of a JSON lines file."""
    number = 0
    try:
        with fsspec.open(file.url, "rt", encoding="utf-8", compression="infer") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise SourceError(f"{file.name}, line {number}: not a JSON object.")
                    yield number, record
    except (OSError, EOFError, ValueError) as error:
        raise SourceError(
            f"The benchmark {file.name} cannot be read after line {number}: {error}",
            "A benchmark is a file of JSON lines, plain or compressed (.gz, .zst).",
        ) from error
