"""What the build flow does to one part of a source whose documents are not one text each.

Spanned documents are encoded by their spans (`cuvee.tokenize.spans`), some are cut in three
(`cuvee.tokenize.fim`), and some are *joined*: those of one key become one document, which has an id
of its own, and its *members* are the documents that were joined.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from cuvee.configs.errors import RunError
from cuvee.corpus.schemas import MEMBERS, RECORD_TOKENS, TOKENS
from cuvee.corpus.whole import part_writer
from cuvee.flows.partfiles import column, edited_table, finished_table, row_groups
from cuvee.flows.tokenise_parts import Kept
from cuvee.tokenize.fim import Odds, Sentinels, cut
from cuvee.tokenize.spans import Made, Span, encode_runs, pack_bits, runs_of
from cuvee.tokenize.store import Encoded, to_blobs
from cuvee.tokenize.tokenizer import Tokenizer

Counts = Mapping[str, int]
BATCH_DOCUMENTS = 256  # encoded at once: runs are Python values, some 200 bytes each


@dataclass(frozen=True)
class SpannedPart:
    """A part's documents with their spans, which are row-aligned, and the id that stands for media.

    spans: the table; placeholder: an id.
    """

    kept: Kept
    spans: Path
    placeholder: int


def tokenise_records(part: SpannedPart, target: Path, tokenizer: Tokenizer) -> Counts:
    """Write the tokens of a part's kept documents with their loss masks and media.

    RunError where curation changed the text of one: its spans are those of the text as it was read.
    Memory: a row group of text. 18 MB/s of text on one core, 300 letters a message.
    """
    _refuse_changed(part.kept)
    counts = {"docs": 0, "tokens": 0, "loss_tokens": 0, "media": 0}
    spans = _kept_spans(part)
    with part_writer(target, RECORD_TOKENS) as writer:
        for doc_ids, texts in part.kept.texts():
            for start in range(0, len(texts), BATCH_DOCUMENTS):
                here: list[Any] = texts.slice(start, BATCH_DOCUMENTS).to_pylist()
                runs = [
                    runs_of(text, next(spans), tokenizer.control_tokens, part.placeholder)
                    for text in here
                ]
                made = encode_runs(tokenizer, runs)
                writer.write(_record_rows(doc_ids.slice(start, BATCH_DOCUMENTS), made))
                counts["docs"] += len(here)
                counts["tokens"] += len(made.loss)
                counts["loss_tokens"] += int(made.loss.sum())
                counts["media"] += sum(map(len, made.media))
    return counts


def _refuse_changed(kept: Kept) -> None:
    """Refuse a part with a kept document whose text is not the one that was read."""
    verdicts = pq.read_table(kept.verdicts, columns=["doc_id", "kept"])
    keeps = column(verdicts, "kept").to_numpy(zero_copy_only=False)
    for path in (edited_table(kept.documents), finished_table(kept.documents)):
        row = 0
        for table in row_groups(path, ["text"]) if path.exists() else ():
            changed = column(table, "text").is_valid().to_numpy(zero_copy_only=False)
            found = np.flatnonzero(changed & keeps[row : row + len(changed)])
            if len(found):
                doc_id = verdicts.column("doc_id")[row + int(found[0])].as_py().hex()
                raise RunError(
                    f"The text of document {doc_id} of source {path.parent.name!r} was changed by "
                    "an edit, a cut or a mask, so that its parts are no longer known.",
                    "Records of chat and media are taken as they are, or dropped.",
                    "Leave the source out of that step, by the step's `sources`.",
                )
            row += len(changed)


def _kept_spans(part: SpannedPart) -> Iterator[list[Span]]:
    """Yield the spans of each document that is kept."""
    kept = pq.read_table(part.kept.verdicts, columns=["kept"]).column("kept").combine_chunks()
    start = 0
    for table in row_groups(part.spans, ["spans"]):
        here = table.filter(kept.slice(start, table.num_rows))
        start += table.num_rows
        for spans in column(here, "spans"):
            yield [Span(**span) for span in spans.as_py() or ()]


def _record_rows(doc_ids: "pa.Array[Any]", made: Made) -> pa.RecordBatch:
    """Return encoded records as rows of the token store."""
    media = [[medium._asdict() for medium in one] for one in made.media]
    columns = [
        doc_ids,
        to_blobs(made.encoded),
        pa.array(np.diff(made.encoded.offsets).astype(np.int32)),
        pa.array(pack_bits(made.loss, made.encoded.offsets), pa.large_binary()),
        pa.array([one or None for one in media], RECORD_TOKENS.field("media").type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_TOKENS)


def tokenise_fim(
    kept: Kept, target: Path, tokenizer: Tokenizer, asked: tuple[Odds, Sentinels]
) -> Counts:
    """Write the tokens of a part's kept documents, some of them cut in three.

    Memory: a row group of text.
    """
    counts = {"docs": 0, "tokens": 0, "cut": 0}
    with part_writer(target, TOKENS) as writer:
        for doc_ids, texts in kept.texts():
            for start in range(0, len(texts), BATCH_DOCUMENTS):
                ids = doc_ids.slice(start, BATCH_DOCUMENTS)
                here = texts.slice(start, BATCH_DOCUMENTS)
                runs = [
                    cut(doc_id.as_py(), text.as_py(), *asked)
                    for doc_id, text in zip(ids, here, strict=True)
                ]
                encoded = encode_runs(tokenizer, runs).encoded
                writer.write(_token_rows(ids, encoded))
                counts["docs"] += len(here)
                counts["tokens"] += len(encoded.ids)
                counts["cut"] += sum(one[0].token >= 0 for one in runs)
    return counts


def _token_rows(doc_ids: "pa.Array[Any]", encoded: Encoded) -> pa.RecordBatch:
    """Return encoded documents as rows of the token store."""
    lengths = np.diff(encoded.offsets).astype(np.int32)
    columns = [doc_ids, to_blobs(encoded), pa.array(lengths)]
    return pa.RecordBatch.from_arrays(columns, schema=TOKENS)


@dataclass(frozen=True)
class Joining:
    """Which documents become one: those of which `pattern` finds the same in the column `by`.

    max_tokens: of a joined document, its end included.
    """

    by: str
    pattern: str
    separator: str
    max_tokens: int


class _Origin(NamedTuple):
    """What decides where a document is joined: its key, if it has one, and its place there."""

    key: str | None
    path: str
    row: int
    doc_id: bytes


def tokenise_joined(
    kept: Kept, joining: Joining, outputs: tuple[Path, Path], tokenizer: Tokenizer
) -> Counts:
    """Write the tokens of a part's kept documents, those of one key joined, and the members.

    The members of a document come in the order of their paths, each encoded by itself, the
    separator between two of them. Documents stand where their first member stood. What does not
    fit `max_tokens` begins another document; a member that is longer by itself stays whole.
    Memory: 200 bytes a document and a row group of text; the part's tokens lie on disk meanwhile.
    """
    target, members = outputs
    origins = list(_origins(kept, joining))
    separator = _separator(joining.separator, tokenizer)
    with tempfile.TemporaryFile(dir=target.parent) as spool:
        offsets = np.zeros(len(origins) + 1, np.int64)
        row = 0
        for _, texts in kept.texts():
            encoded = tokenizer.encode_texts(texts)
            spool.write(encoded.ids.astype(tokenizer.dtype).tobytes())
            offsets[row + 1 : row + 1 + len(texts)] = offsets[row] + encoded.offsets[1:]
            row += len(texts)
        spool.flush()
        groups = _grouped(origins, np.diff(offsets), len(separator), joining.max_tokens)
        held = Encoded(
            np.memmap(spool, tokenizer.dtype, "r")[:] if offsets[-1] else separator[:0], offsets
        )
        ends = np.array([tokenizer.eos_id], tokenizer.dtype)
        return _write_joined(groups, origins, held, (separator, ends), outputs=(target, members))


def _origins(kept: Kept, joining: Joining) -> Iterator[_Origin]:
    """Yield what decides where each kept document is joined."""
    pattern = re.compile(joining.pattern)
    keeps = pq.read_table(kept.verdicts, columns=["kept"]).column("kept").combine_chunks()
    start = 0
    for table in row_groups(kept.documents, ["doc_id", "path", "row", "url"]):
        here = table.filter(keeps.slice(start, table.num_rows))
        start += table.num_rows
        for one in here.to_pylist():
            found = pattern.search(one[joining.by] or "")
            key = None if found is None else found[pattern.groups]
            path = one["path"] if joining.by == "path" else one["url"] or ""
            yield _Origin(key, path, one["row"], one["doc_id"])


def _separator(separator: str, tokenizer: Tokenizer) -> NDArray[Any]:
    """Return the ids between two members."""
    if separator in tokenizer.control_tokens:
        return np.array([tokenizer.control_tokens[separator]], tokenizer.dtype)
    ids = tokenizer.encode_texts([separator]).ids if separator else np.empty(0)
    return ids.astype(tokenizer.dtype)


def _grouped(
    origins: Sequence[_Origin], lengths: NDArray[np.int64], between: int, most: int
) -> list[list[int]]:
    """Return the members of each document by number, documents in order of their first in line."""
    by_key: dict[str, list[int]] = {}
    groups = list[list[int]]()
    for number, origin in enumerate(origins):
        if origin.key is None:
            groups.append([number])
        else:
            by_key.setdefault(origin.key, []).append(number)
    for numbers in by_key.values():
        numbers.sort(key=lambda number: (origins[number].path, origins[number].row))
        size = most + 1
        for number in numbers:
            size += between + int(lengths[number])
            if size > most:
                groups.append([])
                size = int(lengths[number]) + 1
            groups[-1].append(number)
    return sorted(groups, key=min)


def _write_joined(
    groups: Sequence[Sequence[int]],
    origins: Sequence[_Origin],
    held: Encoded,
    marks: tuple[NDArray[Any], NDArray[Any]],
    outputs: tuple[Path, Path],
) -> Counts:
    """Write documents and their members; `marks` are the separator and the end."""
    counts = {"docs": len(groups), "members": len(origins), "tokens": 0}
    separator, ends = marks
    with part_writer(outputs[0], TOKENS) as out, part_writer(outputs[1], MEMBERS) as named:
        for group in groups:
            pieces, at, places = list[NDArray[Any]](), 0, list[int]()
            for number in group:
                if pieces:
                    pieces.append(separator)
                    at += len(separator)
                places.append(at)
                pieces.append(held.ids[held.offsets[number] : held.offsets[number + 1]])
                at += len(pieces[-1])
            ids = np.concatenate([*pieces, ends])
            members = [origins[number].doc_id for number in group]
            doc_id = members[0] if len(group) == 1 else xxhash.xxh3_128_digest(b"".join(members))
            one = pa.array([doc_id], pa.binary(16))
            out.write(_token_rows(one, Encoded(ids, np.array([0, len(ids)]))))
            counts["tokens"] += len(ids)
            if len(group) > 1:
                lengths = [int(held.offsets[n + 1] - held.offsets[n]) for n in group]
                rows: list[Any] = [[doc_id] * len(group), members, places, lengths]
                arrays = [pa.array(values, f.type) for values, f in zip(rows, MEMBERS, strict=True)]
                named.write(pa.RecordBatch.from_arrays(cast(Any, arrays), schema=MEMBERS))
    return counts
