import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.corpus.catalog import CATALOG, VIEWS, build, connect, query

PROMISED = {
    "documents": "doc_id source text url date license n_bytes edited_text finished_text",
    "signals": "doc_id source language language_score",
    "verdicts": "doc_id source kept step reason",
    "duplicates": "doc_id kept_doc_id kind similarity",
    "clusters": "kept_doc_id kind documents bytes",
    "contamination": "doc_id benchmark split item_id span_start span_end score policy",
    "benchmarks": "benchmark split policy items unmatched letterless",
    "benchmark_overlap": "doc_id n_words n_covered share",
    "benchmark_coverage": "benchmark split item_id n_words n_covered share",
    "tokens": "doc_id source n_tokens",
    "plan": "stage position step slot source epoch ordinal",
    "segments": "stage position offset length doc_id doc_start",
    "repetitions": "source doc_id stage times",
    "stages": "stage seq_len sequences tokens steps after gate built",
    "mixture": "stage source planned_tokens realised_tokens share epochs unique_tokens "
    "max_deviation of cumulative_epochs most_seen",
    "funnel": "step source reason docs bytes",
    "rejects": "doc_id source step reason text",
    "quarantine": "source path row reason excerpt n_bytes",
    "edits": "doc_id source edit reason n_lines lines n_chars",
}
HEX_ID = "regexp_full_match(doc_id, '[0-9a-f]{32}')"


