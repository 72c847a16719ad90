"""Run a command and say what it and all that it starts took: wall and CPU seconds, peak memory.

The processes are watched in /proc (Linux), 10 times a second: children that a server adopts or that
begin a session of their own are seen there, and are not in what the system counts for us. What a
process does in its last tenth of a second may be missed.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICK_S = 0.1
MEMORY_TICKS = 2  # memory is asked for every other time: it costs milliseconds a process
CLOCK = os.sysconf("SC_CLK_TCK")


class Took(NamedTuple):
    """Wall seconds, CPU seconds of all processes together, and MiB at the worst moment.

    A page that several processes share is counted once (proportional set size).
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


class Failed(RuntimeError):
    """A command that ended with another status than 0; its last words."""


def take(command: Sequence[str], env: Mapping[str, str] = os.environ) -> Took:
    """Run a command to its end; Failed if it fails."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, env=dict(env), stdout=said, stderr=subprocess.STDOUT)
        cpu_s, peak = _watch(child)
        wall_s = time.monotonic() - begun
        if child.returncode:
            said.seek(0)
            raise Failed((said.read().strip().splitlines() or ["it failed"])[-1])
    return Took(wall_s, cpu_s, peak)


def _watch(child: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Wait for a process; return CPU seconds and peak MiB of it and of all that it starts."""
    known, seconds, peak, tick = {child.pid}, dict[int, float](), 0.0, 0
    while child.poll() is None:
        known = _with_children(known)
        seconds |= {pid: cpu for pid in known if (cpu := _cpu_s(pid)) is not None}
        if tick % MEMORY_TICKS == 0:
            peak = max(peak, sum(map(_mib, known)))
        tick += 1
        time.sleep(TICK_S)
    return sum(seconds.values()), peak


def _with_children(known: set[int]) -> set[int]:
    """Add the children of known processes, and theirs."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))):
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found, new = set(known), list(known)
    while new:
        children = [child for pid in new for child in parents.get(pid, ()) if child not in found]
        found.update(children)
        new = children
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields behind the command's name, state and parent first; of one gone, none."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float | None:
    """Return the CPU seconds of a process so far, or None when it has ended."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / CLOCK if stat else None


def _mib(pid: int) -> float:
    """Return the proportional set size of a process."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
