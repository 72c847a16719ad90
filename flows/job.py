"""A job: one recipe, one run directory, and where each table of the run lies.

A *part* is a contiguous group of a source's files and the unit of work and of retry; every
per-part table has one Parquet file for it. Parts depend on the recipe alone, never on how many
workers there are.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.configs.recipe import Recipe
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.whole import write_json

RECIPE = "recipe.json"  # in a run directory: what it is a run of


@dataclass(frozen=True)
class Part:
    """One part of a source, by number."""

    source: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}/{self.number:05d}"


@dataclass(frozen=True)
class Documents:
    """The parts of a run and the fingerprint of each one's documents."""

    parts: list[Part]
    prints: list[str]

    def of(self, sources: Sequence[str]) -> list[int]:
        """Return which parts belong to `sources`."""
        return [n for n, part in enumerate(self.parts) if part.source in sources]


@dataclass(frozen=True)
class Job:
    """What runs (`recipe`), where it writes (`run`) and what relative paths are relative to."""

    recipe: Recipe
    run: Path
    base: Path

    @property
    def fingerprint(self) -> str:
        """Identity of the recipe: what decides the bytes."""
        return fingerprint(self.recipe.model_dump(mode="json"))

    def table(self, name: str, part: Part) -> Path:
        """Path of a per-part table."""
        return self.run / "tables" / name / f"{part}.parquet"

    def tokens(self, part: Part) -> Path:
        """Path of a part of the token store."""
        return self.run / "tokens" / f"{part}.parquet"


def open_job(recipe: Recipe, run: Path, base: Path, update: bool = False) -> Job:
    """Return the job of a recipe in a run directory; nothing is written yet.

    RunMismatch when the directory holds another recipe's run, unless it is to be updated.
    """
    if set("'*?[]") & set(str(run)):
        raise RequestError(
            f"The run directory {run} has a mark that patterns give a meaning.",
            do="Name one without any of ' * ? [ ].",
        )
    stored = run / RECIPE
    if run.exists() and any(run.iterdir()) and not stored.exists():
        raise RunMismatch(
            f"{run} is not empty and is no run directory (it has no {RECIPE}).",
            do="Name a new directory with --out.",
        )
    if stored.exists() and not update:
        _same_recipe(json.loads(stored.read_text()), recipe, run)
    return Job(recipe, run, base.resolve())


def start(job: Job) -> None:
    """Make the run directory, or enter it; what it is of is written first of all."""
    write_json(job.run / RECIPE, _identity(job))


def started(job: Job) -> bool:
    """Say whether the run directory is there and of this very recipe."""
    stored = job.run / RECIPE
    return stored.exists() and json.loads(stored.read_text()) == _identity(job)


def _identity(job: Job) -> dict[str, Any]:
    """Return what is written of a job in its run directory."""
    return {"base": str(job.base), "recipe": job.recipe.model_dump(mode="json")}


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Hold a run directory: one run works in it at a time. A killed run holds it no longer.

    What killed runs left half written is removed; it is under hidden names and no output.
    """
    with (run / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunMismatch(
                f"Another run is at work in {run}.", do="Wait for it, or name another --out."
            ) from error
        for left in run.rglob(".*.tmp"):
            left.unlink()
        yield


def load_job(run: Path) -> Job:
    """Return the job whose results `run` holds."""
    stored = run / RECIPE
    if not stored.exists():
        raise RunMismatch(
            f"{run} is no run directory: it has no {RECIPE}.",
            do="Name a directory that `cuvee run RECIPE --out DIRECTORY` wrote.",
        )
    value = json.loads(stored.read_text())
    return Job(Recipe.model_validate(value["recipe"]), run, Path(value["base"]))


def folders(job: Job) -> list[str]:
    """Return the stages' folders in order, one for each phase."""
    return [folder for stage in job.recipe.stages for folder in stage.folders]


def require(path: Path, what: str, command: str) -> None:
    """Refuse to go on without `path`, naming the command that makes it."""
    if not path.exists():
        raise RequestError(
            f"{what} is not there yet: {path} is missing.", do=f"Run `{command}` first."
        )


def _same_recipe(stored: dict[str, object], recipe: Recipe, run: Path) -> None:
    """Refuse to mix two recipes in one directory, and say where they differ."""
    mine, theirs = recipe.model_dump(mode="json"), stored["recipe"]
    differing = sorted(_differences(mine, theirs, ""))
    if differing:
        shown = "; ".join(differing[:5]) + ("; ..." if len(differing) > 5 else "")
        raise RunMismatch(
            f"{run} holds the run of another recipe. It differs in {shown}.",
            do="Name another directory with --out, or add --update to redo what it affects.",
        )


def _differences(mine: object, theirs: object, key: str) -> list[str]:
    """List the keys in which two recipes differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        found = []
        for name in sorted(mine.keys() | theirs.keys()):
            below = f"{key}.{name}" if key else name
            found += _differences(mine.get(name), theirs.get(name), below)
        return found
    return [] if mine == theirs else [f"{key} ({theirs!r} there, {mine!r} here)"]
