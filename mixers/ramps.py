"""Freeze the mixture of a stage into integer weights, piece by piece.

A ramp is frozen when it is planned: curves are evaluated once, here, and what the plan, the
manifest and every check know is integers. Between two points it becomes `RAMP_PIECES` pieces of
whole steps, or one for each step where there are fewer; each has the mixture of its middle. So the
tokens of a linear ramp come to its integral, and weights are off by 1 / 1024 of the way at most.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.mixers.flat import FlatStage
from cuvee.mixers.mixtures import Mixture, Weights
from cuvee.mixers.quota import MAX_POSITIONS, too_long
from cuvee.mixers.targets import Targets
from cuvee.mixers.weights import SHARE_UNITS, integerise

RAMP_PIECES = 512
CURVE_UNITS = 2**40  # a cosine is rounded to this: the last bits of it differ between machines


def freeze(mixture: Mixture, stage: FlatStage) -> Targets:
    """Return the integer weights of a stage over the positions of its horizon.

    A ramp has one position more, with the mixture that goes on from there, so that a schedule does
    not depend on how long the mixture stays behind the ramp. Raises RecipeError for a weight that
    stays and is too small to be drawn; on a ramp it may begin below that.
    """
    if stage.horizon_steps * stage.batch_sequences > MAX_POSITIONS:
        raise too_long(stage.horizon_steps * stage.batch_sequences)
    lengths, rows = [], []
    for first, last in _pieces(mixture, stage):
        middle = _origin(mixture, stage) + (first + last) * stage.step_tokens // 2
        lengths.append((last - first) * stage.batch_sequences)
        rows.append(_units(mixture, at(mixture, middle)))
    if len(mixture.points) > 1:
        behind = _origin(mixture, stage) + stage.horizon_tokens
        lengths.append(1)
        rows.append(_units(mixture, at(mixture, behind + stage.step_tokens // 2)))
    return Targets(np.array(lengths, np.int64), np.array(rows, np.int64))


def check_points(mixture: Mixture, begin: int, end: int) -> None:
    """Refuse a ramp with a point beyond `end` tokens, where its stage ends."""
    for number, point in enumerate(mixture.points):
        if point.at > end:
            raise RecipeError(
                f"stages.{mixture.stage}.mixture.ramp.{number} lies at {point.at:,} tokens, "
                f"{point.at - end:,} behind the end of the stage.",
                f"The stage reads from {begin:,} to {end:,} tokens of the {mixture.of}.",
                f"Lower its `at` to {end:,}, or raise the stage's budget by {point.at - end:,}.",
            )


def at(mixture: Mixture, tokens: int) -> Weights:
    """Return the shares that a mixture has after `tokens` tokens."""
    points = mixture.points
    later = next((n for n, point in enumerate(points) if point.at > tokens), len(points))
    if later == 0 or later == len(points) or mixture.curve == "step":
        return points[max(later - 1, 0)].weights
    before, after = points[later - 1], points[later]
    way = (tokens - before.at) / (after.at - before.at)
    if mixture.curve == "cosine":
        way = round((1 - math.cos(math.pi * way)) / 2 * CURVE_UNITS) / CURVE_UNITS
    return {
        source: (1 - way) * share + way * after.weights[source]
        for source, share in before.weights.items()
    }


def _units(mixture: Mixture, shares: Weights) -> NDArray[np.int64]:
    """Return integer weights; on a ramp what is below the smallest unit is left out."""
    if len(mixture.points) > 1:
        shares = {n: share if share >= 1 / SHARE_UNITS else 0.0 for n, share in shares.items()}
    return integerise(shares, f"stages.{mixture.stage}.mixture")


def _origin(mixture: Mixture, stage: FlatStage) -> int:
    """Return the tokens, as the points count them, at which a stage begins."""
    return stage.run_token if mixture.of == "run" else stage.first_token


def _pieces(mixture: Mixture, stage: FlatStage) -> Iterator[tuple[int, int]]:
    """Yield the pieces of a stage's horizon, as first and one-past-last step.

    Where a ramp is cut depends on its points alone, not on where the stage ends.
    """
    points = mixture.points if len(mixture.points) > 1 else ()
    places = [_step_at(point.at, mixture, stage) for point in points]
    edges = sorted({min([0, *places]), *places, max([stage.horizon_steps, *places])})
    for first, last in pairwise(edges):
        count = 1 if _still(mixture, stage, first + last) else min(RAMP_PIECES, last - first)
        cuts = [first + (last - first) * n // count for n in range(count + 1)]
        for start, stop in pairwise(cuts):
            if stop > 0 and start < stage.horizon_steps:
                yield max(start, 0), min(stop, stage.horizon_steps)


def _step_at(tokens: int, mixture: Mixture, stage: FlatStage) -> int:
    """Return the step of a stage that begins nearest to a place on a ramp, halves up."""
    unit = stage.step_tokens
    return (2 * (tokens - _origin(mixture, stage)) + unit) // (2 * unit)


def _still(mixture: Mixture, stage: FlatStage, twice: int) -> bool:
    """Say whether a mixture stays as it is around half of `twice` steps of a stage."""
    middle = _origin(mixture, stage) + twice * stage.step_tokens // 2
    return mixture.curve == "step" or not mixture.points[0].at < middle < mixture.points[-1].at
