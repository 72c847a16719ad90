"""What the step `token_kl` does to one part: count tokens, and compare them with the corpus.

`token_counts` is row-aligned: doc_id, `tokens` list<int32> (a document's different tokens,
ascending) and `counts` list<int32>. `token_sums` has `n` int64 by token id, of one part.
`token_kl` is row-aligned: doc_id and `token_kl` float64, NULL where there is no token.

Measured on one core over 40 MB of mixed text and 2 MB of web pages, in ns a byte of text: 6 to 20
to encode, 3 to count, 4 to 8 to write the counts, 2 to compare. Encoding a second time instead
would take 9 to 23 in place of the last two; the counts take 13 to 19 % of the bytes of the text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Recipe, TokenizerSpec
from cuvee.corpus.paths import local_file
from cuvee.corpus.schemas import DOC_ID
from cuvee.corpus.whole import part_writer, write_part
from cuvee.filters.divergence import Bags, count_tokens, divergences, log_shares
from cuvee.filters.rules import UNMEASURED
from cuvee.flows.partfiles import column, document_groups, map_part, texts_of
from cuvee.tokenize import tokenizer as tokenizers
from cuvee.tokenize.tokenizer import Tokenizer

COUNTS = pa.schema(
    {"doc_id": DOC_ID, "tokens": pa.list_(pa.int32()), "counts": pa.list_(pa.int32())}
)
SUMS = pa.schema({"n": pa.int64()})
SUM_ROWS = 2**20  # written at once


def tokenizer_of(recipe: Recipe) -> TokenizerSpec:
    """Return the tokenizer file whose tokens are compared; RecipeError where none is named."""
    asked, own = recipe.curate.token_kl, recipe.tokenizer
    assert asked is not None
    path = asked.tokenizer or own.path
    if path is None:
        raise RecipeError(
            "curate.token_kl has no tokenizer: tokenizer.train makes one after curation.",
            "It compares the tokens of a file that is there before.",
            "Set curate.token_kl.tokenizer to a tokenizer file, and its eos.",
        )
    pretokenizer = own.pretokenizer if path == own.path else None
    return TokenizerSpec(path=path, eos=asked.eos or own.eos, pretokenizer=pretokenizer)


def load_tokenizer(spec: TokenizerSpec, base: Path) -> Tokenizer:
    """Load a tokenizer file."""
    return tokenizers.load(local_file(str(spec.path), base), spec.eos, spec.pretokenizer)


def count_part(
    documents: Path, counts: Path, sums: Path, tokenizer: Tokenizer
) -> Mapping[str, int]:
    """Write the tokens of every document of a part, and of all together.

    Memory: one row group of text, 8 bytes a token of it, and 20 bytes an entry of the vocabulary.
    """
    total = np.zeros(tokenizer.vocab_size, np.int64)
    docs = 0
    with part_writer(counts, COUNTS) as writer:
        for table in document_groups(documents, ["doc_id", "text"]):
            encoded = tokenizer.encode_batch(texts_of(table))
            bags, here = count_tokens(encoded.ids, encoded.offsets, tokenizer.vocab_size)
            total += here
            docs += table.num_rows
            ends = cast("pa.Int32Array", pa.array(bags.offsets.astype(np.int32)))
            lists = [pa.ListArray.from_arrays(ends, pa.array(x)) for x in bags[:2]]
            columns = [column(table, "doc_id"), *lists]
            writer.write(pa.RecordBatch.from_arrays(columns, schema=COUNTS))
            writer.flush()  # lists have no size that the writer knows: no group outgrows the text's
    write_sums(sums, total)
    return {"docs": docs, "tokens": int(total.sum())}


def write_sums(target: Path, total: NDArray[np.int64]) -> None:
    """Write how often each token of the vocabulary occurs."""
    parts = (total[at : at + SUM_ROWS] for at in range(0, len(total), SUM_ROWS))
    write_part(
        target, SUMS, (pa.RecordBatch.from_arrays([pa.array(p)], schema=SUMS) for p in parts)
    )


def sum_parts(sums: Sequence[Path], target: Path) -> Mapping[str, int]:
    """Add up how often each token occurs in the corpus: integers, so in any order the same."""
    total = read_sums(sums[0])
    for path in sums[1:]:
        total = total + read_sums(path)
    write_sums(target, total)
    return {"tokens": int(total.sum())}


def read_sums(path: Path) -> NDArray[np.int64]:
    """Return how often each token of the vocabulary occurs: int64 [vocabulary]."""
    return pq.read_table(path, memory_map=False).column("n").to_numpy()


def compare_part(counts: Path, corpus: Path, target: Path) -> Mapping[str, int]:
    """Write the divergence of every document of a part from the corpus; no text is read."""
    log_q = log_shares(read_sums(corpus))

    def work(table: pa.Table) -> pa.Table:
        tokens, counts = (column(table, name) for name in ("tokens", "counts"))
        lengths = pc.list_value_length(tokens).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = [pc.list_flatten(lists).to_numpy() for lists in (tokens, counts)]
        found = divergences(Bags(flat[0], flat[1], offsets), log_q)
        kl = pa.array(found, mask=np.isnan(found))
        return pa.table({"doc_id": column(table, "doc_id"), "token_kl": kl})

    return {"docs": map_part(counts, target, COUNTS.names, work)}


def divergence_reasons(found: pl.DataFrame, limit: float) -> pl.Series:
    """Return why the step `token_kl` drops each document, NULL where it does not."""
    value = pl.col("token_kl")
    reason = (
        pl.when(value.is_null())
        .then(pl.lit(UNMEASURED))
        .when(value > limit)
        .then(pl.lit("token_kl"))
    )
    return found.select(reason.alias("token_kl"))["token_kl"]
