r"""Read the documents of one file, and say what could not be read.

A *document* is a text with what its record says of it. A *reject* stands for a line, a row, a row
group, a file or the rest of one that gives no document; every input ends as one or the other, and
nothing that a file holds stops the reading. `row` counts from 0: lines (blank ones too) of JSON
lines, rows of Parquet; it is None for a row group, a whole file or the rest of one.

| reason of a reject | what it was |
|---|---|
| `invalid_utf8` | a line, or a text file, that is not UTF-8 |
| `invalid_json`, `not_an_object` | a line that is no JSON, or JSON but no object |
| `invalid_unicode` | a lone surrogate (`\ud800`) in the text or another field that is read |
| `missing_text` | no text field, or null; for Parquet without such a column, the whole file |
| `text_not_string` | a text field that holds something else |
| what a `Making` says | a record that gives no document, like a conversation without messages |
| `too_large` | a document above `streams.MAX_DOCUMENT_BYTES` |
| `truncated_file` | the rest of a compressed file that breaks off or is corrupt |
| `unreadable_file` | a file that cannot be opened or read |
| `unreadable_parquet` | a file that is no Parquet, or a row group that is corrupt |

Text is judged elsewhere: an empty one, or one of NULs alone, is a document.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from cuvee.configs.errors import SourceError
from cuvee.corpus.columns import Fault, columns_of
from cuvee.corpus.paths import SourceFile
from cuvee.corpus.streams import DAMAGE, MAX_DOCUMENT_BYTES, Lost, chunks, damage, lines

EXCERPT_CHARACTERS: Final = 200
BOM: Final = b"\xef\xbb\xbf"
FIELDS: Final = ("text", "id", "url", "date", "license")


Spans = list[dict[str, Any]]  # one a stretch of the text, with the fields of `schemas.SPANS`
Maker = Callable[[Sequence[object]], tuple[str, Spans] | str]


class Making(NamedTuple):
    """What makes a document of a record without a text: of the values of the fields `names`.

    The first value is as it was read, the others are text, or JSON. `make` gives the text and its
    spans, or the reason of the reject.
    """

    names: tuple[str, ...]
    make: Maker


class Document(NamedTuple):
    """A text as it was read; `path` is the file's name in its source, `id` the record's own."""

    text: str
    id: str | None
    url: str | None
    date: str | None
    license: str | None
    path: str
    row: int
    spans: Spans | None = None


class Reject(NamedTuple):
    """What could not be read; `excerpt` is its first 200 characters or the fault in words."""

    path: str
    row: int | None
    reason: str
    excerpt: str
    n_bytes: int


Names = tuple[str, ...]  # the record's names of FIELDS, in that order
Reader = Callable[[SourceFile, Names, Making | None], Iterator[Document | Reject]]


def read(
    file: SourceFile,
    format: str,  # noqa: A002  # the recipe's own word
    fields: Mapping[str, str],
    making: Making | None = None,
) -> Iterator[Document | Reject]:
    """Read a file as `jsonl`, `parquet` or `text`, decompressed by its extension (.gz, .zst).

    `fields` maps text, id, url, date and license to the record's names, which may be dotted
    (`meta.url`); without an entry a field has its own name. Values that are no text are written as
    text, lists and objects as JSON. JSON beyond the standard (NaN) is taken where it can be.
    `making` takes the place of the field text in JSON lines and Parquet.

    MB/s of text on one core, documents of 2 KB: JSON lines 350 (from zstd 240, gzip 155), Parquet
    350. Memory: three times the largest line (six where it has characters beyond U+FFFF) and a few
    MiB; for Parquet that of `cuvee.corpus.columns`.
    Raises SourceError for an unknown format or field, RunError where a remote file fails in a way
    that may pass.
    """
    _check(format, tuple(READERS), "format")
    for field in fields:
        _check(field, FIELDS, "field")
    return READERS[format](file, tuple(fields.get(name, name) for name in FIELDS), making)


def _check(name: str, known: tuple[str, ...], kind: str) -> None:
    """Refuse a name that is not among the known ones."""
    if name not in known:
        near = difflib.get_close_matches(name, known, 1) or known[:1]
        raise SourceError(
            f"{name!r} is no {kind} of a source.",
            f"There are {', '.join(known)}.",
            f"Write {near[0]}.",
        )


def _excerpt(data: bytes) -> str:
    """Give the first characters of bytes that may be no text."""
    return data[: 4 * EXCERPT_CHARACTERS].decode(errors="replace")[:EXCERPT_CHARACTERS]


def _lost(file: SourceFile, row: int, lost: Lost) -> Reject:
    """Give the reject of bytes that are no line."""
    return Reject(
        file.name, None if lost.rest else row, lost.reason, _excerpt(lost.head), lost.n_bytes
    )


def _json_lines(
    file: SourceFile, names: Names, making: Making | None
) -> Iterator[Document | Reject]:
    """Read one JSON object a line; blank lines are passed over."""
    for row, line in enumerate(lines(file)):
        if isinstance(line, Lost):
            yield _lost(file, row, line)
            continue
        if not line or line.isspace():
            continue
        record = _record(line.removeprefix(BOM) if row == 0 else line)
        got = record if isinstance(record, str) else _document(record, names, making)
        if isinstance(got, Document):
            yield got._replace(path=file.name, row=row)
        else:
            yield Reject(file.name, row, got, _excerpt(line), len(line))


class _Record(NamedTuple):
    """The object of a line; it was read `exact`ly, or by a parser that takes lone surrogates."""

    fields: dict[str, Any]
    exact: bool


def _record(line: bytes) -> _Record | str:
    """Give the object of a JSON line, or the reason why there is none."""
    try:
        record, exact = orjson.loads(line), True
    except orjson.JSONDecodeError:
        record, exact = _lenient(line), False
    if isinstance(record, Fault):
        return record.reason
    return _Record(record, exact) if isinstance(record, dict) else "not_an_object"


def _document(record: _Record, names: Names, making: Making | None) -> Document | str:
    """Give the document of a JSON object, without its place, or the reason why there is none."""
    if making is None:
        made = _value(record.fields, names[0])
    else:
        first, *others = (_value(record.fields, name) for name in making.names)
        made = made_of([first, *map(_plain, others)], making)
    text, spans = made if isinstance(made, tuple) else (made, None)
    if making is not None and spans is None:
        return str(made)
    if not isinstance(text, str):
        return "missing_text" if text is None else "text_not_string"
    own, url, date, licence = [_plain(_value(record.fields, name)) for name in names[1:]]
    document = Document(text, own, url, date, licence, "", 0, spans)
    if not record.exact and not _encodable(document):
        return "invalid_unicode"
    return document


def made_of(values: Sequence[object], making: Making) -> tuple[str, Spans] | str:
    """Make a text and its spans of a record's values, or give the reason why there is none."""
    if values[0] is None:
        return "missing_text"
    made = making.make(values)
    too_large = isinstance(made, tuple) and len(made[0]) > MAX_DOCUMENT_BYTES
    return "too_large" if too_large else made


