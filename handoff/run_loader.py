"""Read a whole run, one stage after the other: `RunLoader`.

An *event* is what a trainer is given: the start of a stage, with its sequence length, global batch
and metadata, or a micro-batch of it. The *path* is the stages that lead to one end of the run.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.handoff.batches import Batch
from cuvee.handoff.loader import PREFETCH, LoaderState, StageLoader
from cuvee.handoff.manifest import MANIFEST, Manifest, parse_manifest
from cuvee.handoff.places import place_of
from cuvee.handoff.run_index import (
    RUN_INDEX,
    IndexedStage,
    RunIndex,
    read_run_index,
)
from cuvee.handoff.torch_dataset import join_torch


class StageStart(NamedTuple):
    """A stage begins, or goes on after a state was loaded.

    stage: its folder's name. step: the first step that follows, 0 but after a resume. steps: of the
    whole stage. manifest: all there is to know of it; the properties are what trainers ask for.
    """

    stage: str
    step: int
    steps: int
    manifest: Manifest

    @property
    def seq_len(self) -> int:
        """Slots of a sequence, in tokens."""
        return self.manifest.seq_len

    @property
    def global_batch(self) -> int:
        """Sequences of a step, over all ranks."""
        return self.manifest.global_batch.sequences

    @property
    def meta(self) -> dict[str, Any]:
        """The stage's metadata from the recipe."""
        return self.manifest.meta

    @property
    def sources(self) -> tuple[str, ...]:
        """The names behind `Batch.source_ids` and `Batch.source_counts` in this stage."""
        return tuple(source.name for source in self.manifest.sources)


class RunState(TypedDict):
    """Where training stands in a run, the same on every rank: a stage, and a state of it."""

    stage: str
    manifest: str
    algorithm: int
    step: int


