"""What decontamination finds and misses, by method: on real benchmarks, documents and paraphrases.

    python benchmarks/contamination.py DATA --items 100

`DATA` is a folder with `benchmarks/*.jsonl.gz`; `web/` and `text/` with JSON lines, the hosts; and
`contamination/` with items that were rephrased or translated (rows of `text` and `contaminates`,
the id of an item), `decon_fixtures.jsonl.gz` (the test rows of allenai/decon) and
`natural_docs.jsonl.gz` (documents that quote items, as they were found). What is not there is left
out.
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
import pyarrow as pa
import texts
from rich.console import Console
from rich.table import Table

from cuvee.configs.decontamination import Decontaminate
from cuvee.corpus.paths import resolve
from cuvee.corpus.terminal import house_table
from cuvee.filters.contamination import Item
from cuvee.filters.planting import KINDS
from cuvee.flows import contamination_tables as tables
from cuvee.flows.benchmarks import read_items
from cuvee.flows.contamination_evaluation import (
    Clean,
    Recall,
    chosen_items,
    clean_run,
    found_in,
    never_found,
    recall_of,
    search_for,
    upper_rate,
)
from cuvee.flows.decontamination_parts import Search

METHODS: dict[str, dict[str, Any]] = {
    "13-grams": {},
    "8-grams": {"ngram": 8},
    "LCS": {"method": "lcs"},
    "token8": {"method": "token8"},
    "4 to 13": {"ngram": {"shortest": 4, "longest": 13, "common": 1000}},
}
MILLION = 1_000_000
FIXTURES, NATURAL = "decon_fixtures.jsonl.gz", "natural_docs.jsonl.gz"


def spec(method: str) -> Decontaminate:
    """Return the recipe's keys of a method."""
    return Decontaminate(benchmarks=["-"], **METHODS[method])


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file of JSON lines, none where it is not there."""
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def hosts_of(data: Path) -> list[str]:
    """Return all documents of the hosts."""
    files = [path for name in ("web", "text") for path in sorted((data / name).glob("text*.zst"))]
    return [one.text for path in files for one in texts.load(path)]


def items_found(documents: Sequence[str], search: Search) -> list[set[int]]:
    """Return the numbers of the items found in each document."""
    hits = found_in(pa.array(documents, pa.large_string()), search)
    found: list[set[int]] = [set() for _ in documents]
    for row, item in zip(hits.row.tolist(), hits.item.tolist(), strict=True):
        found[row].add(item)
    return found


class Findings:
    """What one method finds: figures by name, in the order in which they are shown."""

    def __init__(self) -> None:
        self.recall: Recall | None = None
        self.clean: Clean | None = None
        self.never: dict[str, Counter[str]] = {}
        self.shares: dict[str, tuple[int, int]] = {}  # of rephrased files: found, rows
        self.fixtures: dict[str, str] = {}
        self.natural: dict[str, str] = {}


def rephrased(data: Path, items: Sequence[Item], search: Search) -> Iterator[tuple[str, int, int]]:
    """Yield each rephrased file's name, how many of its rows are found as their item, and rows."""
    numbers = {item.item_id: number for number, item in enumerate(items)}
    for path in sorted((data / "contamination").glob("*_re*.jsonl.gz")) + sorted(
        (data / "contamination").glob("*_translated_*.jsonl.gz")
    ):
        records = [one for one in rows(path) if one["contaminates"] in numbers]
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for one in records:
            by_kind.setdefault(one["kind"], []).append(one)
        for kind, ones in by_kind.items():
            found = items_found([one["text"] for one in ones], search)
            own = [
                numbers[one["contaminates"]] in hit for one, hit in zip(ones, found, strict=True)
            ]
            name = path.name.split(".")[0].partition("_re")[0].partition("_tr")[0]
            yield f"{name}: {kind}", sum(own), len(own)


def fixtures(data: Path, method: str) -> Mapping[str, str]:
    """Return which reference rows of decon's fixtures each training row is found to hold."""
    records = rows(data / "contamination" / FIXTURES)
    folders: dict[str, list[dict[str, Any]]] = {"reference": [], "training": []}
    for one in records:
        folders[one["file"].split("/")[0]].append(one)
    with_passages = [one["row"] for one in folders["reference"] if "passage_" in one["file"]]
    items = [Item(one["eval_key"], "", str(one["doc_id"]), *_parts(one)) for one in with_passages]
    search = search_for(spec(method), items, list)
    documents = [one["row"]["text"] for one in folders["training"]]
    names = [one["id"].removeprefix("training/").replace(".jsonl#", " ") for one in records]
    names = names[len(records) - len(documents) :]
    found = items_found(documents, search)
    shown = (" ".join(sorted(items[n].item_id for n in hit)) or "-" for hit in found)
    return dict(zip(names, shown, strict=True))