def _lenient(line: bytes) -> object:
    """Parse what a strict parser refused: NaN, numbers of any size, lone surrogates."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError:
        return Fault("invalid_utf8")
    except (ValueError, RecursionError):
        return Fault("invalid_json")


def _encodable(document: Document) -> bool:
    """Say whether UTF-8 can hold all the fields of a document."""
    try:
        for value in document[: len(FIELDS)]:
            str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(record: dict[str, Any], name: str) -> object:
    """Give the value of a name, which may be dotted; None where there is none."""
    value: object = record.get(name)
    if value is None and "." in name:
        value = record
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _plain(value: object) -> str | None:
    """Give a value as text: text stays, anything else is written as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _whole_text(
    file: SourceFile, names: Names, making: Making | None
) -> Iterator[Document | Reject]:
    """Read the whole file as one text, without a byte order mark."""
    pieces: list[bytes] = []
    n_bytes, reason = 0, ""
    try:
        for chunk in chunks(file):
            n_bytes += len(chunk)
            if n_bytes > MAX_DOCUMENT_BYTES:
                reason = "too_large"
                break
            pieces.append(chunk)
    except DAMAGE as error:
        reason = damage(file, error)
    data = b"".join(pieces).removeprefix(BOM)
    try:
        text = data.decode() if not reason else ""
    except UnicodeDecodeError:
        text, reason = "", "invalid_utf8"
    if reason:
        yield Reject(file.name, None, reason, _excerpt(data), file.n_bytes)
    else:
        yield Document(text, None, None, None, None, file.name, 0)


def _parquet(file: SourceFile, names: Names, making: Making | None) -> Iterator[Document | Reject]:
    """Read the rows of a Parquet file, row group by row group."""
    if making is not None:
        yield from _made_of_parquet(file, names, making)
        return
    for cells in columns_of(file, names):
        if isinstance(cells, Fault):
            excerpt = cells.detail[:EXCERPT_CHARACTERS]
            yield Reject(file.name, None, cells.reason, excerpt, cells.n_bytes)
            continue
        rows = zip(cells.texts, *cells.others, strict=True)
        for row, (text, own, url, date, licence) in enumerate(rows, cells.first_row):
            if isinstance(text, str):
                yield Document(text, own, url, date, licence, file.name, row)
            else:
                yield Reject(file.name, row, text.reason, _excerpt(text.data), len(text.data))


def _made_of_parquet(file: SourceFile, names: Names, making: Making) -> Iterator[Document | Reject]:
    """Make documents of the rows of a Parquet file."""
    asked = (making.names[0], *names[1:], *making.names[1:])
    for cells in columns_of(file, asked, texts=False):
        if isinstance(cells, Fault):
            excerpt = cells.detail[:EXCERPT_CHARACTERS]
            yield Reject(file.name, None, cells.reason, excerpt, cells.n_bytes)
            continue
        rows = zip(cells.texts, *cells.others, strict=True)
        for row, (value, own, url, date, licence, *others) in enumerate(rows, cells.first_row):
            made = made_of([value, *others], making)
            if isinstance(made, tuple):
                yield Document(made[0], own, url, date, licence, file.name, row, made[1])
            else:
                data = str(value).encode(errors="replace")
                yield Reject(file.name, row, made, _excerpt(data), len(data))


READERS: Final[dict[str, Reader]] = {
    "jsonl": _json_lines,
    "parquet": _parquet,
    "text": _whole_text,
}
