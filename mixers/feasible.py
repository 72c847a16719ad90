"""Settle before any shard is written whether the sources can give what the stages need.

Every source is asked for what all stages on all ways through the plan draw of it, and answers with
what it can give (`cuvee.mixers.pools.Supply`). Packing needs no more than the tokens: it fills at
least as many sequences as they would without a gap, and pieces that one stage does not place are
there for the next.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cuvee.configs.errors import MixInfeasible
from cuvee.configs.stages import Stage as Asked
from cuvee.mixers.amounts import amount, decimals_apart
from cuvee.mixers.demand import Balance, lowest_cap
from cuvee.mixers.mend import lower_budget, of_plan
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool, Supply, lineage
from cuvee.mixers.settled import Request, Settled


class _Shortage(NamedTuple):
    """A pool that cannot give a stage what it asks: their numbers."""

    stage: int
    pool: int


def check(request: Request, settled: Settled, supplies: Sequence[Supply]) -> Balance:
    """Return demand and supply of every pool, or raise MixInfeasible with what would suffice.

    The error is about the source that can give the smallest part of what is asked of it, in the
    stage in which it runs out. Each remedy that it offers makes the whole plan feasible, and was
    tried: the largest budget of that stage alone, and the lowest caps, to 1/100 epoch, of all
    sources that fall short.
    """
    found = of_plan(settled, supplies, request.exact)
    _refuse_empty(settled, supplies)
    if found.short.any():
        raise _infeasible(request, settled, supplies, found)
    return found


def _refuse_empty(settled: Settled, supplies: Sequence[Supply]) -> None:
    """Raise MixInfeasible for a source or view with a weight but no document: no cap helps."""
    empty = {name for supply in supplies for name, size in supply.sizes.items() if size == 0}
    for stage in settled.stages:
        for n in stage.drawn.tolist():
            pool = settled.pools[n]
            if pool.name in empty:
                raise MixInfeasible(
                    f"Stage {stage.name!r}: {_called(pool)} has a weight of {_percent(stage, n)} "
                    f"but no document of it {'is there' if pool.is_view else 'survived curation'}.",
                    do=f"Give it weight 0 in stages.{stage.of}.mixture, or let "
                    f"{'the view show' if pool.is_view else 'curation keep'} some documents of it.",
                )


def _infeasible(
    request: Request, settled: Settled, supplies: Sequence[Supply], found: Balance
) -> MixInfeasible:
    """Return the error about the limiting source, with the remedies that would suffice."""
    short = [supply for supply in supplies if found.short_of(supply, settled.pools)]
    limiting = min(short, key=lambda supply: _part_given(found, settled.pools, supply))
    mine = [n for n, pool in enumerate(settled.pools) if pool.source == limiting.source]
    at = int(np.argmax(found.short[:, mine].any(axis=1)))
    here = _Shortage(at, next(n for n in mine if found.short[at, n]))
    caps = {
        supply.source: lowest_cap(settled.stages, settled.pools, supply, found.asked, settled.caps)
        for supply in short
    }
    stage = next(one for one in request.stages if one.name == settled.stages[at].of)
    budget = lower_budget(request, settled, supplies, stage.name)
    return MixInfeasible(
        _shortfall(settled, limiting, found, here),
        _left_out(stage),
        _remedies(settled, here, budget, caps, found),
    )


def _left_out(stage: Asked) -> str:
    """Say by which keys a stage passes over documents that its sources have; empty for none."""
    keys = [f"stages.{stage.name}.exclude"] if stage.exclude is not None else []
    if stage.packing.long == "skip" or stage.packing.min_tokens > 1:
        keys.append(f"stages.{stage.name}.packing")
    return f"Of these it passes over documents by {' and '.join(keys)}." if keys else ""


def _part_given(found: Balance, pools: Sequence[Pool], supply: Supply) -> tuple[float, int]:
    """Return which part of what is asked of a source it can give, and its place."""
    mine = [n for n, pool in enumerate(pools) if pool.source == supply.source]
    return float(found.given[:, mine].sum() / found.asked[:, mine].sum()), mine[0]


def _shortfall(settled: Settled, supply: Supply, found: Balance, here: _Shortage) -> str:
    """Return the sentence that sets what a pool can give a stage against what that needs."""
    stage, pool = settled.stages[here.stage], settled.pools[here.pool]
    given, asked = int(found.given[here.stage, here.pool]), int(found.asked[here.stage, here.pool])
    decimals = decimals_apart(given, asked)
    cap = settled.caps.get(supply.source, supply.max_epochs)
    earlier = _earlier(settled, found, here)
    before = "in earlier stages" if pool.is_source else "of its source before"
    less = f", less {amount(earlier, decimals).text} {before}" if earlier else ""
    size = _size(settled, supply, found, pool)
    return (
        f"Stage {stage.name!r}: {_called(pool)} can give {amount(given, decimals).text} tokens "
        f"({amount(size, decimals).text} x {cap} epochs{less}) but its "
        f"{_percent(stage, here.pool)} of {amount(stage.sequences * stage.seq_len).text} needs "
        f"{amount(asked, decimals).text}."
    )


def _earlier(settled: Settled, found: Balance, here: _Shortage) -> int:
    """Return the tokens of a pool's source that were given on the ways to a stage."""
    above = set(
        lineage({s.name: s.parents for s in settled.stages})[settled.stages[here.stage].name]
    )
    rows = [n for n, stage in enumerate(settled.stages) if stage.name in above]
    source = settled.pools[here.pool].source
    mine = [n for n, pool in enumerate(settled.pools) if pool.source == source]
    same = [n for n in mine if n < here.pool]  # in this stage, those asked before
    return int(found.given[np.ix_(rows, mine)].sum() + found.given[here.stage, same].sum())


