"""Check a stage against its manifest: every byte, every row, and the mixture at every prefix.

The sha256 of each file answers for its bytes: one flipped bit is found and its file named. The
checks of rows (`rowchecks`) and of the mixture (`quota`) answer for the builder: they hold for any
file that was written as the manifest says. A file whose bytes are wrong is not read further, and
where a file could not be read the checks of the whole stage are left out of the report.
One row group is in memory at a time.
"""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cuvee.configs.errors import CorruptShard
from cuvee.handoff.manifest import (
    MANIFEST,
    WEIGHT_UNIT,
    Manifest,
    ShardFile,
    SourceShare,
    manifest_sha,
    read_manifest,
)
from cuvee.handoff.places import LocalPlace
from cuvee.handoff.quota import PrefixQuota
from cuvee.handoff.reader import ShardGroup, open_shard
from cuvee.handoff.rowchecks import ROW_CHECKS, Due
from cuvee.handoff.run_index import refuse_unlisted

# Below this two shares are the same number: a share of one unit of weight, rounded either way.
ROUNDING = 1 / WEIGHT_UNIT


@dataclass(frozen=True)
class Check:
    """One thing that was asked: of how many `unit` (files, rows, sources), and how many failed.

    A check of rows fails at most once in a file.
    """

    name: str
    counted: int
    unit: str
    problems: int


@dataclass(frozen=True)
class StageReport:
    """What `verify_stage` found; `problems` name the files, in order."""

    directory: Path
    manifest: str
    checks: tuple[Check, ...]
    problems: tuple[CorruptShard, ...]

    def raise_first(self) -> None:
        """Raise the first problem, if there is one."""
        for problem in self.problems:
            raise problem


@dataclass
class _Findings:
    """The checks so far, and running totals of the rows read.

    padding: int64 [sources], empty input slots. unread: files that could not be read to the end.
    """

    manifest: Manifest
    quota: PrefixQuota
    padding: npt.NDArray[np.int64]
    checks: dict[str, Check] = field(default_factory=dict)
    problems: list[CorruptShard] = field(default_factory=list)
    unread: int = 0

    def count(self, name: str, counted: int, unit: str) -> None:
        """Note that a check was made of so many more units."""
        known = self.checks.get(name, Check(name, 0, unit, 0))
        self.checks[name] = Check(name, known.counted + counted, unit, known.problems)

    def fail(self, name: str, problem: CorruptShard) -> None:
        """Note that a check, counted before, failed."""
        known = self.checks[name]
        self.checks[name] = Check(name, known.counted, known.unit, known.problems + 1)
        self.problems.append(problem)


def verify_stage(directory: str | Path) -> StageReport:
    """Check the stage in RUN/shards/STAGE and report every problem found.

    Raises only where the manifest itself is absent or damaged (RequestError, CorruptShard), or is
    not the one that RUN/shards/run.json lists.
    """
    root = Path(directory)
    manifest = read_manifest(root)
    refuse_unlisted(LocalPlace(root), manifest_sha(root / MANIFEST))
    found = _Findings(
        manifest,
        PrefixQuota(manifest.pieces, [source.weights_q32 for source in manifest.sources]),
        np.zeros(len(manifest.sources), np.int64),
    )
    _check_listing(root, found)
    for file in manifest.files:
        if not (_check_bytes(root, file, found) and _check_rows(root / file.path, file, found)):
            found.unread += 1
    if not found.unread:
        _check_sources(root / MANIFEST, found)
        _check_mixture(root / MANIFEST, found)
    return StageReport(
        root, manifest_sha(root / MANIFEST), tuple(found.checks.values()), tuple(found.problems)
    )


def _check_listing(root: Path, found: _Findings) -> None:
    """Check that no Parquet file stands beside those listed."""
    listed = {file.path for file in found.manifest.files}
    held = sorted(path.name for path in root.glob("*.parquet"))
    found.count("listing", len(held), "files")
    for name in held:
        if name not in listed:
            fault = CorruptShard(
                f"{root / name} is not in the manifest.", do="Remove it, or build the stage again."
            )
            found.fail("listing", fault)


