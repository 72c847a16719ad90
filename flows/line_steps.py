"""The steps `lines` and `paragraphs`: cut what repeats between the documents that stay.

Each spills keys, counts them range by range, and cuts; `line_parts.py` has the work. On disk, until
the step is done: 16 bytes a different line of a part, below RUN/scratch. Memory a worker: 300 MB.
The three passes together: 80 MB/s a core for `lines`, 55 MB/s for `paragraphs`.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cuvee.configs.text_dedup import LineDedup, ParagraphDedup
from cuvee.corpus.fingerprint import fingerprint
from cuvee.flows import line_parts as work
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents, Job
from cuvee.flows.line_parts import LinePart

_EVERYTHING = 2**62  # documents a bucket where there is one


def cut_lines(engine: Engine, kept: Documents, spec: LineDedup) -> Prints:
    """Cut the lines that occur too often in their bucket; "" for a part that is not asked."""
    shape = LinePart(Path(), Path(), 0, spec.per, spec.min_words, exact=False)

    def units(spills: "Spills") -> list[Unit]:
        repeated: dict[int, list[Path]] = {}
        for bucket, keys in spills.by_bucket().items():
            repeated[bucket] = _count(engine, spills, bucket, keys, (work.count_lines, spec.max))
        made = []
        for part, name, files in zip(spills.parts, spills.names, spills.files, strict=True):
            arguments = (part, files, {bucket: repeated[bucket] for bucket in files})
            made.append(Unit(name, (), work.cut_lines_of, arguments, ()))
        return made

    return _cut(engine, kept, spec, shape, units)


def cut_paragraphs(engine: Engine, kept: Documents, spec: ParagraphDedup) -> Prints:
    """Cut the paragraphs that stood before; "" for a part that is not asked."""
    shape = LinePart(Path(), Path(), 0, _EVERYTHING, spec.min_words, exact=True)

    def units(spills: "Spills") -> list[Unit]:
        files = [own[0] for own in spills.files]
        earlier = _count(engine, spills, 0, files, (work.count_paragraphs,))
        return [
            Unit(name, (), work.cut_paragraphs_of, (part, files[n], n, earlier), ())
            for n, (part, name) in enumerate(zip(spills.parts, spills.names, strict=True))
        ]

    return _cut(engine, kept, spec, shape, units)


@dataclass
class Spills:
    """The parts that are asked, and the spilled keys of each by bucket."""

    step: str
    folder: Path
    names: list[str]
    parts: list[LinePart]
    files: list[dict[int, Path]] = field(default_factory=list)
    prints: Prints = field(default_factory=list)

    def by_bucket(self) -> dict[int, list[Path]]:
        """Return the spills of each bucket, in the order of the parts."""
        found: dict[int, list[Path]] = {}
        for files in self.files:
            for bucket, file in files.items():
                found.setdefault(bucket, []).append(file)
        return found


def cuts_table(step: str) -> str:
    """Return the name of the table of a step's cuts."""
    return f"{step.removesuffix('s')}_cuts"


def asked_parts(kept: Documents, sources: Sequence[str] | None) -> list[int]:
    """Return the numbers of the parts whose documents are asked."""
    return kept.of([part.source for part in kept.parts] if sources is None else sources)


def whole_print(kept: Documents, numbers: Sequence[int]) -> str:
    """Return the identity of what a step reads that must see several parts."""
    return fingerprint([[str(kept.parts[n]), kept.prints[n]] for n in numbers])


def clear(job: Job, step: str, kept: Documents, numbers: Sequence[int]) -> None:
    """Remove the cuts that an earlier recipe left for parts that are not asked."""
    for n in set(range(len(kept.parts))) - set(numbers):
        job.table(cuts_table(step), kept.parts[n]).unlink(missing_ok=True)


def _cut(
    engine: Engine,
    kept: Documents,
    spec: LineDedup | ParagraphDedup,
    shape: LinePart,
    units: Callable[[Spills], list[Unit]],
) -> Prints:
    """Run a step to its tables of cuts; what is finished is not counted again."""
    name = "paragraphs" if shape.exact else "lines"
    job, numbers = engine.job, asked_parts(kept, spec.sources)
    clear(job, name, kept, numbers)
    parts, reads = [kept.parts[n] for n in numbers], (whole_print(kept, numbers),)
    step = Step(name, 1, [UNICODE, spec.model_dump(exclude={"min_left", "sources"})])
    targets = [job.table(cuts_table(name), part) for part in parts]
    made = [
        Unit(str(part), reads, work.cut_lines_of, (), (target,))
        for part, target in zip(parts, targets, strict=True)
    ]
    if not all(engine.is_finished(step, unit) for unit in made):
        folder = job.run / "scratch" / f"dedup.{name}"  # no name of a stage has a dot
        spills = _spill(engine, kept, numbers, replace(shape), folder)
        made = [
            replace(unit, reads=reads, arguments=(*unit.arguments, target), outputs=(target,))
            for unit, target in zip(units(spills), targets, strict=True)
        ]
    prints = dict(zip(numbers, engine.run(step, made), strict=True))
    shutil.rmtree(job.run / "scratch" / f"dedup.{name}", ignore_errors=True)
    return [prints.get(n, "") for n in range(len(kept.parts))]


def _spill(
    engine: Engine, kept: Documents, numbers: Sequence[int], shape: LinePart, folder: Path
) -> Spills:
    """Spill the keys of every part that is asked."""
    job, units, first = engine.job, list[Unit](), 0
    spills = Spills(folder.name.removeprefix("dedup."), folder, [], [])
    for n in numbers:
        part, verdicts = kept.parts[n], job.table("survivors", kept.parts[n])
        asked = replace(
            shape, documents=job.table("documents", part), verdicts=verdicts, first=first
        )
        survivors = pq.read_table(verdicts, columns=["kept"]).column("kept").to_numpy().sum()
        last = first + max(int(survivors), 1) - 1
        files = {
            bucket: folder / "keys" / f"{bucket:06d}" / f"{part}.npy"
            for bucket in range(first // shape.per, last // shape.per + 1)
        }
        first += int(survivors)
        spills.names.append(str(part))
        spills.parts.append(asked)
        spills.files.append(files)
        reads = (kept.prints[n], repr((asked.first, shape.per, shape.min_words)))
        outputs = tuple(files.values())
        units.append(Unit(str(part), reads, work.spill_part, (asked, files), outputs))
    spills.prints = engine.run(Step(f"{spills.step}_keys", 1, UNICODE), units)
    return spills


def _count(
    engine: Engine,
    spills: Spills,
    bucket: int,
    files: list[Path],
    how: tuple[Callable[..., Mapping[str, int]], *tuple[int, ...]],
) -> list[Path]:
    """Count the keys of a bucket, range by range; return what was found, in their order."""
    count, *limits = how
    total = sum(np.load(file, mmap_mode="r").shape[1] for file in files)
    ranges = max(1, -(-total // work.RANGE_KEYS))
    edges = [2**64 * n // ranges for n in range(ranges + 1)]
    units = []
    for n, (start, end) in enumerate(pairwise(edges)):
        target = spills.folder / "repeated" / f"{bucket:06d}" / f"{n:06d}.npy"
        arguments = (files, (start, end - 1), *limits, target)
        reads = (*spills.prints, repr((ranges, limits)))
        units.append(Unit(f"{bucket:06d}/{n:06d}", reads, count, arguments, (target,)))
    engine.run(Step(f"{spills.step}_count", 1), units)
    return [unit.outputs[0] for unit in units]
