"""The figures of a comparison with peers: what a row holds, as tables and as JSON values."""

import json
import math
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import machine
from agreement import EXAMPLES, Agreement
from rich.console import Console
from rich.table import Table
from texts import MB
from whole import Whole

from cuvee.corpus.terminal import house_table

SAME_REASONS = {"datatrove"}  # peers whose names for reasons are ours


class Job(NamedTuple):
    """Where the files of a comparison are."""

    sample: Path
    everything: Path
    model: Path
    sample_bytes: int
    all_bytes: int
    documents: int  # of the sample


class Memory(NamedTuple):
    """Peak MiB of a process, and of that what the timed calls added to the peak before."""

    peak: float
    added: float

    def __str__(self) -> str:
        """Write both."""
        return f"{self.peak:.0f} (+{self.added:.0f})"


class Row(NamedTuple):
    """A task and a peer: MB/s of one core, and memory."""

    peer: str
    task: str
    ours: float
    ours_all: float
    theirs: float
    ours_mib: Memory
    theirs_mib: Memory
    agreement: Agreement | None


def table(rows: list[Row]) -> Table:
    """Lay out the figures."""
    shown = house_table("task")
    for name in ("peer", "ours", "theirs", "ratio", "ours, all text", "MiB", "MiB theirs"):
        shown.add_column(name, justify="right")
    for name in ("agree", "same reason", "agree, spaced"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            row.task,
            row.peer,
            f"{row.ours:.1f}",
            f"{row.theirs:.2f}",
            f"{row.ours / row.theirs:.0f} x",
            f"{row.ours_all:.1f}",
            str(row.ours_mib),
            str(row.theirs_mib),
            f"{row.agreement.decisions:.2%}" if row.agreement else "",
            f"{row.agreement.outcomes:.2%}" if row.agreement and row.peer in SAME_REASONS else "",
            f"{row.agreement.chosen:.2%}" if row.agreement else "",
        )
    return shown


def explain(rows: list[Row]) -> Table:
    """Lay out every kind of disagreement."""
    shown = house_table("task")
    for name in ("peer", "ours", "theirs", "documents", "such as"):
        shown.add_column(name, overflow="fold")
    for row in rows:
        for kind in row.agreement.kinds if row.agreement else []:
            examples = " ".join(kind.ids[:EXAMPLES])
            shown.add_row(row.task, row.peer, kind.ours, kind.theirs, str(len(kind.ids)), examples)
    return shown


def whole_table(rows: list[Whole]) -> Table:
    """Lay out whole jobs: seconds and MiB of all processes, speed, and how many documents go."""
    shown = house_table("whole job")
    for name in ("peer", "MB", "s", "CPU s", "MiB", "s theirs", "CPU s", "MiB"):
        shown.add_column(name, justify="right")
    for name in ("MB/CPU s", "theirs", "ratio", "both remove", "ours only", "theirs only", "agree"):
        shown.add_column(name, justify="right")
    for row in rows:
        mine, other = row.ours_pace.mb_per_cpu_s, row.theirs_pace.mb_per_cpu_s
        sides = (row.ours.took, row.theirs.took)
        shown.add_row(
            row.task,
            row.peer,
            f"{row.n_bytes / MB:.1f}",
            *(f"{x:.0f}" for one in sides for x in (one.wall_s, one.cpu_s, one.peak_mib)),
            *(f"{pace:.1f}" if math.isfinite(pace) else "-" for pace in (mine, other)),
            f"{mine / other:.0f} x" if math.isfinite(mine / other) else "-",
            *(f"{count:,}" for count in row.removed),
            f"{row.agreement:.2%}",
        )
    return shown


def planted_table(rows: list[Whole]) -> Table:
    """Lay out which planted items each finds, by the way in which they were planted."""
    shown = house_table("planted as", max_width=24)
    for row in rows:
        shown.add_column(f"of, {row.peer}", justify="right")
        shown.add_column("ours", justify="right")
        shown.add_column("theirs", justify="right")
    kinds = sorted({kind for row in rows for kind in row.planted.values()})
    for kind in kinds:
        cells: list[str] = []
        for row in rows:
            own = {one for one, name in row.planted.items() if name == kind}
            found = (own, own & row.ours.removed, own & row.theirs.removed)
            cells += [str(len(ids)) for ids in found]
        shown.add_row(kind, *cells)
    return shown


def as_json(rows: list[Row], wholes: list[Whole], job: Job, notes: list[str]) -> dict[str, Any]:
    """Return everything as JSON values."""
    made = []
    for row in rows:
        found = row._asdict() | {"ratio": row.ours / row.theirs}
        found |= {"ours_mib": row.ours_mib._asdict(), "theirs_mib": row.theirs_mib._asdict()}
        if row.agreement:
            kinds = [kind._asdict() for kind in row.agreement.kinds]
            found["agreement"] = row.agreement._asdict() | {"kinds": kinds}
        made.append(found)
    return {
        "machine": machine.describe(),
        "sample_bytes": job.sample_bytes,
        "all_bytes": job.all_bytes,
        "notes": notes,
        "rows": made,
        "whole": [_whole_json(row) for row in wholes],
    }


def _whole_json(row: Whole) -> dict[str, Any]:
    """Return a whole job as JSON values, without the ids of all that goes."""
    both, mine, theirs = row.removed
    return {
        "peer": row.peer,
        "task": row.task,
        "n_bytes": row.n_bytes,
        "documents": row.documents,
        "ours": row.ours.took._asdict() | row.ours_pace._asdict(),
        "theirs": row.theirs.took._asdict() | row.theirs_pace._asdict(),
        "removed": {"both": both, "ours only": mine, "theirs only": theirs},
        "agreement": row.agreement,
    }


def show(
    rows: list[Row], wholes: list[Whole], job: Job, notes: list[str], asked: Namespace
) -> None:
    """Print the tables and write the JSON."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"\n{machine.line()}", highlight=False)
    console.print(
        f"sample {job.sample_bytes / MB:.1f} MB, {job.documents} documents; all text "
        f"{job.all_bytes / MB:.1f} MB; {'; '.join(notes)}\nMB/s of one core (CPU seconds)\n",
        highlight=False,
    )
    console.print(table(rows))
    if wholes:
        console.print("", whole_table(wholes), sep="\n")
    if planted := [row for row in wholes if row.planted]:
        console.print("", planted_table(planted), sep="\n")
    if asked.explain:
        console.print("\nDisagreements", highlight=False)
        console.print(explain(rows))
    if asked.json:
        path: Path = asked.json
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(as_json(rows, wholes, job, notes), indent=1) + "\n")
