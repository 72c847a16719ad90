"""Export a finished stage for other trainers: Megatron, OLMo-core, MosaicML, or plain memory maps.

An *export* is a folder of its own: the files of the format, and `cuvee.json`, which says of which
stage it was made, what is in it, and the size and sha256 of every file. Rows stay in training
order. The same stage gives the same bytes. See docs/exports.md for what each format keeps.
"""

import dataclasses
import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuvee.configs.errors import RequestError
from cuvee.handoff.export_folder import Array, ExportedFile, ExportFolder, Written, whole_folder
from cuvee.handoff.export_mds import write_mds
from cuvee.handoff.export_megatron import write_megatron
from cuvee.handoff.export_memmap import write_memmap
from cuvee.handoff.export_npy import write_npy
from cuvee.handoff.export_rows import StageRows
from cuvee.handoff.manifest import Manifest

FORMAT_VERSION = 1
DESCRIPTION = "cuvee.json"

FORMATS: dict[str, Callable[[StageRows, ExportFolder], Written]] = {
    "megatron": write_megatron,
    "npy": write_npy,
    "mds": write_mds,
    "memmap": write_memmap,
}


@dataclass(frozen=True)
class Export:
    """What was exported: rows, real input tokens, bytes and files on disk, and what was lost.

    lost: what the format has no room for, a sentence each.
    """

    sequences: int
    tokens: int
    bytes: int
    files: int
    lost: tuple[str, ...]


def export_stage(
    directory: str | Path,
    export_format: str,
    out: str | Path,
    done: Callable[[], None] = lambda: None,
) -> Export:
    """Write the stage in RUN/shards/STAGE to the folder `out`, whole or not at all.

    export_format: a key of `FORMATS`. done: called after each of the stage's files. Memory: about
    three row groups (4 MiB or a global batch each), for MDS two shards of 64 MiB besides.

    Raises RequestError for an unknown format, a directory that holds no stage and an `out` that is
    in use, CorruptShard for a stage whose files are not what its manifest says.
    """
    if export_format not in FORMATS:
        near = difflib.get_close_matches(export_format, FORMATS, 1)
        raise RequestError(
            f"There is no export format {export_format!r}.",
            f"There are {', '.join(FORMATS)}.",
            f"Did you mean {near[0]}?" if near else "",
        )
    stage = StageRows(Path(directory), done)
    with whole_folder(Path(out)) as folder:
        written = FORMATS[export_format](stage, folder)
        lost = (*written.lost, *_others(stage.manifest))
        described = {"format": export_format, **_describe(stage, written.loss_mask, lost)}
        described["files"] = _list(folder.files, written.arrays)
        with folder.file(DESCRIPTION) as out_file:
            out_file.write(json.dumps(described, indent=2, ensure_ascii=False).encode() + b"\n")
    return Export(
        sequences=stage.manifest.sequences,
        tokens=stage.tokens,
        bytes=sum(file.bytes for file in folder.files),
        files=len(folder.files),
        lost=lost,
    )


def _others(manifest: Manifest) -> list[str]:
    """Say which columns of a stage no export carries."""
    columns = manifest.columns
    held = {"teacher_ids and teacher_probs": columns.teacher_k, "media_refs": columns.media}
    return [
        f"The columns {names} are not carried: no export has them. Read them from the stage itself."
        for names, there in held.items()
        if there
    ]


def _describe(stage: StageRows, loss_mask: str, lost: tuple[str, ...]) -> dict[str, Any]:
    """Return what `cuvee.json` says of the stage and of what was written."""
    manifest = stage.manifest
    return {
        "format_version": FORMAT_VERSION,
        "stage": manifest.stage,
        "manifest_sha256": stage.sha,
        "recipe_fingerprint": manifest.recipe_fingerprint,
        "plan_fingerprint": manifest.plan_fingerprint,
        "tokenizer": dataclasses.asdict(manifest.tokenizer),
        "vocabulary_size": manifest.vocabulary_size,
        "special_ids": dataclasses.asdict(manifest.special_ids),
        "seq_len": manifest.seq_len,
        "global_batch": dataclasses.asdict(manifest.global_batch),
        "steps": manifest.steps,
        "sequences": manifest.sequences,
        "tokens": stage.tokens,
        "targets": stage.targets,
        "sources": [source.name for source in manifest.sources],
        "meta": manifest.meta,
        "loss_mask": loss_mask,
        "lost": list(lost),
    }


def _list(files: list[ExportedFile], arrays: dict[str, Array]) -> dict[str, dict[str, Any]]:
    """Return what `cuvee.json` says of each file, by name."""
    listed: dict[str, dict[str, Any]] = {}
    for file in sorted(files):
        listed[file.path] = {"bytes": file.bytes, "sha256": file.sha256}
        if file.path in arrays:
            listed[file.path] |= arrays[file.path]._asdict()
    return listed
