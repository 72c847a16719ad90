"""Clusters of copies: sizes and the largest, as a plain count over the rows has them."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from cuvee.corpus.catalog import connect
from cuvee.corpus.clusters import LARGEST, cluster_table, kinds_of, largest_of
from cuvee.corpus.schemas import DOCUMENTS, DUPLICATES, VERDICTS

SIZES = {"exact": [1, 1, 1, 2, 3, 63, 64], "minhash": [4, 7]}  # copies removed, by cluster


def write_run(run: Path) -> None:
    """Write a run with clusters of `SIZES`; a document has 10 bytes of text."""
    (run / "tables").mkdir(parents=True)
    (run / "recipe.json").write_text("{}")
    rows, verdicts, number = [], [], 0
    for kind, sizes in SIZES.items():
        for cluster, size in enumerate(sizes):
            kept = f"{kind} {cluster}".encode().ljust(16)
            for _ in range(size):
                doc_id, number = number.to_bytes(16, "big"), number + 1
                rows.append((doc_id, kept, kind, 1.0 if kind == "exact" else 0.5))
                verdicts.append((doc_id, "web", False, kind, "duplicate", 10))
    kept = b"exact 6".ljust(16)
    text = "a long\n text " * 30
    documents = [(kept, "web", text, None, None, None, len(text), "a.jsonl", 0)]
    for table, schema, found in (
        ("duplicates/all", DUPLICATES, rows),
        ("verdicts/web/00000", VERDICTS, verdicts),
        ("documents/web/00000", DOCUMENTS, documents),
    ):
        path = run / "tables" / f"{table}.parquet"
        columns = [list(column) for column in zip(*found, strict=True)]
        typed = zip(columns, schema.types, strict=True)
        arrays = [pa.array(column, kind) for column, kind in typed]
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(arrays, schema=schema), path)


def test_clusters_are_counted_by_size_and_the_largest_shown_with_their_text(tmp_path: Path) -> None:
    write_run(tmp_path)
    with connect(tmp_path) as connection:
        exact, near = kinds_of(connection)
        largest = largest_of(connection)
    assert exact[:5] == ("exact", 135, 1350, 7, [3, 2, 0, 0, 1, 1])
    assert near[:5] == ("minhash", 11, 110, 2, [0, 0, 2, 0, 0, 0])
    assert (near.least, near.mean) == (0.5, 0.5)
    assert [c.docs for c in largest if c.kind == "exact"] == [64, 63, 3, 2, 1][:LARGEST]
    assert [c.docs for c in largest if c.kind == "minhash"] == [7, 4]
    assert largest[0].excerpt.startswith("a long text a long")
    assert largest[0].excerpt.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert largest[1].excerpt == ""


def test_the_terminal_has_a_line_for_each_kind_and_nothing_where_there_is_no_copy(
    tmp_path: Path,
) -> None:
    write_run(tmp_path)
    table = cluster_table(tmp_path)
    assert table is not None
    shown = io.StringIO()
    Console(width=100, file=shown).print(table)
    assert "exact" in shown.getvalue()
    assert "1.4 kB" in shown.getvalue()
    (tmp_path / "tables" / "duplicates" / "all.parquet").unlink()
    assert cluster_table(tmp_path) is None
