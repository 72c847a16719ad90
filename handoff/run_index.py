"""The index of a run's stages: which there are, in which order, and the sha256 of their manifests.

`RUN/shards/run.json` lists the stages in *topological* order: each after those in its `after`,
which are the stages that a model must have been trained on before. A stage that nothing comes after
is a *leaf*; a run that forks has several. The index protects the manifests as they protect the
shards: a byte changed in one, or one of another build, is found by its sha256. `run.schema.json`,
beside this module, is its JSON Schema.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.handoff.manifest import MANIFEST
from cuvee.handoff.parse import Misfit, parse
from cuvee.handoff.places import Place

RUN_FORMAT_VERSION = 1
RUN_INDEX = "run.json"


@dataclass(frozen=True)
class IndexedStage:
    """A stage of a run: the folder of its shards, and what comes before it.

    stage: the folder's name. after: the stages right before it; none for a start. manifest: sha256
    (hex) of its manifest.json, "" while `built` is false. gate: what an unbuilt stage waits for, as
    a sentence without a full stop; "" where nothing is asked of it.
    """

    stage: str
    after: tuple[str, ...]
    manifest: str
    built: bool = True
    gate: str = ""


@dataclass(frozen=True)
class RunIndex:
    """All stages of a run, each behind those that it comes after."""

    format_version: int
    stages: tuple[IndexedStage, ...]

    def leaves(self) -> list[str]:
        """Return the stages that no other comes after."""
        before = {name for entry in self.stages for name in entry.after}
        return [entry.stage for entry in self.stages if entry.stage not in before]

    def path_to(self, until: str | None) -> list[IndexedStage]:
        """Return a stage and all that must come before it, in order; None is the only leaf.

        Raises RequestError where there is no such stage, or None could be several.
        """
        leaves, names = self.leaves(), [entry.stage for entry in self.stages]
        if until is None and len(leaves) > 1:
            raise RequestError(
                f"the run ends in {len(leaves)} stages.",
                f"They are {', '.join(leaves)}.",
                "Name one as `until`.",
            )
        last = leaves[0] if until is None else until
        if last not in names:
            raise RequestError(f"the run has no stage {last!r}.", f"It has {', '.join(names)}.")
        wanted = {last}
        for entry in reversed(self.stages):
            if entry.stage in wanted:
                wanted.update(entry.after)
        return [entry for entry in self.stages if entry.stage in wanted]


def write_run_index(shards: Path, stages: Sequence[IndexedStage]) -> None:
    """Write `run.json` into RUN/shards, whole or not at all.

    Raises CorruptShard where the stages contradict each other; see `read_run_index`.
    """
    index = RunIndex(RUN_FORMAT_VERSION, tuple(stages))
    _refuse_faults(str(shards / RUN_INDEX), index)
    beside = shards / f"{RUN_INDEX}.tmp"
    with beside.open("wb") as file:
        file.write(json.dumps(asdict(index), indent=2, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, shards / RUN_INDEX)


def read_run_index(shards: Place) -> RunIndex | None:
    """Read the index in RUN/shards; None where there is none.

    Raises CorruptShard where it is damaged or contradicts itself.
    """
    data, name = shards.read(RUN_INDEX), f"{shards}/{RUN_INDEX}"
    if data is None:
        return None
    try:
        index = parse(RunIndex, json.loads(data))
    except (ValueError, Misfit) as error:
        raise CorruptShard(
            f"{name} is no index of a run: {error}.", do="Finish the run with `cuvee build`."
        ) from error
    _refuse_faults(name, index)
    return index


def refuse_unlisted(stage: Place, manifest_sha256: str) -> None:
    """Refuse a stage whose manifest is not the one that the index of its run lists.

    A stage that stands apart from a run has no index, and nothing is asked of it.
    """
    shards, name = stage.above()
    index = read_run_index(shards)
    for entry in index.stages if index else ():
        if entry.stage == name and entry.built and entry.manifest != manifest_sha256:
            raise other_manifest(f"{stage}/{MANIFEST}")


def other_manifest(name: str) -> CorruptShard:
    """Say that a manifest is not the one that was listed."""
    return CorruptShard(
        f"{name}: its sha256 is not the one in the run's {RUN_INDEX}.",
        do="Copy the run's shards again, or finish the build with `cuvee build`.",
    )


def _refuse_faults(name: str, index: RunIndex) -> None:
    """Refuse an index of another version, or one whose stages cannot be in this order."""
    if index.format_version != RUN_FORMAT_VERSION:
        raise RequestError(
            f"{name} has format version {index.format_version}.",
            f"This Cuvée reads version {RUN_FORMAT_VERSION}.",
            "Read it with the Cuvée that built it.",
        )
    faults = [] if index.stages else ["it lists no stage"]
    seen: set[str] = set()
    for entry in index.stages:
        if entry.stage in seen:
            faults.append(f"stage {entry.stage!r} stands in it twice")
        if Path(entry.stage).name != entry.stage:
            faults.append(f"stage {entry.stage!r} is no folder's name")
        faults += [
            f"{entry.stage!r} comes after {before!r}, which does not stand before it"
            for before in entry.after
            if before not in seen
        ]
        if bool(entry.manifest) != entry.built:
            faults.append(f"{entry.stage!r}: built and manifest contradict each other")
        seen.add(entry.stage)
    if faults:
        raise CorruptShard(f"{name}: {faults[0]}.", do="Finish the run with `cuvee build`.")
