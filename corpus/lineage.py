"""From a position of a stage to the pages it holds, and from a page to where it is trained on.

A *position* is a sequence's place in its stage; a *segment* is a run of tokens of one document in
it. A segment *matches* when its tokens are those that the token store has for that stretch of the
document, and they decode to the document's text there. The end-of-text token is no text. A cut
through a character decodes to U+FFFD at the cut, which is not held against the segment. Of sources
whose tokens are not those of the text alone (media, filling in the middle) the tokens decide. A
document that was joined with others is shown by itself.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
from cuvee.corpus.pages import (
    Member,
    Tokens,
    gives_back,
    members_of,
    pages,
    stored_tokens,
    token_ids,
)

Decode = Callable[[Tokens], str]


class _Place(NamedTuple):
    """A sequence's place, the source or view that it is of, and which sources' tokens decide."""

    stage: str
    position: int
    source: str
    tokens_decide: frozenset[str]


class _Stretch(NamedTuple):
    """Tokens in a sequence, those of their document, where they start there, and its end token."""

    ids: Tokens
    own: Tokens
    start: int
    closed: bool  # whether the last of `own` is the end-of-text token


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
        place = _Place(stage, position, source, _tokens_decide(run))
        segments = _segments(connection, place, ids, decode)
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
        stored = _one(connection, _STORED, [raw_id, raw_id])
        return DocumentExplanation(
            found[raw_id],
            stored[0] if stored else None,
            _copies(connection, "kept_doc_id", "doc_id", raw_id),
            _copies(connection, "doc_id", "kept_doc_id", raw_id),
            [Hit(*row) for row in connection.execute(_HITS, [raw_id]).fetchall()],
            [Occurrence(*row) for row in connection.execute(_OCCURRENCES, [raw_id] * 2).fetchall()],
        )


_HITS = """
    SELECT benchmark, split, item_id, span_start, span_end, score FROM raw.contamination
    WHERE doc_id = ? ORDER BY span_start, benchmark, item_id"""
_STORED = """
    SELECT n_tokens FROM raw.tokens WHERE doc_id = ?
    UNION ALL SELECT length FROM raw.members WHERE member_id = ?"""
_OCCURRENCES = """
    SELECT stage, "position", step, slot, epoch, "offset", length, doc_start FROM raw.segments
    WHERE doc_id = ?
    UNION ALL
    SELECT stage, "position", step, slot, epoch,
        "offset" + greatest(m.start - doc_start, 0),
        least(doc_start + s.length, m.start + m.length) - greatest(doc_start, m.start),
        greatest(doc_start - m.start, 0)
    FROM raw.members m JOIN raw.segments s ON s.doc_id = m.doc_id
    WHERE member_id = ? AND doc_start < m.start + m.length AND doc_start + s.length > m.start
    ORDER BY epoch, doc_start, stage, "position", "offset" """


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
    connection: duckdb.DuckDBPyConnection, place: _Place, ids: Tokens | None, decode: Decode
) -> list[Segment]:
    """Return the segments at a place; `ids` is the sequence, once assembled."""
    rows = connection.execute(
        """SELECT doc_id, "offset", length, doc_start, epoch FROM raw.segments
           WHERE stage = ? AND "position" = ? ORDER BY "offset" """,
        [place.stage, place.position],
    ).fetchall()
    wanted = [row[0] for row in rows]
    members = members_of(connection, wanted)
    stored = stored_tokens(connection, place.source, wanted)
    joined = [part.doc_id for parts in members.values() for part in parts]
    found = pages(connection, [*wanted, *joined])
    segments = []
    for raw_id, offset, length, doc_start, epoch in rows:
        doc = stored[raw_id]
        for part in members.get(raw_id, [Member(raw_id, 0, len(doc))]):
            low = max(doc_start, part.start)
            n = min(doc_start + length, part.start + part.length) - low
            if n <= 0:
                continue
            at, start, page = offset + low - doc_start, low - part.start, found[part.doc_id]
            own = doc[part.start : part.start + part.length]
            read: tuple[str | None, bool | None] = (None, None)
            text = None if page.source in place.tokens_decide else page.trained_text
            if ids is not None:
                closed = part.doc_id == raw_id
                read = _read(_Stretch(ids[at : at + n], own, start, closed), text, decode)
            segments.append(Segment(at, n, start, len(own), epoch, page, *read, text is not None))
    return segments


def _read(stretch: _Stretch, text: str | None, decode: Decode) -> tuple[str, bool]:
    """Return a stretch's text and whether it matches; without `text` its tokens decide."""
    ids, own, start, closed = stretch
    decoded = decode(ids[: len(own) - closed - start])
    same = np.array_equal(ids, own[start : start + len(ids)])
    if text is None:
        return decoded, same
    whole = len(ids) == len(own)
    return decoded, same and gives_back(decoded, text, decode(own[:start]), whole)


def _tokens_decide(run: Path) -> frozenset[str]:
    """Return the sources whose tokens are not those of their text alone."""
    recipe = run / "recipe.json"
    held = json.loads(recipe.read_bytes()) if recipe.exists() else {}
    sources = held.get("recipe", {}).get("sources", {})
    return frozenset(name for name, keys in sources.items() if keys.get("fim") or keys.get("media"))


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
