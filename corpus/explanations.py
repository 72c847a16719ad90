"""What lineage finds, as values and as the terminal shows them.

A *position* is a sequence's place in its stage, a *segment* a run of one document's tokens in it,
an *occurrence* such a run seen from the document. Texts are shown as plain text, never as markup,
and without control characters. Nothing is looked up here: that is `cuvee.corpus.lineage`.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cuvee.corpus import figures
from cuvee.corpus.pages import Page
from cuvee.corpus.terminal import house_table

EXCERPT_CHARS: Final = 160


class Duplicate(NamedTuple):
    """The other document of a pair of duplicates."""

    doc_id: str
    kind: str
    similarity: float


class Hit(NamedTuple):
    """A benchmark item in a document; the span is in characters, half open."""

    benchmark: str
    split: str
    item_id: str
    span_start: int
    span_end: int
    score: float


class Occurrence(NamedTuple):
    """A stretch of a document at a position: offset, length and start in tokens."""

    stage: str
    position: int
    step: int
    slot: int
    epoch: int
    offset: int
    length: int
    doc_start: int


@dataclass(frozen=True)
class Segment:
    """One document's tokens in a sequence; `decoded` and `matches` are None before assembly.

    of_text: whether its tokens are those of its text alone.
    """

    offset: int
    length: int
    doc_start: int
    doc_tokens: int
    epoch: int
    page: Page
    decoded: str | None
    matches: bool | None
    of_text: bool = True


@dataclass(frozen=True)
class PositionExplanation:
    """One sequence: its place in the plan and its segments from first to last."""

    stage: str
    position: int
    step: int
    slot: int
    source: str
    epoch: int
    ordinal: int
    seq_len: int
    segments: list[Segment]


@dataclass(frozen=True)
class DocumentExplanation:
    """One document: the page, its copies, its hits and everywhere it is trained on."""

    page: Page
    n_tokens: int | None  # None when it is not in the token store
    removed_for: list[Duplicate]  # the copies kept in its place
    removed_copies: list[Duplicate]  # the copies removed in its favour
    contamination: list[Hit]
    occurrences: list[Occurrence]


Explanation = PositionExplanation | DocumentExplanation


def render(explanation: Explanation) -> RenderableType:
    """Return an explanation of a position or of a document for the terminal."""
    if isinstance(explanation, PositionExplanation):
        return _position(explanation)
    return _document(explanation)


def _position(found: PositionExplanation) -> RenderableType:
    """Return a sequence's place, then its segments."""
    title = Text.assemble(
        (f"{found.stage} ", "bold cyan"), (f"position {found.position:,}", "bold"),
    )  # fmt: skip
    filled = sum(segment.length for segment in found.segments)
    facts = _facts(
        {
            "step": f"{found.step:,}, slot {found.slot:,}",
            "source": f"{found.source}, its sequence {found.ordinal:,}, epoch {found.epoch}",
            "tokens": f"{filled:,} of {found.seq_len:,}",
        }
    )
    parts: list[RenderableType] = [title, facts]
    for segment in found.segments:
        parts += [Text(), _segment(segment)]
    return Group(*parts)


def _segment(segment: Segment) -> RenderableType:
    """Return one segment: which tokens of which page, whether they match, and their text."""
    end = segment.offset + segment.length
    of = f"tokens {segment.doc_start:,} to {segment.doc_start + segment.length:,}"
    title = Text.assemble(
        (f"[{segment.offset:,}, {end:,}) ", "bold"),
        f"{of} of {segment.doc_tokens:,}, epoch {segment.epoch}  ",
        _match(segment.matches, segment.of_text),
    )
    facts = _page_facts(segment.page)
    if segment.decoded is not None:
        facts["decoded"] = _excerpt(segment.decoded)
    return Group(title, Padding(_facts(facts), (0, 0, 0, 2)))


def _match(matches: bool | None, of_text: bool) -> tuple[str, str]:
    """Return in words, with a style, whether a segment gives its document's text back."""
    if matches is None:
        return "not assembled yet", "dim"
    if matches:
        return "✓ decodes to the document's text" if of_text else "✓ as tokenised", "green"
    due = "decode to the document's text" if of_text else "hold what was tokenised"
    return f"✗ does not {due}", "bold red"


def _document(found: DocumentExplanation) -> RenderableType:
    """Return a page, its copies and hits, and where it is trained on."""
    facts = _page_facts(found.page)
    if found.n_tokens is not None:
        facts["tokens"] = f"{found.n_tokens:,}"
    for name, copies in (("removed for", found.removed_for), ("copies", found.removed_copies)):
        if copies:
            lines = [f"{copy.doc_id} ({copy.kind}, {copy.similarity:.2f})" for copy in copies]
            facts[name] = "\n".join(lines)
    if found.contamination:
        facts["benchmarks"] = "\n".join(
            f"{hit.benchmark} {hit.split} {hit.item_id}, characters {hit.span_start:,} to "
            f"{hit.span_end:,}, score {hit.score:.2f}"
            for hit in found.contamination
        )
    trained: RenderableType = Text("It is trained on nowhere.", "dim")
    if found.occurrences:
        trained = _occurrences(found.occurrences)
    return Group(_facts(facts), Text(), trained)


def _occurrences(occurrences: list[Occurrence]) -> Table:
    """Return where a document is trained on, a line a segment."""
    table = house_table("trained in")
    for name in ("epoch", "position", "step", "slot", "offset", "length", "from token"):
        table.add_column(name, justify="right")
    for stage, group in groupby(occurrences, key=lambda found: found.stage):
        for at, found in enumerate(group):
            numbers = (found.epoch, found.position, found.step, found.slot, found.offset)
            cells = [f"{number:,}" for number in (*numbers, found.length, found.doc_start)]
            table.add_row(stage if at == 0 else "", *cells)
    return table


def _page_facts(page: Page) -> dict[str, Any]:
    """Return what is known of a page, for `_facts`."""
    facts: dict[str, Any] = {"document": page.doc_id, "from": f"{page.path} row {page.row:,}"}
    facts |= {name: getattr(page, name) for name in ("url", "date", "license")}
    facts["size"] = f"{figures.size(page.n_bytes)}, source {page.source}"
    if page.verdict is not None and page.verdict.kept:
        facts["verdict"] = Text("kept", "green")
    elif page.verdict is not None:
        facts["verdict"] = Text(f"dropped by {page.verdict.step}: {page.verdict.reason}", "red")
    shown = [
        f"{name} {_number(value)}" for name, value in page.signals.items() if value is not None
    ]
    facts["signals"] = ", ".join(shown)
    facts["text"] = _excerpt(page.text)
    for name, text in (("edited", page.edited_text), ("finished", page.finished_text)):
        if text is not None:
            facts[name] = _excerpt(text)
    return facts


def _facts(facts: dict[str, Any]) -> Table:
    """Return names and values in two columns, without what is empty."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def _number(value: Any) -> str:
    """Return a signal's value in short."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _excerpt(text: str) -> str:
    """Return the start of a text on one line, without what would steer the terminal."""
    line = " ".join(text[: 4 * EXCERPT_CHARS].split())
    line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= EXCERPT_CHARS else line[: EXCERPT_CHARS - 1] + "…"
