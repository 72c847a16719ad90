"""The columns of every table of a run, one Arrow schema a table.

A *part* is `<source>/<00000>`; tables lie at RUN/tables/<table>/<part>.parquet unless said.
A *row-aligned* table has one row for each row of the part's documents, in the same order.
A *hash id* (`doc_id`) is 16 bytes, the big-endian xxh3_128 that `cuvee.corpus.ingest` gives.

The tables whose columns depend on the recipe (signals, scores, signatures) have no schema here,
and the shards that a trainer reads are `cuvee.handoff`'s.
"""

from typing import Final

import pyarrow as pa

DOC_ID: Final = pa.binary(16)
NAME: Final = pa.dictionary(pa.int32(), pa.string())


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Make a schema of columns in the order given."""
    return pa.schema(list(columns.items()))


#: Every text that was read. `path` is the file's name within its source, `row` counts from 0.
DOCUMENTS: Final = _schema(
    doc_id=DOC_ID,
    source=pa.string(),
    text=pa.large_string(),
    url=pa.string(),
    date=pa.string(),
    license=pa.string(),
    n_bytes=pa.int64(),
    path=pa.string(),
    row=pa.int64(),
)

#: What could not be read; `row` is null for a whole file or the rest of one. Not row-aligned.
QUARANTINE: Final = _schema(
    source=pa.string(),
    path=pa.string(),
    row=pa.int64(),
    reason=pa.string(),
    excerpt=pa.string(),
    n_bytes=pa.int64(),
)

#: The stretches of each text that is made of a record: their bytes, in order, whether a control
#: token of that spelling is meant, whether they bear loss; a medium has no bytes, but its kind,
#: reference and cost in tokens. Only for parts of sources with `chat` or `media`. Row-aligned.
SPANS: Final = _schema(
    doc_id=DOC_ID,
    spans=pa.list_(
        pa.struct(
            [
                ("n_bytes", pa.int64()),
                ("control", pa.bool_()),
                ("loss", pa.bool_()),
                ("media", pa.string()),
                ("ref", pa.string()),
                ("n_tokens", pa.int32()),
            ]
        )
    ),
)

#: What edits made of each text, null where it is unchanged; the signals that edits give follow.
#: Only for parts of sources that are edited. Row-aligned.
EDITED: Final = _schema(
    doc_id=DOC_ID,
    text=pa.large_string(),
)

#: One row a document, edit and reason: how many lines, the numbers of the first 16 in the text that
#: the edit got, from 0, and the characters taken out of them. Not row-aligned.
EDITS: Final = _schema(
    doc_id=DOC_ID,
    edit=pa.string(),
    reason=pa.string(),
    n_lines=pa.int32(),
    lines=pa.list_(pa.int32()),
    n_chars=pa.int64(),
)

#: What a step takes out of texts: bytes `start` to `end`, half open, of the text that is edited, if
#: its source is, in row `row` of the part. `replacement` stands in their place, null cuts them out.
#: In the order of row and start. Not row-aligned.
CUTS: Final = _schema(
    row=pa.int64(),
    start=pa.int64(),
    end=pa.int64(),
    step=pa.string(),
    reason=pa.string(),
    replacement=pa.string(),
)

#: What is left of each text when all cuts are made, null where it is unchanged; `step` and `reason`
#: say why a document is dropped that has too little left. Only where the recipe cuts. Row-aligned.
FINISHED: Final = _schema(
    doc_id=DOC_ID,
    text=pa.large_string(),
    step=pa.string(),
    reason=pa.string(),
)

#: One row a hit; the span is in characters, half open; `policy` is what is done about it, `report`
#: where that is nothing. Not row-aligned.
CONTAMINATION: Final = _schema(
    doc_id=DOC_ID,
    benchmark=pa.string(),
    split=pa.string(),
    item_id=pa.string(),
    span_start=pa.int64(),
    span_end=pa.int64(),
    score=pa.float64(),
    ngram=pa.string(),
    policy=pa.string(),
)

#: One row a split of a benchmark: its items, those that are never found, those among them that are
#: long enough and have no letter; at RUN/tables/benchmarks/all.parquet.
BENCHMARKS: Final = _schema(
    benchmark=pa.string(),
    split=pa.string(),
    policy=pa.string(),
    items=pa.int64(),
    unmatched=pa.int64(),
    letterless=pa.int64(),
)

#: Words of each document, and those in an n-gram of a benchmark item. Row-aligned.
OVERLAP: Final = _schema(
    doc_id=DOC_ID,
    n_words=pa.int64(),
    n_covered=pa.int64(),
    share=pa.float64(),
)

#: Words of each benchmark item, and those in an n-gram of any document; at
#: RUN/tables/benchmark_coverage/all.parquet.
COVERAGE: Final = _schema(
    benchmark=pa.string(),
    split=pa.string(),
    item_id=pa.string(),
    n_words=pa.int64(),
    n_covered=pa.int64(),
    share=pa.float64(),
)

#: Occurrences of n-grams of benchmark items, by their row in the index. Not row-aligned.
NGRAM_COUNTS: Final = _schema(
    gram=pa.int64(),
    occurrences=pa.int64(),
)

#: What rules, languages and classifiers say of each document. Row-aligned.
JUDGED: Final = _schema(
    doc_id=DOC_ID,
    kept=pa.bool_(),
    step=pa.string(),
    reason=pa.string(),
)

#: One row a removed copy; at RUN/tables/duplicates/{exact,minhash}.parquet.
DUPLICATES: Final = _schema(
    doc_id=DOC_ID,
    kept_doc_id=DOC_ID,
    kind=pa.string(),
    similarity=pa.float64(),
)

#: The last word on each document; `step` and `reason` are null when it is kept. Row-aligned.
VERDICTS: Final = _schema(
    doc_id=DOC_ID,
    source=pa.string(),
    kept=pa.bool_(),
    step=pa.string(),
    reason=pa.string(),
    n_bytes=pa.int64(),
)

#: Survivors only, in part order; at RUN/tokens/<part>.parquet. `tokens` is little-endian, 2 or 4
#: bytes a token, the end-of-text token included, as it is in `n_tokens`.
TOKENS: Final = _schema(
    doc_id=DOC_ID,
    tokens=pa.large_binary(),
    n_tokens=pa.int32(),
)

#: The tokens of records: `loss_mask` is one bit a token, lowest first, 0 where it bears no loss,
#: and null where all bear it; `media` are the slots that stand for media, from the first token.
RECORD_TOKENS: Final = TOKENS.append(pa.field("loss_mask", pa.large_binary())).append(
    pa.field(
        "media",
        pa.list_(
            pa.struct(
                [
                    ("start", pa.int64()),
                    ("length", pa.int64()),
                    ("kind", pa.string()),
                    ("ref", pa.string()),
                ]
            )
        ),
    )
)

#: What a teacher says of each token of a document: `k` ids of the token store's width, and their
#: probabilities as float16; null where it says nothing. At RUN/teacher/<part>.parquet, one row for
#: each row of the token store.
TAUGHT: Final = _schema(
    doc_id=DOC_ID,
    ids=pa.large_binary(),
    probs=pa.large_binary(),
)

#: One row a document that was joined with others: tokens `start` to `start + length` of document
#: `doc_id` of the token store are those of `member_id`. Not row-aligned.
MEMBERS: Final = _schema(
    doc_id=DOC_ID,
    member_id=DOC_ID,
    start=pa.int64(),
    length=pa.int64(),
)

#: One row a segment of a packed sequence; at RUN/packs/<stage>/<source>.parquet. `offset`,
#: `length` and `doc_start` are in tokens; `doc_row` is the row in the source's token store.
PACKS: Final = _schema(
    ordinal=pa.int64(),
    offset=pa.int32(),
    length=pa.int32(),
    doc_id=DOC_ID,
    doc_start=pa.int64(),
    doc_row=pa.int64(),
    epoch=pa.int32(),
)

#: One row a position of a stage; at RUN/plan/<stage>.parquet.
PLAN: Final = _schema(
    stage=NAME,
    position=pa.int64(),
    step=pa.int32(),
    slot=pa.int32(),
    source=NAME,
    epoch=pa.int32(),
    ordinal=pa.int64(),
)
