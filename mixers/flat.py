"""Lay stages out flat: one for each phase, with its budget in steps and its place in the run.

What a phase reads is settled in whole steps, and the next begins where it really ends: after 252M
tokens in steps of 4,194,304 that is after 60 steps. A stage of several phases is called by its
name and their number: `core_1`, `core_2`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Stage
from cuvee.mixers.steps import steps


@dataclass(frozen=True)
class FlatStage:
    """One phase of a stage, or all of one that has none."""

    name: str  # of its folder
    of: str  # the stage of the recipe
    budget: int  # tokens asked for
    seq_len: int
    batch_sequences: int
    first_token: int  # of its stage; what earlier phases read
    run_token: int  # of the run; what earlier stages and phases read

    @property
    def steps(self) -> int:
        """Steps of the stage: the whole number nearest to its budget."""
        return steps(self.budget, self.seq_len, self.batch_sequences)

    @property
    def tokens(self) -> int:
        """Tokens that it reads."""
        return self.steps * self.batch_sequences * self.seq_len


def flatten(stages: Sequence[Stage], epoch_tokens: Mapping[str, int]) -> list[FlatStage]:
    """Return the phases of all stages in order.

    `epoch_tokens` is the tokens of one epoch of a stage, needed where its budget is in epochs.
    """
    flat: list[FlatStage] = []
    for stage in stages:
        begun = run = sum(part.tokens for part in flat)
        for name, shape in zip(stage.folders, stage.shapes, strict=True):
            sequences, done = shape.batch.in_sequences(shape.seq_len), run - begun
            budget = _budget(stage, epoch_tokens) if shape.until is None else shape.until
            if budget <= done:
                raise RecipeError(
                    f"stages.{stage.name}: {name} ends at {budget:,} tokens, and {done:,} are read "
                    "before it begins.",
                    do="Raise the stage's tokens, or take the phase out.",
                )
            part = FlatStage(name, stage.name, budget - done, shape.seq_len, sequences, done, run)
            flat.append(part)
            run += part.tokens
    return flat


def _budget(stage: Stage, epoch_tokens: Mapping[str, int]) -> int:
    """Return a stage's budget in tokens."""
    if stage.epochs is not None:
        return max(1, round(stage.epochs * epoch_tokens[stage.name]))
    assert stage.budget is not None  # it is in epochs alone that there is none
    return stage.budget
