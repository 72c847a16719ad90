"""Measure decontamination: plant items and look for them, and look where nothing was planted.

What is *found* is what the flow finds (`cuvee.flows.decontamination_parts`) and would act on if
the policy were to drop, whatever the recipe's policy is. *Recall* is the share of planted variants
of which that very item is found at the place where it was planted. A *clean* document is one as
the sources have it; it is *flagged* when anything is found in it. A flagged document that holds all
the words of an item it is flagged for is *whole*, true contamination; any other is a *false alarm*,
or a passage that the benchmark and the web both quote: a person must look.

Hosts are clean documents that are not flagged, the `HOSTS` with the lowest hash of their text, the
first `HOST_CHARS` of each. Memory is a batch (`AT_ONCE` documents), the hosts and the index.
The n-grams in common usage, for a method that leaves them out, are those of the clean documents.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from cuvee.configs.decontamination import Decontaminate, NgramRange
from cuvee.filters.contamination import Hits, Item, find, without
from cuvee.filters.ngrams import GRAM, occurrences
from cuvee.filters.planting import (
    KINDS,
    VERBATIM,
    Kind,
    Planted,
    choice,
    folded_line,
    folded_words,
    plant,
    variant,
)
from cuvee.flows.decontamination_parts import Search, judged, make_search

AT_ONCE = 512  # documents in which items are looked for at once
HOSTS = 256
HOST_WORDS = 50  # in the least; a shorter text is a heading or a sentence
HOST_CHARS = 20_000
LENGTHS = (8, 13)  # words that part short items: found as a whole, by n-grams
DROP = "drop"  # the policy under which everything is measured
Z = 1.96  # of a normal distribution, 95 %

One = TypeVar("One")


class Trial(NamedTuple):
    """An item, by its number, planted in one way."""

    item: int
    kind: Kind
    planted: Planted


class Where(NamedTuple):
    """What a share of recall is counted by; `length` is how many of `LENGTHS` the item reaches."""

    kind: str
    family: str
    benchmark: str
    length: int


@dataclass
class Recall:
    """How many variants were planted and found.

    `missed` counts by item how often it was not found though it is not short and stood verbatim.
    """

    planted: Counter[Where] = field(default_factory=Counter)
    found: Counter[Where] = field(default_factory=Counter)
    missed: Counter[int] = field(default_factory=Counter)

    def of(self, **wanted: str | int) -> tuple[int, int]:
        """Return (found, planted) where every named field of `Where` has the wanted value."""
        chosen = [w for w in self.planted if wanted.items() <= w._asdict().items()]
        return sum(self.found[w] for w in chosen), sum(self.planted[w] for w in chosen)

    @property
    def verbatim(self) -> tuple[int, int]:
        """Return (found, planted) of verbatim items that are not short."""
        pairs = [self.of(family=VERBATIM, length=n) for n in range(1, len(LENGTHS) + 1)]
        return sum(found for found, _ in pairs), sum(planted for _, planted in pairs)


@dataclass
class Alarm:
    """What an item's hits in clean documents are; `best` is the score and n-gram of one.

    `whole` counts the documents that hold all of the item, whose folded words are `lines`.
    """

    lines: list[str]
    documents: int = 0
    whole: int = 0
    best: tuple[float, str] = (0.0, "")


@dataclass
class Clean:
    """What was found in clean documents; `alarms` by number of the item."""

    documents: int = 0
    flagged: int = 0
    whole: int = 0
    alarms: dict[int, Alarm] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)

    @property
    def false_alarms(self) -> int:
        """Documents that were flagged and hold no item as a whole."""
        return self.flagged - self.whole


def search_for(
    spec: Decontaminate, items: Sequence[Item], texts: Callable[[], Iterable[str]]
) -> Search:
    """Prepare the search that a recipe asks for, as if all it finds were to be dropped.

    `texts` gives the clean documents; they are read where n-grams in common usage do not count.
    """
    search = make_search(spec, items)
    search = replace(search, policy=pa.array([DROP] * len(items), pa.string()))
    if not isinstance(spec.ngram, NgramRange):
        return search
    total = np.zeros(search.index.table.keys.size, np.int64)
    for batch in batches(texts()):
        seen, _ = occurrences(pa.array(batch, pa.large_string()), search.index.table)
        total += np.bincount(seen[:, GRAM], minlength=total.size)
    return replace(search, index=without(search.index, total >= spec.ngram.common))


def found_in(texts: pa.LargeStringArray, search: Search) -> Hits:
    """Return the hits that count, each with the score of the recipe's method."""
    hits = find(texts, search.index)
    score, policy = judged(texts, hits, search)
    counts = np.array([one == DROP for one in policy.to_pylist()], np.bool_)
    return Hits(
        hits.row[counts],
        hits.item[counts],
        hits.span_start[counts],
        hits.span_end[counts],
        score[counts],
        hits.ngram.filter(pa.array(counts)),
        hits.first_byte[counts],
        hits.end_byte[counts],
    )


