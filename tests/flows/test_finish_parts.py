"""One part with cuts of several steps: what is left of each document, and who drops it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.corpus.schemas import CUTS, DOCUMENTS, VERDICTS
from cuvee.corpus.whole import write_part
from cuvee.flows.curate_parts import conclude_part
from cuvee.flows.finish_parts import Cutter, finish_part
from cuvee.flows.partfiles import finished_groups

TEXTS = [
    "one two three\nfour five\nsix",  # 0: cut by two steps
    "one two\nthree four",  # 1: emptied by the second step only
    "one two three\nfour",  # 2: too little is left by the first
    "untouched",  # 3
    "one two",  # 4: dropped before
    "Say answer forty-two now",  # 5: masked
    "mail\nada@lovelace.org\nor not",  # 6: personal data
]
KEPT = [True, True, True, True, False, True, True]
ROWS: dict[str, list[tuple[int, int, int, str | None]]] = {
    "decontaminate": [(0, 0, 3, "[gone]"), (4, 0, 7, None), (5, 4, 20, "[item]")],
    "lines": [(0, 0, 14, None), (1, 0, 8, None), (2, 0, 14, None)],
    "ngrams": [(0, 14, 24, None), (1, 8, 18, None), (2, 13, 18, None)],
}


def write(path: Path, schema: pa.Schema, columns: dict[str, Any]) -> Path:
    rows = len(next(iter(columns.values())))
    values = {name: columns.get(name, [None] * rows) for name in schema.names}
    write_part(path, schema, pa.table(values, schema).to_batches())
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a part, its cuts, and what finishing makes of them."""
    folder = tmp_path_factory.mktemp("part") / "tables"
    name = "web/00000.parquet"
    ids = [n.to_bytes(16, "big") for n in range(len(TEXTS))]
    documents = write(
        folder / "documents" / name,
        DOCUMENTS,
        {"doc_id": ids, "text": TEXTS, "source": ["web"] * len(TEXTS), "n_bytes": [9] * len(TEXTS)},
    )
    steps = [None if kept else "exact" for kept in KEPT]
    verdicts = write(
        folder / "survivors" / name,
        VERDICTS,
        {"doc_id": ids, "kept": KEPT, "step": steps, "reason": steps},
    )
    cutters = []
    for step, rows in ROWS.items():
        row, start, end, put = zip(*rows, strict=True)
        columns: dict[str, Any] = {"row": row, "start": start, "end": end, "replacement": put}
        columns |= {"step": [step] * len(rows), "reason": ["x"] * len(rows)}
        least = 2 if step == "lines" else 0
        cutters.append(Cutter(step, write(folder / step / name, CUTS, columns), least))
    outputs = (folder / "finished" / name, folder / "finish_edits" / name)
    counts = finish_part(documents, verdicts, cutters, ("email",), outputs)
    assert counts == {"docs": 6, "finished": 3, "dropped": 2}
    conclude_part(verdicts, documents, [], folder / "verdicts" / name, outputs[0])
    return folder


def test_all_cuts_are_made_and_each_drop_is_the_first_step_that_leaves_too_little(
    tables: Path,
) -> None:
    finished = pq.read_table(tables / "finished" / "web" / "00000.parquet").to_pylist()
    assert [(row["text"], row["step"], row["reason"]) for row in finished] == [
        ("six", None, None),
        (None, "ngrams", "emptied"),
        (None, "lines", "too_few_words"),
        (None, None, None),
        (None, None, None),
        ("Say [item] now", None, None),
        ("mail\nfirstname.lastname@example.org\nor not", None, None),
    ]


def test_verdicts_name_what_dropped_first(tables: Path) -> None:
    rows = pq.read_table(tables / "verdicts" / "web" / "00000.parquet").to_pylist()
    assert [(row["kept"], row["step"], row["reason"]) for row in rows] == [
        (True, None, None),
        (False, "ngrams", "emptied"),
        (False, "lines", "too_few_words"),
        (True, None, None),
        (False, "exact", "exact"),
        (True, None, None),
        (True, None, None),
    ]


def test_what_builds_reads_the_finished_texts(tables: Path) -> None:
    (table,) = finished_groups(tables / "documents" / "web" / "00000.parquet", ["text"])
    expected = [*TEXTS]
    expected[0], expected[5] = "six", "Say [item] now"
    expected[6] = "mail\nfirstname.lastname@example.org\nor not"
    assert table["text"].to_pylist() == expected


def test_every_step_records_its_own_cuts_of_what_was_kept(tables: Path) -> None:
    rows = pq.read_table(tables / "finish_edits" / "web" / "00000.parquet").to_pylist()
    found = {
        (int.from_bytes(row["doc_id"], "big"), row["edit"], row["reason"]): (
            row["lines"],
            row["n_chars"],
        )
        for row in rows
    }
    assert found == {
        (0, "decontaminate", "x"): ([0], 3),
        (0, "lines", "x"): ([0], 13),
        (0, "ngrams", "x"): ([1], 9),
        (1, "lines", "x"): ([0], 7),
        (1, "ngrams", "x"): ([1], 10),
        (2, "lines", "x"): ([0], 13),
        (2, "ngrams", "x"): ([1], 4),
        (5, "decontaminate", "x"): ([0], 16),
        (6, "pii", "email"): ([1], 16),
    }
