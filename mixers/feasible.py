"""Settle before any shard is written whether the sources can give what the stages need.

A source's *demand* is the sequences that the stages' schedules draw from it, times their length.
Stages share one cursor per source, so a plan is feasible when no source's demand over all stages
exceeds its available tokens. Packing needs no more than that: it fills at least as many sequences
as the tokens would without a gap, and pieces that one stage does not place are there for the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import MixInfeasible
from cuvee.mixers.plan import Stage
from cuvee.mixers.steps import steps
from cuvee.mixers.supply import Supply, available_tokens, epochs_for

UNITS = ((12, "T"), (9, "B"), (6, "M"), (3, "K"))  # power of ten, suffix: as the recipe reads them


class _Lack(NamedTuple):
    """What the limiting source lacks in the stage in which it runs out, in tokens."""

    available: int  # over all stages
    earlier: int  # of these, demanded by earlier stages
    needed: int  # by this stage


class Feasibility(NamedTuple):
    """Demand and supply in tokens, in the order of the stages and of the supplies."""

    demanded: NDArray[np.int64]  # [stages, sources]
    available: NDArray[np.int64]  # [sources]
    unique: NDArray[np.int64]  # [sources]


def check(seed: int, stages: Sequence[Stage], supplies: Sequence[Supply]) -> Feasibility:
    """Return demand and supply of every source, or raise MixInfeasible with what would suffice.

    `supplies` follow the order of the stages' weights. The error is about the source that can give
    the smallest part of what is asked of it, in the stage in which it runs out. Each remedy that it
    offers makes the whole plan feasible and is the smallest of its kind: the largest budget of that
    stage alone, and the lowest caps, to 1/100 epoch, of all sources that fall short.
    """
    _refuse_empty(stages, supplies)
    found = Feasibility(
        np.array([stage.counts * stage.seq_len for stage in stages]),
        np.array([available_tokens(seed, supply) for supply in supplies]),
        np.array([supply.unique_tokens for supply in supplies]),
    )
    if (found.demanded.sum(axis=0) > found.available).any():
        raise _infeasible(seed, stages, supplies, found)
    return found


def _refuse_empty(stages: Sequence[Stage], supplies: Sequence[Supply]) -> None:
    """Raise MixInfeasible for a source that has a weight but no document: no cap helps there."""
    for stage in stages:
        for i in stage.drawn.tolist():
            if len(supplies[i].lengths) == 0:
                raise MixInfeasible(
                    f"Stage {stage.name!r}: source {supplies[i].source!r} has a weight of "
                    f"{_percent(stage, i)} but no document of it survived curation.",
                    do="Give it weight 0 there, or let curation keep some of its documents.",
                )


def _best_steps(at: int, stages: Sequence[Stage], found: Feasibility) -> int:
    """Return the most steps of stage `at` with which the whole plan is feasible; 0 if none are.

    Where weights stay, a shorter schedule is a prefix of the longer one, so the stage can last
    until the first draw that some source can no longer give. A ramp may end some draws earlier.
    """
    stage = stages[at]
    left = found.available - np.delete(found.demanded, at, axis=0).sum(axis=0)
    if (left < 0).any():
        return 0
    affordable = left // stage.seq_len
    ends = [
        int(np.flatnonzero(stage.schedule == i)[affordable[i]])
        for i in np.flatnonzero(stage.counts > affordable)
    ]
    best = min(ends) // stage.batch_sequences
    while best and (_counts(stage, best) > affordable).any():
        best -= 1
    return best


def _counts(stage: Stage, n_steps: int) -> NDArray[np.int64]:
    """Return the sequences of each source in the first steps of a stage, were they all of it."""
    tokens = n_steps * stage.batch_sequences * stage.seq_len
    return replace(stage, tokens=tokens).counts


def _infeasible(
    seed: int, stages: Sequence[Stage], supplies: Sequence[Supply], found: Feasibility
) -> MixInfeasible:
    """Return the error about the limiting source, with the remedies that would suffice."""
    demanded = found.demanded.sum(axis=0)
    short = np.flatnonzero(demanded > found.available).tolist()
    limiting = min(short, key=lambda i: (found.available[i] / demanded[i], i))
    asked, available = found.demanded[:, limiting], int(found.available[limiting])
    at = int(np.argmax(asked.cumsum() > available))
    lack = _Lack(available, int(asked[:at].sum()), int(asked[at]))
    caps = {supplies[i].source: epochs_for(seed, supplies[i], int(demanded[i])) for i in short}
    return MixInfeasible(
        _shortfall(stages[at], limiting, supplies[limiting], lack),
        do=_remedies(stages[at], _best_steps(at, stages, found), caps),
    )


def _shortfall(stage: Stage, source: int, supply: Supply, lack: _Lack) -> str:
    """Return the sentence that sets what a source can give a stage against what that needs."""
    left = lack.available - lack.earlier
    # Enough decimals to show that one is less than the other.
    decimals = next(d for d in count(1) if _rounded(left, d) != _rounded(lack.needed, d))
    left_text, unique, earlier, needed = (
        _rounded(tokens, decimals).text
        for tokens in (left, supply.unique_tokens, lack.earlier, lack.needed)
    )
    less = f", less {earlier} in earlier stages" if lack.earlier else ""
    return (
        f"Stage {stage.name!r}: source {supply.source!r} can give {left_text} tokens "
        f"({unique} x {supply.max_epochs} epochs{less}) but its {_percent(stage, source)} of "
        f"{_rounded(stage.tokens, 1).text} needs {needed}."
    )


def _remedies(stage: Stage, best_steps: int, caps: Mapping[str, float]) -> str:
    """Return the sentence that names the budget and the caps, each of which is enough."""
    raised = " and ".join(f"sources.{name}.max_epochs to {cap:.2f}" for name, cap in caps.items())
    key = f"stages.{stage.name}.tokens"
    if best_steps == 0:
        return f"Raise {raised}; no lower {key} is enough."
    return f"Lower {key} to {_budget(stage, best_steps)}, or raise {raised}."


def _budget(stage: Stage, best_steps: int) -> str:
    """Return the shortest amount of tokens that rounds to `best_steps` steps of a stage."""
    exact = best_steps * stage.batch_sequences * stage.seq_len
    amounts = (_rounded(exact, decimals) for decimals in count(1))
    return next(
        text
        for tokens, text in amounts
        if steps(tokens, stage.seq_len, stage.batch_sequences) == best_steps
    )


class _Amount(NamedTuple):
    """A number of tokens as a recipe writes it, and its exact value."""

    tokens: int
    text: str


def _rounded(tokens: int, decimals: int) -> _Amount:
    """Return `tokens` to so many decimals of its unit, halves up: 1.2B; below 1,000 as it is."""
    for power, suffix in UNITS:
        if tokens >= 10**power:
            shown = min(decimals, power)
            least = 10 ** (power - shown)
            whole, part = divmod((tokens + least // 2) // least, 10**shown)
            return _Amount((whole * 10**shown + part) * least, f"{whole}.{part:0{shown}d}{suffix}")
    return _Amount(tokens, str(tokens))


def _percent(stage: Stage, source: int) -> str:
    """Return a source's share of a whole stage: 10 %."""
    return f"{100 * stage.targets.shares[source]:.3g} %"
