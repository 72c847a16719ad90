"""Readers: every input ends as a document or a reject with its reason, whatever it holds."""

import datetime
import errno
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RunError, SourceError
from cuvee.corpus import streams
from cuvee.corpus.paths import SourceFile
from cuvee.corpus.readers import Document, Reject, read

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}


def file_of(path: Path, data: bytes) -> SourceFile:
    path.write_bytes(data)
    return SourceFile(str(path), path.name, len(data))


def got(file: SourceFile, format_: str, **fields: str) -> list[Document | Reject]:
    return list(read(file, format_, fields))


def doc(text: str, path: str, row: int, **others: str) -> Document:
    fields: dict[str, str | None] = {"id": None, "url": None, "date": None, "license": None}
    known: dict[str, Any] = fields | others
    return Document(text=text, path=path, row=row, **known)


def reasons(results: list[Document | Reject]) -> list[str]:
    return [r.reason if isinstance(r, Reject) else "" for r in results]


@pytest.mark.parametrize("extension", COMPRESS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(), max_size=8), end=st.sampled_from(["", "\n", "\r\n\n"]))
def test_json_lines_come_back_as_they_were(
    tmp_path: Path, extension: str, texts: list[str], end: str
) -> None:
    data = "\n".join(json.dumps({"text": text}) for text in texts) + end
    name = f"a.jsonl{extension}"
    file = file_of(tmp_path / name, COMPRESS[extension](data.encode()))
    assert got(file, "jsonl") == [doc(text, name, row) for row, text in enumerate(texts)]


def test_the_fields_of_a_record_are_found_by_their_names(tmp_path: Path) -> None:
    record = {
        "content": "x",
        "meta": {"n": 7, "at": {"day": "2024-01-02"}},
        "a.b": "u",
        "license": ["MIT", "é"],
    }
    file = file_of(tmp_path / "a.jsonl", json.dumps(record).encode())
    fields = {"text": "content", "id": "meta.n", "date": "meta.at.day", "url": "a.b"}
    assert got(file, "jsonl", **fields) == [
        doc("x", "a.jsonl", 0, id="7", date="2024-01-02", url="u", license='["MIT", "é"]')
    ]


BAD_LINES = [
    (b'{"text": "a\xff"}', "invalid_utf8"),
    (b'{"text": "a"', "invalid_json"),
    (b"[" * 100_000, "invalid_json"),
    (b"\x00" * 50, "invalid_json"),
    (b'["text"]', "not_an_object"),
    (b'"text"', "not_an_object"),
    (rb'{"text": "a\ud800"}', "invalid_unicode"),
    (rb'{"text": "a", "url": "\udfff"}', "invalid_unicode"),
    (b'{"body": "a"}', "missing_text"),
    (b'{"text": null}', "missing_text"),
    (b'{"text": 5}', "text_not_string"),
    (b'{"text": ["a"]}', "text_not_string"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_one_reject_between_its_neighbours(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    file = file_of(tmp_path / "a.jsonl", b'{"text": "1"}\n\n' + line + b'\n{"text": "2"}\n')
    before, reject, after = got(file, "jsonl")
    assert (before, after) == (doc("1", "a.jsonl", 0), doc("2", "a.jsonl", 3))
    assert isinstance(reject, Reject)
    excerpt = line.decode(errors="replace")[:200]
    assert reject == Reject("a.jsonl", 2, reason, excerpt, len(line))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"text": ""}', ""),
        (rb'{"text": "\u0000\u0000"}', "\0\0"),
        (rb'{"text": "\ud83c\udf47"}', "🍇"),
        (b'{"text": "a", "score": NaN}', "a"),
        (rb'{"text": "a", "other": "\ud800"}', "a"),
        (b'{"text": "a", "n": ' + b"9" * 60 + b"}", "a"),
        (b'\xef\xbb\xbf{"text": "a"}', "a"),
    ],
)
def test_an_odd_line_is_a_document(tmp_path: Path, line: bytes, text: str) -> None:
    assert got(file_of(tmp_path / "a.jsonl", line), "jsonl") == [doc(text, "a.jsonl", 0)]


