"""The manifest of a stage: what its shards are, where they came from, and their hashes.

`manifest.json` stands beside the shards and is written last, so a directory that has one is whole.
It depends on the recipe and the data alone: no time, host, path or worker count is in it, and the
same stage has the same manifest, byte for byte. `manifest.schema.json`, beside this module, is its
JSON Schema. The sha256 of the file names the stage; a training state keeps it.
"""

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.handoff.parse import Misfit, parse
from cuvee.handoff.shards import PLAIN, Columns, ShardRows, token_dtype

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
# Weights are integers out of 2**32: targets at every prefix are then exact on every machine.
WEIGHT_UNIT = 1 << 32


@dataclass(frozen=True)
class TokenizerIdentity:
    """Which tokenizer made the ids: its name and the sha256 (hex) of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SpecialIds:
    """Ids with a role: `eos` ends every document, `pad` fills empty slots. They may be the same."""

    eos: int
    pad: int


@dataclass(frozen=True)
class GlobalBatch:
    """What one optimizer step reads: sequences, and tokens = sequences x seq_len."""

    sequences: int
    tokens: int


@dataclass(frozen=True)
class SourceShare:
    """What the stage was to take from one source, and took.

    weight: share of the stage asked for, 0 to 1.
    weights_q32: its weight in each piece of the stage as an integer out of 2**32; over a piece, the
        sources' sum to 2**32. A mixture that stays is one piece.
    sequences: sequences drawn from it.
    planned_tokens: its share of the stage's tokens.
    realised_tokens: sequences x seq_len, padding included.
    padding_tokens: input slots among them that hold no token.
    unique_tokens: tokens of its documents, each document counted once.
    epochs: times that its documents were read, on average.
    max_deviation: the largest |sequences drawn - target| over all prefixes of the stage, in
        sequences; below 1.
    """

    name: str
    weight: float
    weights_q32: tuple[int, ...]
    sequences: int
    planned_tokens: int
    realised_tokens: int
    padding_tokens: int
    unique_tokens: int
    epochs: float
    max_deviation: float


@dataclass(frozen=True)
class Packing:
    """How documents fill sequences.

    padding_share: input slots without a token, as a share of all, 0 to 1.
    cut_documents: documents that are not whole in one sequence.
    """

    padding_share: float
    cut_documents: int


@dataclass(frozen=True)
class ShardFile:
    """One file: its name in the stage's directory, size, first and last row, and sha256 (hex)."""

    path: str
    bytes: int
    rows: int
    first_position: int
    last_position: int
    first_step: int
    last_step: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A stage as its trainer needs to know it; `meta` is the recipe's, untouched."""

    format_version: int
    stage: str
    recipe_fingerprint: str
    plan_fingerprint: str
    tokenizer: TokenizerIdentity
    vocabulary_size: int
    dtype: str
    special_ids: SpecialIds
    seq_len: int
    global_batch: GlobalBatch
    meta: dict[str, Any]
    pieces: tuple[int, ...]  # sequences of each run of positions over which the weights stay
    sources: tuple[SourceShare, ...]
    packing: Packing
    files: tuple[ShardFile, ...]
    columns: Columns = PLAIN  # what the rows have beside tokens

    @property
    def sequences(self) -> int:
        """Rows of all files together."""
        return sum(file.rows for file in self.files)

    @property
    def steps(self) -> int:
        """Global batches of the stage."""
        return self.sequences // self.global_batch.sequences


def describe_shard(path: Path, name: str, rows: ShardRows) -> ShardFile:
    """Return the manifest's entry for `rows`, as written to `path` and to be called `name`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ShardFile(
        path=name,
        bytes=path.stat().st_size,
        rows=len(rows.positions),
        first_position=int(rows.positions[0]),
        last_position=int(rows.positions[-1]),
        first_step=int(rows.steps[0]),
        last_step=int(rows.steps[-1]),
        sha256=digest,
    )


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Write `manifest.json` whole or not at all; return its sha256 (hex).

    Raises RequestError where the stage's metadata cannot be JSON (a date, a NaN).
    """
    try:
        text = json.dumps(
            dataclasses.asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise RequestError(
            f"stage {manifest.stage!r}: meta cannot be written as JSON ({error}).",
            "Text, finite numbers, true, false, null, lists and mappings can.",
        ) from error
    target = directory / MANIFEST
    beside = directory / f"{MANIFEST}.tmp"
    with beside.open("wb") as file:
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, target)
    return manifest_sha(target)