class RunLoader(Iterator[StageStart | Batch]):
    """The events of one rank over all stages of a path: a StageStart, its batches, the next one.

    run: the run's directory, a path or any URL that fsspec knows. micro_batch: rows of a
    micro-batch in every stage; micro_tokens: in its place, tokens of one, so that a stage of longer
    sequences gets fewer rows (micro_tokens // seq_len); neither gives a rank's share at once.
    until: the stage to end with; None where the run has one end only. The rest is as of
    `StageLoader`; a tokenizer need not be named for the stages to be refused where they differ.

    `path` are the folders' names in order. A stage that is not built yet is refused when it is
    reached, and may be built by then: it is built while the model trains on those before it.
    """

    def __init__(
        self,
        run: str | Path,
        rank: int = 0,
        world_size: int = 1,
        micro_batch: int | None = None,
        *,
        micro_tokens: int | None = None,
        until: str | None = None,
        prefetch: int = PREFETCH,
        cache: str | Path | None = None,
        tokenizer: str | None = None,
    ) -> None:
        join_torch(RunLoader)
        if micro_batch is not None and micro_tokens is not None:
            raise RequestError("both micro_batch and micro_tokens are given.", "Give one of them.")
        self._shards = place_of(run, cache).under("shards")
        self._micro = micro_batch, micro_tokens
        self._open = partial(
            StageLoader,
            rank=rank,
            world_size=world_size,
            prefetch=prefetch,
            cache=cache,
            tokenizer=tokenizer,
        )
        path = self._index().path_to(until)
        self.path = tuple(entry.stage for entry in path)
        # Opening reads manifests only, and finds at once what cannot be read later.
        self._stages = {entry.stage: self._opened(entry) for entry in path if entry.built}
        self._refuse_mixed_tokenizers()
        self._current, self._announced = self.path[0], False
        self._reach(self._current)

    @property
    def waited(self) -> float:
        """Seconds that `next` has waited for data so far."""
        return sum(loader.waited for loader in self._stages.values())

    def __iter__(self) -> Self:
        """Start at the next step, or again at the start of one that was broken off."""
        iter(self._stages[self._current])
        return self

    def __next__(self) -> StageStart | Batch:
        stage, loader = self._current, self._stages[self._current]
        if loader.state_dict()["step"] == loader.steps:
            if stage == self.path[-1]:
                raise StopIteration
            self.seek(self.path[self.path.index(stage) + 1], 0)
            return next(self)
        if self._announced:
            return next(loader)
        self._announced = True
        return StageStart(stage, loader.state_dict()["step"], loader.steps, loader.manifest)

    def seek(self, stage: str, step: int) -> None:
        """Go to the start of a step of a stage, by the name of its folder."""
        if stage not in self.path:
            raise RequestError(
                f"stage {stage!r} is not on the path.", f"It is {', '.join(self.path)}."
            )
        loader = self._reach(stage)
        loader.seek(step)
        if stage != self._current:
            self.close()
        self._current, self._announced = stage, False

    def state_dict(self) -> RunState:
        """Return where training stands; see `StageLoader.state_dict`."""
        return {"stage": self._current, **self._stages[self._current].state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state, taken at any world size, rank and micro-batch, on any path with its stage.

        A StageStart comes first. Raises RunMismatch where it is of another run, build or loader.
        """
        if state.keys() != RunState.__annotations__.keys():
            raise RequestError(
                f"the loader's state has keys {sorted(state)}.",
                f"A state has {sorted(RunState.__annotations__)}.",
            )
        if state["stage"] not in self.path:
            raise RunMismatch(
                f"the state was taken in stage {state['stage']!r}.",
                f"This loader reads {', '.join(self.path)}.",
                "Name the stage that training is to end with as `until`.",
            )
        loader = self._reach(state["stage"])
        loader.load_state_dict({key: state[key] for key in LoaderState.__annotations__})
        self.seek(state["stage"], state["step"])

    def close(self) -> None:
        """Stop the thread, close what is open and free the memory; reading on opens it again."""
        for loader in self._stages.values():
            loader.close()

    def _reach(self, stage: str) -> StageLoader:
        """Return the loader of a stage, which may have been built since the others were opened."""
        if stage not in self._stages:
            entry = next(entry for entry in self._index().stages if entry.stage == stage)
            if not entry.built:
                gate = f" It waits for {entry.gate}." if entry.gate else ""
                raise RequestError(
                    f"stage {stage!r} of {self._shards} is not built yet.{gate}",
                    do="Build it with `cuvee build`, then go on from the state of this loader.",
                )
            self._stages[stage] = self._opened(entry)
            self._refuse_mixed_tokenizers()
        return self._stages[stage]

    def _opened(self, entry: IndexedStage) -> StageLoader:
        """Open a stage that is built."""
        place = self._shards.under(entry.stage)
        rows, tokens = self._micro
        if tokens is not None:
            seq_len = parse_manifest(place.read(MANIFEST), str(place)).seq_len
            rows = tokens // seq_len
            if rows < 1:
                raise RequestError(
                    f"micro_tokens {tokens} in stage {entry.stage!r} of {seq_len} tokens a row.",
                    "A micro-batch holds one row at least.",
                )
        return self._open(str(place), micro_batch=rows)

    def _index(self) -> RunIndex:
        """Read the index of the run."""
        index = read_run_index(self._shards)
        if index is None:
            raise RequestError(
                f"{self._shards} holds no {RUN_INDEX}: it is no run, or nothing of it is built.",
                do="Give a run's directory, or build it with `cuvee build`.",
            )
        return index

    def _refuse_mixed_tokenizers(self) -> None:
        """Refuse stages whose ids were made by different tokenizers: one model reads them all."""
        first, *others = self._stages.items()
        for stage, loader in others:
            if loader.manifest.tokenizer.sha256 != first[1].manifest.tokenizer.sha256:
                raise RunMismatch(
                    f"stages {first[0]!r} and {stage!r} of {self._shards} were made with different "
                    "tokenizers.",
                    do="Build the run again with one tokenizer.",
                )


join_torch(RunLoader)
