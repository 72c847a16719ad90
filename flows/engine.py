"""Run the units of a step as Prefect tasks, and never compute a finished unit again.

A *unit* is one call that writes whole files: one part of one step, or a step that must see all
parts. Its fingerprint is made of the step's name and version, the step's parameters and the
fingerprints of what it reads; a record with the same fingerprint means that it is done. Threads
carry the units, since kernels release the interpreter lock; a unit that holds the lock runs in a
process of a pool that is started once per run.
"""

import multiprocessing
import os
import signal
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import opaque

from cuvee.configs.errors import CuveeError, RunError
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.records import Record, finish, finished
from cuvee.flows.job import Job, alone
from cuvee.flows.screen import Screen

Prints = list[str]  # the fingerprints of what a step wrote, a unit each
# What is a letter, a mark or a digit comes from Python's tables: part of the identity of a step
# that reads text.
UNICODE = f"unicode {unicodedata.unidata_version}"
RETRIES = 2  # of a unit whose failure is not the user's: a lost disk or network comes back


@dataclass(frozen=True)
class Unit:
    """One call of a step: `work(*arguments)` writes `outputs` and returns counts."""

    name: str
    reads: tuple[str, ...]
    work: Callable[..., Mapping[str, int]]
    arguments: tuple[Any, ...]
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Step:
    """A named, versioned step; `version` rises when its code writes other bytes than before."""

    name: str
    version: int
    parameters: Any = None
    in_processes: bool = False


@dataclass
class Engine:
    """Where the units of one flow run: its job, its workers, its screen."""

    job: Job
    workers: int
    screen: Screen
    _pool: ProcessPoolExecutor | None = field(default=None, repr=False)

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        """Run every unit that is not finished; return the units' fingerprints in order."""
        prints = [self._fingerprint(step, unit) for unit in units]
        run = self.job.run
        todo = [
            (unit, print_)
            for unit, print_ in zip(units, prints, strict=True)
            if finished(run, step.name, unit.name, print_) is None
        ]
        with self.screen.step(step.name, len(units), len(units) - len(todo)) as advance:
            futures = [self._submit(step, unit, print_) for unit, print_ in todo]
            self._collect(futures, advance)
        return prints

    def is_finished(self, step: Step, unit: Unit) -> bool:
        """Say whether a unit's outputs are there and are what it would write."""
        print_ = self._fingerprint(step, unit)
        return finished(self.job.run, step.name, unit.name, print_) is not None

    def _fingerprint(self, step: Step, unit: Unit) -> str:
        """Return the identity of what `unit` writes."""
        value = [step.name, step.version, step.parameters, unit.name, list(unit.reads)]
        return fingerprint(value)

    def _submit(self, step: Step, unit: Unit, print_: str) -> PrefectFuture[Any]:
        """Hand one unit to Prefect, named so that its page says what it did."""
        named = perform.with_options(name=step.name, task_run_name=f"{step.name} {unit.name}")
        # Opaque: Prefect is not to look for futures inside arguments that hold whole tables.
        submit: Callable[..., PrefectFuture[Any]] = named.submit
        return submit(opaque(self), opaque(step), opaque(unit), print_)

    def _collect(self, futures: Sequence[PrefectFuture[Any]], advance: Callable[[], None]) -> None:
        """Wait for all units; raise the first failure after the others have ended."""
        failures: list[Exception] = []
        for future in futures:
            try:
                future.result()
                advance()
            except Exception as error:  # each unit's failure is raised below
                failures.append(error)
        if failures:
            raise failures[0]

    def call(self, step: Step, unit: Unit) -> Mapping[str, int]:
        """Run a unit's work here, or in the pool when it would hold the interpreter lock."""
        if not step.in_processes:
            return lean(unit.work, *unit.arguments)
        if self._pool is None:
            raise RuntimeError("the engine is not open")
        try:
            return self._pool.submit(lean, unit.work, *unit.arguments).result()
        except BrokenProcessPool as error:
            raise RunError(
                f"A worker process died in {step.name} {unit.name}: it may have lacked memory.",
                do="Give the same command with fewer --workers; finished parts are kept.",
            ) from error


def lean(work: Callable[..., Mapping[str, int]], *arguments: Any) -> Mapping[str, int]:
    """Do a unit's work, and give back what Arrow keeps of its memory for later units.

    Two threads that signed eight parts of 40 MB peaked at 405 to 420 MiB, and at 442 to 540
    without it.
    """
    try:
        return work(*arguments)
    finally:
        pa.default_memory_pool().release_unused()


@contextmanager
def open_engine(job: Job, workers: int, screen: Screen) -> Iterator[Engine]:
    """Yield an engine whose process pool ends with the block, or with us."""
    spawn = multiprocessing.get_context("spawn")
    with (
        alone(job.run),
        ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool,
    ):
        try:
            yield Engine(job, workers, screen, pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _no_fault_of_the_user(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what may pass: not an error that the same input will give again."""
    return not isinstance(state.result(raise_on_failure=False), CuveeError)


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=1,
    retry_condition_fn=_no_fault_of_the_user,
)
def perform(engine: Engine, step: Step, unit: Unit, print_: str) -> dict[str, int]:
    """Do one unit and record it; the result that Prefect sees is counts, never data."""
    for output in unit.outputs:
        output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    counts = dict(engine.call(step, unit))
    run = engine.job.run
    outputs = [str(output.relative_to(run)) for output in unit.outputs]
    record = Record(print_, step.name, counts, time.perf_counter() - start, outputs)
    finish(run, step.name, unit.name, record)
    return counts


def _end_with_parent() -> None:
    """End this worker when the run is killed, and leave Ctrl-C to the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
