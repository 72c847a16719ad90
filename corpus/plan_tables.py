"""What a terminal shows of a plan: ways, stages, the mixture, sources, and what is assumed.

Nothing is printed here: rich prints what is returned.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cuvee.corpus import figures
from cuvee.corpus.plan_accounts import (
    PhaseAccount,
    PlanAccount,
    Slot,
    StageMixture,
    mixtures_of,
    tightness,
)
from cuvee.corpus.plan_picture import legend, picture
from cuvee.corpus.terminal import house_table

MAX_LINES: Final = 14  # pools of a stage, and sources; the page has all
MAX_WAYS: Final = 12  # shown


def render(plan: PlanAccount) -> Group:
    """Return everything that is to be said of a plan, the verdict last."""
    parts: list[RenderableType] = [header(plan), stage_table(plan), *_notes(plan), ""]
    parts += [picture(plan), "", legend(plan), "", pool_table(plan)]
    parts += [
        "",
        source_table(plan),
        "",
        *_marks(plan),
        *(Text(f"  ! {said}", "yellow") for said in plan.warnings),
    ]
    return Group(*parts, verdict(plan))


def header(plan: PlanAccount) -> Text:
    """Return the name of the plan and its ways."""
    sizes = "measured" if plan.measured else "declared"
    text = Text.assemble((plan.name, "bold"), (f"  planned from {sizes} sizes\n", "dim"))
    for way in plan.ways[:MAX_WAYS]:
        text.append(f"  {figures.amount(way.tokens):>6}", "bold")
        text.append(f"  {' → '.join(way.stages)}\n")
    if more := len(plan.ways) - MAX_WAYS:
        text.append(f"          and {more} more ways\n" if more > 0 else "", "dim")
    return text


def stage_table(plan: PlanAccount) -> Table:
    """Return a line for each phase; steps count over its stage, tokens over its way."""
    table = house_table("stage", max_width=26)
    table.add_column("after", no_wrap=True, max_width=22)
    for name in ("steps", "length", "batch", "= tokens", "tokens", "from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("budget", no_wrap=True)
    for phase in plan.phases:
        table.add_row(
            phase.name,
            ", ".join(phase.after) or ("" if phase.first_step > 1 else "-"),
            steps(phase),
            figures.shape(phase.seq_len),
            figures.shape(phase.batch_sequences),
            figures.shape(phase.batch_tokens),
            Text(figures.amount(phase.tokens), "bold"),
            figures.place(phase.first_token),
            figures.place(phase.end_token),
            Text(phase.mark, "yellow" if phase.mark == "assumed" else "dim"),
        )
    return table


def steps(phase: PhaseAccount) -> str:
    """Return the first and the last step of a phase, counted over its stage."""
    return f"{phase.first_step:,}-{phase.last_step:,}"


def pool_table(plan: PlanAccount) -> Table:
    """Return a line for each stage and, below it, for each pool that it reads."""
    table = house_table("stage / pool", max_width=32)
    for name in ("share", "from - to", "tokens", "epochs", "D'"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in mixtures_of(plan.phases):
        tokens = Text(figures.amount(stage.tokens), "bold")
        table.add_row(Text(stage.stage, "bold cyan"), "", "", tokens)
        _add_pools(table, stage)
        table.add_section()
    return table


def source_table(plan: PlanAccount) -> Table:
    """Return a line for each source on the way that reads it most, the tightest first."""
    table = house_table("source", max_width=32)
    for name in ("size", "read", "epochs", "at most", "D'"):
        table.add_column(name, justify="right", no_wrap=True)
    ordered = sorted(plan.sources, key=lambda source: (-tightness(source), source.source))
    for source in ordered[:MAX_LINES]:
        table.add_row(
            source.source,
            "?" if source.size is None else figures.amount(source.size),
            figures.amount(source.tokens),
            _epochs(source.epochs),
            f"{source.cap:g}",
            _tokens(source.effective_tokens),
        )
    if more := ordered[MAX_LINES:]:
        table.add_row(Text(f"{len(more)} more", "dim"))
    return table


def verdict(plan: PlanAccount) -> Text:
    """Return whether the sources suffice, in a line."""
    if plan.feasible is None:
        return Text(f"  ? {plan.verdict}", "yellow")
    mark, style = ("✓", "green") if plan.feasible else ("✗", "red")
    return Text.assemble((f"  {mark} ", style), plan.verdict)


def _add_pools(table: Table, stage: StageMixture) -> None:
    """Add the lines of a stage's pools."""
    for pool in stage.pools[:MAX_LINES]:
        first, last = (
            figures.share(shares.get(pool.pool, 0.0)) for shares in (stage.first, stage.last)
        )
        table.add_row(
            f"  {pool.pool}",
            figures.share(pool.tokens, stage.tokens),
            "" if first == last else f"{first} - {last}",
            figures.amount(pool.tokens),
            _epochs(pool.epochs),
            _tokens(pool.effective_tokens),
        )
    if more := stage.pools[MAX_LINES:]:
        tokens = sum(pool.tokens for pool in more)
        share = figures.share(tokens, stage.tokens)
        cells = (f"  {len(more)} more", share, "", figures.amount(tokens))
        table.add_row(*cells, style="dim")


def _notes(plan: PlanAccount) -> Iterator[Text]:
    """Yield what else holds for phases: gates, seeds, where one is stopped."""
    for phase in plan.phases:
        for note in phase.notes:
            yield Text.assemble((f"  {phase.name}", "cyan"), f"  {note}")


def _marks(plan: PlanAccount) -> Iterator[RenderableType]:
    """Yield what the recipe assumes, and where its numbers come from."""
    if plan.assumed:
        yield Text(f"assumed, yours to --set ({len(plan.assumed)}):", "bold")
        table = Table(box=None, pad_edge=False, show_edge=False, show_header=False)
        table.add_column(style="yellow", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in slots(plan.assumed):
            table.add_row(f"  {key}", value)
        yield table
        yield ""
    if plan.marks:
        counted = ", ".join(f"{count} {mark}" for mark, count in plan.marks.items())
        yield Text.assemble(("numbers by source: ", "bold"), counted)


def slots(assumed: Sequence[Slot]) -> list[tuple[str, str]]:
    """Return slots as keys and values; those of the same key of several sources or stages as one.

    >>> slots([Slot("sources.web.tokens", "6T"), Slot("sources.code.tokens", "1T")])
    [('sources.*.tokens', 'web 6T, code 1T')]
    """
    groups: dict[tuple[str, ...], list[tuple[str, Slot]]] = {}
    for slot in assumed:
        first, *rest = slot.key.split(".")
        form = (first, "*", *rest[1:]) if rest else (first,)
        groups.setdefault(form, []).append((rest[0] if rest else "", slot))
    return [
        (".".join(form), ", ".join(f"{name} {slot.value}" for name, slot in held))
        if len(held) > 1
        else (held[0][1].key, held[0][1].value)
        for form, held in groups.items()
    ]


def _epochs(epochs: float | None) -> str:
    """Return epochs to two places, a dash where they are unknown."""
    if epochs is None:
        return "-"
    return "<0.01" if 0 < epochs < 0.005 else f"{epochs:.2f}"


def _tokens(tokens: float | None) -> str:
    """Return tokens, a dash where they are unknown."""
    return "-" if tokens is None else figures.amount(tokens)