def manifest_sha(path: Path) -> str:
    """Return the sha256 (hex) of a manifest file's bytes: the identity of the stage."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(directory: str | Path) -> Manifest:
    """Read the manifest of a stage's directory.

    Raises RequestError where there is none or its format is another, CorruptShard where it is
    damaged or contradicts itself.
    """
    path = Path(directory) / MANIFEST
    return parse_manifest(path.read_bytes() if path.is_file() else None, directory)


def parse_manifest(data: bytes | None, directory: str | Path) -> Manifest:
    """Read a manifest from its bytes, None where there are none; errors as of `read_manifest`.

    directory: where it stands, a path or a URL, for the errors.
    """
    path = f"{directory}/{MANIFEST}"
    if data is None:
        raise RequestError(
            f"{directory} holds no {MANIFEST}: it is no stage, or one that was not finished.",
            do="Give a directory RUN/shards/STAGE, or finish it with `cuvee build`.",
        )
    try:
        document = json.loads(data)
        _refuse_other_versions(path, document)
        manifest = parse(Manifest, document)
    except (ValueError, Misfit) as error:
        raise CorruptShard(
            f"{path} is no manifest: {error}.", do="Build the stage again."
        ) from error
    for fault in _faults(manifest):
        raise CorruptShard(f"{path} contradicts itself: {fault}.", do="Build the stage again.")
    return manifest


def _refuse_other_versions(path: str, document: Any) -> None:
    """Refuse a manifest of another format before its keys are looked at."""
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise RequestError(
            f"{path} has format version {version}.",
            f"This Cuvée reads version {FORMAT_VERSION}.",
            "Read it with the Cuvée that built it, or build the stage again.",
        )


def _faults(manifest: Manifest) -> list[str]:
    """Say what in a manifest cannot be true together."""
    batch, ids, sources = manifest.global_batch, manifest.special_ids, manifest.sources
    size = manifest.vocabulary_size
    lengths, special = (manifest.seq_len, batch.sequences), (ids.eos, ids.pad)
    names = {source.name for source in sources}
    rules = [
        (min(lengths) >= 1, "seq_len and global_batch.sequences are at least 1"),
        (batch.tokens == math.prod(lengths), "global_batch.tokens is sequences x seq_len"),
        (manifest.dtype == token_dtype(size), "dtype is the narrowest for vocabulary_size"),
        (min(special) >= 0 and max(special) < size, "special_ids are in the vocabulary"),
        (_weights_sum(manifest), f"the sources' weights_q32 of each piece sum to {WEIGHT_UNIT}"),
        (len(names) == len(sources), "no two sources have one name"),
        (manifest.columns.teacher_k >= 0, "columns.teacher_k is 0 or more"),
    ]
    broken = [f"it must hold that {rule}" for holds, rule in rules if not holds]
    return broken or _file_faults(manifest)


def _weights_sum(manifest: Manifest) -> bool:
    """Say whether every source has a weight for each piece, and those of a piece make a whole."""
    counts = {len(source.weights_q32) for source in manifest.sources}
    by_piece = zip(*(source.weights_q32 for source in manifest.sources), strict=False)
    whole = all(sum(weights) == WEIGHT_UNIT for weights in by_piece)
    return counts == {len(manifest.pieces)} and min(manifest.pieces, default=0) >= 1 and whole


def _file_faults(manifest: Manifest) -> list[str]:
    """Say which file entries do not follow each other in whole global batches."""
    batch, row = manifest.global_batch.sequences, 0
    faults = [] if manifest.files else ["files is empty"]
    for file in manifest.files:
        end = row + file.rows
        due = (row, end - 1, row // batch, (end - 1) // batch)
        held = (file.first_position, file.last_position, file.first_step, file.last_step)
        if held != due or file.rows < 1 or file.rows % batch:
            faults.append(f"{file.path}: positions and steps {held} where {due} follow")
        if Path(file.path).name != file.path:
            faults.append(f"{file.path}: files stand in the stage's own directory")
        row = end
    if sum(manifest.pieces) != row:
        faults.append(f"pieces hold {sum(manifest.pieces)} sequences and the files {row}")
    return faults
