"""The work of single parts: documents of records, and what a teacher says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.configs.errors import MixInfeasible, RunError, SourceError
from cuvee.corpus.schemas import RECORD_TOKENS, SPANS, TAUGHT, TOKENS
from cuvee.flows.record_parts import SpannedPart, tokenise_records
from cuvee.flows.record_shards import RecordBuffers, scatter_records
from cuvee.flows.teacher_parts import Teaching, teach_part
from cuvee.flows.tokenise_parts import Kept
from cuvee.handoff.shards import Columns
from cuvee.tokenize.pack import Segments
from cuvee.tokenize.store import Part
from cuvee.tokenize.tokenizer import load
from cuvee.tokenize.train import train

LENGTHS, K = [3, 1, 4], 2
IDS = [bytes([n]) * 16 for n in range(len(LENGTHS))]


def write_store(folder: Path) -> Path:
    path = folder / "tokens" / "code" / "00000.parquet"
    path.parent.mkdir(parents=True)
    blobs = [bytes(2 * n) for n in LENGTHS]
    rows = {"doc_id": IDS, "tokens": blobs, "n_tokens": LENGTHS}
    pq.write_table(pa.table(rows, schema=TOKENS), path)
    return path


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    n = LENGTHS[number]
    row = {"doc_id": IDS[number], "ids": rng.integers(0, 9, n * K).tolist()}
    return row | {"probs": (rng.random(n * K) / K).tolist()} | changes


def write_teacher(folder: Path, rows: list[dict[str, Any]]) -> Teaching:
    pq.write_table(pa.Table.from_pylist(rows), folder / "teacher.parquet", row_group_size=1)
    return Teaching((folder / "teacher.parquet",), K, 2)


def test_what_a_teacher_says_is_laid_beside_the_tokens_in_their_order(tmp_path: Path) -> None:
    store, teaching = write_store(tmp_path), write_teacher(tmp_path, [row_of(2), row_of(0)])
    target = tmp_path / "taught.parquet"
    assert teach_part(store, teaching, target) == {"docs": 3, "untaught": 1}
    held = pq.read_table(target, schema=TAUGHT).to_pylist()
    assert [row["doc_id"] for row in held] == IDS
    assert held[1]["ids"] is None
    assert held[1]["probs"] is None
    for number in (0, 2):
        due = row_of(number)
        assert np.frombuffer(held[number]["ids"], "<u2").tolist() == due["ids"]
        probs = np.frombuffer(held[number]["probs"], "<f2")
        assert np.allclose(probs, due["probs"], atol=1e-3)


def test_a_teachers_lists_may_be_one_a_token_and_its_ids_hex(tmp_path: Path) -> None:
    due = row_of(0)
    nested = {name: [due[name][n : n + K] for n in range(0, 6, K)] for name in ("ids", "probs")}
    rows = [{"doc_id": IDS[0].hex(), **nested}, {"doc_id": "no hex", **nested}]
    teaching = write_teacher(tmp_path, rows)
    teach_part(write_store(tmp_path), teaching, tmp_path / "taught.parquet")
    held = pq.read_table(tmp_path / "taught.parquet").to_pylist()
    assert np.frombuffer(held[0]["ids"], "<u2").tolist() == due["ids"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": [1] * 5},
        {"probs": [0.1] * 8},
        {"ids": [70_000] * 6},
        {"ids": [-1] * 6},
        {"probs": [0.9] * 6},
        {"probs": [-0.1] * 6},
        {"probs": [float("nan")] * 6},
    ],
)
def test_what_does_not_fit_a_document_is_refused_with_its_name(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    teaching = write_teacher(tmp_path, [row_of(2), row_of(0, **changes)])
    with pytest.raises(SourceError, match=rf"fit 1 of its documents: document {'00' * 16} "):
        teach_part(write_store(tmp_path), teaching, tmp_path / "taught.parquet")
    assert not (tmp_path / "taught.parquet").exists()


def test_a_teacher_without_its_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"doc_id": IDS, "ids": [[1]] * 3}), tmp_path / "teacher.parquet")
    teaching = Teaching((tmp_path / "teacher.parquet",), K, 2)
    with pytest.raises(SourceError, match="no column 'probs'"):
        teach_part(write_store(tmp_path), teaching, tmp_path / "taught.parquet")


def test_a_record_whose_text_was_changed_is_refused(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    for name in ("documents", "verdicts", "finished", "spans"):
        (tables / name / "chat").mkdir(parents=True)
    part = Path("chat") / "00000.parquet"
    pq.write_table(pa.table({"doc_id": IDS, "text": ["a", "b", "c"]}), tables / "documents" / part)
    keeps = pa.table({"doc_id": IDS, "kept": [False, True, True]})
    pq.write_table(keeps, tables / "verdicts" / part)
    plain = [{"n_bytes": 1, "control": False, "loss": True}]
    spans = pa.Table.from_pylist([{"doc_id": i, "spans": plain} for i in IDS], SPANS)
    pq.write_table(spans, tables / "spans" / part)
    (tmp_path / "tokenizer.json").write_text(train(["a b c"], 300, "<|eos|>"))
    tokenizer = load(tmp_path / "tokenizer.json", "<|eos|>")
    kept = Kept(tables / "documents" / part, tables / "verdicts" / part)
    spanned, target = SpannedPart(kept, tables / "spans" / part, 0), tmp_path / "tokens.parquet"

    def finish(texts: list[str | None]) -> None:
        path = tables / "finished" / part
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)

    finish(["other", None, None])  # of a document that is dropped
    counts = tokenise_records(spanned, target, tokenizer)
    assert counts == {"docs": 2, "tokens": 4, "loss_tokens": 4, "media": 0}
    assert pq.read_schema(target) == RECORD_TOKENS
    finish([None, None, "c"[:0]])
    with pytest.raises(RunError, match=IDS[2].hex()):
        tokenise_records(spanned, target, tokenizer)


@pytest.mark.parametrize(("start", "length", "cut"), [(2, 3, True), (0, 4, False), (4, 2, False)])
def test_a_medium_that_a_sequence_would_cut_is_refused(
    tmp_path: Path, start: int, length: int, cut: bool
) -> None:
    medium = {"start": start, "length": length, "kind": "image", "ref": "a"}
    blob = bytes(16)
    rows = [{"doc_id": IDS[0], "tokens": blob, "n_tokens": 8, "media": [medium]}]
    table = pa.Table.from_pylist(rows, RECORD_TOKENS)
    halves = np.array([0, 4])
    segments = Segments(
        np.array([0, 1]),
        np.zeros(2, np.int32),
        np.full(2, 4, np.int32),
        np.zeros(2, np.int64),
        halves,
        np.zeros(2, np.int32),
    )
    buffers = RecordBuffers(tmp_path, (2, 4), "uint16", Columns(True, 0, True))
    (tmp_path / "loss.bin").write_bytes(b"\x01" * 8)
    part = Part(np.zeros(8, np.uint16), np.array([0, 8]), 0)
    if cut:
        with pytest.raises(MixInfeasible, match="image of 3 tokens at token 2 of document 0000"):
            list(scatter_records(table, part, (segments, np.array([0, 1])), buffers))
    else:
        (placed,) = scatter_records(table, part, (segments, np.array([0, 1])), buffers)
        assert placed.to_pylist() == [
            {"position": start // 4, "offset": 0, "length": length, "kind": "image", "ref": "a"}
        ]
        bears = np.asarray(buffers.targets()).ravel()
        assert [n + 1 for n in np.flatnonzero(~bears)] == [
            n for n in range(start, start + length) if n
        ]
