"""Time one task on tokens by a peer's library, in an environment that holds it.

    python benchmarks/tokens_peers.py TASK ARGUMENTS.json RESULT.json

Needs datatrove, mosaicml-streaming and torch, and nothing of ours. A task is prepared untimed; of
three runs the best counts, in CPU seconds of one core.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 3


def datatrove_tokenise(asked: dict[str, Any]) -> Callable[[], object]:
    """Encode and write documents, unshuffled, as its DocumentTokenizer does."""
    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer

    lines = Path(asked["documents"]).read_text(encoding="utf-8").splitlines()
    documents = [Document(text=json.loads(line), id=str(n)) for n, line in enumerate(lines)]
    step = DocumentTokenizer(
        asked["scratch"], asked["tokenizer"], eos_token=asked["eos"], shuffle_documents=False,
        save_final_metadata=False,
    )  # fmt: skip
    step.tokenizer.encode("the tokenizer is loaded by now")
    return lambda: step.write_unshuffled(iter(documents), "tokens.ds")


def datatrove_read(asked: dict[str, Any]) -> Callable[[], object]:
    """Read sequences one by one, in order, with the positions in their documents.

    It steps by seq_len + 1, so that it has fewer sequences by one in seq_len.
    """
    from datatrove.utils.dataset import DatatroveFileDataset

    held = DatatroveFileDataset(
        asked["flat"], asked["seq_len"], asked["width"], return_positions=True,
        positions_from_eos_token_id=asked["eos_id"],
    )  # fmt: skip
    return lambda: [None for n in range(len(held)) if held[n] is None]


def mosaic_write(asked: dict[str, Any]) -> Callable[[], object]:
    """Write sequences one by one."""
    from streaming import MDSWriter

    flat = np.memmap(asked["flat"], asked["dtype"], "r")
    rows, out = asked["sequences"], Path(asked["scratch"]) / "mds"

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        kind = f"ndarray:{asked['dtype']}"
        with MDSWriter(out=str(out), columns={"tokens": kind}, hashes=["sha256"]) as writer:
            for n in range(rows):
                start = n * asked["seq_len"]
                writer.write({"tokens": np.asarray(flat[start : start + asked["seq_len"] + 1])})

    return work


def mosaic_read(asked: dict[str, Any]) -> Callable[[], object]:
    """Read sequences one by one, in order."""
    from streaming import LocalDataset

    held = LocalDataset(asked["mds"])
    return lambda: [None for n in range(asked["sequences"]) if held[n] is None]


TASKS = {
    "datatrove tokenise": datatrove_tokenise,
    "datatrove read": datatrove_read,
    "mosaic write": mosaic_write,
    "mosaic read": mosaic_read,
}


def main() -> None:
    """Prepare, run, and write the best CPU seconds."""
    task, asked, result = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    arguments = json.loads(Path(asked).read_text())
    taken = []
    for _ in range(RUNS):
        work = TASKS[task](arguments)
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    Path(result).write_text(json.dumps(min(taken)))


if __name__ == "__main__":
    main()
