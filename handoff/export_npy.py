"""Export as OLMo's token arrays, which OLMo-core's `NumpyFSLDataset` opens.

Each file of the stage becomes three: `000000.npy`, the input slots of its rows one after the other
as raw ids (no header, despite the name), so that chunks of `seq_len` are the rows;
`label_mask/000000.npy`, one byte a slot, 1 where OLMo-core may train on that slot's token as the
target of the slot before; `000000.csv.gz`, a line for each segment: its start and end in the array,
POSITION-SEGMENT as its id, its source, and its row's position in the stage.
(Format: src/olmo_core/data/{numpy_dataset,utils}.py of OLMo-core 3.0.0; the columns are those of
Dolma's tokenizer.)
"""

import csv
import gzip
import io
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import groupby

import numpy as np
import numpy.typing as npt

from cuvee.handoff.export_folder import Array, ExportFolder, Written
from cuvee.handoff.export_rows import ExportRows, StageRows

GZIP_LEVEL = 6  # gzip's own default; Python's 9 takes three times as long for 2 % of the size


def write_npy(stage: StageRows, folder: ExportFolder) -> Written:
    """Write a stage, each of its files as an array. Memory: one row group."""
    manifest, arrays = stage.manifest, {}
    for shard, groups in groupby(stage, key=lambda rows: rows.shard):
        name = f"{shard:06d}"
        _write_shard(groups, folder, name, stage)
        slots = (manifest.files[shard].rows * manifest.seq_len,)
        arrays[f"{name}.npy"] = Array(manifest.dtype, slots)
        arrays[f"label_mask/{name}.npy"] = Array("bool", slots)
    lost = (
        f"{stage.last_targets:,} of {stage.targets:,} targets are not carried, those of the rows' "
        "last slots: OLMo-core takes its targets from the same slots as its inputs."
    )
    return Written(
        arrays,
        "label_mask/*.npy hold it, one byte a slot, moved to the slot of the target.",
        (lost,) if stage.last_targets else (),
    )


def _write_shard(
    groups: Iterable[ExportRows], folder: ExportFolder, name: str, stage: StageRows
) -> None:
    """Write the rows of one file of the stage."""
    seq_len, first = stage.manifest.seq_len, stage.manifest.files[int(name)].first_position
    sources = [source.name for source in stage.manifest.sources]
    with ExitStack() as files:
        tokens = files.enter_context(folder.file(f"{name}.npy"))
        masks = files.enter_context(folder.file(f"label_mask/{name}.npy"))
        packed = files.enter_context(folder.file(f"{name}.csv.gz"))
        # No name and no time in the header: the same rows give the same bytes.
        segments = files.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, fileobj=packed, mtime=0))
        for rows in groups:
            tokens.write(rows.tokens[:, :seq_len])
            masks.write(_label_mask(rows.loss_mask))
            segments.write(_segment_lines(rows, first, sources).encode())


def _label_mask(loss_mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Move each slot's mask to the slot that holds its target; a row's first is no target."""
    moved = np.zeros_like(loss_mask)
    moved[:, 1:] = loss_mask[:, :-1]
    return moved


def _segment_lines(rows: ExportRows, first: int, sources: list[str]) -> str:
    """Return the CSV lines of the rows' segments; `first` is the position of the array's start."""
    counts = rows.segment_counts()
    owner = np.repeat(np.arange(len(counts)), counts)
    starts, ends = rows.segment_bounds()
    base = (rows.positions[owner] - first) * (rows.tokens.shape[1] - 1)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = (base + starts, base + ends, rows.positions[owner], number, rows.source_ids[owner])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        (start, end, f"{position}-{segment}", sources[source], position)
        for start, end, position, segment, source in zip(
            *(column.tolist() for column in columns), strict=True
        )
    )
    return text.getvalue()