def _size(settled: Settled, supply: Supply, found: Balance, pool: Pool) -> int:
    """Return the tokens of a pool, each document once where it replays a stage."""
    if pool.replay is None:
        return supply.sizes[pool.name]
    rows = [n for n, stage in enumerate(settled.stages) if stage.of == pool.replay]
    mine = [n for n, one in enumerate(settled.pools) if one.source == pool.source]
    whole = supply.sizes[pool.source]
    read = min(whole, int(found.given[np.ix_(rows, mine)].sum()))
    return read if pool.seen else whole - read


def _called(pool: Pool) -> str:
    """Return a pool as a sentence names it."""
    if pool.is_source:
        return f"source {pool.name!r}"
    if pool.is_view:
        return f"view {pool.name!r} of source {pool.source!r}"
    what = "drew" if pool.seen else "left"
    return f"what {pool.replay!r} {what} of source {pool.source!r}"


def _remedies(
    settled: Settled,
    here: _Shortage,
    budget: str | None,
    caps: Mapping[str, float | None],
    found: Balance,
) -> str:
    """Return the sentence that names the budget and the caps, each of which is enough."""
    stage = settled.stages[here.stage]
    names = " and ".join(f"sources.{name}.max_epochs" for name in caps)
    raised = " and ".join(f"sources.{n}.max_epochs to {cap:.2f}" for n, cap in caps.items() if cap)
    if None not in caps.values():
        if budget is None:
            return f"Raise {raised}; no lower stages.{stage.of} budget is enough."
        return f"{budget}, or raise {raised}."
    if budget is not None:
        return f"{budget}; no {names} is enough."
    share = int(found.given[here.stage, here.pool]) / (stage.sequences * stage.seq_len)
    return (
        f"Lower its share in stages.{stage.of}.mixture to {100 * share:.3g} % at most; no budget "
        f"and no {names} is enough."
    )


def _percent(stage: Stage, pool: int) -> str:
    """Return a pool's share of a whole stage: 10 %."""
    return f"{100 * stage.targets.shares[pool]:.3g} %"