def types(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {view}").fetchall()
    return {row[0]: row[1] for row in rows}


def test_every_view_has_the_promised_columns_and_rows(built: Path) -> None:
    assert set(PROMISED) == set(VIEWS)
    with connect(built) as connection:
        for view, columns in PROMISED.items():
            assert set(columns.split()) <= set(types(connection, view)), view
            assert connection.execute(f"SELECT * FROM {view}").fetchall(), view


@pytest.mark.parametrize("view", [v for v in PROMISED if "doc_id" in PROMISED[v].split()])
def test_an_id_is_lower_case_hex_in_every_view(built: Path, view: str) -> None:
    with connect(built) as connection:
        odd = connection.execute(f"SELECT count(*) FROM {view} WHERE NOT {HEX_ID}").fetchall()
    assert odd == [(0,)]


def test_tables_that_are_not_there_are_empty_views_with_the_same_types(
    built: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with connect(tmp_path) as bare, connect(built) as full:
        for view, columns in PROMISED.items():
            assert bare.execute(f"SELECT * FROM {view}").fetchall() == [], view
            for column in columns.split():
                assert types(bare, view)[column] == types(full, view)[column], (view, column)


def test_a_curated_run_has_decisions_and_no_stages(curated: Path) -> None:
    with connect(curated) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {view}").fetchall()[0][0]
            for view in ("documents", "signals", "rejects", "segments", "stages")
        ]
    assert counts == [10, 10, 5, 0, 0]


def test_signals_unite_measures_and_scores_of_every_source(built: Path) -> None:
    answer = json.loads(query(built, "SELECT * FROM signals ORDER BY source, n_words", "json"))
    books = [row for row in answer if row["source"] == "books"]
    assert len(answer) == 10
    assert all(row["score_quality"] is None and row["n_words"] > 30 for row in books)
    assert all(row["score_quality"] == 0.25 for row in answer if row["source"] == "web")


def test_signals_show_scores_where_nothing_was_measured(curated: Path) -> None:
    shutil.rmtree(curated / "tables" / "signals" / "books")
    answer = json.loads(query(curated, "FROM signals WHERE source = 'books'", "json"))
    assert [(row["n_words"], row["language"]) for row in answer] == [(None, "en")] * 2


def test_kept_and_dropped_are_what_the_step_before_kept(built: Path) -> None:
    with connect(built) as connection:
        rows = connection.execute(
            "SELECT step_order, source, reason IS NULL, docs, bytes FROM funnel"
        ).fetchall()
    kept: Counter[tuple[int, str]] = Counter()
    dropped: Counter[tuple[int, str]] = Counter()
    for order, source, is_kept, docs, n_bytes in rows:
        (kept if is_kept else dropped)[order, source] += docs + 1000 * n_bytes
    for order in range(1, 7):
        for source in ("web", "books"):
            seen = kept[order, source] + dropped[order, source]
            assert seen == kept[order - 1, source], (order, source)


def test_the_funnel_has_a_row_per_step_source_and_reason(built: Path) -> None:
    with connect(built) as connection:
        rows = connection.execute(
            "SELECT step, reason, docs FROM funnel WHERE source = 'web'"
        ).fetchall()
    assert rows == [
        ("ingest", None, 8),
        ("ingest", "no_text", 1),
        ("ingest", "not_json", 1),
        ("text", None, 7),
        ("text", "empty", 1),
        ("language", None, 6),
        ("language", "language_not_kept", 1),
        ("gopher", None, 5),
        ("gopher", "top_2gram", 1),
        ("exact", None, 5),
        ("minhash", None, 4),
        ("minhash", "near_duplicate", 1),
        ("decontaminate", None, 3),
        ("decontaminate", "ngram13", 1),
    ]


def test_a_step_that_the_list_lacks_is_counted_last(curated: Path) -> None:
    (curated / "steps.json").write_text('["ingest", "language", "it\'s"]')
    with connect(curated) as connection:
        steps = connection.execute(
            "SELECT step, sum(docs)::INT FROM funnel WHERE reason IS NULL "
            "GROUP BY step, step_order ORDER BY step_order"
        ).fetchall()
    assert steps[:3] == [("ingest", 10), ("language", 9), ("it's", 9)]
    assert [step for step, _ in steps[3:]] == ["decontaminate", "gopher", "minhash", "text"]
    assert steps[-1][1] == 5


def test_a_source_that_is_all_quarantine_kept_nothing(curated: Path) -> None:
    shutil.rmtree(curated / "tables" / "documents" / "web")
    answer = query(curated, "SELECT docs FROM funnel WHERE source = 'web' AND step = 'ingest'")
    assert [line.strip() for line in answer.splitlines()][2:] == ["0", "1", "1"]


def test_segments_tile_each_sequence_with_its_source(built: Path) -> None:
    with connect(built) as connection:
        odd = connection.execute(
            """WITH s AS (SELECT *, lag("offset" + length, 1, 0) OVER w AS expected FROM segments
                          WINDOW w AS (PARTITION BY stage, "position" ORDER BY "offset"))
               SELECT count(*) FROM s JOIN documents d USING (doc_id)
               WHERE "offset" <> expected OR s.source <> d.source"""
        ).fetchall()
        covered = connection.execute("SELECT sum(length) FROM segments GROUP BY stage").fetchall()
        stored = connection.execute("SELECT sum(n_tokens) FROM tokens").fetchall()
    assert odd == [(0,)]
    assert covered == stored * 2


def test_a_run_that_moved_answers_the_same(curated: Path, tmp_path: Path) -> None:
    question = "SELECT * FROM documents ORDER BY doc_id"
    before = query(curated, question, "csv")
    build(curated)
    moved = tmp_path / "else where" / "it's [2]"
    moved.parent.mkdir()
    curated.rename(moved)
    assert query(moved, question, "csv") == before
    with duckdb.connect(str(moved / CATALOG), read_only=True) as catalog:
        catalog.execute("SET VARIABLE run = ?", [str(moved).replace("[", "[[]")])
        assert len(catalog.execute(question).fetchall()) == 10


def test_the_catalogue_file_has_every_view_and_is_built_again_in_place(curated: Path) -> None:
    for _ in range(2):
        build(curated)
    with duckdb.connect(str(curated / CATALOG), read_only=True) as catalog:
        for view in VIEWS:
            catalog.execute(f"SELECT * FROM {view}").fetchall()
    assert sorted(path.name for path in curated.iterdir()) == [
        CATALOG,
        "recipe.json",
        "steps.json",
        "tables",
    ]


def test_a_connection_sees_parts_that_come_later(curated: Path) -> None:
    parts = curated / "tables" / "documents" / "web"
    held = (parts / "00001.parquet").rename(curated / "held")
    with connect(curated) as connection:
        before = connection.execute("SELECT count(*) FROM documents").fetchall()
        held.rename(parts / "00001.parquet")
        after = connection.execute("SELECT count(*) FROM documents").fetchall()
    assert (before, after) == ([(6,)], [(10,)])


def test_a_table_is_aligned_and_clips_long_texts_on_one_line(built: Path) -> None:
    answer = query(built, "SELECT source, n_bytes, text FROM documents WHERE n_bytes > 150")
    lines = answer.splitlines()
    assert lines[0].split() == ["source", "n_bytes", "text"]
    assert all(line.endswith("…") and len(line) < 90 for line in lines[2:])
    assert "\x1b" not in query(built, "SELECT chr(27) || '[31m' AS red")


def test_csv_holds_whole_texts_and_empty_nulls(built: Path, identify: Callable[[str], str]) -> None:
    verse = "short\nlines\nof verse"
    sql = f"SELECT text, date, true AS yes FROM documents WHERE doc_id = '{identify(verse)}'"
    assert list(csv.reader(io.StringIO(query(built, sql, "csv")))) == [
        ["text", "date", "yes"],
        [verse, "", "true"],
    ]


def test_json_has_the_types_of_sql(built: Path) -> None:
    sql = """SELECT 1::HUGEINT AS a, 1.5 AS a, 'NaN'::FLOAT AS n, 'ab'::BLOB AS b, NULL AS z,
             DATE '2026-01-02' AS d, [1, 2] AS l, {'k': 'é'} AS s, INTERVAL 1 DAY AS i"""
    assert json.loads(query(built, sql, "json")) == [
        {
            "a": 1,
            "a_1": 1.5,
            "n": None,
            "b": "6162",
            "z": None,
            "d": "2026-01-02",
            "l": [1, 2],
            "s": {"k": "é"},
            "i": "1 day, 0:00:00",
        }
    ]
    assert json.loads(query(built, "FROM documents WHERE false", "json")) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM document", r"Table with name document does not exist.*documents, signals"),
        ("SELECT offset FROM segments", "syntax error at or near"),
        ("SELECT sourc FROM documents", '"sourc" not found'),
        ("", "no statement"),
        ("SELECT 1; SELECT 2", "SELECT, SELECT"),
        ("COPY (SELECT 1) TO 'stolen.csv'", "A run is only read"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'", "A run is only read"),
        ("DROP VIEW documents", "A run is only read"),
    ],
)
def test_a_wrong_query_is_refused_in_duckdbs_words(built: Path, sql: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"(?s){said}"):
        query(built, sql)
    assert not Path("stolen.csv").exists()


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunMismatch, match=r"no recipe\.json"):
        query(tmp_path, "SELECT 1")
    with pytest.raises(RunMismatch, match=r"no recipe\.json"):
        build(tmp_path / "absent")


def test_a_list_of_steps_that_is_none_is_refused(curated: Path) -> None:
    (curated / "steps.json").write_text('{"text": 1}')
    with pytest.raises(RunMismatch, match="no list of step names"):
        query(curated, "FROM funnel")