def _parts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return question, answer and passage."""
    return row["question"], row.get("answer", ""), row.get("passage", "")


def natural(data: Path, items: Sequence[Item], search: Search) -> Mapping[str, str]:
    """Return how many of the items that stand in each real document are found there."""
    numbers = {item.item_id: number for number, item in enumerate(items)}
    shown: dict[str, str] = {}
    records = rows(data / "contamination" / NATURAL)
    found = items_found([one["text"] for one in records], search)
    for one, hit in zip(records, found, strict=True):
        known = {numbers[h["item"]] for h in one["hits"] if h["item"] in numbers}
        kind = one["hits"][0]["kind"].split(" ")[0]
        shown[f"{one['id']} ({kind})"] = f"{len(known & hit)} of {len(known)}, {len(hit - known)}"
    return shown


def measure(method: str, items: Sequence[Item], data: Path, most_items: int) -> Findings:
    """Do everything for one method."""
    documents, found = hosts_of(data), Findings()
    search = search_for(spec(method), items, lambda: documents)
    found.never = never_found(items, search)
    found.clean = clean_run(documents, items, search)
    if found.clean.hosts:
        chosen = chosen_items(items, most_items)
        found.recall = recall_of(items, chosen, found.clean.hosts, search)
    found.shares = {name: (own, of) for name, own, of in rephrased(data, items, search)}
    found.fixtures = dict(fixtures(data, method))
    found.natural = dict(natural(data, items, search))
    return found


def by_method(first: str, methods: Iterable[str]) -> Table:
    """Return a table with a column for each method."""
    table = house_table(first, max_width=56)
    for name in methods:
        table.add_column(name, justify="right")
    return table


def show(found: Mapping[str, Findings], items: Sequence[Item], console: Console) -> None:
    """Print all findings, a column for each method."""
    recall = by_method("planted as", found)
    for kind in KINDS:
        pairs = [one.recall.of(kind=kind.name) if one.recall else (0, 0) for one in found.values()]
        recall.add_row(kind.name, *(tables.share(*pair) for pair in pairs))
    verbatim = [one.recall.verbatim if one.recall else (0, 0) for one in found.values()]
    recall.add_row("verbatim, 8 words or more", *(tables.share(*pair) for pair in verbatim))
    clean = by_method("clean documents", found)
    runs = [one.clean for one in found.values() if one.clean]
    clean.add_row("flagged", *(f"{one.flagged:,}" for one in runs))
    clean.add_row("hold a whole item", *(f"{one.whole:,}" for one in runs))
    rates = [one.false_alarms / one.documents for one in runs]
    clean.add_row("others, per million", *(f"{rate * MILLION:,.0f}" for rate in rates))
    most = [upper_rate(one.false_alarms, one.documents) for one in runs]
    clean.add_row("at most, 95 %", *(f"{rate * MILLION:,.0f}" for rate in most))
    other = by_method("rephrased: item found", found)
    for name in next(iter(found.values())).shares:
        pairs = [one.shares[name] for one in found.values()]
        other.add_row(name, *(f"{own:,} of {of:,}" for own, of in pairs))
    fixed = by_method("decon's training rows", found)
    for name in next(iter(found.values())).fixtures:
        fixed.add_row(name, *(one.fixtures[name] for one in found.values()))
    quoting = by_method("quoting documents: items, others", found)
    for name in next(iter(found.values())).natural:
        quoting.add_row(name, *(one.natural[name] for one in found.values()))
    console.print(recall, "", clean, "", other, "", fixed, "", quoting, "", sep="\n")
    for name, one in found.items():
        if one.clean and one.clean.alarms:
            console.print(f"{name}:", tables.alarms_table(one.clean.alarms, items), "", sep="\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of benchmarks and texts")
    parser.add_argument("--items", type=int, default=100, help="items planted of each benchmark")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    asked = parser.parse_args()
    items = read_items(resolve([str(asked.data / "benchmarks" / "*.jsonl.gz")], [], Path()), {})
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    found: dict[str, Findings] = {}
    for method in asked.methods:
        print(f"{method} ...", flush=True)
        found[method] = measure(method, items, asked.data, asked.items)
    console.print(f"\n{machine.line()}\n{len(items):,} items\n")
    first = next(iter(found.values()))
    if first.recall:
        console.print(tables.kinds_table(first.recall), "", sep="\n")
        console.print(tables.benchmarks_table(first.recall, first.never), "", sep="\n")
    show(found, items, console)


if __name__ == "__main__":
    main()
