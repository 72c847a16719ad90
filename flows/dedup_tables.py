"""What deduplication finds of the pairs that are similar, as tables. Nothing is printed here."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cuvee.configs.deduplication import MinHash
from cuvee.corpus.terminal import house_table
from cuvee.filters.dedup_evaluation import Bin
from cuvee.flows.dedup_evaluation import Evaluation, JudgedBin


def parameters_table(near: MinHash) -> Table:
    """Return how near-duplicates are looked for."""
    table = house_table("words a shingle")
    for name in ("bands x rows", "removed at", "measure"):
        table.add_column(name, justify="right")
    scheme = f"{near.bands} x {near.rows}"
    table.add_row(str(near.ngram), scheme, f"{near.verify:g}", near.measure)
    return table


def bins_table(found: Evaluation) -> Table:
    """Return how many pairs share a band, by similarity, and how many the curve promises."""
    table = house_table("Jaccard")
    for name in ("pairs", "share a band", "recall", "predicted", "of predicted"):
        table.add_column(name, justify="right")
    for one in found.bins:
        _add_bin(table, _range(one.low, one.high), one)
    table.add_section()
    _add_bin(table, f"{found.enough.low:g} and more", found.enough)
    return table


def _add_bin(table: Table, name: str, one: Bin) -> None:
    """Add the line of one bin."""
    recall, predicted = _share(one.candidates, one.pairs), _share(one.predicted, one.pairs)
    of_predicted = _share(one.candidates, one.predicted)
    counts = (f"{one.pairs:,}", f"{one.candidates:,}")
    table.add_row(name, *counts, Text(recall, "bold"), predicted, of_predicted)


def judged_table(bins: Sequence[JudgedBin]) -> Table:
    """Return which judged pairs are found, by similarity."""
    table = house_table("Jaccard")
    for name in ("duplicates", "found", "others", "found"):
        table.add_column(name, justify="right")
    for one in bins:
        table.add_row(_range(one.low, one.high), *(f"{count:,}" for count in one[2:]))
    table.add_section()
    table.add_row("all", *(f"{sum(one[n] for one in bins):,}" for n in range(2, 6)))
    return table


def _range(low: float, high: float) -> str:
    """Name the similarities of a bin."""
    return f"{low:.1f} to {high:.1f}" if high <= 1 else f"{low:.1f}"


def _share(part: float, whole: float) -> str:
    """Write a share to three places; a dash where there is nothing to share."""
    return f"{part / whole:.3f}" if whole else "-"
