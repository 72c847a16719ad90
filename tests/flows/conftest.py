"""A small corpus of invented text, a recipe for it, and one Prefect API for all runs."""

import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cuvee.configs.load import base_of, load
from cuvee.corpus import catalog
from cuvee.flows import build, curate
from cuvee.flows.checks import begin
from cuvee.flows.engine import Engine, Step, Unit, perform
from cuvee.flows.job import open_job
from cuvee.flows.screen import Screen, make_console
from cuvee.flows.server import api

# ruff: noqa: SIM905  (forty words in a list of literals would take forty lines)
WORDS = """
the of and to in that is was for on are with as his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then
she many some so these would other into has more her two like him see time could river stone garden
winter letter window music bread market village station morning harbour
""".split()

Cuvee = Callable[..., subprocess.CompletedProcess[str]]


def sentence(chance: random.Random) -> str:
    words = [chance.choice(WORDS) for _ in range(chance.randint(6, 18))]
    return " ".join(words).capitalize() + "."


def page(chance: random.Random, sentences: int) -> str:
    return "\n".join(sentence(chance) for _ in range(sentences))


def write_corpus(folder: Path) -> None:
    """Write three sources: web (with copies), books (long) and notes (short), 1.3 MB in all."""
    chance = random.Random(7)
    web = [page(chance, chance.randint(8, 30)) for _ in range(500)]
    web += [web[3], web[4] + "\nOne more line at the end.", "", "\x00\x00\x00", "too short"]
    for name, texts in {
        "web": web,
        "books": [page(chance, 400) for _ in range(10)],
        "notes": [page(chance, 9) for _ in range(200)],
    }.items():
        (folder / name).mkdir(parents=True)
        for shard in range(4):
            lines = [json.dumps({"text": text}) for text in texts[shard::4]]
            with gzip.open(folder / name / f"{shard}.jsonl.gz", "wt") as file:
                file.write("\n".join(lines) + "\n")


def recipe() -> dict[str, Any]:
    """Return a recipe for the corpus: every step, three stages."""
    fields = {"format": "jsonl", "max_epochs": 8}
    return {
        "name": "small",
        "seed": 3,
        "part_bytes": "40K",
        "sources": {n: fields | {"paths": [f"{n}/*.jsonl.gz"]} for n in ("web", "books", "notes")},
        "curate": {
            "rules": [{"use": "gopher_quality@datatrove", "sources": ["web", "notes"]}],
            "classifiers": [
                {
                    "name": "booklike",
                    "train": {"positive": ["books"], "negative": ["notes"], "documents": 50},
                }
            ],
            "dedup": {"minhash": {"verify": 0.8}},
            "decontaminate": {"benchmarks": ["benchmark.jsonl"]},
        },
        "tokenizer": {"train": {"vocab_size": 600, "sample_bytes": "200K"}},
        "stages": [
            {
                "name": "core",
                "tokens": "150K",
                "seq_len": 128,
                "batch": {"sequences": 8},
                "mixture": {"web": 0.6, "books": 0.3, "notes": 0.1},
            },
            {
                "name": "anneal",
                "tokens": "50K",
                "seq_len": 128,
                "batch": {"sequences": 8},
                "mixture": {"inherit": "core", "scale": {"web": 0.5, "notes": 2}},
                "meta": {"rope_theta": 500000},
            },
            {
                "name": "long",
                "tokens": "30K",
                "seq_len": 512,
                "batch": {"sequences": 4},
                "mixture": {"books": 0.7, "web": 0.3},
            },
        ],
    }


def write_recipe(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(recipe() | (changes or {})))
    return path


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prefect")
    os.environ["PREFECT_HOME"] = str(folder)
    with api(folder / "server.log") as url:
        yield url


@pytest.fixture(scope="session")
def cuvee(api_url: str) -> Cuvee:
    """Run the command line as its own process, on the session's Prefect API."""

    def call(*arguments: Any, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cuvee.flows", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=os.environ | {"PREFECT_API_URL": api_url},
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    chance = random.Random(11)
    items = [{"id": f"item-{n}", "text": page(chance, 3)} for n in range(5)]
    planted = json.dumps({"text": page(chance, 9) + "\n" + items[2]["text"]})
    with gzip.open(folder / "web" / "0.jsonl.gz", "at") as file:
        file.write(planted + "\n")
    (folder / "benchmark.jsonl").write_text("\n".join(json.dumps(item) for item in items))
    write_recipe(folder)
    return folder


@pytest.fixture(scope="session")
def finished(cuvee: Cuvee, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run directory in which everything was done, undisturbed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = cuvee("run", corpus / "small.yaml", "--out", out, "--workers", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return out


class Plain(Engine):
    """An engine that does one unit after the other, here."""

    def call(self, step: Step, unit: Unit) -> Any:
        return unit.work(*unit.arguments)

    def _submit(self, step: Step, unit: Unit, print_: str) -> Any:
        counts = perform.fn(self, step, unit, print_)
        return SimpleNamespace(result=lambda: counts)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Curate and build in this process, without Prefect."""

    def run(
        recipe: Path,
        out: Path,
        overrides: Sequence[str] = (),
        scale: float = 1.0,
        update: bool = False,
    ) -> None:
        job = open_job(load(recipe, overrides, scale), out, base_of(recipe), update)
        begin(job)

        @contextlib.contextmanager
        def session(*_: Any) -> Iterator[Engine]:
            yield Plain(job, 1, Screen(make_console()), None)

        for module, flow in ((curate, curate.curate), (build, build.build)):
            monkeypatch.setattr(module, "session", session)
            flow.fn(str(recipe), str(out), tuple(overrides), scale)
            catalog.build(out)

    return run
