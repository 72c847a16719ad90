"""What `cuvee contamination eval` does: benchmarks and method of a recipe, hosts of its sources.

Nothing is written. Documents are taken as the sources have them, before any edit of the recipe:
the first of each source's files, in the order of a hash of the files' names.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console

from cuvee.configs.errors import RequestError, SourceError
from cuvee.configs.load import load
from cuvee.configs.sources import Source
from cuvee.corpus.paths import resolve
from cuvee.corpus.readers import Document, read
from cuvee.filters.contamination import Item
from cuvee.filters.planting import choice
from cuvee.flows import contamination_tables as tables
from cuvee.flows.benchmarks import benchmark_items
from cuvee.flows.checks import check_bound
from cuvee.flows.commands import recipe_file
from cuvee.flows.contamination_evaluation import (
    LENGTHS,
    Clean,
    Recall,
    chosen_items,
    clean_run,
    never_found,
    recall_of,
    search_for,
    upper_rate,
)
from cuvee.flows.screen import make_console

MILLION = 1_000_000


def evaluate(recipe: Path, most_items: int, most_documents: int, overrides: Sequence[str]) -> None:
    """Print recall by kind, benchmark and length, and what is found in clean documents."""
    console, path = make_console(), recipe_file(recipe)
    chosen, base = load(path, overrides), path.parent.resolve()
    check_bound(chosen)
    spec = chosen.curate.decontaminate
    if spec is None:
        raise RequestError(
            f"{path} names no benchmarks.", do="Give it curate.decontaminate.benchmarks."
        )
    items = benchmark_items(spec, resolve(spec.benchmarks, [], base))
    texts = partial(_texts, chosen.sources.values(), base, most_documents)
    search = search_for(spec, items, texts)
    clean = clean_run(texts(), items, search)
    if not clean.hosts:
        raise SourceError(
            f"None of the {clean.documents:,} documents can be a host.",
            "A host has more than 50 words, and no hit of its own.",
            "Take more --documents, or other sources.",
        )
    recall = recall_of(items, chosen_items(items, most_items), clean.hosts, search)
    console.print("", tables.kinds_table(recall), "", sep="\n")
    console.print(tables.benchmarks_table(recall, never_found(items, search)), "", sep="\n")
    _say_recall(console, recall, items)
    _say_clean(console, clean, recall, items)


def _texts(sources: Iterable[Source], base: Path, most: int) -> Iterator[str]:
    """Yield at most so many texts of each source."""
    for source in sources:
        yield from islice(source_texts(source, base), most)


def source_texts(source: Source, base: Path) -> Iterator[str]:
    """Yield the texts of a source, its files in the order of a hash of their names."""
    files = resolve(source.paths, source.exclude, base)
    fields = source.fields.model_dump(exclude_none=True)
    for file in sorted(files, key=lambda file: choice(file.name)):
        for got in read(file, str(source.format), fields):
            if isinstance(got, Document):
                yield got.text


def _say_recall(console: Console, recall: Recall, items: Sequence[Item]) -> None:
    """Print the figure that decontamination is judged by, and the verbatim items missed."""
    found, planted = recall.verbatim
    console.print(
        f"  verbatim items of {LENGTHS[0]} words or more: {tables.share(found, planted)} found "
        f"({found:,} of {planted:,} planted)",
    )
    if recall.missed:
        console.print("", tables.missed_table(recall.missed, items), "", sep="\n")


def _say_clean(console: Console, clean: Clean, recall: Recall, items: Sequence[Item]) -> None:
    """Print what was found where nothing was planted."""
    rate = clean.false_alarms / clean.documents
    right = recall.verbatim[0] + clean.whole
    console.print(
        f"  clean documents: {clean.documents:,}; flagged: {clean.flagged:,}, of which "
        f"{clean.whole:,} hold a whole item\n"
        f"  false alarms, or quotations, per million clean documents: {rate * MILLION:,.0f} (at "
        f"most {upper_rate(clean.false_alarms, clean.documents) * MILLION:,.0f}, 95 %)\n"
        f"  precision over clean documents and those with a verbatim item: "
        f"{tables.share(right, right + clean.false_alarms)}"
    )
    if clean.alarms:
        console.print("", tables.alarms_table(clean.alarms, items), "", sep="\n")
