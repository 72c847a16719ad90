"""How fast a plan is made and proved, and how much memory that takes.

    python benchmarks/plans.py [--positions 1_000_000 10_000_000 100_000_000]

The schedule of 64 sources, mixed at random, is made and then certified at every prefix, each size
in a process of its own, whose peak memory is told, imports and compiling included. Then every
shipped system is settled at full scale by the sizes that it declares, which makes no schedule.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import machine
import numpy as np

from cuvee.configs.load import load, shipped
from cuvee.corpus.terminal import house_table
from cuvee.flows.screen import make_console
from cuvee.flows.stages import declared_supplies, settle
from cuvee.mixers.quota import certificate, schedule
from cuvee.mixers.targets import Targets, constant
from cuvee.mixers.weights import integerise

SOURCES, MIB, RAMP_PIECES = 64, 2**20, 512


def mixed(positions: int, ramped: bool) -> Targets:
    """Return a random mixture of 64 sources that stays, or one that turns into another."""
    chance = np.random.default_rng(2)
    ends = chance.dirichlet(np.ones(SOURCES), 2)
    if not ramped:
        return constant(_units(ends[0]), positions)
    way = (np.arange(RAMP_PIECES) + 0.5) / RAMP_PIECES
    weights = [_units((1 - part) * ends[0] + part * ends[1]) for part in way]
    edges = np.linspace(0, positions, RAMP_PIECES + 1).astype(np.int64)
    return Targets(np.diff(edges), np.array(weights))


def _units(shares: np.ndarray) -> np.ndarray:
    """Return shares as integer weights."""
    return integerise({str(n): float(share) for n, share in enumerate(shares)})


def one(positions: int, ramped: bool) -> None:
    """Make and certify one schedule; print seconds of both, and peak memory in MiB."""
    certificate(schedule(mixed(1000, ramped)), mixed(1000, ramped))  # compile
    begin = time.perf_counter()
    sources = schedule(mixed(positions, ramped))
    made = time.perf_counter()
    holds = certificate(sources, mixed(positions, ramped)).holds
    proved = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    print(made - begin, proved - made, peak, int(holds))


def measured(positions: int, ramped: bool) -> list[float]:
    """Return what `one` prints in a process of its own."""
    command = [sys.executable, __file__, "--one", str(positions), str(int(ramped))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def systems() -> list[tuple[str, float, int, float]]:
    """Return each shipped system's tokens, sequences and seconds to settle."""
    found = []
    for name, path in shipped().items():
        if path.parent.name != "systems":
            continue
        recipe = load(path)
        begin = time.perf_counter()
        stages = settle(recipe, Path(), declared_supplies(recipe)).stages
        took = time.perf_counter() - begin
        tokens = sum(stage.sequences * stage.seq_len for stage in stages)
        found.append((name, tokens / 1e12, sum(stage.sequences for stage in stages), took))
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--positions", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one[0], bool(asked.one[1]))
        return
    console = make_console()
    console.print(machine.line())
    table = house_table(f"{SOURCES} sources", max_width=30)
    for name in ("mixture", "made, s", "M/s", "proved, s", "holds", "peak, MiB"):
        table.add_column(name, justify="right")
    for ramped in (False, True):
        for positions in asked.positions:
            made, proved, peak, holds = measured(positions, ramped)
            cells = (f"{made:.2f}", f"{positions / made / 1e6:.1f}", f"{proved:.2f}")
            tail = ("yes" if holds else "NO", f"{peak:,.0f}")
            table.add_row(f"{positions:,}", "ramp" if ramped else "stays", *cells, *tail)
    console.print(table)
    table = house_table("declared plan", max_width=30)
    for name in ("tokens, T", "sequences", "settled, s"):
        table.add_column(name, justify="right")
    for name, tokens, sequences, took in systems():
        table.add_row(name, f"{tokens:.2f}", f"{sequences:,}", f"{took:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