def _check_bytes(root: Path, file: ShardFile, found: _Findings) -> bool:
    """Check that a file is there, with its size and its sha256."""
    path = root / file.path
    found.count("bytes", 1, "files")
    if not path.is_file():
        found.fail("bytes", _corrupt(path, "it is missing"))
        return False
    size = path.stat().st_size
    if size != file.bytes:
        found.fail("bytes", _corrupt(path, f"{size} bytes where {file.bytes} were written"))
        return False
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest == file.sha256:
        return True
    owner = next((f.path for f in found.manifest.files if f.sha256 == digest), None)
    fault = f"it is a copy of {owner}" if owner else "its sha256 is not the manifest's"
    found.fail("bytes", _corrupt(path, fault))
    return False


def _check_rows(path: Path, file: ShardFile, found: _Findings) -> bool:
    """Check that a file has the manifest's rows and that they are sound; add them to the totals."""
    found.count("rows", 1, "files")
    try:
        with open_shard(path, found.manifest) as reader:
            rows = int(reader.starts[-1])
            if rows != file.rows:
                raise _corrupt(path, f"{rows} rows where {file.rows} were written")
            return all(
                _check_group(path, reader.read(number), file.first_position + int(first), found)
                for number, first in enumerate(reader.starts[:-1])
            )
    except CorruptShard as problem:
        found.fail("rows", problem)
        return False


def _check_group(path: Path, group: ShardGroup, first: int, found: _Findings) -> bool:
    """Ask every row check, up to the first that fails, then add the rows to the totals."""
    due = Due(found.manifest, first)
    for name, check in ROW_CHECKS.items():
        found.count(name, len(group.positions), "rows")
        fault = check(group, due)
        if fault is not None:
            found.fail(name, _corrupt(path, fault))
            return False
    names = [source.name for source in found.manifest.sources]
    source_of = np.array([names.index(name) for name in group.source_names], np.int64)
    sources = source_of[group.source_ids]
    found.quota.add(sources)
    np.add.at(found.padding, sources, found.manifest.seq_len - group.n_tokens)
    return True


def _check_sources(path: Path, found: _Findings) -> None:
    """Check that each source's sequences, tokens and padding are those of the manifest."""
    manifest = found.manifest
    found.count("tokens", len(manifest.sources), "sources")
    for i, source in enumerate(manifest.sources):
        drawn, padding = int(found.quota.counts[i]), int(found.padding[i])
        real = (drawn, drawn * manifest.seq_len, padding)
        held = (source.sequences, source.realised_tokens, source.padding_tokens)
        if real != held:
            fault = f"source {source.name!r} has (sequences, tokens, padding) {real}, not {held}"
            found.fail("tokens", _corrupt(path, fault))
    found.count("packing", 1, "stages")
    share = int(found.padding.sum()) / (manifest.sequences * manifest.seq_len)
    if not math.isclose(share, manifest.packing.padding_share, abs_tol=ROUNDING):
        fault = f"the padding share is {share}, not {manifest.packing.padding_share}"
        found.fail("packing", _corrupt(path, fault))


def _check_mixture(path: Path, found: _Findings) -> None:
    """Check that the mixture holds at every prefix and deviates as the manifest says."""
    manifest, quota = found.manifest, found.quota
    found.count("quota", manifest.sequences, "prefixes")
    if quota.broken is not None:
        position, source = quota.broken
        name = manifest.sources[source].name
        fault = f"after position {position} source {name!r} is off its share by a sequence or more"
        found.fail("quota", _corrupt(path, fault))
    found.count("deviation", len(manifest.sources), "sources")
    for i, share in enumerate(manifest.sources):
        _check_deviation(path, share, quota.max_deviation(i), found)


def _check_deviation(path: Path, share: SourceShare, real: float, found: _Findings) -> None:
    """Check that a source's largest deviation is the manifest's."""
    if not math.isclose(real, share.max_deviation, abs_tol=ROUNDING):
        fault = f"source {share.name!r} is off by {real} at most, not {share.max_deviation}"
        found.fail("deviation", _corrupt(path, fault))


def _corrupt(path: Path, fault: str) -> CorruptShard:
    """Name the file and what is wrong with it."""
    return CorruptShard(f"{path}: {fault}.", do="Copy it again, or build the stage again.")
