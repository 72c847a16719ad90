"""The mixture of a plan over its tokens, drawn in letters and colours: a stack on its side.

Time goes down, a row for a phase, or several where its mixture changes; a row is as wide as a whole
and each pool has its part of it, always in the same order. A source has a letter and, where the
terminal has colours, a colour; a capital stands for a view of it or for what a stage replays of it.
The sources beyond the letters share a dot.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from string import ascii_lowercase
from typing import Final, NamedTuple

from rich.columns import Columns
from rich.table import Table
from rich.text import Text

from cuvee.corpus import figures
from cuvee.corpus.plan_accounts import PhaseAccount, PlanAccount, Window

WIDTH: Final = 60  # cells of a whole
ROWS: Final = 8  # of a phase whose mixture changes
# The page's colours (`style.html`) for dark grounds, the last for all others.
COLOURS: Final = (
    *("#4ba3de", "#f28144", "#2bbf94", "#e2a0c5", "#f2b84b"),
    *("#93d3f7", "#c4c356", "#c9688f", "#a9a0a1"),
)
OTHERS: Final = "·"


class Inks(NamedTuple):
    """A pool's letter and colours."""

    letter: str
    style: str


def inks_of(plan: PlanAccount) -> dict[str, Inks]:
    """Return the letter and the colours of every pool, in the order of the stack."""
    ranks = {source: number for number, source in enumerate(plan.ranked)}
    found = {}
    for pool, source in plan.pools.items():
        rank = ranks[source]
        style = f"black on {COLOURS[min(rank, len(COLOURS) - 1)]}"
        letter = ascii_lowercase[rank] if rank < len(ascii_lowercase) else OTHERS
        found[pool] = Inks(letter if pool == source else letter.upper(), style)
    return found


def picture(plan: PlanAccount) -> Table:
    """Return the picture of a plan: a phase's name, where it begins, and its mixture."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("mixture", style="cyan", no_wrap=True, max_width=26)
    table.add_column("from", justify="right", no_wrap=True)
    table.add_column(_scale(), no_wrap=True)
    inks = inks_of(plan)
    for phase in plan.phases:
        at = phase.first_token
        for number, window in enumerate(rows_of(phase)):
            name = phase.name if number == 0 else ""
            table.add_row(name, figures.place(at), bar(window.shares, inks))
            at += window.tokens
    return table


def legend(plan: PlanAccount) -> Columns:
    """Return what the letters mean, the sources with the largest shares first."""
    inks, sources = inks_of(plan), plan.ranked
    styles = {plan.pools[pool]: ink.style for pool, ink in inks.items()}
    shown = sources[: len(ascii_lowercase)]
    parts = [
        Text.assemble((f" {letter} ", styles[source]), f" {source}")
        for letter, source in zip(ascii_lowercase, shown, strict=False)
    ]
    if more := len(sources) - len(shown):
        parts.append(Text.assemble((f" {OTHERS} ", f"black on {COLOURS[-1]}"), f" {more} others"))
    if any(pool != source for pool, source in plan.pools.items()):
        parts.append(Text("CAPITALS: views, replays", "dim"))
    return Columns(parts, padding=(0, 2))


def rows_of(phase: PhaseAccount) -> list[Window]:
    """Return the rows of a phase: one where its mixture stays, else a few of equal tokens."""
    windows = phase.windows
    if all(window.shares == windows[0].shares for window in windows):
        return [Window(phase.tokens, windows[0].shares)]
    if len(windows) <= ROWS:
        return list(windows)
    bounds = [len(windows) * row // ROWS for row in range(ROWS + 1)]
    return [mean(windows[a:b]) for a, b in pairwise(bounds)]


def mean(windows: Sequence[Window]) -> Window:
    """Return several windows as one."""
    tokens = sum(window.tokens for window in windows)
    pools = dict.fromkeys(pool for window in windows for pool in window.shares)
    shares = {
        pool: sum(window.tokens * window.shares.get(pool, 0.0) for window in windows) / tokens
        for pool in pools
    }
    return Window(tokens, shares)


def bar(shares: Mapping[str, float], inks: Mapping[str, Inks]) -> Text:
    """Return a row: a cell belongs to the pool in whose part of the whole its middle lies."""
    text, reached, filled = Text(), 0.0, 0
    for pool, ink in inks.items():
        reached += shares.get(pool, 0.0)
        end = min(WIDTH, int(reached * WIDTH + 0.5))
        text.append(ink.letter * (end - filled), ink.style)
        filled = max(filled, end)
    return text


def _scale() -> str:
    """Return the head above the rows: per cent of the whole."""
    marks = "".join(f"{percent:<{WIDTH // 4}}" for percent in (0, 25, 50, 75))
    return f"{marks[: WIDTH - 5]:<{WIDTH - 5}}100 %"
