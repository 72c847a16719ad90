"""What the build flow does to one stage: write its plan, its hash chain and its certificate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.corpus.schemas import PLAN
from cuvee.corpus.whole import write_json, write_part
from cuvee.flows.chains import Chain, steps_of_chunk
from cuvee.flows.positions import Chunk, chunks, scheduled
from cuvee.mixers.plan import Stage
from cuvee.mixers.quota import certificate

ALGORITHM = {"name": "earliest deadline first, exchanges at dead ends", "version": 1}


@dataclass(frozen=True)
class PlanFiles:
    """Where a stage's plan, its chain and its certificate go."""

    plan: Path
    chain: Path
    certificate: Path


def plan_stage(stage: Stage, packs: Mapping[str, Path], files: PlanFiles) -> Mapping[str, int]:
    """Write which pool and which of its sequences each position reads, and the proof of it.

    `packs` are those of the stage's pools, the ones with a weight, in the plan's order. Memory: 2
    bytes a position for the schedule, and a chunk of positions.
    """
    names, batch = list(packs), stage.batch_sequences
    numbers = np.zeros(stage.ramp.weights.shape[1], np.uint16)
    numbers[stage.drawn] = np.arange(len(names))
    chain = Chain(names, batch)
    reads = scheduled(stage.schedule, steps_of_chunk(batch) * batch)
    mine = (run._replace(pools=numbers[run.pools]) for run in reads)

    def rows() -> Iterator[pa.RecordBatch]:
        for chunk in chunks(mine, list(packs.values())):
            chain.add(chunk)
            yield _rows(chunk, stage, names)

    written = write_part(files.plan, PLAN, rows())
    write_json(files.certificate, _certificate(stage, names, chain))
    write_json(files.chain, chain.stored(stage.seq_len))
    return {"positions": written}


def _rows(chunk: Chunk, stage: Stage, names: list[str]) -> pa.RecordBatch:
    """Return the rows of the plan for some positions."""
    n = len(chunk.pools)
    position = np.arange(chunk.first, chunk.first + n, dtype=np.int64)
    step, slot = np.divmod(position, stage.batch_sequences)
    columns = [
        _names(np.zeros(n, np.int32), [stage.name]),
        pa.array(position),
        pa.array(step.astype(np.int32)),
        pa.array(slot.astype(np.int32)),
        _names(chunk.pools.astype(np.int32), names),
        pa.array(chunk.epochs),
        pa.array(chunk.ordinals),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PLAN)


def _names(numbers: NDArray[np.int32], names: list[str]) -> "pa.Array[Any]":
    """Return a column of names."""
    return pa.DictionaryArray.from_arrays(numbers, pa.array(names))


def _certificate(stage: Stage, names: list[str], chain: Chain) -> dict[str, object]:
    """Return what is proved of a stage's schedule: its quota at every prefix."""
    found = certificate(stage.schedule, stage.targets)
    shares, counts = stage.targets.shares, stage.counts
    return {
        "stage": stage.name,
        "positions": stage.sequences,
        "algorithm": ALGORITHM,
        "quota_at_every_prefix": found.holds,
        "pools": [
            {
                "pool": name,
                "planned": float(shares[number]) * stage.sequences,
                "count": int(counts[number]),
                "max_deviation": float(found.max_deviation[number]),
            }
            for name, number in zip(names, stage.drawn.tolist(), strict=True)
        ],
        "chain": chain.link.hex(),
    }
