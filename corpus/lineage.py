"""From a position of a stage to the pages it holds, and from a page to where it is trained on.

A *position* is a sequence's place in its stage; a *segment* is a run of tokens of one document in
it. A segment *matches* when its tokens are those that the token store has for that stretch of the
document, and they decode to the document's text there. The end-of-text token is no text. A cut
through a character decodes to U+FFFD at the cut, which is not held against the segment.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from cuvee.configs.errors import RequestError
from cuvee.corpus.catalog import connect
from cuvee.corpus.explanations import (
    DocumentExplanation,
    Duplicate,
    Hit,
    Occurrence,
    PositionExplanation,
    Segment,
)
from cuvee.corpus.pages import Tokens, gives_back, pages, stored_tokens, token_ids

Decode = Callable[[Tokens], str]


def explain_position(run: Path, stage: str, position: int, decode: Decode) -> PositionExplanation:
    """Return what lies at `position` of `stage`; `decode` turns token ids into text.

    RequestError for a stage or position that the plan does not have, with those that it has;
    CorruptShard when a shard's sequence is not as long as its stage says.
    """
    with connect(run) as connection:
        planned = _one(
            connection,
            """SELECT p.step, p.slot, p.source, p.epoch, p.ordinal, s.seq_len
               FROM plan p JOIN stages s USING (stage) WHERE stage = ? AND "position" = ?""",
            [stage, position],
        )
        if planned is None:
            raise _no_position(connection, stage, position)
        step, slot, source, epoch, ordinal, seq_len = planned
        shard = _one(
            connection,
            'SELECT tokens FROM raw.shards WHERE stage = ? AND "position" = ?',
            [stage, position],
        )
        ids = token_ids(shard[0], seq_len + 1) if shard else None
        segments = _segments(connection, (stage, position, source), ids, decode)
    return PositionExplanation(
        stage, position, step, slot, source, epoch, ordinal, seq_len, segments
    )


def explain_document(run: Path, doc_id: str) -> DocumentExplanation:
    """Return all that is known of a document; RequestError for an id that the run does not have."""
    try:
        raw_id = bytes.fromhex(doc_id)
    except ValueError:
        raw_id = b""
    with connect(run) as connection:
        found = pages(connection, [raw_id]) if len(raw_id) == 16 else {}
        if raw_id not in found:
            raise RequestError(
                f"No document has the id {doc_id!r}.",
                "An id is 32 hex digits.",
                'Look it up: cuvee sql RUN "SELECT doc_id, url FROM documents WHERE ...".',
            )
        stored = _one(connection, "SELECT n_tokens FROM raw.tokens WHERE doc_id = ?", [raw_id])
        return DocumentExplanation(
            found[raw_id],
            stored[0] if stored else None,
            _copies(connection, "kept_doc_id", "doc_id", raw_id),
            _copies(connection, "doc_id", "kept_doc_id", raw_id),
            [Hit(*row) for row in connection.execute(_HITS, [raw_id]).fetchall()],
            [Occurrence(*row) for row in connection.execute(_OCCURRENCES, [raw_id]).fetchall()],
        )


_HITS = """
    SELECT benchmark, split, item_id, span_start, span_end, score FROM raw.contamination
    WHERE doc_id = ? ORDER BY span_start, benchmark, item_id"""
_OCCURRENCES = """
    SELECT stage, "position", step, slot, epoch, "offset", length, doc_start FROM raw.segments
    WHERE doc_id = ? ORDER BY epoch, doc_start, stage, "position", "offset" """


def _copies(
    connection: duckdb.DuckDBPyConnection, other: str, this: str, raw_id: bytes
) -> list[Duplicate]:
    """Return the documents in column `other` of the pairs that have `raw_id` in column `this`."""
    rows = connection.execute(
        f"""SELECT lower(hex({other})), kind, similarity FROM raw.duplicates
            WHERE {this} = ? ORDER BY ALL""",
        [raw_id],
    ).fetchall()
    return [Duplicate(*row) for row in rows]


def _segments(
    connection: duckdb.DuckDBPyConnection,
    place: tuple[str, int, str],
    ids: Tokens | None,
    decode: Decode,
) -> list[Segment]:
    """Return the segments at (stage, position, source); `ids` is the sequence, once assembled."""
    stage, position, source = place
    rows = connection.execute(
        """SELECT doc_id, "offset", length, doc_start, epoch FROM raw.segments
           WHERE stage = ? AND "position" = ? ORDER BY "offset" """,
        [stage, position],
    ).fetchall()
    wanted = [row[0] for row in rows]
    found, stored = pages(connection, wanted), stored_tokens(connection, source, wanted)
    segments = []
    for raw_id, offset, length, doc_start, epoch in rows:
        page, doc = found[raw_id], stored[raw_id]
        decoded, matches = None, None
        if ids is not None:
            run = ids[offset : offset + length]
            decoded = decode(run[: len(doc) - 1 - doc_start])
            same = np.array_equal(run, doc[doc_start : doc_start + length])
            before = decode(doc[:doc_start])
            whole = length == len(doc)
            matches = same and gives_back(decoded, page.trained_text, before, whole)
        segments.append(Segment(offset, length, doc_start, len(doc), epoch, page, decoded, matches))
    return segments


def _one(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any]
) -> tuple[Any, ...] | None:
    """Return the first row of a query, None when it has none."""
    return connection.execute(sql, parameters).fetchone()


def _no_position(connection: duckdb.DuckDBPyConnection, stage: str, position: int) -> RequestError:
    """Return the error for a position that the plan does not have."""
    ends = connection.execute("SELECT stage, sequences FROM stages").fetchall()
    if not ends:
        return RequestError("This run has no plan yet.", do="Make one with `cuvee plan`.")
    if stage not in dict(ends):
        known = ", ".join(name for name, _ in ends)
        return RequestError(f"There is no stage {stage!r}.", f"The stages: {known}.")
    last = dict(ends)[stage] - 1
    return RequestError(
        f"Stage {stage!r} has no position {position}.", f"Its positions are 0 to {last}."
    )
