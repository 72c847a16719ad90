"""Lay a stage out flat: one part for each phase, with its budget in steps and its place in the run.

What a phase reads is settled in whole steps, and the next begins where it really ends: after 252M
tokens in steps of 4,194,304 that is after 60 steps. A stage of several phases is called by its
name and their number: `core_1`, `core_2`. A stage's *run token* counts along the plan's lineage,
the longest way from a root: where stages join, from the end of the parent that has read most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Phase
from cuvee.configs.stages import Stage as Asked
from cuvee.mixers.steps import nearest, steps


@dataclass(frozen=True)
class Start:
    """Where a stage comes from."""

    parents: tuple[str, ...] = ()  # the last folder of each stage that it comes after
    run_token: int = 0
    seed: int = 0
    stops: Mapping[str, int] = field(default_factory=dict)  # steps after which a folder ends


@dataclass(frozen=True)
class FlatStage:
    """One phase of a stage, or all of one that has none."""

    name: str  # of its folder
    of: str  # the stage of the recipe
    budget: int  # tokens asked for
    seq_len: int
    batch_sequences: int
    first_token: int  # of its stage; what earlier phases read
    run_token: int  # of the run; what was read on the longest way to here
    stop_steps: int | None = None  # steps after which it ends, where that is before its budget
    seed: int = 0
    parents: tuple[str, ...] = ()

    @property
    def step_tokens(self) -> int:
        """Tokens of one step."""
        return self.batch_sequences * self.seq_len

    @property
    def horizon_steps(self) -> int:
        """Steps of the whole budget: the whole number nearest to it."""
        return steps(self.budget, self.seq_len, self.batch_sequences)

    @property
    def steps(self) -> int:
        """Steps that it has."""
        if self.stop_steps is None:
            return self.horizon_steps
        return min(self.horizon_steps, self.stop_steps)

    @property
    def horizon_tokens(self) -> int:
        """Tokens of its whole budget, in whole steps."""
        return self.horizon_steps * self.step_tokens

    @property
    def tokens(self) -> int:
        """Tokens that it reads."""
        return self.steps * self.step_tokens

    @property
    def end(self) -> int:
        """Tokens of the run that are read when it ends."""
        return self.run_token + self.tokens


def flatten(stage: Asked, budget: int, start: Start) -> list[FlatStage]:
    """Return the parts of a stage with a budget in tokens, in order.

    Raises RecipeError for a phase that ends before it begins, and for a stop at no step.
    """
    flat: list[FlatStage] = []
    for name, shape in zip(stage.folders, stage.shapes, strict=True):
        done = sum(part.tokens for part in flat)
        end = budget if shape.until is None else shape.until
        if end <= done:
            raise RecipeError(
                f"stages.{stage.name}: {name} ends at {end:,} tokens, and {done:,} are read "
                "before it begins.",
                do="Raise the stage's tokens, or take the phase out.",
            )
        stop = _stop_steps(stage, name, shape, done, start.stops)
        if stop == 0:
            break
        part = FlatStage(
            name,
            stage.name,
            end - done,
            shape.seq_len,
            shape.batch.in_sequences(shape.seq_len),
            done,
            start.run_token + done,
            stop,
            start.seed,
            (flat[-1].name,) if flat else start.parents,
        )
        flat.append(part)
        if part.steps < part.horizon_steps:  # stopped: what would come behind is not reached
            break
    return flat


def _stop_steps(
    stage: Asked, name: str, shape: Phase, done: int, stops: Mapping[str, int]
) -> int | None:
    """Return the steps after which a part is stopped: None nowhere, 0 before it begins."""
    if name in stops and stops[name] < 1:
        raise RecipeError(
            f"Stage {name!r} is to end after step {stops[name]}.", do="Give a step from 1 on."
        )
    found = [stops[name]] if name in stops else []
    if stage.stop is not None:
        batch = shape.batch.in_sequences(shape.seq_len)
        found.append(max(0 if done else 1, nearest(stage.stop - done, shape.seq_len * batch)))
    return min(found, default=None)
