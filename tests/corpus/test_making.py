"""Documents that are made of records: their texts, spans and reasons, from either format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.corpus.ingest import Made, ingest_part
from cuvee.corpus.paths import resolve
from cuvee.corpus.readers import Making
from cuvee.corpus.schemas import SPANS

SPAN = {"control": False, "loss": True, "media": None, "ref": None, "n_tokens": 0}
RECORDS: list[dict[str, Any]] = [
    {"talk": {"turns": [{"role": "a", "content": "één"}]}, "tools": [{"name": "f"}], "id": "1"},
    {
        "talk": {"turns": [{"role": "b", "content": "two"}, {"role": "c", "content": "3"}]},
        "id": "2",
    },
    {"talk": {"turns": []}, "id": "3"},
    {"talk": {"turns": None}, "id": "4"},
    {"id": "5"},
]


def make(values: Sequence[object]) -> tuple[str, list[dict[str, Any]]] | str:
    """Join contents, and the tools as they come."""
    turns, tools = values
    if not isinstance(turns, list) or not turns:
        return "nothing"
    texts = [turn["content"] for turn in turns]
    texts += [json.dumps(json.loads(tools))] if isinstance(tools, str) else []
    return "".join(texts), [SPAN | {"n_bytes": len(text.encode())} for text in texts]


def write(folder: Path, kind: str) -> None:
    if kind == "jsonl":
        lines = [json.dumps(record) for record in RECORDS]
        (folder / "a.jsonl").write_text("\n".join([*lines, "no json"]))
    else:
        pq.write_table(pa.Table.from_pylist(RECORDS), folder / "a.parquet", row_group_size=2)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_records_become_documents_with_row_aligned_spans(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind)
    files = resolve([f"a.{kind}"], [], tmp_path)
    made = Made(Making(("talk.turns", "tools"), make), tmp_path / "s.parquet")
    out = (tmp_path / "d.parquet", tmp_path / "q.parquet")
    counts = ingest_part("chat", files, kind, {"id": "id"}, *out, made)
    documents, spans = pq.read_table(out[0]), pq.read_table(made.spans)
    assert documents.column("text").to_pylist() == ['één[{"name": "f"}]', "two3"]
    assert spans.schema == SPANS
    assert spans.column("doc_id") == documents.column("doc_id")
    held: list[Any] = spans.column("spans").to_pylist()
    lengths = [[span["n_bytes"] for span in row] for row in held]
    assert lengths == [[5, 15], [3, 1]]
    reasons = pq.read_table(out[1]).column("reason").to_pylist()
    more = ["invalid_json"] if kind == "jsonl" else []
    assert reasons == ["nothing", "missing_text", "missing_text", *more]
    assert counts["seen"] == counts["docs"] + counts["quarantined"] == 5 + len(more)


def test_a_file_without_the_field_is_one_reject(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    made = Made(Making(("talk.turns", "tools"), make), tmp_path / "s.parquet")
    files = resolve(["a.parquet"], [], tmp_path)
    out = (tmp_path / "d.parquet", tmp_path / "q.parquet")
    counts = ingest_part("chat", files, "parquet", {}, *out, made)
    assert counts == {"bytes": 0, "docs": 0, "quarantined": 1, "reason:missing_text": 1, "seen": 1}
    assert pq.read_table(made.spans).num_rows == 0
