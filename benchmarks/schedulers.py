"""How far the schedulers of others stray from a mixture, and how far this one does.

    python benchmarks/schedulers.py [--positions 20000]

One harness, the same weights for all: the largest |drawn - due| over all sources and prefixes, in
sequences, and the draws of sources that are switched off. The others are written here from their
code: *greedy* takes what is furthest behind (Megatron-LM's blended data set, with w max(t, 1), and
Fast-LLM's form, with the target after the draw), *blocks* deals out whole blocks in a shuffled
order (Levanter), *nested floors* (Grain), and *iid* draws at random (torchdata, litdata, Energon).
Those that know no weights that change are not asked about them.
"""

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cuvee.corpus.terminal import house_table
from cuvee.flows.screen import make_console
from cuvee.mixers.quota import certificate, schedule
from cuvee.mixers.targets import Targets, constant
from cuvee.mixers.weights import SHARE_UNITS, integerise

Shares = NDArray[np.float64]  # [positions, sources]
Sources = NDArray[np.int64]  # [positions]


def megatron(shares: Shares) -> Sources:
    """Greedy by w max(t, 1) - drawn."""
    drawn, out = np.zeros(shares.shape[1]), np.zeros(len(shares), np.int64)
    for t in range(len(shares)):
        out[t] = (shares[0] * max(t, 1) - drawn).argmax()
        drawn[out[t]] += 1
    return out


def fast_llm(shares: Shares) -> Sources:
    """Greedy by what is due after the draw, less what was drawn."""
    drawn, due = np.zeros(shares.shape[1]), np.zeros(shares.shape[1])
    out = np.zeros(len(shares), np.int64)
    for t in range(len(shares)):
        due += shares[t]
        out[t] = (due - drawn).argmax()
        drawn[out[t]] += 1
    return out


def levanter(shares: Shares, block: int = 2048) -> Sources:
    """Blocks of floor(w block) each, the rest of a block to the largest, shuffled within it."""
    counts = (shares[0] * block).astype(np.int64)
    counts[counts.argmax()] += block - counts.sum()
    ids, chance = np.repeat(np.arange(len(counts)), counts), np.random.default_rng(0)
    blocks = [chance.permutation(ids) for _ in range(-(-len(shares) // block))]
    return np.concatenate(blocks)[: len(shares)]


def grain(shares: Shares) -> Sources:
    """Nested floors over weights truncated to whole numbers."""
    parts = [int(share * (100 / shares[0].min())) for share in shares[0]]
    out = np.zeros(len(shares), np.int64)
    for t in range(len(shares)):
        rest, first, last = sum(parts), t, t + 1
        for source, part in enumerate(parts):
            left = rest - part
            below, above = (first * left) // rest, (last * left) // rest
            if first - below != last - above:
                out[t] = source
                break
            rest, first, last = left, below, above
    return out


def iid(shares: Shares) -> Sources:
    """Draw each position at random."""
    chance = np.random.default_rng(0).random((len(shares), 1))
    return (chance > shares.cumsum(axis=1)).sum(axis=1).clip(max=shares.shape[1] - 1)


def still(weights: NDArray[np.float64] | list[float], positions: int) -> Targets:
    """Return the targets of weights that stay."""
    return constant(integerise({str(n): float(w) for n, w in enumerate(weights)}), positions)


def changing(shares: Shares) -> Targets:
    """Return the targets of weights that change at every position."""
    units = np.floor(shares * SHARE_UNITS).astype(np.int64)
    units[np.arange(len(units)), units.argmax(axis=1)] += SHARE_UNITS - units.sum(axis=1)
    return Targets(np.ones(len(units), np.int64), units)


def switched_off(n: int) -> Targets:
    """Return n sources of equal weight, of which that is switched off which greedy just drew."""
    alive, drawn, due, rows = list(range(n)), np.zeros(n), np.zeros(n), []
    for _ in range(n - 1):
        row = np.zeros(n)
        row[alive] = 1 / len(alive)
        due += row
        taken = max(alive, key=lambda source: due[source] - drawn[source])
        drawn[taken] += 1
        alive.remove(taken)
        rows.append(row)
    return changing(np.array(rows))


def cases(positions: int) -> dict[str, tuple[Targets, bool]]:
    """Return the mixtures asked about, and whether each one stays."""
    chance = np.random.default_rng(1)
    ends = chance.dirichlet(np.ones(8), 2)
    way = np.clip((np.arange(positions) / positions - 0.25) * 2, 0, 1)[:, None]
    onoff = chance.dirichlet(np.full(12, 0.6), 40) * (chance.random((40, 12)) > 0.4)
    onoff[:, 0] += 0.01
    onoff = np.repeat(onoff / onoff.sum(axis=1, keepdims=True), positions // 40, axis=0)
    return {
        "0.7 and 0.3": (still([0.7, 0.3], positions), True),
        "7 sources": (still([0.55, 0.2, 0.1, 0.07, 0.05, 0.02, 0.01], positions), True),
        "half, and 50 of 1 %": (still([0.5] + [0.01] * 50, positions), True),
        "40 of a Dirichlet": (still(chance.dirichlet(np.full(40, 0.3)) + 1e-4, positions), True),
        "linear ramp, 8": (changing((1 - way) * ends[0] + way * ends[1]), False),
        "12 that switch on and off": (changing(onoff), False),
        "64 switched off as drawn": (switched_off(64), False),
    }


OTHERS: dict[str, tuple[Callable[[Shares], Sources], bool]] = {
    "greedy, Megatron": (megatron, False),
    "greedy, Fast-LLM": (fast_llm, True),
    "blocks, Levanter": (levanter, False),
    "nested floors, Grain": (grain, False),
    "iid": (iid, True),
}


def judged(sources: Sources, targets: Targets) -> str:
    """Return the largest deviation, rounded down, and the leaks if there are any."""
    proof = certificate(sources.astype(np.uint16), targets)
    leaks = f", {proof.leaks:,} leaks" if proof.leaks else ""
    return f"{math.floor(proof.max_deviation.max() * 1000) / 1000:.3f}{leaks}"


def main() -> None:
    """Print the table, and how fast positions are planned."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--positions", type=int, default=20_000)
    positions = parser.parse_args().positions
    table = house_table("largest deviation", max_width=30)
    for name in (*OTHERS, "Cuvée"):
        table.add_column(name, justify="right")
    for name, (targets, stays) in cases(positions).items():
        shares = np.repeat(targets.weights, targets.lengths, axis=0) / SHARE_UNITS
        cells = [
            judged(draw(shares), targets) if stays or varies else "-"
            for draw, varies in OTHERS.values()
        ]
        table.add_row(name, *cells, judged(schedule(targets).astype(np.int64), targets))
    console = make_console()
    console.print(table)
    for n, length in ((7, 10**6), (64, 10**7), (64, 10**8)):
        targets = still(np.random.default_rng(2).dirichlet(np.ones(n)), length)
        begin = time.perf_counter()
        schedule(targets)
        took = time.perf_counter() - begin
        console.print(
            f"{length:>12,} positions of {n} sources: {took:.2f} s, {length / took / 1e6:.1f} M/s"
        )


if __name__ == "__main__":
    main()
