"""Read a stage in training order: `StageLoader`.

Rank r of w reads slots r, r + w, r + 2w, ... of every global batch, so the union over ranks is the
same batch at any world size, and where training stands is one number: the step.

The loader yields numpy arrays and does not import torch. Where torch has been imported, before or
after this module, it is a true `torch.utils.data.IterableDataset` from the moment a loader is made:
the class takes that base when it finds torch loaded, because importing torch here would cost every
numpy user seconds.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypedDict

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.handoff.batches import Batch, make_batch
from cuvee.handoff.manifest import MANIFEST, Manifest, parse_manifest
from cuvee.handoff.places import Place, place_of
from cuvee.handoff.prefetch import Direct, Prefetch
from cuvee.handoff.run_index import refuse_unlisted
from cuvee.handoff.stream import GroupStream, LoadedGroup
from cuvee.handoff.torch_dataset import join_torch, refuse_workers

# Names how ranks and steps map to rows. A state of another algorithm would read other rows.
ALGORITHM = 1
# Row groups read ahead. One hides the reading of a local file, two its jitter; more only take
# memory, since what follows a file is fetched meanwhile (`GroupStream.ahead`).
PREFETCH = 2


class LoaderState(TypedDict):
    """Where training stands, the same on every rank: the stage's identity and the next step."""

    manifest: str
    algorithm: int
    step: int


