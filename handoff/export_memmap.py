"""Export as raw arrays, each opened with one `numpy.memmap`.

tokens.bin: [sequences, seq_len + 1], lookahead included. loss_mask.bin: uint8
[sequences, ceil(seq_len / 8)], one bit a slot, lowest bit first, final: padding and the ends of
documents are 0 in it, and what the stage's own masks leave out. cu_seqlens.bin: int32, the
boundaries of all rows one after the other; row i owns those from cu_offsets.bin[i] (int64
[sequences + 1]) to the next. source_ids.bin: int32 [sequences], indices into `sources`.
"""

from contextlib import ExitStack

import numpy as np

from cuvee.handoff.export_folder import Array, ExportFolder, Written
from cuvee.handoff.export_rows import StageRows
from cuvee.handoff.shards import mask_bytes

NAMES = ("tokens", "loss_mask", "cu_seqlens", "cu_offsets", "source_ids")


def write_memmap(stage: StageRows, folder: ExportFolder) -> Written:
    """Write the five arrays of a stage. Memory: one row group."""
    manifest = stage.manifest
    base = 0
    with ExitStack() as files:
        out = {name: files.enter_context(folder.file(f"{name}.bin")) for name in NAMES}
        out["cu_offsets"].write(np.zeros(1, "<i8"))
        for rows in stage:
            out["tokens"].write(rows.tokens)
            out["loss_mask"].write(np.packbits(rows.loss_mask, axis=1, bitorder="little"))
            out["cu_seqlens"].write(rows.cu_seqlens.astype("<i4"))
            out["cu_offsets"].write((rows.cu_offsets[1:] + base).astype("<i8"))
            out["source_ids"].write(rows.source_ids.astype("<i4"))
            base += int(rows.cu_offsets[-1])
    count = manifest.sequences
    arrays = {
        "tokens.bin": Array(manifest.dtype, (count, manifest.seq_len + 1)),
        "loss_mask.bin": Array("uint8", (count, mask_bytes(manifest.seq_len))),
        "cu_seqlens.bin": Array("int32", (base,)),
        "cu_offsets.bin": Array("int64", (count + 1,)),
        "source_ids.bin": Array("int32", (count,)),
    }
    return Written(arrays, "loss_mask.bin holds it, one bit a slot, lowest bit first.", ())
