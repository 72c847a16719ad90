"""Settle a plan: what every stage reads, in which shape, of which pools.

Stages are settled in the order of their lineage, since a stage may replay what an earlier one is
planned to draw: its mixture is resolved, it is laid out in phases of whole steps, its weights are
frozen into integers, and where it says what to do when a source is exhausted, that is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from cuvee.configs.lineage import ancestors, ordered, parents
from cuvee.configs.stages import Stage as Asked
from cuvee.mixers.exhaust import Laid, exhausted
from cuvee.mixers.flat import FlatStage, Start, flatten
from cuvee.mixers.mixtures import Known, Mixture, Weights
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool, Supply
from cuvee.mixers.ramps import at, check_points, freeze
from cuvee.mixers.shares import budget_of, resolve, unsummed
from cuvee.mixers.targets import Targets


@dataclass(frozen=True)
class Request:
    """What a plan is settled from."""

    stages: Sequence[Asked]
    pools: Sequence[Pool]  # sources and views
    sizes: Mapping[str, int]  # tokens by pool, where they are known
    documents: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by source
    files: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # weights by file
    stops: Mapping[str, int] = field(
        default_factory=dict
    )  # steps after which a folder's stage ends
    seed: int = 0
    sized: bool = True  # whether sizes are those of the documents, and no stand-ins
    exact: bool = True  # count sequences by the schedules; else by the quotas alone


class Settled(NamedTuple):
    """A plan, settled."""

    stages: list[Stage]  # a folder each, behind its parents
    pools: list[Pool]  # what the stages' weights are over: sources, views, replayed stages
    mixtures: list[Mixture]  # one for each stage of the recipe, in the order of its lineage
    warnings: list[str]
    caps: dict[str, float]  # by source, where a stage raised its max_epochs (on_exhaust: repeat)


def lay(request: Request, supplies: Sequence[Supply]) -> Settled:
    """Return the plan of a request, before it is settled that the sources suffice.

    Raises RecipeError for what cannot be: a mixture, a budget, a ramp beyond its stage.
    """
    above, ahead = ancestors(request.stages), parents(request.stages)
    known = _known(request)
    laid = Laid(known.pools, supplies, request.exact)
    ends = dict[str, FlatStage]()  # the last part of each stage
    warnings = list[str]()
    for stage in ordered(request.stages):
        mixture = resolve(stage, known, above[stage.name], ahead[stage.name])
        warnings += unsummed(stage, mixture)
        start = Start(
            tuple(ends[parent].name for parent in ahead[stage.name]),
            max((ends[parent].end for parent in ahead[stage.name]), default=0),
            request.seed if stage.seed is None else stage.seed,
            request.stops,
        )
        flat = flatten(stage, budget_of(stage, mixture, known), start)
        if request.sized or stage.budget is not None:
            _check_ramp(stage, mixture, flat)
        kept = [_frozen(mixture, part) for part in flat]
        if request.sized:
            kept = exhausted(stage, kept, laid)
            warnings += _undrawn(stage, kept, list(known.pools), request.exact)
        laid.stages += kept
        ends[stage.name] = replace(flat[len(kept) - 1], stop_steps=kept[-1].stop_steps)
        known.add(mixture, _end(stage, mixture, kept, ends[stage.name]), kept)
    pools = list(known.pools.values())
    return Settled(
        [_over(stage, len(pools)) for stage in laid.stages],
        pools,
        [mixture.over(list(known.pools)) for mixture in known.done.values()],
        [*warnings, *laid.warnings],
        laid.caps,
    )


def _known(request: Request) -> Known:
    """Return what is known before the first stage."""
    return Known(
        {pool.name: pool for pool in request.pools},
        dict(request.sizes),
        dict(request.documents),
        request.tags,
        request.files,
        [stage.name for stage in request.stages],
    )


def _check_ramp(stage: Asked, mixture: Mixture, flat: Sequence[FlatStage]) -> None:
    """Refuse a ramp that goes on behind its stage's budget."""
    begin = flat[0].run_token if mixture.of == "run" else 0
    read = flat[-1].first_token + flat[-1].horizon_tokens
    check_points(mixture, begin, begin + max(stage.budget or 0, read))


def _frozen(mixture: Mixture, part: FlatStage) -> Stage:
    """Return a part of a stage with its integer weights."""
    return Stage(
        part.name,
        part.of,
        part.budget,
        part.seq_len,
        part.batch_sequences,
        freeze(mixture, part),
        part.stop_steps,
        part.seed,
        part.parents,
    )


def _undrawn(stage: Asked, kept: Sequence[Stage], pools: Sequence[str], exact: bool) -> list[str]:
    """Return a warning about pools whose weight comes to no sequence."""
    counts = np.sum([part.counts if exact else part.quota_counts for part in kept], axis=0)
    weighted = {n for part in kept for n in part.drawn.tolist()}
    names = [pools[n] for n in sorted(weighted) if counts[n] == 0]
    if not names:
        return []
    sequences = sum(part.sequences for part in kept)
    return [
        f"stage {stage.name}: {', '.join(names)}: less than one of its {sequences:,} sequences is "
        "due, and none is read"
    ]


def _end(stage: Asked, mixture: Mixture, kept: Sequence[Stage], last: FlatStage) -> Weights:
    """Return the shares with which a stage ends: its last, unless it is stopped on a ramp."""
    if len(kept) == len(stage.folders) and kept[-1].steps == kept[-1].horizon_steps:
        return mixture.last
    begin = last.run_token if mixture.of == "run" else last.first_token
    return at(mixture, begin + last.tokens)


def _over(stage: Stage, n_pools: int) -> Stage:
    """Return a stage whose weights are over all pools of the plan; new ones have none."""
    lengths, weights = stage.ramp
    missing = n_pools - weights.shape[1]
    if missing == 0:
        return stage
    wide = Targets(lengths, np.pad(weights, ((0, 0), (0, missing))))
    return replace(stage, ramp=wide, head_of=None)
