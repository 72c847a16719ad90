"""Which pools each stage's mixture is about, as far as the recipe itself says it."""

from collections.abc import Iterator, Mapping, Sequence

from cuvee.configs.lineage import ordered, parents
from cuvee.configs.mixtures import (
    BySize,
    Group,
    Inherit,
    Mixture,
    QuotaGroup,
    Quotas,
    Ramp,
    WeightsFile,
)
from cuvee.configs.stages import Stage


def pools_drawn(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Return the pools that each stage names, those of stages it goes back to among them.

    What a replay reads is under the names of the stage that it replays. Weights in a file are not
    looked up.
    """
    above, found = parents(stages), dict[str, list[str]]()
    for stage in ordered(stages):
        mixture = stage.mixture or Inherit(inherit=above[stage.name][0])
        found[stage.name] = list(dict.fromkeys(_named(mixture, found)))
    return found


def _named(mixture: Mixture, found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the pools that a mixture names."""
    match mixture:
        case Ramp():
            for point in mixture.ramp:
                yield from _named(point.mixture, found)
        case Inherit():
            yield from found.get(mixture.inherit, ())
            yield from mixture.set
        case BySize():
            yield from mixture.by_size
        case Quotas():
            yield from _in_tree(mixture.quotas, found)
            yield from _in_tree(mixture.rest, found)
        case WeightsFile():
            return
        case _:
            yield from _in_tree(mixture, found)


def _in_tree(
    tree: Mapping[str, float | Group] | Mapping[str, int | QuotaGroup],
    found: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Yield the pools that weights or quotas name, those in groups among them."""
    for name, value in tree.items():
        if not isinstance(value, Group | QuotaGroup):
            yield name
            continue
        yield from _in_tree(value.of or {}, found)
        yield from value.by_size or ()
        yield from found.get(value.like or "", ())
        yield from found.get(value.replay or "", ())
