"""Measure the peak memory of a whole run against the size of its text: it should stay the same.

    python benchmarks/memory.py web.jsonl.zst books.jsonl.zst --scales 1 2 4 8

The documents are written out once, twice, four and eight times as JSON lines (each time with a line
of its own, so that no copy is dropped), in files of one part each, and `cuvee curate` and `cuvee
build` run over them as a user runs them. Every tenth of a second the memory of that command and of
all processes that it started is summed: proportional set sizes, in which a page that several
processes share counts once. Linux only.

Rules, language and exact deduplication are in the recipe; MinHash and decontamination are not, for
they keep an index.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import machine
import texts
import yaml
from rich.console import Console
from texts import MB, Text

from cuvee.corpus.terminal import house_table

PART_BYTES = 8 * 2**20
EVERY_S = 0.1
MIB = 2**20
TOKENS_A_BYTE = 1 / 16  # of a stage: less than what is kept
RULES = ["gopher_quality@datatrove", "gopher_repetition@datatrove", "c4@datatrove", "fineweb"]


class Peak(NamedTuple):
    """The highest memory of a command and its processes in MiB, and the seconds it took."""

    mib: float
    seconds: float
    by_process: dict[str, float]  # each process's own highest, by what it is


def recipe(folder: Path, n_bytes: int) -> dict[str, object]:
    """Return a recipe over a folder's files, whose budget grows with the text."""
    off = dict.fromkeys((f"duplicated_{n}_n_grams" for n in range(5, 11)), None)
    repetition = {"use": RULES[1], "limits": off}
    return {
        "name": "memory",
        "part_bytes": PART_BYTES,
        "sources": {"text": {"format": "jsonl", "paths": [f"{folder}/*.jsonl"]}},
        "curate": {
            "language": {"min_score": 0},
            "rules": [repetition, *RULES[2:]],
            "dedup": {"exact": True, "minhash": None},
        },
        "tokenizer": {"train": {"vocab_size": 16384, "sample_bytes": "4M"}},
        "stages": [
            {
                "name": "core",
                "tokens": int(n_bytes * TOKENS_A_BYTE),
                "seq_len": 1024,
                "batch": {"sequences": 16},
                "mixture": {"text": 1},
            }
        ],
    }


def write_copies(documents: list[Text], folder: Path, copies: Iterable[int]) -> int:
    """Write the documents once for each number, in files of a part each; give the text's bytes."""
    folder.mkdir(exist_ok=True)
    n_bytes = 0
    for copy in copies:
        for number, lines in enumerate(_parts(documents, copy)):
            (folder / f"{copy:03d}-{number:03d}.jsonl").write_text("".join(lines), encoding="utf-8")
            n_bytes += sum(map(len, lines))
    return n_bytes


def _parts(documents: list[Text], copy: int) -> Iterator[list[str]]:
    """Yield the lines of each file."""
    lines: list[str] = []
    size = 0
    for one in documents:
        text = f"{one.text}\nThis is copy number {copy} of the document."
        line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
        n_bytes = len(line.encode())
        if lines and size + n_bytes > PART_BYTES:
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += n_bytes
    yield lines


def processes(root: int) -> list[int]:
    """List a process and all that descend from it."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2]
            except OSError:  # it has ended
                continue
            children[int(after_name.split()[1])].append(int(entry.name))
    found = [root]
    for process in found:
        found += children[process]
    return found


def pss_mib(process: int) -> float:
    """Return the proportional set size of a process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0)


def kind(process: int) -> str:
    """Say what a process of a run is."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return "ended"
    names = {"cuvee.flows.server": "server", "spawn_main": "worker", "resource_tracker": "tracker"}
    return next((name for part, name in names.items() if part in command), "run")


def peak_of(command: list[str]) -> Peak:
    """Run a command to its end and sample the memory of its processes."""
    most, each = 0.0, defaultdict[str, float](float)
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while child.poll() is None:
            now = {process: pss_mib(process) for process in processes(child.pid)}
            most = max(most, sum(now.values()))
            for process, mib in now.items():
                name = kind(process)
                each[name] = max(each[name], mib)
            time.sleep(EVERY_S)
        if child.returncode:
            output.seek(0)
            sys.exit(output.read().decode())
    return Peak(most, time.monotonic() - start, dict(each))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to run on")
    parser.add_argument("--scales", nargs="+", type=int, default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--mb", type=float, default=50.0, help="text of scale 1 at most, in MB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--commands", nargs="+", default=["curate", "build"])
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = arguments()
    documents = texts.first(asked.files, asked.mb * MB)
    table = house_table("command", max_width=12)
    for heading in ("scale", "MB", "peak MiB", "ratio", "s", "s/GB", "largest of each, MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    first: dict[str, Peak] = {}
    with tempfile.TemporaryDirectory() as name:
        texts_folder, done, n_bytes = Path(name) / "texts", 0, 0
        for scale in asked.scales:
            n_bytes += write_copies(documents, texts_folder, range(done, scale))
            done = scale
            file, run = Path(name) / f"{scale}.yaml", Path(name) / f"run{scale}"
            file.write_text(yaml.safe_dump(recipe(texts_folder, n_bytes)))
            for command in asked.commands:
                call = [command, str(file), "--out", str(run), "--workers", str(asked.workers)]
                peak = peak_of([sys.executable, "-m", "cuvee.flows", *call])
                ratio = peak.mib / first.setdefault(command, peak).mib
                each = " ".join(f"{key} {mib:.0f}" for key, mib in sorted(peak.by_process.items()))
                size = n_bytes / MB
                cells = [f"{size:.0f}", f"{peak.mib:.0f}", f"{ratio:.2f}", f"{peak.seconds:.0f}"]
                table.add_row(
                    command, str(scale), *cells, f"{peak.seconds / size * 1000:.0f}", each
                )
                print(command, scale, *cells, each, flush=True)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"\n{machine.line()}, {asked.workers} workers\n", highlight=False)
    console.print(table)


if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    main()
