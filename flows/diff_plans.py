"""What differs between two plans: keys of the recipes, and each phase's numbers and pools.

A *side* is one of the two, a run directory or a recipe; what is said of a change is always first of
side a, then of side b. A recipe that declares no sizes has no plan: then keys alone are compared.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from cuvee.configs.recipe import Recipe
from cuvee.corpus.plan_accounts import PhaseAccount, PlanAccount

# Keys of a stage that the numbers and pools of its phases show.
SHOWN: Final = frozenset(
    {"name", "after", "tokens", "steps", "sequences", "examples", "epochs", "stop", "seq_len"}
    | {"batch", "phases", "mixture"}
)
SAME_SHARE: Final = 1e-6


class Side(NamedTuple):
    """One of two plans: as it was named, its recipe, its account, and its run if it is one."""

    name: str
    recipe: Recipe
    plan: PlanAccount | None
    run: Path | None


class Change(NamedTuple):
    """A key and its values; None where a side has no such key."""

    key: str
    a: Any
    b: Any


class PoolChange(NamedTuple):
    """A pool of a phase: its shares and tokens of both sides, and its shares at both ends."""

    pool: str
    shares: tuple[float, float]
    tokens: tuple[int, int]
    first: tuple[float, float]
    last: tuple[float, float]


class PhaseChange(NamedTuple):
    """A phase: `change` is added, removed, changed or same."""

    name: str
    change: str
    keys: list[Change]
    pools: list[PoolChange]


def recipe_changes(a: Recipe, b: Recipe, planned: bool) -> list[Change]:
    """Return the keys in which two recipes differ; where both are `planned`, but for `SHOWN`."""
    mine, theirs = _by_name(a), _by_name(b)
    found = []
    for change in _changes(mine, theirs, ""):
        steps = change.key.split(".")
        if not planned or steps[0] != "stages" or (len(steps) > 2 and steps[2] not in SHOWN):
            found.append(change)
    return found


def phase_changes(a: PlanAccount, b: PlanAccount) -> list[PhaseChange]:
    """Return what differs in every phase, in the order of b; what b has not comes last."""
    mine, theirs = ({phase.name: phase for phase in plan.phases} for plan in (a, b))
    found = []
    for name in [*theirs, *(name for name in mine if name not in theirs)]:
        before, after = mine.get(name), theirs.get(name)
        keys = [
            Change(key, old, new)
            for key, old, new in zip(_KEYS, _numbers(before), _numbers(after), strict=True)
            if old != new
        ]
        pools = list(_pools(before, after))
        change = "added" if before is None else "removed" if after is None else "changed"
        found.append(PhaseChange(name, change if keys or pools else "same", keys, pools))
    return found


_KEYS: Final = ("after", "steps", "tokens", "seq_len", "batch_sequences", "first_token")


def _numbers(phase: PhaseAccount | None) -> tuple[Any, ...]:
    """Return the numbers of a phase, None where there is none."""
    if phase is None:
        return (None,) * len(_KEYS)
    return (list(phase.after), *(getattr(phase, key) for key in _KEYS[1:]))


def _pools(a: PhaseAccount | None, b: PhaseAccount | None) -> Iterator[PoolChange]:
    """Yield the pools of which two phases read different shares or tokens."""
    held = [
        {pool.pool: pool.tokens for pool in phase.pools} if phase else dict[str, int]()
        for phase in (a, b)
    ]
    for pool in dict.fromkeys([*held[1], *held[0]]):
        tokens = (held[0].get(pool, 0), held[1].get(pool, 0))
        mean, first, last = zip(_shares(a, pool), _shares(b, pool), strict=True)
        apart = max(abs(old - new) for old, new in (mean, first, last))
        if tokens[0] != tokens[1] or apart > SAME_SHARE:
            yield PoolChange(pool, mean, tokens, first, last)


def _shares(phase: PhaseAccount | None, pool: str) -> tuple[float, float, float]:
    """Return a pool's mean share of a phase, its first and its last; 0 where there is no phase."""
    if phase is None:
        return 0.0, 0.0, 0.0
    read = sum(held.tokens for held in phase.pools if held.pool == pool)
    first, last = (phase.windows[n].shares.get(pool, 0.0) for n in (0, -1))
    return read / phase.tokens, first, last


def _by_name(recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a recipe with its stages by name."""
    held = recipe.model_dump(mode="json")
    return held | {"stages": {stage["name"]: stage for stage in held["stages"]}}


def _changes(a: Any, b: Any, key: str) -> Iterator[Change]:
    """Yield the keys in which two values differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in dict.fromkeys([*a, *b]):
            yield from _changes(a.get(name), b.get(name), f"{key}.{name}" if key else name)
    elif a != b:
        yield Change(key, a, b)
