"""The difference of two plans as a terminal shows it, and as a machine reads it."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cuvee.corpus import figures
from cuvee.corpus.terminal import house_table
from cuvee.flows.diff_plans import Change, PhaseChange, PoolChange
from cuvee.flows.diff_positions import Agreement

SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
CALLED = {"seq_len": "length", "batch_sequences": "batch", "first_token": "from token"}
HEAD = 12  # characters of a chain's head
MAX_VALUE = 48  # characters of a value of the recipe


def render(
    names: tuple[str, str],
    keys: Sequence[Change],
    phases: Sequence[PhaseChange],
    plans: dict[str, Agreement],
) -> Group:
    """Return what is printed of a difference; `plans` says of phases how far runs agree."""
    parts: list[RenderableType] = [
        Text.assemble(("a ", "bold"), names[0]),
        Text.assemble(("b ", "bold"), names[1]),
    ]
    if keys:
        parts += ["", _key_table(keys)]
    changed = [phase for phase in phases if phase.change != "same"]
    if changed:
        parts += ["", _phase_table(changed)]
    if plans:
        parts += ["", *(_position(name, held) for name, held in plans.items())]
    if not keys and not changed and all(held.identical for held in plans.values()):
        parts += ["", Text("  the same in every stage", "green")]
    return Group(*parts)


def document(
    names: tuple[str, str],
    keys: Sequence[Change],
    phases: Sequence[PhaseChange],
    plans: dict[str, Agreement],
) -> dict[str, Any]:
    """Return a difference as values of JSON."""
    return {
        "a": names[0],
        "b": names[1],
        "keys": [change._asdict() for change in keys],
        "stages": [
            {
                "stage": phase.name,
                "change": phase.change,
                "keys": [change._asdict() for change in phase.keys],
                "pools": [pool._asdict() for pool in phase.pools],
            }
            for phase in phases
        ],
        "plans": {
            name: {**held._asdict(), "identical": held.identical} for name, held in plans.items()
        },
    }


def _key_table(keys: Sequence[Change]) -> Table:
    """Return a line for each key of the recipes that differs."""
    table = house_table("recipe", max_width=40)
    table.add_column("a", overflow="fold")
    table.add_column("b", overflow="fold")
    for change in keys:
        table.add_row(change.key, _value(change.a), _value(change.b))
    return table


def _phase_table(phases: Sequence[PhaseChange]) -> Table:
    """Return a line for each phase that differs and, below it, for its numbers and pools."""
    table = house_table("stage", max_width=34)
    for name in ("a", "b", "tokens of a", "of b"):
        table.add_column(name, justify="right", no_wrap=True)
    for phase in phases:
        sign, style = SIGNS[phase.change]
        table.add_row(Text(f"{sign} {phase.name}", f"bold {style}"))
        for key, old, new in phase.keys:
            table.add_row(f"    {CALLED.get(key, key)}", _number(key, old), _number(key, new))
        for pool in phase.pools:
            tokens = (figures.amount(count) if count else "-" for count in pool.tokens)
            table.add_row(f"    {pool.pool}", _shares(pool, 0), _shares(pool, 1), *tokens)
        table.add_section()
    return table


def _shares(pool: PoolChange, side: int) -> str:
    """Return a pool's share; where it changes on the way, from where to where."""
    first, last = figures.share(pool.first[side]), figures.share(pool.last[side])
    if first != last:
        return f"{first} - {last}"
    return figures.share(pool.shares[side]) if pool.tokens[side] else "-"


def _number(key: str, value: Any) -> str:
    """Return a number of a phase as people write it."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if key in ("tokens", "first_token"):
        return figures.place(value)
    return figures.shape(value) if key in ("seq_len", "batch_sequences") else f"{value:,}"


def _value(value: Any) -> str:
    """Return a value of a recipe, cut to a few words."""
    text = "-" if value is None else figures.plain(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _position(name: str, held: Agreement) -> Text:
    """Return how far the plans of a phase agree."""
    a, b = held.sequences
    if held.identical:
        said, style = f"identical, {a:,} positions", "green"
    elif held.position is None:
        longer = "b" if b > a else "a"
        said = f"the same for {min(a, b):,} positions; {longer} goes on to {max(a, b):,}"
        style = "yellow"
    else:
        said, style = f"differs from position {held.position:,} (step {held.step:,})", "red"
    heads = [head[:HEAD] for head in held.heads]
    chain = heads[0] if held.identical else f"{heads[0]} / {heads[1]}"
    return Text.assemble(
        ("  plan  ", "bold"), (f"{name:<16} ", "cyan"), (said, style), (f"  chain {chain}", "dim")
    )
