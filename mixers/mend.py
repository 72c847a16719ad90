"""Find the largest budget of a stage with which a whole plan is feasible.

Budgets are tried: the plan is settled again with each, so that quotas, replays and what comes after
the stage follow. The recipe's own key is lowered where that leaves the rest of the stage as it is;
a ramp, or a phase before the last, is ended early by `stop` instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import NamedTuple

from cuvee.configs.errors import CuveeError
from cuvee.configs.mixtures import Ramp
from cuvee.configs.stages import Stage as Asked
from cuvee.mixers.amounts import amount
from cuvee.mixers.demand import Balance, asked_of, balance
from cuvee.mixers.exhaust import cut, most
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Supply
from cuvee.mixers.settled import Request, Settled, lay
from cuvee.mixers.steps import steps


class Change(NamedTuple):
    """A stage that ends earlier, and the sentence that says how."""

    stage: Asked
    text: str


def of_plan(settled: Settled, supplies: Sequence[Supply], exact: bool) -> Balance:
    """Return what a plan asks of its pools, and is given."""
    asked = asked_of(settled.stages, len(settled.pools), exact)
    return balance(settled.stages, settled.pools, supplies, settled.caps, asked)


def lower_budget(
    request: Request, settled: Settled, supplies: Sequence[Supply], name: str
) -> str | None:
    """Return how a stage has to end earlier for the plan to be feasible; None where none helps."""
    stage = next(one for one in request.stages if one.name == name)
    parts = [part for part in settled.stages if part.of == name]

    def best_of(change: Callable[[int], Change], too_many: int) -> str | None:
        def passes(n: int, exact: bool) -> bool:
            return _passes(replace(request, exact=exact), supplies, change(n).stage)

        best = most(lambda n: passes(n, False), too_many)
        # What is counted by quotas is a sequence of each pool off at most.
        while request.exact and best + 1 < too_many and passes(best + 1, True):
            best += 1
        while request.exact and best and not passes(best, True):
            best -= 1
        return change(best).text if best else None

    found = None
    if not isinstance(stage.mixture, Ramp) and len(parts) == len(stage.folders):
        found = best_of(lambda n: _lowered(stage, parts, n), parts[-1].steps)
    whole = sum(part.steps for part in parts)
    return found or best_of(lambda n: _stopped(stage, parts, n), whole)


def _lowered(stage: Asked, parts: Sequence[Stage], n_steps: int) -> Change:
    """Return a stage with so many steps in its last part, by the key of its budget."""
    last, done = parts[-1], sum(part.sequences * part.seq_len for part in parts[:-1])
    sequences = n_steps * last.batch_sequences
    exact = done + sequences * last.seq_len

    def comes_to_it(tokens: int) -> bool:
        return steps(tokens - done, last.seq_len, last.batch_sequences) == n_steps

    if stage.steps is not None:
        return _change(stage, "steps", n_steps, f"{n_steps:,}")
    if stage.sequences is not None:
        return _change(stage, "sequences", sequences, f"{sequences:,}")
    if stage.tokens is not None:
        short = next(a for a in (amount(exact, d) for d in count(1)) if comes_to_it(a.tokens))
        return _change(stage, "tokens", short.tokens, short.text)
    if stage.examples is not None:
        examples = max(1, stage.examples * exact // last.tokens)
        return _change(stage, "examples", examples, f"{examples:,}")
    assert stage.epochs is not None  # Stage._one_budget
    part = Fraction(exact, last.tokens) * Fraction(str(stage.epochs))
    epochs = next(
        epochs
        for epochs in (round(float(part), digits) for digits in range(2, 17))
        if comes_to_it(round(last.tokens * epochs / stage.epochs))
    )
    return _change(stage, "epochs", epochs, f"{epochs:g}")


def _change(stage: Asked, key: str, value: float, text: str) -> Change:
    """Return a stage with another value of one key."""
    changed = stage.model_copy(update={key: value})
    return Change(changed, f"Lower stages.{stage.name}.{key} to {text}")


def _stopped(stage: Asked, parts: Sequence[Stage], n_steps: int) -> Change:
    """Return a stage that is stopped after so many steps."""
    held = cut(parts, n_steps)
    exact, last = sum(part.sequences * part.seq_len for part in held), held[-1]
    unit = last.seq_len * last.batch_sequences
    short = next(
        a for a in (amount(exact, d) for d in count(1)) if 2 * abs(a.tokens - exact) < unit
    )
    changed = stage.model_copy(update={"stop": short.tokens})
    return Change(changed, f"End it with stages.{stage.name}.stop: {short.text}")


def _passes(request: Request, supplies: Sequence[Supply], stage: Asked) -> bool:
    """Say whether a plan is feasible when one stage is another."""
    stages = [stage if one.name == stage.name else one for one in request.stages]
    try:
        settled = lay(replace(request, stages=stages), supplies)
        return not of_plan(settled, supplies, request.exact).short.any()
    except CuveeError:
        return False
