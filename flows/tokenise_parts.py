"""What the build flow does to one part of the curated text: train a tokenizer on it, encode it.

Every function here is the work of one unit: it takes paths and values, writes its outputs whole,
and returns counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.corpus.schemas import TOKENS
from cuvee.corpus.whole import part_writer, whole
from cuvee.flows.partfiles import column, finished_groups, texts_of
from cuvee.tokenize.store import to_blobs
from cuvee.tokenize.tokenizer import Tokenizer
from cuvee.tokenize.train import train

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Kept:
    """A part's documents and their verdicts, which are row-aligned."""

    documents: Path
    verdicts: Path

    def texts(self) -> Iterator[tuple["pa.Array[Any]", pa.LargeStringArray]]:
        """Yield (doc_id, finished text) of the documents that were kept, a row group at a time."""
        kept = pq.read_table(self.verdicts, columns=["kept"]).column("kept").combine_chunks()
        start = 0
        for table in finished_groups(self.documents, ["doc_id", "text"]):
            here = table.filter(kept.slice(start, table.num_rows))
            start += table.num_rows
            if here.num_rows:
                yield column(here, "doc_id"), texts_of(here)


def train_tokenizer(
    sources: Sequence[Sequence[Kept]], vocab_size: int, sample_bytes: int, eos: str, target: Path
) -> Counts:
    """Train a byte-level BPE on kept text, the same number of bytes from every source."""
    share = sample_bytes // len(sources)
    sample = [text for parts in sources for text in _first_texts(parts, share)]
    contents = train(sample, vocab_size, eos)
    with whole(target) as temporary:
        temporary.write_text(contents, encoding="utf-8")
    return {"docs": len(sample), "bytes": sum(len(text.encode()) for text in sample)}


def _first_texts(parts: Sequence[Kept], n_bytes: int) -> Iterator[str]:
    """Yield texts of a source, an equal share from each part, up to `n_bytes` in all."""
    for part in parts:
        left = n_bytes // len(parts)
        for _, texts in part.texts():
            for text in texts:
                if left <= 0:
                    break
                value: str = text.as_py()[:left]
                left -= len(value.encode())
                yield value


def tokenise_part(part: Kept, target: Path, tokenizer: Tokenizer) -> Counts:
    """Write the tokens of a part's kept documents, each closed by EOS."""
    counts = {"docs": 0, "tokens": 0, "bytes": 0}
    with part_writer(target, TOKENS) as writer:
        for doc_ids, texts in part.texts():
            encoded = tokenizer.encode_batch(texts)
            lengths = np.diff(encoded.offsets).astype(np.int32)
            columns = [doc_ids, to_blobs(encoded), pa.array(lengths)]
            writer.write(pa.RecordBatch.from_arrays(columns, schema=TOKENS))
            counts["docs"] += len(texts)
            counts["tokens"] += int(lengths.sum())
            counts["bytes"] += texts.nbytes
    return counts
