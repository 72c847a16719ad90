"""What the mixtures of stages are, and what is known when one is resolved.

A *share* is a pool's part of a stage's tokens. *Raw* weights are those before they are divided by
their sum: published mixtures often do not sum to 1. A *mixture* is one point, or several between
which a ramp leads; a pool without a weight has share 0 and is never drawn. The *size* of a pool is
the tokens of its surviving documents, each as often as one pass has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from cuvee.configs.errors import RecipeError
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import UNSEEN, Pool, replay_pool

Weights = dict[str, float]


@dataclass(frozen=True)
class Point:
    """What a mixture asks of the pools, in their order, after `at` tokens."""

    at: int
    raw: Weights  # as stated; where inherited, the earlier stage's share times its scale
    raw_sum: float
    weights: Weights  # raw / raw_sum, brought within the stage's bounds


@dataclass(frozen=True)
class Mixture:
    """The mixture of one stage: one point, or those of a ramp."""

    stage: str
    points: tuple[Point, ...]
    curve: str = "linear"
    of: str = "stage"  # what the tokens of the points count

    @property
    def last(self) -> Weights:
        """The shares that its last point has."""
        return self.points[-1].weights

    @property
    def drawn(self) -> list[str]:
        """The pools that have a share somewhere."""
        return [name for name in self.last if any(point.weights[name] for point in self.points)]

    def over(self, pools: Sequence[str]) -> "Mixture":
        """Return the mixture over more pools, those that it does not know with share 0."""
        points = tuple(
            Point(
                point.at,
                {name: point.raw.get(name, 0.0) for name in pools},
                point.raw_sum,
                {name: point.weights.get(name, 0.0) for name in pools},
            )
            for point in self.points
        )
        return replace(self, points=points)


@dataclass
class Known:
    """What mixtures are resolved with, and what was resolved before; it grows stage by stage."""

    pools: dict[str, Pool]
    sizes: dict[str, int]
    documents: dict[str, int]
    tags: Mapping[str, Mapping[str, str]]  # by source
    files: Mapping[str, Mapping[str, float]]
    stages: Sequence[str]  # all of the recipe
    done: dict[str, Mixture] = field(default_factory=dict)
    ends: dict[str, Weights] = field(default_factory=dict)  # the shares that a stage ends with
    read: dict[str, dict[str, int]] = field(default_factory=dict)  # planned tokens by source

    def add(self, mixture: Mixture, end: Weights, laid: Sequence[Stage]) -> None:
        """Take up a stage: its mixture, the shares that it ends with, and what it reads."""
        read, names = dict[str, int](), list(self.pools)
        for part in laid:
            for number in part.drawn.tolist():
                source = self.pools[names[number]].source
                tokens = int(part.quota_counts[number]) * part.seq_len
                read[source] = read.get(source, 0) + tokens
        self.done[mixture.stage], self.ends[mixture.stage] = mixture, end
        self.read[mixture.stage] = read

    def replayed(self, source: str, stage: str, seen: bool) -> str:
        """Return the name of the pool of what a stage drew of a source, or left, made where new."""
        pool = replay_pool(source, stage, seen)
        held = self.pools.setdefault(pool.name, pool)
        if held != pool:
            raise RecipeError(
                f"{pool.name!r} names two pools: what a stage drew, and what another one left.",
                do="Give one of the two stages another name.",
            )
        if source in self.sizes:
            read = min(self.sizes[source], self.read[stage].get(source, 0))
            self.sizes[pool.name] = read if seen else self.sizes[source] - read
        return pool.name


@dataclass(frozen=True)
class Place:
    """Where in the recipe a mixture stands, and what its stage is."""

    key: str
    stage: str
    tokens: int | None  # its budget; None where that takes sources' sizes
    unit: str
    above: Sequence[str]  # the stages that have been read when it begins

    def below(self, step: str) -> "Place":
        """Return a place further down."""
        return replace(self, key=f"{self.key}.{step}")


def check_replay(place: Place, stage: str, known: Known) -> None:
    """Refuse the replay of a stage that has not been read when this one begins."""
    if stage in place.above:
        return
    have = f"Stages that have: {', '.join(place.above) or 'none'}."
    if stage not in known.stages:
        got = f"{place.key} asks for a replay of {stage!r}, which is no stage."
        raise RecipeError(got, have, nearest(stage, place.above))
    mends = [f"let {place.stage!r} come after {stage!r} (stages.{place.stage}.after)"]
    mend = ", or ".join(mends[stage == place.stage :] + ["replay one of those"] * bool(place.above))
    raise RecipeError(
        f"{place.key} asks for a replay of {stage!r}, which has not run when {place.stage!r} "
        "begins.",
        have,
        f"{mend[:1].upper()}{mend[1:]}." if mend else "",
    )


def pool_named(place: Place, name: str, known: Known) -> str:
    """Return a pool's name; one of what an earlier stage drew is made where it is new.

    Raises RecipeError for a name that is no pool.
    """
    if name in known.pools and known.pools[name].replay is None:
        return name
    source, _, stage = name.partition("@")
    if source in known.pools and known.pools[source].is_source and stage:
        if stage in known.stages:
            check_replay(place, stage, known)
            return known.replayed(source, stage, seen=True)
        if stage.removeprefix(UNSEEN) in known.stages:
            check_replay(place, stage.removeprefix(UNSEEN), known)
            return known.replayed(source, stage.removeprefix(UNSEEN), seen=False)
    raise RecipeError(
        f"{place.key}.{name} names no source of the recipe, and no view.",
        f"Known: {', '.join(known.pools)}.",
        nearest(name, known.pools),
    )


def size_of(name: str, known: Known) -> int:
    """Return a pool's size in tokens; RecipeError names the key that would declare it."""
    return _count_of(name, known, "tokens", known.sizes)


def documents_of(name: str, known: Known) -> int:
    """Return a pool's documents; RecipeError names the key that would declare them."""
    return _count_of(name, known, "documents", known.documents)


def _count_of(name: str, known: Known, what: str, counts: Mapping[str, int]) -> int:
    """Return a count of a source or view."""
    if name not in counts:
        pool = known.pools[name]
        kind, named = ("views", name) if pool.is_view else ("sources", pool.source)
        raise unknown(kind, named, what)
    return counts[name]


def unknown(kind: str, name: str, what: str) -> RecipeError:
    """Return the error about a count that a plan needs; `kind` is sources or views."""
    return RecipeError(
        f"{kind}.{name}.{what} is not given, and nothing of {name!r} is measured yet.",
        do=f"Give {kind}.{name}.{what}: about how many {what} it has.",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question that names the known name most like `name`; empty when none is known."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"Did you mean {close[0]!r}?" if close else ""
