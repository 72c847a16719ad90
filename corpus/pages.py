"""A document as a run holds it: its page and its tokens.

A *page* is a document's text, where it came from, and what was measured and decided. The ids here
are the stored 16 bytes, which Parquet's reader can look for; people see them in hex.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from cuvee.configs.errors import CorruptShard

Tokens = NDArray[np.uint16] | NDArray[np.uint32]

_CUT: Final = "\N{REPLACEMENT CHARACTER}"


class Verdict(NamedTuple):
    """What was decided of a document; step and reason are None when it was kept."""

    kept: bool
    step: str | None
    reason: str | None


@dataclass(frozen=True)
class Page:
    """A document: where it came from, its text, and what was measured and decided."""

    doc_id: str
    source: str
    path: str
    row: int
    url: str | None
    date: str | None
    license: str | None
    n_bytes: int
    text: str
    edited_text: str | None  # None where no edit changed it
    finished_text: str | None  # None where nothing was cut out of it or masked
    signals: dict[str, Any]
    verdict: Verdict | None  # None before the run was judged

    @property
    def trained_text(self) -> str:
        """The text that is trained on: finished, or edited, or as it was read."""
        changed = (self.finished_text, self.edited_text)
        return next((text for text in changed if text is not None), self.text)


def pages(connection: duckdb.DuckDBPyConnection, ids: list[bytes]) -> dict[bytes, Page]:
    """Return the documents with `ids`, each with its signals, scores and verdict."""
    signals: dict[bytes, dict[str, Any]] = {}
    for table in ("signals", "scores", "ensembles", "lists"):
        for row in _rows(connection, f"SELECT * FROM raw.{table} WHERE {_among(ids)}"):
            row.pop("source")
            signals.setdefault(row.pop("doc_id"), {}).update(row)
    verdicts = {
        row["doc_id"]: Verdict(row["kept"], row["step"], row["reason"])
        for row in _rows(connection, f"SELECT * FROM raw.verdicts WHERE {_among(ids)}")
    }
    edited, finished = (_texts(connection, table, ids) for table in ("edited", "finished"))
    found = {}
    for row in _rows(connection, f"SELECT * FROM raw.documents WHERE {_among(ids)}"):
        raw_id = row.pop("doc_id")
        found[raw_id] = Page(
            raw_id.hex(),
            **row,
            edited_text=edited.get(raw_id),
            finished_text=finished.get(raw_id),
            signals=signals.get(raw_id, {}),
            verdict=verdicts.get(raw_id),
        )
    return found


def _texts(
    connection: duckdb.DuckDBPyConnection, table: str, ids: list[bytes]
) -> dict[bytes, str | None]:
    """Return the texts of a table by document."""
    query = f"SELECT doc_id, text FROM raw.{table} WHERE {_among(ids)}"
    return {row["doc_id"]: row["text"] for row in _rows(connection, query)}


class Member(NamedTuple):
    """A document that is a part of a joined one: its `length` tokens from token `start` on."""

    doc_id: bytes
    start: int
    length: int


def members_of(
    connection: duckdb.DuckDBPyConnection, ids: list[bytes]
) -> dict[bytes, list[Member]]:
    """Return the members of those of some documents that are joined, in their order."""
    found: dict[bytes, list[Member]] = {}
    query = f"SELECT * FROM raw.members WHERE {_among(ids)} ORDER BY doc_id, start"
    for row in _rows(connection, query):
        member = Member(row["member_id"], row["start"], row["length"])
        found.setdefault(row["doc_id"], []).append(member)
    return found


def stored_tokens(
    connection: duckdb.DuckDBPyConnection, source: str, ids: list[bytes]
) -> dict[bytes, Tokens]:
    """Return the token store's rows of a source's documents."""
    rows = connection.execute(
        f"SELECT doc_id, tokens, n_tokens FROM raw.tokens WHERE source = ? AND {_among(ids)}",
        [source],
    ).fetchall()
    return {raw_id: token_ids(tokens, n_tokens) for raw_id, tokens, n_tokens in rows}


def token_ids(blob: bytes, n_tokens: int) -> Tokens:
    """Return a blob of `n_tokens` little-endian ids, 2 or 4 bytes each by its length."""
    if len(blob) == 2 * n_tokens:
        return np.frombuffer(blob, "<u2")
    if len(blob) == 4 * n_tokens:
        return np.frombuffer(blob, "<u4")
    raise CorruptShard(
        f"{len(blob)} bytes are no {n_tokens} tokens.",
        "A token has 2 or 4 bytes.",
        "Check the run with `cuvee verify RUN`.",
    )


def gives_back(decoded: str, text: str, before: str, whole: bool) -> bool:
    """Tell whether a segment's text is the document's, `before` being what its earlier part gives.

    A character cut at either end is no text of the segment: what decodes to U+FFFD there is left
    out and may hide as many characters of the document. One more may be a space, which decoders
    of the sentencepiece kind drop at the start of a piece.
    """
    if whole:
        return decoded == text
    head, piece = before.rstrip(_CUT), decoded.lstrip(_CUT)
    hidden = len(before) - len(head) + len(decoded) - len(piece) + 1
    piece = piece.rstrip(_CUT)
    return any(text.startswith(piece, len(head) + skip) for skip in range(hidden + 1))


def _among(ids: list[bytes]) -> str:
    """Return the condition that doc_id is one of `ids`, as constants that Parquet's reader sees."""
    literals = [f"unhex('{raw_id.hex()}')" for raw_id in ids]
    return f"doc_id IN ({', '.join(literals) or 'NULL'})"


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query by column name."""
    cursor = connection.execute(sql)
    names = [str(column[0]) for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
