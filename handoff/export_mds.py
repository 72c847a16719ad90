"""Export as MosaicML's MDS shards, which `streaming` opens.

A sample is a row, in training order: `tokens` [seq_len + 1], lookahead included; `loss_mask` uint8
[ceil(seq_len / 8)], one bit a slot, lowest bit first, final; `cu_seqlens` int32, 0 and the end of
each segment; `position` in the stage; `source`, its name.

A shard, little-endian: uint32 count of samples, uint32 [count + 1] their places in the file and its
end, the configuration as JSON, then the samples: uint32 sizes of the columns whose size is not
fixed, and the columns in order of their names. `index.json` lists the shards.
(Format: streaming/base/format/mds of mosaicml-streaming 0.13.0. Written without it: it needs
torch, which an export does not.)
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvee.handoff.export_folder import ExportFolder, Written
from cuvee.handoff.export_rows import StageRows
from cuvee.handoff.manifest import Manifest
from cuvee.handoff.shards import mask_bytes, row_bytes

SHARD_BYTES = 1 << 26  # streaming's own default; offsets are uint32, so below 4 GiB
VERSION = 2
# How MDS names the type of a shape whose largest number is below the bound.
SHAPE_TYPES = ((1 << 8, 0, "<u1"), (1 << 16, 1, "<u2"), (1 << 32, 2, "<u4"))


def write_mds(stage: StageRows, folder: ExportFolder) -> Written:
    """Write a stage as shards of at most 64 MiB and their index. Memory: about two of them."""
    config = _config(stage.manifest)
    text = json.dumps(config, sort_keys=True).encode()
    shards: list[dict[str, Any]] = []
    for samples in _filled(_samples(stage), len(text) + 8):
        name = f"shard.{len(shards):05}.mds"
        sizes = [8 + 4 * len(samples) + len(text), *map(len, samples)]
        with folder.file(name) as out:
            out.write(np.array(len(samples), "<u4").tobytes())
            out.write(np.cumsum(sizes, dtype="<u4"))
            out.write(text)
            out.write(b"".join(samples))
        held = folder.files[-1]
        raw = {"basename": name, "bytes": held.bytes, "hashes": {"sha256": held.sha256}}
        shards.append(config | {"samples": len(samples), "raw_data": raw, "zip_data": None})
    with folder.file("index.json") as index:
        index.write(json.dumps({"version": VERSION, "shards": shards}, sort_keys=True).encode())
    return Written({}, "The column loss_mask holds it, one bit a slot, lowest bit first.", ())


def _config(manifest: Manifest) -> dict[str, Any]:
    """Return what every shard says of itself."""
    slots, width = manifest.seq_len + 1, mask_bytes(manifest.seq_len)
    columns = {
        "cu_seqlens": ("ndarray:int32", None),
        "loss_mask": (f"ndarray:uint8:{width}", width),
        "position": ("int", 8),
        "source": ("str", None),
        "tokens": (
            f"ndarray:{manifest.dtype}:{slots}",
            row_bytes(manifest.seq_len, manifest.dtype),
        ),
    }
    return {
        "version": VERSION,
        "format": "mds",
        "compression": None,
        "hashes": ["sha256"],
        "size_limit": SHARD_BYTES,
        "column_names": list(columns),
        "column_encodings": [encoding for encoding, _ in columns.values()],
        "column_sizes": [size for _, size in columns.values()],
    }


def _samples(stage: StageRows) -> Iterator[bytes]:
    """Yield every row as the bytes of a sample."""
    names = [source.name.encode() for source in stage.manifest.sources]
    for rows in stage:
        masks = np.packbits(rows.loss_mask, axis=1, bitorder="little")
        for i, position in enumerate(rows.positions.astype("<i8")):
            bounds = encode_vector(rows.cu_seqlens[rows.cu_offsets[i] : rows.cu_offsets[i + 1]])
            source = names[rows.source_ids[i]]
            sizes = np.array([len(bounds), len(source)], "<u4").tobytes()
            slots = rows.tokens[i].tobytes()
            yield b"".join([sizes, bounds, masks[i].tobytes(), position.tobytes(), source, slots])


def encode_vector(values: npt.NDArray[np.int32]) -> bytes:
    """Encode a vector of known type and unknown length: its dimensions, its length, its values."""
    code, kind = next((code, kind) for bound, code, kind in SHAPE_TYPES if len(values) < bound)
    return bytes([1 << 2 | code]) + np.array(len(values), kind).tobytes() + values.tobytes()


def _filled(samples: Iterator[bytes], head: int) -> Iterator[list[bytes]]:
    """Gather samples into shards of at most `SHARD_BYTES`, of which `head` are not samples'."""
    held: list[bytes] = []
    size = head
    for sample in samples:
        if held and size + len(sample) + 4 > SHARD_BYTES:
            yield held
            held, size = [], head
        held.append(sample)
        size += len(sample) + 4
    if held:
        yield held
