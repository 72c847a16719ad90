"""Draw the loss of a training run, by source, as an SVG.

    python examples/curve.py runs/model/log.jsonl --out curve.svg
    python examples/curve.py whole/log.jsonl --resumed resumed/log.jsonl --out curve.svg

The lines are the first log's; `--resumed` adds the steps of a second one after its number of ranks
changed, as rings. It needs Python alone.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 76, 52  # margins
TOTAL = "all sources"
TOTAL_COLOUR = "#1f2430"
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #4a5160 }
.title { font-size: 15px; font-weight: 600; fill: #1f2430 }
.name { fill: #1f2430; font-weight: 600 }
.end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #e6e8ed } .border { stroke: #9aa1af; stroke-dasharray: 3 3 }
.resumed { stroke: #1f2430 }
.line { fill: none; stroke-linejoin: round }
"""

Line = dict[str, Any]


class Frame(NamedTuple):
    """From run steps and losses to points of the picture."""

    last_step: int
    lowest: float
    highest: float

    def x(self, step: float) -> float:
        """Where a run step is, in pixels; the first is 1."""
        return LEFT + (step - 1) / max(1, self.last_step - 1) * (WIDTH - LEFT - RIGHT)

    def y(self, loss: float) -> float:
        """Where a loss is, in pixels."""
        share = (self.highest - loss) / (self.highest - self.lowest)
        return TOP + share * (HEIGHT - TOP - BOTTOM)


def main() -> None:
    """Read logs and write the picture."""
    parser = argparse.ArgumentParser(description="Draw the loss of a training run as an SVG.")
    parser.add_argument("log", type=Path)
    parser.add_argument("--resumed", type=Path, help="the log of a run resumed on other ranks")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = read(options.log)
    resumed = read(options.resumed) if options.resumed else []
    options.out.write_text("\n".join(picture(lines, resumed)) + "\n")


def read(path: Path) -> list[Line]:
    """Read a log of examples/train.py; its total is one more source."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["losses"] = line["by_source"] | {TOTAL: line["loss"]}
    return lines


def picture(lines: list[Line], resumed: list[Line]) -> Iterator[str]:
    """Yield the elements of the SVG."""
    losses = [loss for line in lines for loss in line["losses"].values()]
    frame = Frame(len(lines), int(min(losses) * 2) / 2, int(max(losses) * 2 + 1) / 2)
    names = list(dict.fromkeys(name for line in lines for name in line["by_source"]))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    colours[TOTAL] = TOTAL_COLOUR
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}"><style>{STYLE}</style>'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    yield text(LEFT, 22, "Loss by source", "title")
    yield from axes(frame)
    yield from stage_borders(frame, lines)
    for name, colour in colours.items():
        having = [line for line in lines if name in line["losses"]]
        points = [(frame.x(s["run_step"]), frame.y(s["losses"][name])) for s in having]
        yield curve(points, colour, 2.4 if name == TOTAL else 1.3)
    yield from legend(colours, resumed[-1]["ranks"] if resumed else None)
    if resumed:
        yield from resumption(frame, lines, resumed, colours)
    yield "</svg>"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Return a line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{words}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def curve(points: Iterable[tuple[float, float]], colour: str, width: float) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="line" stroke="{colour}" stroke-width="{width}"/>'


def axes(frame: Frame) -> Iterator[str]:
    """Yield the grid of losses, every half, and the numbers of steps."""
    for half in range(int(frame.lowest * 2), int(frame.highest * 2) + 1):
        y = frame.y(half / 2)
        yield rule(LEFT, y, WIDTH - RIGHT, y, "grid")
        yield text(LEFT - 8, y + 4, f"{half / 2:.1f}", "end")
    apart = next(
        n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if frame.last_step <= 12 * n
    )
    for step in (1, *range(apart, frame.last_step + 1, apart)):
        yield text(frame.x(step), HEIGHT - BOTTOM + 18, f"{step}", "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "optimizer step, over all stages", "middle")
    yield (
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        'class="middle">nats per token</text>'
    )


def stage_borders(frame: Frame, lines: list[Line]) -> Iterator[str]:
    """Yield a line between stages, and their names."""
    starts = [next(group) for _, group in groupby(lines, lambda line: line["stage"])]
    for line in starts:
        x = frame.x(line["run_step"] - (0.5 if line["run_step"] > 1 else 0))
        yield rule(x, TOP - 6, x, HEIGHT - BOTTOM, "border")
        yield text(x + 6, TOP - 4 + 12, f"stage {line['stage']}", "name")


def legend(colours: dict[str, str], ranks: int | None) -> Iterator[str]:
    """Yield the names of the lines, from left to right; ranks: those that rings are for."""
    x = LEFT
    for name, colour in colours.items():
        yield curve([(x, 44), (x + 18, 44)], colour, 3)
        yield text(x + 24, 48, name)
        x += 44 + 7 * len(name)
    if ranks is not None:
        yield ring(x + 9, 44, TOTAL_COLOUR)
        yield text(x + 18, 48, f"the same, resumed on {ranks} processes")


def ring(x: float, y: float, colour: str) -> str:
    """Return a small circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="none" stroke="{colour}"/>'


def resumption(
    frame: Frame, lines: list[Line], resumed: list[Line], colours: dict[str, str]
) -> Iterator[str]:
    """Yield what came after the ranks changed, and how far it is from the lines."""
    after = [line for line in resumed[: len(lines)] if line["ranks"] != resumed[0]["ranks"]]
    x, far = frame.x(after[0]["run_step"] - 0.5), 0.0
    yield rule(x, TOP + 24, x, HEIGHT - BOTTOM, "resumed")
    yield text(x + 6, TOP + 34, "resumed here")
    for line in after:
        for name, loss in line["losses"].items():
            due = lines[line["run_step"] - 1]["losses"][name]
            far = max(far, abs(loss / due - 1))
            yield ring(frame.x(line["run_step"]), frame.y(loss), colours[name])
    yield text(WIDTH - RIGHT, 22, f"largest difference of a ring from its line: {far:.0e}", "end")


if __name__ == "__main__":
    main()
