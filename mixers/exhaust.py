"""What a stage does when a source cannot give its share, where the recipe says so.

*Redistribute* lets the source give what it can, and deals the rest to the other pools in their
ratio, piece by piece of a ramp. *Repeat* raises the source's `max_epochs` to the lowest that is
enough, from here on for the whole plan. *Shrink* ends the stage after the most steps for which all
sources suffice. What none of these mends stays, and is refused when the plan is checked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.stages import Stage as Asked
from cuvee.mixers.amounts import apart
from cuvee.mixers.demand import Balance, asked_of, balance, lowest_cap
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool, Supply
from cuvee.mixers.targets import Targets
from cuvee.mixers.weights import SHARE_UNITS


@dataclass
class Laid:
    """What is settled so far, and what the sources can give to it."""

    pools: Mapping[str, Pool]  # all that are known yet
    supplies: Sequence[Supply]
    exact: bool  # count by schedules
    stages: list[Stage] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    caps: dict[str, float] = field(default_factory=dict)  # by source, where they were raised

    def with_(self, parts: Sequence[Stage]) -> Balance:
        """Return what parts of one more stage ask of all pools and are given."""
        stages, pools = [*self.stages, *parts], list(self.pools.values())
        asked = asked_of(stages, len(pools), self.exact)
        found = balance(stages, pools, self.supplies, self.caps, asked)
        begin = len(self.stages)
        return Balance(found.asked[begin:], found.given[begin:])


def exhausted(stage: Asked, parts: list[Stage], laid: Laid) -> list[Stage]:
    """Return the parts of a stage as its `on_exhaust` makes them, and say in `laid` what it did."""
    if stage.on_exhaust == "error" or not laid.with_(parts).short.any():
        return parts
    if stage.on_exhaust == "redistribute":
        return _redistributed(parts, laid)
    if stage.on_exhaust == "repeat":
        return _repeated(stage, parts, laid)
    return _shrunk(stage, parts, laid)


def _redistributed(parts: list[Stage], laid: Laid) -> list[Stage]:
    """Let short pools give what they can, and the others the rest."""
    kept: list[Stage] = []
    for part in parts:
        found, closed = part, np.zeros(part.ramp.weights.shape[1], np.bool_)
        for _ in range(4 * len(closed)):
            now = laid.with_([*kept, found])
            short = now.short[-1][: len(closed)]
            if not short.any():
                break
            closed |= short
            ramp = _reweighed(found, now.given[-1], short, closed)
            if ramp is None:
                break
            found = replace(found, ramp=ramp)
        kept.append(found)
        laid.warnings += _given_less(part, found, list(laid.pools), laid.exact)
    return kept


def _given_less(was: Stage, now: Stage, pools: Sequence[str], exact: bool) -> list[str]:
    """Return a warning for every pool that gives less than it was asked."""
    before, after = (asked_of([stage], len(pools), exact)[0] for stage in (was, now))
    texts: list[str] = []
    if now is was:
        return texts
    for n in np.flatnonzero(after < before).tolist():
        gives, asked = apart(int(after[n]), int(before[n]))
        texts.append(
            f"stage {now.name}: {pools[n]} gives {gives} of {asked} tokens, and the others the rest"
        )
    return texts


def _reweighed(
    stage: Stage, given: NDArray[np.int64], short: NDArray[np.bool_], closed: NDArray[np.bool_]
) -> Targets | None:
    """Return weights with which short pools are due no more than they give.

    What that frees goes to the pools that are not closed, in the ratio of their weights in each
    piece; None where a piece has no such pool.
    """
    due = stage.targets.due
    rows = []
    for row in stage.ramp.weights.tolist():
        new = list(row)
        for n in np.flatnonzero(short).tolist():
            sequences = int(given[n]) // stage.seq_len
            new[n] = row[n] * sequences * SHARE_UNITS // int(due[n]) if due[n] else 0
        free, open_ = SHARE_UNITS - sum(new), [n for n, w in enumerate(row) if w and not closed[n]]
        if free and not open_:
            return None
        total = sum(row[n] for n in open_)
        for n in open_:
            new[n] += free * row[n] // total
        for n in open_[: SHARE_UNITS - sum(new)]:  # less than one unit for each
            new[n] += 1
        rows.append(new)
    return Targets(stage.ramp.lengths, np.array(rows, np.int64))


def _repeated(stage: Asked, parts: list[Stage], laid: Laid) -> list[Stage]:
    """Raise the caps of short sources to the lowest that are enough for the stage."""
    pools = list(laid.pools.values())
    stages = [*laid.stages, *parts]
    asked = asked_of(stages, len(pools), laid.exact)
    short = laid.with_(parts).short.any(axis=0)
    sources = {pools[n].source for n in np.flatnonzero(short).tolist()}
    for supply in laid.supplies:
        if supply.source not in sources:
            continue
        cap = lowest_cap(stages, pools, supply, asked, laid.caps, len(laid.stages))
        if cap is not None:
            laid.caps[supply.source] = cap
            laid.warnings.append(
                f"stage {stage.name}: documents of {supply.source} are read up to {cap:g} times, "
                f"more than its max_epochs of {supply.max_epochs:g}"
            )
    return parts


def _shrunk(stage: Asked, parts: list[Stage], laid: Laid) -> list[Stage]:
    """End a stage after the most steps for which all sources suffice."""
    whole = sum(part.steps for part in parts)
    best = most(lambda n: not laid.with_(cut(parts, n)).short.any(), whole)
    if best == 0:
        return parts
    kept = cut(parts, best)
    tokens = [sum(part.sequences * part.seq_len for part in held) for held in (kept, parts)]
    names = list(laid.pools)
    lacking = laid.with_(cut(parts, best + 1)).short.any(axis=0)
    short = [names[n] for n in np.flatnonzero(lacking).tolist()]
    few, all_ = apart(*tokens)
    laid.warnings.append(
        f"stage {stage.name}: ends after {best:,} of {whole:,} steps, {few} of {all_} tokens; "
        f"{' and '.join(short)} can give no more"
    )
    return kept


def cut(parts: Sequence[Stage], steps: int) -> list[Stage]:
    """Return the first steps of a stage's parts."""
    kept = []
    for part in parts:
        if steps <= 0:
            break
        kept.append(part.stopped(steps))
        steps -= part.steps
    return kept


def most(enough: Callable[[int], bool], too_many: int) -> int:
    """Return the most below `too_many` that is enough, by halving; 0 where none is."""
    if too_many < 2 or not enough(1):
        return 0
    low, high = 1, too_many
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low
