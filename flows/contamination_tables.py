"""What decontamination finds, as tables for a terminal. Nothing is printed here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.table import Table
from rich.text import Text

from cuvee.corpus.terminal import house_table
from cuvee.filters.contamination import Item
from cuvee.filters.planting import KINDS
from cuvee.flows.classifier_tables import excerpt
from cuvee.flows.contamination_evaluation import LENGTHS, Alarm, Recall

SHOWN = 10  # rows of what was missed, and of what was found in clean documents


def kinds_table(recall: Recall) -> Table:
    """Return recall by kind, over all items and by the words of the item."""
    table = house_table("planted as", max_width=24)
    for name in ("planted", "found", *length_names()):
        table.add_column(name, justify="right")
    for kind in KINDS:
        found, planted = recall.of(kind=kind.name)
        by_length = (recall.of(kind=kind.name, length=n) for n in range(len(LENGTHS) + 1))
        shares = (share(*counts) for counts in by_length)
        table.add_row(kind.name, f"{planted:,}", share(found, planted), *shares)
    return table


def benchmarks_table(recall: Recall, counts: Mapping[str, Counter[str]]) -> Table:
    """Return recall by benchmark and family, and how many items can never be found."""
    families = list(dict.fromkeys(kind.family for kind in KINDS))
    table = house_table("benchmark")
    for name in ("items", "short", "no letter", *families):
        table.add_column(name, justify="right")
    for benchmark, count in counts.items():
        numbers = (f"{count[name]:,}" for name in ("items", "short", "no letter"))
        by_family = (recall.of(benchmark=benchmark, family=name) for name in families)
        table.add_row(benchmark, *numbers, *(share(*pair) for pair in by_family))
    return table


def missed_table(missed: Counter[int], items: Sequence[Item]) -> Table:
    """Return items that were planted verbatim and not found, and how often."""
    table = house_table("missed", max_width=40)
    table.add_column("times", justify="right")
    table.add_column("text")
    ordered = sorted((-times, number) for number, times in missed.items())
    for times, number in ordered[:SHOWN]:
        item = items[number]
        table.add_row(Text(_name(item)), f"{-times:,}", Text(excerpt(item.text)))
    _say_more(table, len(ordered))
    return table


def alarms_table(alarms: Mapping[int, Alarm], items: Sequence[Item]) -> Table:
    """Return the items found in clean documents, those first that no document holds whole."""
    table = house_table("in clean documents", max_width=40)
    for name in ("documents", "whole", "score"):
        table.add_column(name, justify="right")
    table.add_column("n-gram")
    ordered = sorted(
        alarms.items(), key=lambda one: (one[1].whole, -one[1].documents, -one[1].best[0], one[0])
    )
    for number, alarm in ordered[:SHOWN]:
        score, ngram = alarm.best
        counts = (f"{alarm.documents:,}", f"{alarm.whole:,}", f"{score:.2f}")
        table.add_row(Text(_name(items[number])), *counts, Text(excerpt(ngram)))
    _say_more(table, len(ordered))
    return table


def length_names() -> list[str]:
    """Return what the lengths of items are called."""
    between = [f"{low} to {high - 1}" for low, high in pairwise(LENGTHS)]
    return [f"< {LENGTHS[0]} words", *between, f"{LENGTHS[-1]} or more"]


def share(part: int, whole: int) -> str:
    """Write a share in per cent, rounded down, so that only all is 100 %.

    >>> share(1999, 2000), share(0, 0)
    ('99.9%', '-')
    """
    return f"{part * 1000 // whole / 10:.1f}%" if whole else "-"


def _say_more(table: Table, items: int) -> None:
    """Say how many items a table leaves out."""
    if items > SHOWN:
        table.add_row(f"and {items - SHOWN:,} more items")


def _name(item: Item) -> str:
    """Write which item it is."""
    return f"{item.benchmark}: {item.item_id}"