def numbered(n: int) -> bytes:
    rows = [{"text": f"{i} " + "".join(chr(97 + i * j % 26) for j in range(90))} for i in range(n)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("extension", [".gz", ".zst"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.9999])
def test_of_a_truncated_file_the_lines_before_the_end_are_kept(
    tmp_path: Path, extension: str, part: float
) -> None:
    whole = COMPRESS[extension](numbered(5000))
    file = file_of(tmp_path / f"a.jsonl{extension}", whole[: int(len(whole) * part)])
    *kept, last = got(file, "jsonl")
    assert [d.text.split()[0] for d in kept if isinstance(d, Document)] == [
        str(i) for i in range(len(kept))
    ]
    assert isinstance(last, Reject)
    assert (last.reason, last.row) == ("truncated_file", None)
    if extension == ".gz":
        assert len(kept) >= 5000 * part * 0.8 - 100


@pytest.mark.parametrize("extension", [".gz", ".zst"])
def test_of_a_corrupt_file_the_lines_before_the_fault_are_kept(
    tmp_path: Path, extension: str
) -> None:
    first, second = (COMPRESS[extension](numbered(n)) for n in (3000, 500))
    data = bytearray(first + second)
    data[len(first) + 20 : len(first) + 60] = b"\xff" * 40
    results = got(file_of(tmp_path / f"a.jsonl{extension}", bytes(data)), "jsonl")
    assert reasons(results)[-1] == "truncated_file"
    assert 2500 <= len(results) - 1 <= 3500


@pytest.mark.parametrize("extension", [".gz", ".zst"])
def test_members_and_padding_are_one_stream(tmp_path: Path, extension: str) -> None:
    compress = COMPRESS[extension]
    data = compress(b'{"text": "a') + compress(b'b"}\n') + b"\0" * 5000 + compress(b'{"text": ""}')
    name = f"a.jsonl{extension}"
    assert got(file_of(tmp_path / name, data), "jsonl") == [doc("ab", name, 0), doc("", name, 1)]


def test_what_is_called_compressed_and_is_not_is_rejected(tmp_path: Path) -> None:
    for extension in (".gz", ".zst"):
        file = file_of(tmp_path / f"a{extension}", b'{"text": "a"}\n')
        assert reasons(got(file, "jsonl")) == ["truncated_file"]


def test_a_line_that_is_too_long_is_dropped_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_DOCUMENT_BYTES", 5000)
    line = b'{"text": "' + b"x" * 3_000_000 + b'"}'
    file = file_of(tmp_path / "a.jsonl.gz", gzip.compress(line + b'\n{"text": "a"}\n' + line))
    first, second, third = got(file, "jsonl")
    excerpt = line[:200].decode()
    assert first == Reject("a.jsonl.gz", 0, "too_large", excerpt, len(line))
    assert second == doc("a", "a.jsonl.gz", 1)
    assert third == Reject("a.jsonl.gz", 2, "too_large", excerpt, len(line))


@pytest.mark.parametrize("format_", ["jsonl", "text", "parquet"])
def test_a_file_that_is_gone_is_one_reject(tmp_path: Path, format_: str) -> None:
    file = SourceFile(str(tmp_path / "none"), "none", 9)
    assert reasons(got(file, format_)) == ["unreadable_file"]


@pytest.mark.parametrize("format_", ["jsonl", "text", "parquet"])
def test_a_remote_fault_that_may_pass_stops_the_reading(
    monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    MemoryFileSystem().pipe("/faults/a", b"x" * 100)

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(MemoryFileSystem, "open", fail)
    with pytest.raises(RunError, match="Run again"):
        got(SourceFile("memory://faults/a", "a", 100), format_)


@pytest.mark.parametrize("extension", COMPRESS)
def test_a_text_file_is_one_document(tmp_path: Path, extension: str) -> None:
    name = f"a.txt{extension}"
    file = file_of(tmp_path / name, COMPRESS[extension]("\ufeffé\r\n\0".encode()))
    assert got(file, "text") == [doc("é\r\n\0", name, 0)]
    file = file_of(tmp_path / name, COMPRESS[extension](b""))
    assert got(file, "text") == [doc("", name, 0)]


def test_a_text_file_that_is_none_is_one_reject(tmp_path: Path) -> None:
    assert got(file_of(tmp_path / "a.txt", b"a\xff"), "text") == [
        Reject("a.txt", None, "invalid_utf8", "a\ufffd", 2)
    ]
    half = gzip.compress(b"abc" * 1000)[:-10]
    assert reasons(got(file_of(tmp_path / "a.gz", half), "text")) == ["truncated_file"]


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> SourceFile:
    pq.write_table(pa.table(columns), path, **options)
    return SourceFile(str(path), path.name, path.stat().st_size)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_parquet_rows_come_back_as_they_were(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["", "é\0", None, "x" * 300, "🍇"] * 200
    columns = {"text": pa.array(texts, kind), "id": list(range(1000))}
    results = got(parquet(tmp_path / "a.parquet", columns, row_group_size=300), "parquet")
    assert [r.row for r in results] == list(range(1000))
    for text, result in zip(texts, results, strict=True):
        if text is None:
            assert isinstance(result, Reject)
            assert result.reason == "missing_text"
        else:
            assert result == doc(text, "a.parquet", result.row or 0, id=str(result.row))


def test_parquet_fields_are_found_in_structs_and_written_as_text(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    columns = {
        "meta": [{"body": {"text": "x"}, "url": "u"}, None],
        "date": pa.array([when, None], pa.timestamp("ns", "UTC")),
        "license": [["MIT"], None],
        "a.id": [1.5, None],
    }
    fields = {"text": "meta.body.text", "url": "meta.url", "id": "a.id"}
    first, second = got(parquet(tmp_path / "a.parquet", columns), "parquet", **fields)
    assert first == doc(
        "x",
        "a.parquet",
        0,
        id="1.5",
        url="u",
        date="2024-01-02 03:04:05.000000000Z",
        license='["MIT"]',
    )
    assert reasons([second]) == ["missing_text"]


def test_parquet_text_that_is_not_utf8_is_a_reject(tmp_path: Path) -> None:
    text = pa.array([b"a", b"b\xff", b"c"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, text.buffers())
    for column in (text, broken):
        results = got(parquet(tmp_path / "a.parquet", {"text": column}), "parquet")
        assert reasons(results) == ["", "invalid_utf8", ""]
        assert results[1] == Reject("a.parquet", 1, "invalid_utf8", "b\ufffd", 2)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"body": ["a", "b"]}, "missing_text"),
        ({"text": [1, 2]}, "text_not_string"),
        ({"text": [["a"], ["b"]]}, "text_not_string"),
    ],
)
def test_parquet_without_a_text_column_is_one_reject(
    tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    (reject,) = got(parquet(tmp_path / "a.parquet", columns), "parquet")
    assert isinstance(reject, Reject)
    assert (reject.row, reject.reason) == (None, reason)
    assert reject.excerpt == f"2 rows of columns {next(iter(columns))}"


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"no parquet at all" * 10, b"PAR1" + b"\0" * 99 + b"PAR1"]
)
def test_what_is_called_parquet_and_is_none_is_one_reject(tmp_path: Path, data: bytes) -> None:
    (reject,) = got(file_of(tmp_path / "a.parquet", data), "parquet")
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.n_bytes) == ("unreadable_parquet", len(data))


def test_a_corrupt_row_group_is_one_reject_and_the_others_are_read(tmp_path: Path) -> None:
    texts = [f"text number {i}" for i in range(30)]
    path = tmp_path / "a.parquet"
    parquet(
        path, {"text": texts}, row_group_size=10, write_page_checksum=True, use_dictionary=False
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    results = got(file_of(path, bytes(data)), "parquet")
    assert [r.text for r in results if isinstance(r, Document)] == texts[:10] + texts[20:]
    assert reasons(results)[10] == "unreadable_parquet"
    assert results[-1].row == 29


def test_an_unknown_format_or_field_names_the_nearest(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a", b"")
    with pytest.raises(SourceError, match="Write parquet"):
        got(file, "parket")
    with pytest.raises(SourceError, match="Write license"):
        got(file, "jsonl", licence="x")