class StageLoader(Iterator[Batch]):
    """The micro-batches that one rank reads of a stage, in order, each within one step.

    directory: RUN/shards/STAGE, a path or any URL that fsspec knows. rank: 0 to world_size - 1;
    where world_size does not divide the global batch, the first ranks read one row more.
    micro_batch: rows of a micro-batch; the last of a step may have fewer; None gives the rank's
    whole share of a step at once. prefetch: row groups (2 to 4 MiB of tokens, or a global batch
    where that is more) that a thread reads ahead; 0 reads when asked, without a thread. cache:
    where shards of a URL are kept; None is the user's own cache. tokenizer: the sha256 (hex) of
    the tokenizer's file that the model is for; None takes any.

    It is its own iterator and holds prefetch + 1 row groups in memory. `sources` are the names
    behind `Batch.source_ids`; `steps` and `len` are those of the whole stage, wherever it stands.
    `waited` is the seconds that `next` has waited for data so far. With torch, wrap it as
    `DataLoader(loader, batch_size=None)`: without workers, which would each keep a state of their
    own that `state_dict` here could not see.

    Raises RequestError for a directory, rank, world size or micro-batch that cannot be, RunMismatch
    for another tokenizer, CorruptShard for a file that is missing or of which a single byte is not
    what was written, when it is reached, and RunError where a URL cannot be fetched.
    """

    def __init__(
        self,
        directory: str | Path,
        rank: int = 0,
        world_size: int = 1,
        micro_batch: int | None = None,
        *,
        prefetch: int = PREFETCH,
        cache: str | Path | None = None,
        tokenizer: str | None = None,
    ) -> None:
        join_torch(StageLoader)
        self._place: Place = place_of(directory, cache)
        data = self._place.read(MANIFEST)
        self.manifest: Manifest = parse_manifest(data, str(self._place))
        self._sha = hashlib.sha256(data or b"").hexdigest()
        refuse_unlisted(self._place, self._sha)
        _check_tokenizer(self._place, self.manifest, tokenizer)
        self._batch = self.manifest.global_batch.sequences
        _check_ranks(rank, world_size, micro_batch, self._batch)
        if prefetch < 0:
            raise RequestError(f"prefetch {prefetch}.", "0 reads when asked; 1 or more, ahead.")
        self._place.check(self.manifest.files)
        self._share = range(rank, self._batch, world_size)
        self._micro = micro_batch or len(self._share)
        self._micros = -(-len(self._share) // self._micro)
        self.sources = tuple(source.name for source in self.manifest.sources)
        self.steps = self.manifest.steps
        self.waited = 0.0
        self._step, self._done = 0, 0  # next step; rows of it already given out
        self._prefetch = prefetch
        self._group: LoadedGroup | None = None
        self._supply: Prefetch | Direct | None = None

    def __len__(self) -> int:
        """Micro-batches that this rank reads in the whole stage."""
        return self.steps * self._micros

    def __iter__(self) -> Self:
        """Start at the next step, or again at the start of one that was broken off."""
        refuse_workers()
        self._done = 0
        return self

    def __next__(self) -> Batch:
        if self._step >= self.steps:
            raise StopIteration
        began = time.perf_counter()
        group = self._group_at(self._step * self._batch)
        waited = time.perf_counter() - began
        self.waited += waited
        slots = self._share[self._done : self._done + self._micro]
        offset = self._step * self._batch - group.first
        rows = range(offset + slots.start, offset + slots.stop, slots.step)
        special = self.manifest.special_ids
        batch = make_batch(group.rows, rows, special, group.source_of, len(self.sources))
        micro = self._done // self._micro
        self._done += len(slots)
        if self._done == len(self._share):
            self._step, self._done = self._step + 1, 0
        return batch._replace(micro=micro, micros=self._micros, waited=waited)

    def seek(self, step: int) -> None:
        """Go to the start of a step; `steps` is the end of the stage."""
        if not 0 <= step <= self.steps:
            raise RequestError(
                f"step {step} is not in stage {self.manifest.stage!r}.",
                f"It has steps 0 to {self.steps - 1}; {self.steps} is its end.",
            )
        self._step, self._done = step, 0

    def state_dict(self) -> LoaderState:
        """Return where training stands: the next step to read. Take it between steps.

        A step counts as read once its last micro-batch was given out; what was prefetched does not
        count. Taken amid a step, the state names that step, which will then be read again from its
        start.
        """
        return {"manifest": self._sha, "algorithm": ALGORITHM, "step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state, taken at any world size, rank and micro-batch.

        Raises RunMismatch where it is of another stage, build or loader.
        """
        if state.keys() != LoaderState.__annotations__.keys():
            raise RequestError(
                f"the loader's state has keys {sorted(state)}.",
                f"A state has {sorted(LoaderState.__annotations__)}.",
            )
        for key, own in (("manifest", self._sha), ("algorithm", ALGORITHM)):
            if state[key] != own:
                raise RunMismatch(
                    f"the state was taken with {key} {state[key]}, but {self._place} has {own}.",
                    do="Load it with the stage it was taken on, or start this one without a state.",
                )
        self.seek(state["step"])

    def close(self) -> None:
        """Stop the thread, close what is open and free the memory; reading on opens it again."""
        if self._supply is not None:
            self._supply.close()
        self._supply = self._group = None

    def _group_at(self, position: int) -> LoadedGroup:
        """Return the row group that holds a global batch."""
        held = self._group
        if held is not None and held.first <= position < held.end:
            return held
        follows = held is not None and held.end == position
        self._group = held = None  # freed before the next is taken: what is held stays bounded
        if self._supply is None or not follows:
            self.close()
            stream, depth = GroupStream(self._place, self.manifest), self._prefetch
            self._supply = Prefetch(stream, position, depth) if depth else Direct(stream, position)
        self._group = self._supply.take()
        return self._group


def _check_tokenizer(place: Place, manifest: Manifest, sha256: str | None) -> None:
    """Refuse a stage whose ids another tokenizer made than the model is for."""
    made = manifest.tokenizer
    if sha256 not in (None, made.sha256):
        raise RunMismatch(
            f"{place} was made with tokenizer {made.name!r} of sha256 {made.sha256}.",
            f"The model is for the one of sha256 {sha256}.",
            "Give the model's own stage, or build one with its tokenizer.",
        )


def _check_ranks(rank: int, world_size: int, micro_batch: int | None, batch: int) -> None:
    """Refuse ranks and micro-batches that cannot share a global batch."""
    if not 1 <= world_size <= batch:
        raise RequestError(
            f"world_size {world_size} with a global batch of {batch} sequences.",
            f"Every rank needs a sequence of each: 1 to {batch}.",
            "Count only data-parallel ranks; tensor-parallel ones read the same rows.",
        )
    if not 0 <= rank < world_size:
        raise RequestError(f"rank {rank} of world_size {world_size}.", f"0 to {world_size - 1}.")
    if micro_batch is not None and micro_batch < 1:
        raise RequestError(f"micro_batch {micro_batch}.", "1 or more rows, or None for all.")


join_torch(StageLoader)
