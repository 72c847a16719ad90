"""The documents of whole jobs: files of JSON lines for two workers, with items planted or not."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from texts import Text

from cuvee.corpus.paths import resolve
from cuvee.filters.planting import KINDS, choice, plant, variant
from cuvee.flows.benchmarks import read_items

WORKERS = 2
PLANT_EVERY = 20  # documents, one of which is given an item


class Texts(NamedTuple):
    """The documents of the comparison, a part of them, and more that we alone are given."""

    less: list[Text]
    chosen: list[Text]
    everything: list[Text]


class Corpus(NamedTuple):
    """Documents in one folder, two files of JSON lines, and items to look for in another file."""

    folder: Path
    items: Path
    texts: list[Text]
    n_bytes: int


def write_corpus(texts: Sequence[Text], items: Path, folder: Path) -> Corpus:
    """Write documents, a file for each worker; an id is the number of the document."""
    (folder / "documents").mkdir(parents=True)
    named = [Text(f"{n:07d}", one.text) for n, one in enumerate(texts)]
    for worker, (begin, end) in enumerate(pairwise([*begins(len(named)), len(named)])):
        with (folder / "documents" / f"{worker}.jsonl").open("w", encoding="utf-8") as out:
            for one in named[begin:end]:
                out.write(json.dumps(one._asdict(), ensure_ascii=False) + "\n")
    return Corpus(folder, items, named, sum(len(one.text.encode()) for one in texts))


def write_items(files: Sequence[Path], target: Path) -> Path:
    """Write the items of benchmarks to one file of JSON lines, its own fields only."""
    items = read_items(resolve([str(path) for path in files], [], Path()), {}) if files else []
    with target.open("w", encoding="utf-8") as out:
        for item in items:
            own = {"id": item.item_id, "benchmark": item.benchmark, "text": item.text}
            out.write(json.dumps(own) + "\n")
    return target


def begins(documents: int) -> list[int]:
    """Return the number of the first document of each worker."""
    return [worker * documents // WORKERS for worker in range(WORKERS)]


def with_items(texts: Sequence[Text], items: Path) -> tuple[list[Text], dict[str, str]]:
    """Plant an item into every `PLANT_EVERY`th document, each kind in turn: texts, kinds by id."""
    with items.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    given, planted = list(texts), dict[str, str]()
    for turn, n in enumerate(range(0, len(texts), PLANT_EVERY)):
        kind, item = KINDS[turn % len(KINDS)], records[choice(texts[n].id) % len(records)]["text"]
        if (changed := variant(kind, item)) is not None:
            given[n] = texts[n]._replace(text=plant(texts[n].text, changed, kind.place).text)
            planted[f"{n:07d}"] = kind.name
    return given, planted
