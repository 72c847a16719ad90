"""Turn a source's files into the documents and quarantine tables of its parts.

A *part* is a run of files in name order that one task reads; which files share a part follows from
their sizes alone. A document's *id* is a 16-byte hash of where it comes from (source, file name,
the record's own id or else its URL), of its text, and of how often the same had already come up in
the file. So reading again gives the same ids, no two documents share one, and what other lines,
files or folders hold changes none.

Texts are taken as they are; what is no document goes to quarantine with its reason, and
`seen == docs + quarantined`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from cuvee.corpus.paths import SourceFile
from cuvee.corpus.readers import Document, Making, Reject, read
from cuvee.corpus.schemas import DOCUMENTS, QUARANTINE, SPANS
from cuvee.corpus.whole import MAX_GROUP_BYTES, MAX_GROUP_ROWS, PartWriter, part_writer

SPAN_BYTES = 400  # of a span as a Python dictionary


def assign_parts(files: Sequence[SourceFile], part_bytes: int) -> list[list[SourceFile]]:
    """Group files, in name order, into parts of at most `part_bytes` as stored.

    A file is never split: one that is larger is a part alone.
    """
    parts: list[list[SourceFile]] = []
    size = 0
    for file in sorted(files, key=lambda file: file.name):
        if not parts or size + file.n_bytes > part_bytes:
            parts.append([])
            size = 0
        parts[-1].append(file)
        size += file.n_bytes
    return parts


class DocumentIds:
    """Give the ids of one file's documents, which must come in the file's order.

    Holds about 110 bytes for each document of the file.
    """

    def __init__(self, source: str, name: str) -> None:
        self._origin = xxhash.xxh3_128(_framed(source, name))
        self._times: dict[bytes, int] = {}

    def of(self, own: str | None, url: str | None, text: bytes) -> bytes:
        """Give the id of the next document; `own` is the record's id, `text` UTF-8."""
        digest = self._origin.copy()
        digest.update(_framed("id", own) if own is not None else _framed("url", url or ""))
        digest.update(text)
        first = digest.digest()
        times = self._times.get(first, 0)
        self._times[first] = times + 1
        return xxhash.xxh3_128_digest(first + times.to_bytes(8, "big")) if times else first


def _framed(first: str, second: str) -> bytes:
    """Give two texts as bytes that no other two give, nor begin with those of others."""
    return f"{len(first)}:{first}{len(second)}:{second}".encode()


class _Batches:
    """Rows on their way to a part: tuples in, record batches out."""

    def __init__(self, schema: pa.Schema, out: PartWriter) -> None:
        self._schema, self._write = schema, out.write
        self._rows: list[tuple[Any, ...]] = []
        self._n_bytes = 0

    def add(self, row: tuple[Any, ...], n_bytes: int) -> None:
        """Add a row in the schema's order, with the bytes that it holds in memory."""
        self._rows.append(row)
        self._n_bytes += n_bytes
        if len(self._rows) >= MAX_GROUP_ROWS or self._n_bytes >= MAX_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on what there is."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                _large_text(column) if field.name == "text" else pa.array(column, field.type)
                for column, field in zip(columns, self._schema, strict=True)
            ]
            self._rows, self._n_bytes = [], 0
            self._write(pa.record_batch(arrays, schema=self._schema))


def _large_text(texts: Sequence[bytes]) -> "pa.Array[Any]":
    """Make a column of texts that are known to be UTF-8, with one copy."""
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


class Made(NamedTuple):
    """What makes the documents of a source's records, and where the table of their spans goes."""

    making: Making
    spans: Path


def ingest_part(
    source: str,
    files: Sequence[SourceFile],
    format: str,  # noqa: A002  # the recipe's own word
    fields: Mapping[str, str],
    documents: Path,
    quarantine: Path,
    made: Made | None = None,
) -> dict[str, int]:
    """Read a part's files and write its two tables, each whole or not at all; with `made`, three.

    Gives counts: `seen`, `docs`, `bytes` (UTF-8 text of the documents), `quarantined`, and
    `reason:<reason>` for each reason of a reject, with `seen == docs + quarantined`. Raises what
    `cuvee.corpus.readers.read` raises; may run in a worker process.

    One process takes 95 MB/s of text (JSON lines, 5 KB a document; half of the time is zstd's, 75
    from gzip) in 130 MiB beyond the interpreter, 250 from Parquet with one row group of 120 MB,
    110 bytes more for each document of a file, and four times a longer text (seven where it has
    characters beyond U+FFFF).
    """
    counts = Counter(seen=0, docs=0, bytes=0, quarantined=0)
    with ExitStack() as stack:
        document_rows = _Batches(DOCUMENTS, stack.enter_context(part_writer(documents, DOCUMENTS)))
        reject_rows = _Batches(QUARANTINE, stack.enter_context(part_writer(quarantine, QUARANTINE)))
        span_rows = None
        if made is not None:
            span_rows = _Batches(SPANS, stack.enter_context(part_writer(made.spans, SPANS)))
        for file in files:
            ids = DocumentIds(source, file.name)
            for got in read(file, format, fields, None if made is None else made.making):
                if isinstance(got, Reject):
                    reject_rows.add((source, *got), len(got.excerpt))
                    counts["quarantined"] += 1
                    counts[f"reason:{got.reason}"] += 1
                else:
                    n_bytes = _add(document_rows, span_rows, source, ids, got)
                    counts["docs"] += 1
                    counts["bytes"] += n_bytes
        for rows in (document_rows, reject_rows, span_rows):
            if rows is not None:
                rows.flush()
    counts["seen"] = counts["docs"] + counts["quarantined"]
    return dict(sorted(counts.items()))


def _add(
    rows: _Batches,
    span_rows: _Batches | None,
    source: str,
    ids: DocumentIds,
    document: Document,
) -> int:
    """Add a document's rows and give the bytes of its text."""
    text, own, url, date, licence, path, row, spans = document
    data = text.encode()
    doc_id = ids.of(own, url, data)
    rows.add((doc_id, source, data, url, date, licence, len(data), path, row), len(data))
    if span_rows is not None:
        span_rows.add((doc_id, spans), SPAN_BYTES * len(spans or ()))
    return len(data)
