"""One page about a plan: its mixture over tokens, a chart for each way, and its tables.

The page is one HTML file without scripts that loads nothing from anywhere. A chart stacks the
shares of all pools over the tokens of a way, in per cent of a plot whose origin is its top left.
A phase has at least `LEAST` of the width, since an anneal of 40B tokens behind 15T is to be seen;
the strip below has all phases to scale. The pools of a source have its colour in every chart; the
sources beyond the palette share the last, a grey.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cuvee.corpus import figures
from cuvee.corpus.charts import HUES, Tick, hues_of
from cuvee.corpus.plan_accounts import PhaseAccount, PlanAccount, Way, mixtures_of
from cuvee.corpus.plan_tables import steps
from cuvee.corpus.templates import environment
from cuvee.corpus.whole import whole

LEAST: Final = 0.07  # of the width
NAMED: Final = 0.12  # of the width: a phase so wide has its name above it, a narrower its number
LABELLED: Final = 0.055  # of the whole: a pool with such a share is called by name in the chart
APART: Final = 7.0  # per cent between labels of the axis


class Area(NamedTuple):
    """A pool's part of a chart: its colour, and an SVG polygon's points."""

    pool: str
    hue: int
    points: str


class Label(NamedTuple):
    """A word in a chart and its middle."""

    x: float
    y: float
    text: str


class Stretch(NamedTuple):
    """A phase in a chart: from and to, its name or number, and both ends to scale."""

    begin: float
    end: float
    name: str
    title: str
    true_begin: float
    true_end: float


class Chart(NamedTuple):
    """The mixture of one way over its tokens."""

    way: Way
    areas: list[Area]
    labels: list[Label]
    stretches: list[Stretch]
    ticks: list[Tick]
    widened: bool  # some phase is wider than to scale


def write(plan: PlanAccount, out: Path) -> None:
    """Write the page about a plan to the file `out`, whole or not at all."""
    sources = hues_of(plan.ranked)
    hues = {pool: sources[source] for pool, source in plan.pools.items()}
    page = (
        environment()
        .get_template("plan.html")
        .render(
            plan=plan,
            sources=sources,
            hues=hues,
            grey=HUES,
            charts=[chart(plan, way, hues) for way in plan.ways],
            mixtures=mixtures_of(plan.phases),
            numbers={phase.name: number for number, phase in enumerate(plan.phases, 1)},
            steps=steps,
        )
    )
    with whole(out) as beside:
        beside.write_text(page, encoding="utf-8")


def chart(plan: PlanAccount, way: Way, hues: dict[str, int]) -> Chart:
    """Return the chart of a way."""
    phases = plan.of(way)
    bounds = _bounds([phase.tokens / way.tokens for phase in phases])
    true = _summed([phase.tokens / way.tokens for phase in phases])
    numbers = {phase.name: number for number, phase in enumerate(plan.phases, 1)}
    stretches = [
        Stretch(
            begin=bounds[n],
            end=bounds[n + 1],
            name=phase.name
            if bounds[n + 1] - bounds[n] > 100 * NAMED
            else str(numbers[phase.name]),
            title=f"{numbers[phase.name]} {phase.name}: {figures.amount(phase.tokens)} tokens",
            true_begin=true[n],
            true_end=true[n + 1],
        )
        for n, phase in enumerate(phases)
    ]
    return Chart(
        way,
        _areas(phases, bounds, hues),
        _labels(phases, bounds, list(hues)),
        stretches,
        _ticks(phases, bounds),
        any(abs(a - b) > 1 for a, b in zip(bounds, true, strict=True)),
    )


def _bounds(parts: Sequence[float]) -> list[float]:
    """Return where phases begin and end, the least of them wide enough to be seen."""
    least = min(LEAST, 0.5 / len(parts))
    wide = [max(part, least) for part in parts]
    return _summed([part / sum(wide) for part in wide])


def _summed(parts: Sequence[float]) -> list[float]:
    """Return the bounds of parts that follow each other, 0 to 100."""
    reached = [0.0]
    for part in parts:
        reached.append(reached[-1] + 100 * part)
    return reached


def _areas(
    phases: Sequence[PhaseAccount], bounds: Sequence[float], hues: dict[str, int]
) -> list[Area]:
    """Return the stack of all pools that the phases read, the first at the top."""
    across = [x for n, phase in enumerate(phases) for x in _across(phase, *bounds[n : n + 2])]
    columns = [
        phase.windows[max(0, min(n - 1, len(phase.windows) - 1))].shares
        for phase in phases
        for n in range(len(phase.windows) + 2)
    ]
    above, areas = [0.0] * len(columns), []
    for pool, hue in hues.items():
        below = [y + 100 * held.get(pool, 0.0) for y, held in zip(above, columns, strict=True)]
        if below != above:
            there = [*zip(across, above, strict=True)]
            back = [*zip(across, below, strict=True)][::-1]
            points = " ".join(f"{x:.3f},{y:.3f}" for x, y in [*there, *back])
            areas.append(Area(pool, hue, points))
        above = below
    return areas


def _across(phase: PhaseAccount, begin: float, end: float) -> list[float]:
    """Return where a phase's windows have their middles, and its ends."""
    count, width = len(phase.windows), end - begin
    return [begin, *(begin + width * (n + 0.5) / count for n in range(count)), end]


def _labels(
    phases: Sequence[PhaseAccount], bounds: Sequence[float], pools: Sequence[str]
) -> list[Label]:
    """Return the names of the pools with a large share, in the middle of each wide phase."""
    labels, before = [], dict[str, float]()
    for phase, begin, end in zip(phases, bounds, bounds[1:], strict=False):
        shares, reached = phase.windows[len(phase.windows) // 2].shares, 0.0
        if end - begin <= 100 * NAMED or shares == before:
            continue
        before = shares
        for pool in pools:
            share = shares.get(pool, 0.0)
            if share >= LABELLED:
                labels.append(Label((begin + end) / 2, 100 * (reached + share / 2), pool))
            reached += share
    return labels


def _ticks(phases: Sequence[PhaseAccount], bounds: Sequence[float]) -> list[Tick]:
    """Return the tokens at which phases begin and the way ends, where there is room."""
    tokens = [0]
    for phase in phases:
        tokens.append(tokens[-1] + phase.tokens)
    ticks: list[Tick] = []
    for at, reached in zip(bounds, tokens, strict=True):
        if not ticks or at - ticks[-1].at >= APART:
            ticks.append(Tick(at, figures.amount(reached)))
    if bounds[-1] - ticks[-1].at > 1e-6:
        ticks[-1] = Tick(bounds[-1], figures.amount(tokens[-1]))
    return ticks
