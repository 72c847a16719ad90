"""Copies over whole tables: which one stays under each policy, and that none goes unproven."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.configs.deduplication import BestScore, MinHash
from cuvee.corpus.schemas import DOCUMENTS, JUDGED
from cuvee.corpus.whole import write_part
from cuvee.filters.minhash import MinHashParams
from cuvee.flows.curate_parts import sign_part
from cuvee.flows.deduplication import Survivors, exact_duplicates, near_duplicates

SOURCES = ("web", "books")
Rows = list[tuple[str, str | None, float, bool]]  # text, date, score, kept by the rules


def words(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghij", k=6)) for _ in range(count)]


def write_tables(run: Path, texts: dict[str, Rows], bands: int = 14) -> Path:
    """Write documents, judged, scores and signatures of (text, date, score, kept) by source."""
    tables, number = run / "tables", 0
    for source, rows in texts.items():
        ids = [(number + n).to_bytes(16, "big") for n in range(len(rows))]
        number += len(rows)
        columns: dict[str, list[Any]] = {
            "doc_id": ids,
            "source": [source] * len(rows),
            "text": [text for text, *_ in rows],
            "date": [date for _, date, *_ in rows],
            "n_bytes": [len(text) for text, *_ in rows],
        }
        nothing = {name: [None] * len(rows) for name in DOCUMENTS.names if name not in columns}
        documents = pa.table(columns | nothing, DOCUMENTS)
        judged = pa.table(
            {
                "doc_id": ids,
                "kept": [kept for *_, kept in rows],
                "step": [None] * len(rows),
                "reason": [None] * len(rows),
            },
            JUDGED,
        )
        scores = pa.table({"doc_id": documents["doc_id"], "score_q": [s for _, _, s, _ in rows]})
        for name, table in (("documents", documents), ("judged", judged), ("scores", scores)):
            path = tables / name / source / "00000.parquet"
            write_part(path, table.schema, table.to_batches())
        target = tables / "signatures" / source / "00000.parquet"
        target.parent.mkdir(parents=True)
        sign_part(
            tables / "documents" / source / "00000.parquet", target, MinHashParams(bands=bands)
        )
    return tables


def removed(path: Path) -> dict[int, int]:
    rows = pq.read_table(path).to_pylist()
    return {
        int.from_bytes(row["doc_id"], "big"): int.from_bytes(row["kept_doc_id"], "big")
        for row in rows
    }


BASE = words(1, 200)
COPIES: dict[str, Rows] = {
    "web": [
        (" ".join(BASE), "2024-01-01", 0.1, True),  # 0
        (" ".join([*BASE, "and", "a", "tail"]), None, 0.9, True),  # 1: the longest, the best
        (" ".join(words(2, 200)), "2024-05-05", 0.5, True),  # 2: like none
    ],
    "books": [
        (" ".join([*BASE, "end"]), "2025-01-01", 0.5, True),  # 3: the newest
        (
            " ".join([*BASE, "better", "but", "dropped", "by", "a", "rule"]),
            "2026-01-01",
            1.0,
            False,
        ),
    ],
}


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("longest", 1), ("newest", 3), ("first", 0), (BestScore(best="score_q"), 1)],
)
def test_the_policy_says_which_copy_stays(tmp_path: Path, keep: str | BestScore, kept: int) -> None:
    survivors = Survivors(write_tables(tmp_path, COPIES), SOURCES, keep)
    target = tmp_path / "minhash.parquet"
    near_duplicates(survivors, None, MinHash(), target)
    assert removed(target) == {copy: kept for copy in (0, 1, 3) if copy != kept}


def test_of_a_chain_the_unlike_ends_both_stay(tmp_path: Path) -> None:
    texts = [" ".join(BASE[shift : shift + 180]) for shift in (0, 10, 20)]
    rows: Rows = [(text, None, 0.0, True) for text in texts]
    tables = write_tables(tmp_path, {"web": rows, "books": []}, bands=100)
    target = tmp_path / "minhash.parquet"
    near_duplicates(Survivors(tables, SOURCES, "first"), None, MinHash(bands=100), target)
    assert removed(target) == {1: 0}
    (similarity,) = pq.read_table(target)["similarity"].to_pylist()
    assert similarity == pytest.approx(166 / 186)  # shingles of 170 + 4 shared words, by hand


def test_equal_texts_but_for_white_space_are_exact_copies(tmp_path: Path) -> None:
    rows: Rows = [
        (text, None, 0.0, True) for text in ("one two", "one  two\n", "one three", "", "")
    ]
    survivors = Survivors(write_tables(tmp_path, {"web": rows, "books": []}), SOURCES, "first")
    target = tmp_path / "exact.parquet"
    exact_duplicates(survivors, target)
    assert removed(target) == {1: 0, 4: 3}


def test_a_document_that_a_rule_dropped_removes_none(tmp_path: Path) -> None:
    rows: Rows = [(" ".join(BASE), None, 0.0, kept) for kept in (False, True)]
    survivors = Survivors(write_tables(tmp_path, {"web": rows, "books": []}), SOURCES, "first")
    exact, near = tmp_path / "exact.parquet", tmp_path / "near.parquet"
    exact_duplicates(survivors, exact)
    near_duplicates(survivors, None, MinHash(), near)
    assert removed(exact) == removed(near) == {}
