"""What a plan's phases read, brought to account: epochs, effective tokens, places on the way."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cuvee.configs.lineage import ancestors, parents
from cuvee.configs.recipe import Recipe
from cuvee.configs.stages import Stage
from cuvee.corpus.plan_accounts import (
    PhaseAccount,
    PlanAccount,
    PoolAccount,
    SourceAccount,
    Window,
    first_line,
    tightness,
    ways_of,
)
from cuvee.mixers.pools import Pool
from cuvee.mixers.supply import effective_tokens


class Sizes(NamedTuple):
    """Tokens of one epoch by source and view; whether they were measured, or declared.

    caps: the most epochs of sources for which that is not what the recipe says.
    """

    tokens: Mapping[str, int]
    caps: Mapping[str, float] = {}
    measured: bool = False


class Drawn(NamedTuple):
    """What one phase reads, by pool, and its shape; phases come in the order of the plan."""

    name: str  # of its folder
    stage: str
    seq_len: int
    batch_sequences: int
    steps: int
    tokens: Mapping[str, int]  # by pool
    windows: tuple[Window, ...]
    notes: tuple[str, ...] = ()
    mark: str = ""
    epochs: Mapping[str, float] = {}  # by pool, where they were counted and not reckoned


def account(
    recipe: Recipe, drawn: Sequence[Drawn], pools: Iterable[Pool], sizes: Sizes, refusal: str = ""
) -> PlanAccount:
    """Return the account of a plan; `refusal` says what cannot be given, where that is so."""
    phases = _phases(recipe, drawn, {pool.name: pool for pool in pools}, sizes)
    sources = _sources(recipe, phases, sizes)
    tokens = dict.fromkeys((stage.name for stage in recipe.stages), 0)
    for phase in phases:
        tokens[phase.stage] += phase.tokens
    known = all(source.size is not None for source in sources)
    return PlanAccount(
        recipe.name,
        tuple(phases),
        tuple(sources),
        tuple(ways_of(parents(recipe.stages), tokens)),
        sizes.measured,
        feasible=False if refusal else True if known else None,
        verdict=refusal or _verdict(sources),
    )


def gate_of(stage: Stage, folder: str) -> list[str]:
    """Return the note about a stage's gate, for its last phase."""
    closing = stage.gate is not None and folder == stage.folders[-1]
    return [f"gate: {stage.gate}"] if closing else []


def _verdict(sources: Sequence[SourceAccount]) -> str:
    """Return the sentence about the source that is nearest to its cap."""
    unknown = [source.source for source in sources if source.size is None]
    if unknown:
        return f"whether it is feasible is not known: no size of {', '.join(unknown)}"
    tightest = max(sources, key=tightness)
    return (
        f"feasible; the tightest source is {tightest.source}, read {tightest.epochs:.3g} of at "
        f"most {tightest.cap:g} epochs"
    )


def _phases(
    recipe: Recipe, drawn: Sequence[Drawn], pools: Mapping[str, Pool], sizes: Sizes
) -> list[PhaseAccount]:
    """Return the accounts of all phases."""
    graph, above = parents(recipe.stages), ancestors(recipe.stages)
    found: list[PhaseAccount] = []
    for part in drawn:
        earlier = [phase for phase in found if phase.stage in {*above[part.stage], part.stage}]
        own = [phase for phase in earlier if phase.stage == part.stage]
        line = {*first_line(graph, part.stage), part.stage}
        found.append(
            PhaseAccount(
                name=part.name,
                stage=part.stage,
                after=() if own else tuple(graph[part.stage]),
                seq_len=part.seq_len,
                batch_sequences=part.batch_sequences,
                steps=part.steps,
                first_step=1 + sum(phase.steps for phase in own),
                first_token=sum(phase.tokens for phase in found if phase.stage in line),
                tokens=part.steps * part.batch_sequences * part.seq_len,
                pools=_pools(part, pools, sizes, earlier),
                windows=part.windows,
                notes=part.notes,
                mark=part.mark,
            )
        )
    return found


def _pools(
    part: Drawn, pools: Mapping[str, Pool], sizes: Sizes, earlier: list[PhaseAccount]
) -> tuple[PoolAccount, ...]:
    """Return the accounts of a phase's pools; `earlier` is what its way read before it.

    What the pools of one source are worth together is shared out by their tokens.
    """
    before, together = _read(earlier), dict[str, int]()
    for name, read in part.tokens.items():
        source = pools[name].source
        together[source] = together.get(source, 0) + read
    found = []
    for name, read in part.tokens.items():
        pool = pools[name]
        size, whole = _pool_size(pool, sizes, earlier), sizes.tokens.get(pool.source)
        worth = None
        if whole and read:
            begun, all_ = before.get(pool.source, 0), together[pool.source]
            gained = effective_tokens(whole, (begun + all_) / whole)
            worth = (gained - effective_tokens(whole, begun / whole)) * read / all_
        epochs = part.epochs.get(name, read / size if size else None)
        found.append(PoolAccount(name, pool.source, read, epochs, worth))
    return tuple(sorted(found, key=lambda pool: (-pool.tokens, pool.pool)))


def _pool_size(pool: Pool, sizes: Sizes, earlier: Sequence[PhaseAccount]) -> int | None:
    """Return the tokens of one pass over a pool; of what a stage drew or left, about so many."""
    size = sizes.tokens.get(pool.name if pool.replay is None else pool.source)
    if size is None or pool.replay is None:
        return size
    drawn = _read([phase for phase in earlier if phase.stage == pool.replay]).get(pool.source, 0)
    return min(size, drawn) if pool.seen else max(0, size - drawn)


def _sources(recipe: Recipe, phases: Sequence[PhaseAccount], sizes: Sizes) -> list[SourceAccount]:
    """Return the accounts of the sources that are read, each over the way that reads most of it."""
    most: dict[str, int] = {}
    for stage, above in ancestors(recipe.stages).items():
        for name, tokens in _read([p for p in phases if p.stage in {*above, stage}]).items():
            most[name] = max(most.get(name, 0), tokens)
    found = []
    for name, source in recipe.sources.items():
        if name in most:
            size, worth = sizes.tokens.get(name), None
            if size:
                worth = effective_tokens(size, most[name] / size)
            cap = sizes.caps.get(name, source.max_epochs)
            found.append(SourceAccount(name, size, most[name], cap, worth))
    return found


def _read(phases: Iterable[PhaseAccount]) -> dict[str, int]:
    """Return the tokens that some phases read of each source."""
    found: dict[str, int] = {}
    for phase in phases:
        for pool in phase.pools:
            found[pool.source] = found.get(pool.source, 0) + pool.tokens
    return found
