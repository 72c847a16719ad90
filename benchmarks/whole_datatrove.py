"""Whole jobs as datatrove does them, from JSON lines to the ids it removes, on two workers.

    python whole_datatrove.py TASK DOCUMENTS ITEMS RESULT

`DOCUMENTS` is a folder with one file of JSON lines a worker. Everything is written, as a run of its
own would: signatures, buckets, clusters, and what is kept and removed.
"""

import json
import struct
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.decont.n_grams import (
    NGramsDecontConfig,
    NGramsDecontFilter,
    NGramsDecontIndexer,
)
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashDedupFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

WORKERS = 2
NGRAM = 13  # words; its own default is 12


def run(steps: list[object], tasks: int, logs: Path) -> None:
    """Run one pipeline."""
    LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=WORKERS, logging_dir=str(logs)).run()


def minhash(documents: Path, _: Path, scratch: Path) -> list[str]:
    """Remove near-duplicates by its four steps; of a cluster the first document stays."""
    reader = JsonlReader(str(documents))
    folders = {name: str(scratch / name) for name in ("sigs", "dups", "remove", "kept", "gone")}
    run([reader, MinhashDedupSignature(folders["sigs"])], WORKERS, scratch / "logs1")
    buckets = MinhashDedupBuckets(folders["sigs"], folders["dups"])
    run([buckets], buckets.config.num_buckets, scratch / "logs2")
    cluster = MinhashDedupCluster(folders["dups"], folders["remove"], save_cluster_id=True)
    run([cluster], 1, scratch / "logs3")
    gone = JsonlWriter(folders["gone"], compression=None)
    last = [
        reader,
        MinhashDedupFilter(folders["remove"], exclusion_writer=gone),
        JsonlWriter(folders["kept"], compression=None),
    ]
    run(last, WORKERS, scratch / "logs4")
    return _redundant(documents, Path(folders["remove"]))


def _redundant(documents: Path, remove: Path) -> list[str]:
    """Return all but the first document of each cluster.

    It keeps one that the order of its unions decides; which copy stays is no part of the question
    which documents are copies.
    """
    clusters: dict[int, list[str]] = defaultdict(list)
    for rank, path in enumerate(sorted(documents.glob("*.jsonl"))):
        found = remove / f"{rank:06d}.clusters"
        ids = [json.loads(line)["id"] for line in path.open(encoding="utf-8")]
        pairs = struct.iter_unpack("<II", found.read_bytes()) if found.exists() else ()
        for row, cluster in pairs:
            clusters[cluster].append(ids[row])
    return [one for members in clusters.values() for one in members[1:]]


def write_index(items: Path, folder: str, config: NGramsDecontConfig) -> None:
    """Index all n-grams of the items' texts, hashed by its own indexer.

    It would fetch benchmarks by name with lighteval, which is not needed for items at hand.
    """
    NGramsDecontIndexer._requires_dependencies = []
    indexer = NGramsDecontIndexer(folder, config=config)
    hashes: dict[str, set[int]] = defaultdict(set)
    for line in items.open(encoding="utf-8"):
        item = json.loads(line)
        hashes[item["benchmark"]].update(indexer.compute_hashes(item["text"]))
    for name, found in hashes.items():
        with indexer.output_folder.open(f"{name}.index.hashes", mode="wb") as file:
            np.array(sorted(found), dtype=config.hash_config.np_descr).tofile(file)


def decontamination(documents: Path, items: Path, scratch: Path) -> list[str]:
    """Remove documents with an n-gram of an item."""
    config = NGramsDecontConfig(n_grams=NGRAM)
    index, gone = str(scratch / "index"), scratch / "gone"
    write_index(items, index, config)
    writer = JsonlWriter(str(gone), compression=None)
    steps = [
        JsonlReader(str(documents)),
        NGramsDecontFilter(index, config=config, exclusion_writer=writer),
        JsonlWriter(str(scratch / "kept"), compression=None),
    ]
    run(steps, WORKERS, scratch / "logs")
    return [json.loads(line)["id"] for path in gone.glob("*") for line in path.open()]


TASKS = {"minhash": minhash, "decontamination": decontamination}


def main() -> None:
    """Run the task that the command line names."""
    task, documents, items, result = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        removed = TASKS[task](Path(documents), Path(items), Path(scratch))
    Path(result).write_text(json.dumps(sorted(removed)))


if __name__ == "__main__":
    main()
