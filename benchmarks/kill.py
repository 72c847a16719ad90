"""Kill a curation with -9 at random moments, go on, and compare what it wrote with a run in peace.

    python benchmarks/kill.py --out build/kill --kills 20

The corpus is modules of the standard library of the running Python, copies of some of it and pages
with the same addresses; every step of curation has work. One run goes through in peace. Another is
killed `--kills` times: in every step in turn, when a number of units drawn from it are done (their
records are there) and up to `--delay` seconds have gone; whatever it is doing then, the next
attempt goes on. At the end all tables must be the same, byte for byte.

An attempt is the curate flow in a forked process, two units at a time, without Prefect, whose start
would take most of the time; tests/flows/test_run.py kills the command itself.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import sysconfig
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from cuvee.flows.curate import curate
from cuvee.flows.engine import Engine, Step, Unit, perform

RECIPE: dict[str, Any] = {
    "name": "kill",
    "part_bytes": "256K",
    "sources": {
        "code": {"format": "text", "paths": ["python://stdlib/*.py"]},
        "copies": {"format": "text", "paths": ["python://stdlib/[a-d]*.py"]},
        "pages": {"format": "jsonl", "paths": ["pages.jsonl"]},
    },
    "curate": {
        "edits": [{"use": "c4_lines@datatrove", "sources": ["pages"]}],
        "rules": [{"use": "gopher_repetition@datatrove", "sources": ["code"]}],
        "language": {"min_score": 0.1},
        "classifiers": [
            {
                "name": "pagelike",
                "train": {"positive": ["pages"], "negative": ["code"], "documents": 50},
            }
        ],
        "pii": {"mask": True},
        "dedup": {
            "url": True,
            "exact": True,
            "minhash": {},
            "lines": {"max": 6, "per": 100},
            "paragraphs": {},
            "ngrams": {"memory": "1Mi"},
        },
        "decontaminate": {"benchmarks": ["benchmark.jsonl"]},
    },
    "tokenizer": {"train": {"vocab_size": 600}},
    "stages": [
        {
            "name": "core",
            "tokens": "1K",
            "seq_len": 128,
            "batch": {"sequences": 1},
            "mixture": {"code": 1},
        }
    ],
}


def write_corpus(folder: Path, chance: random.Random) -> Path:
    """Write pages (modules with lines changed, some of one address), a benchmark and the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(errors="replace") for path in modules]
    pages = []
    for number, text in enumerate(chance.choices(texts, k=150)):
        lines = text.splitlines()
        lines.insert(chance.randrange(len(lines) + 1), f"This is line {number}, which is new here.")
        url = f"https://example.org/{number % 100}"
        pages.append(
            {"text": "\n".join(lines), "url": url, "date": f"2026-01-{number % 28 + 1:02}"}
        )
    words = [text.split() for text in chance.sample(texts, 20)]
    items = [{"id": str(n), "text": " ".join(part[50:90])} for n, part in enumerate(words)]
    for name, rows in (("pages", pages), ("benchmark", items)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    path = folder / "kill.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def start(recipe: Path, out: Path) -> int:
    """Begin the curation, or go on with it, in a process of its own; return its id."""
    child = os.fork()
    if child:
        return child
    log = os.open(out.parent / f"{out.name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _without_prefect()
    try:
        curate.fn(str(recipe), str(out))
        os._exit(0)
    except BaseException:  # whatever it is, the parent's code is not to go on here
        traceback.print_exc()
        os._exit(1)


def _without_prefect() -> None:
    """Do units on two threads of this process."""
    threads = ThreadPoolExecutor(2)

    def submit(engine: Engine, step: Step, unit: Unit, print_: str) -> Any:
        return threads.submit(perform.fn, engine, step, unit, print_)

    def call(engine: Engine, step: Step, unit: Unit) -> Any:
        return unit.work(*unit.arguments)

    for name, function in (("_submit", submit), ("call", call)):
        setattr(Engine, name, function)


def finish(recipe: Path, out: Path) -> None:
    """Run the curation to its end."""
    if os.waitpid(start(recipe, out), 0)[1]:
        sys.exit(f"The curation failed; see {out.parent / f'{out.name}.log'}.")


def records(out: Path) -> dict[str, int]:
    """Return the records of a run, and when each was written."""
    found = {}
    for path in (out / "records").rglob("*.json"):
        found[path.relative_to(out / "records").as_posix()] = path.stat().st_mtime_ns
    return found


def tables(out: Path) -> dict[str, str]:
    """Return the sha256 of every table."""
    paths = sorted((out / "tables").rglob("*.parquet"))
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def kill_after(child: int, out: Path, units: int, delay: float) -> str:
    """Kill a run some time after so many units are done; return the last one's step."""
    while len(records(out)) < units:
        if os.waitpid(child, os.WNOHANG)[0]:
            sys.exit(f"The curation ended before unit {units}; see {out}.log.")
        time.sleep(0.002)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        return "ended"
    done = records(out)
    return max(done, key=lambda name: done[name]).partition("/")[0] if done else "before any unit"


def moments(order: list[str], kills: int, chance: random.Random) -> list[int]:
    """Draw how many units are to be done before each kill: every step in turn, a unit of it."""
    steps = list(dict.fromkeys(order))
    chance.shuffle(steps)
    chosen = [steps[number % len(steps)] for number in range(kills)]
    return sorted(
        chance.choice([n for n, step in enumerate(order) if step == name]) for name in chosen
    )


def main() -> None:
    """Run in peace, run with kills, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0.1, help="seconds after a unit, at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    recipe = write_corpus(given.out, random.Random(1))
    peace, killed = given.out / "peace", given.out / "killed"
    finish(recipe, peace)
    found = records(peace)
    order = [name.partition("/")[0] for name in sorted(found, key=lambda name: found[name])]
    ended: Counter[str] = Counter()
    for units in moments(order, given.kills, chance):
        delay = chance.uniform(0, given.delay)
        last = kill_after(start(recipe, killed), killed, units, delay)
        ended[last] += 1
        during = f"{order[units]}, {units} of {len(order)} units done, {delay:.2f} s later"
        print(f"killed in {during}; the last record was of {last}", flush=True)
    finish(recipe, killed)
    ours, theirs = tables(killed), tables(peace)
    wrong = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    print(f"{given.kills} kills; last records {dict(ended)}")
    print(f"{len(theirs)} tables, {len(wrong)} differ {wrong[:10]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
