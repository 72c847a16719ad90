"""The account of a plan: what each phase reads, in which shape, and where on the way it stands.

A *phase* is a stage, or a part of one with a shape of its own. A *way* leads from a root stage to a
leaf: what one model reads. A phase's *window* is a stretch of its tokens with the mean share that
each pool has in it. Steps count from 1 over a stage, tokens from 0 over the way by first parents.
Both forms of the account, the terminal's (`cuvee.corpus.plan_tables`) and the page
(`cuvee.corpus.plan_page`), are made from these values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MAX_WAYS: Final = 64  # joins multiply ways; so many are followed
SEEN: Final = 0.05


class Window(NamedTuple):
    """A stretch of a phase: its tokens, and each pool's share of it."""

    tokens: int
    shares: dict[str, float]


class PoolAccount(NamedTuple):
    """One pool in one phase.

    epochs: times that the pool is read in the phase, effective_tokens: how many fresh tokens are
    worth as much, after what its source gave before (D'); None where no size is known.
    """

    pool: str
    source: str
    tokens: int
    epochs: float | None
    effective_tokens: float | None


@dataclass(frozen=True)
class PhaseAccount:
    """One phase: its shape, its place, and its pools, those with the most tokens first."""

    name: str  # of its folder
    stage: str
    after: tuple[str, ...]  # stages; none for a root, and for a phase behind another
    seq_len: int
    batch_sequences: int
    steps: int
    first_step: int
    first_token: int
    tokens: int
    pools: tuple[PoolAccount, ...]
    windows: tuple[Window, ...]
    notes: tuple[str, ...] = ()  # what else holds for it: its gate, its seed, where it is stopped
    mark: str = ""  # where its budget comes from

    @property
    def last_step(self) -> int:
        """Its last step, counted over its stage."""
        return self.first_step + self.steps - 1

    @property
    def batch_tokens(self) -> int:
        """Tokens of one step."""
        return self.batch_sequences * self.seq_len

    @property
    def end_token(self) -> int:
        """Tokens of its way when it ends."""
        return self.first_token + self.tokens


class SourceAccount(NamedTuple):
    """One source on the way that reads it most.

    size: tokens of one epoch, None where it is not known. cap: its max_epochs.
    """

    source: str
    size: int | None
    tokens: int
    cap: float
    effective_tokens: float | None

    @property
    def epochs(self) -> float | None:
        """Times that it is read."""
        return self.tokens / self.size if self.size else None


def tightness(source: SourceAccount) -> float:
    """Return which part of what a source may give is read; 0 where its size is unknown."""
    return (source.epochs or 0.0) / source.cap


class Way(NamedTuple):
    """What one model reads: the stages from a root to a leaf, and all their tokens."""

    stages: tuple[str, ...]
    tokens: int


class Slot(NamedTuple):
    """A key of the recipe that is assumed, and the value that fills it."""

    key: str
    value: str


@dataclass(frozen=True)
class PlanAccount:
    """A plan, and what is to be said of it.

    verdict: whether the sources suffice, in words; feasible is None where their sizes are unknown.
    """

    name: str
    phases: tuple[PhaseAccount, ...]
    sources: tuple[SourceAccount, ...]
    ways: tuple[Way, ...]
    measured: bool
    feasible: bool | None
    verdict: str
    warnings: tuple[str, ...] = ()
    assumed: tuple[Slot, ...] = ()
    marks: Mapping[str, int] = field(default_factory=dict)

    @property
    def ranked(self) -> list[str]:
        """All sources that are read, those first that a picture shows most of.

        A phase counts by its part of all tokens, a small one by `SEEN` of them.
        """
        whole, shown = sum(phase.tokens for phase in self.phases), dict[str, float]()
        for phase in self.phases:
            weight = max(SEEN, phase.tokens / whole)
            for pool in phase.pools:
                part = weight * pool.tokens / phase.tokens
                shown[pool.source] = shown.get(pool.source, 0.0) + part
        return sorted(shown, key=lambda name: (-shown[name], name))

    @property
    def pools(self) -> dict[str, str]:
        """The source of each pool that is read, in the order of a stack: by source, as ranked."""
        found = {pool.pool: pool.source for phase in self.phases for pool in phase.pools}
        ranks = {source: number for number, source in enumerate(self.ranked)}
        ordered = sorted(found, key=lambda name: (ranks[found[name]], name != found[name], name))
        return {name: found[name] for name in ordered}

    def of(self, way: Way) -> list[PhaseAccount]:
        """Return the phases of a way, in order."""
        return [phase for stage in way.stages for phase in self.phases if phase.stage == stage]


def ways_of(parents: Mapping[str, Sequence[str]], tokens: Mapping[str, int]) -> list[Way]:
    """Return the ways from each root to each leaf, in the order of the stages.

    `parents` and `tokens` are by stage. At a join the way by the first parent comes first.
    """
    inner = {above for given in parents.values() for above in given}
    found: list[Way] = []
    for leaf in parents:
        open_: list[tuple[str, ...]] = [] if leaf in inner else [(leaf,)]
        while open_ and len(found) < MAX_WAYS:
            way = open_.pop(0)
            above = parents[way[0]]
            open_ = [(parent, *way) for parent in above] + open_
            if not above:
                found.append(Way(way, sum(tokens[stage] for stage in way)))
    return found


def first_line(parents: Mapping[str, Sequence[str]], stage: str) -> list[str]:
    """Return the stages before one, by first parents, the root first."""
    line: list[str] = []
    while parents[stage]:
        stage = parents[stage][0]
        line.insert(0, stage)
    return line


class StageMixture(NamedTuple):
    """What all phases of a stage read: its tokens, its pools, and their shares at both ends."""

    stage: str
    tokens: int
    pools: list[PoolAccount]
    first: dict[str, float]
    last: dict[str, float]


def mixtures_of(phases: Sequence[PhaseAccount]) -> list[StageMixture]:
    """Return the mixtures of the stages, in order; pools with the most tokens first."""
    found: dict[str, StageMixture] = {}
    for phase in phases:
        before = found.get(phase.stage, StageMixture(phase.stage, 0, [], {}, {}))
        pools = {pool.pool: pool for pool in before.pools}
        for pool in phase.pools:
            pools[pool.pool] = _both(pools[pool.pool], pool) if pool.pool in pools else pool
        found[phase.stage] = StageMixture(
            phase.stage,
            before.tokens + phase.tokens,
            sorted(pools.values(), key=lambda pool: (-pool.tokens, pool.pool)),
            before.first or phase.windows[0].shares,
            phase.windows[-1].shares,
        )
    return list(found.values())


def _both(one: PoolAccount, other: PoolAccount) -> PoolAccount:
    """Return what a pool gives two phases together."""
    return PoolAccount(
        one.pool,
        one.source,
        one.tokens + other.tokens,
        _sum(one.epochs, other.epochs),
        _sum(one.effective_tokens, other.effective_tokens),
    )


def _sum(one: float | None, other: float | None) -> float | None:
    """Return a sum, None where a part of it is not known."""
    return None if one is None or other is None else one + other