def chosen_items(items: Sequence[Item], most: int) -> list[int]:
    """Return the numbers of at most so many items of each benchmark, the lowest by hash."""
    benchmarks: dict[str, list[tuple[int, int]]] = {}
    for number, item in enumerate(items):
        benchmarks.setdefault(item.benchmark, []).append((choice(*item), number))
    return [n for found in benchmarks.values() for _, n in heapq.nsmallest(most, found)]


def clean_run(texts: Iterable[str], items: Sequence[Item], search: Search) -> Clean:
    """Look for items in documents as they are, and choose the hosts."""
    clean, hosts = Clean(), list[tuple[int, str]]()
    for batch in batches(texts):
        flagged = set()
        hits = found_in(pa.array(batch, pa.large_string()), search)
        for row, found in groupby(range(len(hits.row)), key=hits.row.tolist().__getitem__):
            _add_alarms(clean, batch[row], items, hits, list(found))
            flagged.add(row)
        clean.documents += len(batch)
        fit = [text for row, text in enumerate(batch) if row not in flagged and _long(text)]
        hosts = heapq.nsmallest(HOSTS, {*hosts, *((choice(text), text) for text in fit)})
    clean.hosts = [text[:HOST_CHARS] for _, text in hosts]
    return clean


def batches(ones: Iterable[One]) -> Iterator[list[One]]:
    """Yield `AT_ONCE` at a time."""
    rest = iter(ones)
    while batch := list(islice(rest, AT_ONCE)):
        yield batch


def _long(text: str) -> bool:
    """Say whether a text has the words of a host."""
    return len(text[:HOST_CHARS].split(maxsplit=HOST_WORDS)) > HOST_WORDS


def _add_alarms(
    clean: Clean, text: str, items: Sequence[Item], hits: Hits, rows: Sequence[int]
) -> None:
    """Count the hits of one document, of which there are some."""
    line, any_whole = folded_line(text), False
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(hits.item[row]), row)
    for number, row in first.items():
        if number not in clean.alarms:
            lines = [folded_line(part) for part in question(items[number])]
            clean.alarms[number] = Alarm(lines)
        alarm = clean.alarms[number]
        whole = all(one in line for one in alarm.lines)
        alarm.documents += 1
        alarm.whole += whole
        alarm.best = max(alarm.best, (float(hits.score[row]), hits.ngram[row].as_py()))
        any_whole |= whole
    clean.flagged += 1
    clean.whole += any_whole


def recall_of(
    items: Sequence[Item], chosen: Sequence[int], hosts: Sequence[str], search: Search
) -> Recall:
    """Plant the chosen items in every way, and count which are found."""
    recall, lengths = Recall(), {n: _length(items[n]) for n in chosen}
    for batch in batches(_trials(items, chosen, hosts)):
        texts = pa.array([trial.planted.text for trial in batch], pa.large_string())
        found = _found(batch, found_in(texts, search))
        for row, (item, kind, _) in enumerate(batch):
            where = Where(kind.name, kind.family, items[item].benchmark, lengths[item])
            recall.planted[where] += 1
            recall.found[where] += row in found
            if row not in found and kind.family == VERBATIM and where.length:
                recall.missed[item] += 1
    return recall


def question(item: Item) -> list[str]:
    """Return what an item asks: its passage, where it has one, and the question."""
    return [part for part in (item.passage, item.text) if part.strip()]


def _trials(items: Sequence[Item], chosen: Sequence[int], hosts: Sequence[str]) -> Iterator[Trial]:
    """Plant every chosen item in every way, each in a host that its text decides."""
    for kind in KINDS:
        for number in chosen:
            text = variant(kind, "\n".join([*question(items[number]), items[number].answer]))
            if text is not None:
                host = hosts[choice("host", kind.name, text) % len(hosts)]
                yield Trial(number, kind, plant(host, text, kind.place))


def _found(batch: Sequence[Trial], hits: Hits) -> set[int]:
    """Return the rows of the trials of which the item is reported where it was planted."""
    spans = zip(hits.row, hits.item, hits.span_start, hits.span_end, strict=True)
    return {
        int(row)
        for row, item, start, end in spans
        if batch[row].item == item
        and start < batch[row].planted.end
        and end > batch[row].planted.start
    }


def _length(item: Item) -> int:
    """Return how many of `LENGTHS` the words of passage and question reach."""
    words = len(folded_words("\n".join(question(item))))
    return sum(words >= length for length in LENGTHS)


def never_found(items: Sequence[Item], search: Search) -> dict[str, Counter[str]]:
    """Count by benchmark the items, and those that can never be found: `short`, `no letter`."""
    counts: dict[str, Counter[str]] = {}
    for item, ngrams in zip(items, search.index.n_ngrams, strict=True):
        count = counts.setdefault(item.benchmark, Counter())
        count["items"] += 1
        if not ngrams:
            letterless = all(word.isdecimal() for word in folded_words(item.text))
            count["no letter" if letterless else "short"] += 1
    return counts


def upper_rate(count: int, of: int) -> float:
    """Return the highest rate that `count` of `of` leaves likely, Wilson's bound at 95 %.

    >>> round(upper_rate(0, 10_000), 6)
    0.000384
    """
    share, spread = count / of, Z * Z / of
    root = math.sqrt(share * (1 - share) * spread + spread * spread / 4)
    return (share + spread / 2 + root) / (1 + spread)
