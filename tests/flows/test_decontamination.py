"""Decontamination in a run: methods, policies, what is counted, and what stays of the documents."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cuvee.configs.errors import RecipeError, SourceError
from cuvee.configs.load import parse
from cuvee.configs.recipe import Recipe
from cuvee.corpus import catalog
from cuvee.corpus.paths import resolve
from cuvee.flows import curate_steps as steps
from cuvee.flows.benchmarks import benchmark_items, read_items
from cuvee.flows.decided import Decided
from cuvee.flows.decontamination_parts import Shared
from cuvee.flows.decontamination_steps import decontaminate
from cuvee.flows.edit_steps import edit
from cuvee.flows.engine import Step, Unit
from cuvee.flows.finish_steps import finish
from cuvee.flows.job import open_job, start
from cuvee.flows.retune import Direct
from cuvee.flows.screen import Screen, make_console


class Fresh(Direct):
    """An engine that does every unit each time."""

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        return [f"{step.name} {n}" for n, _ in enumerate(super().run(step, units))]


def words(first: int, last: int) -> str:
    """Words that stand nowhere else, numbered."""
    return " ".join(f"w{n}" for n in range(first, last))


TEST, TRAIN, SHORT = words(0, 30), words(100, 130), "too short to be found"
ITEMS = [
    {"id": "a", "split": "test", "text": TEST, "answer": "green"},
    {"id": "b", "split": "train", "text": TRAIN, "answer": "blue"},
    {"id": "c", "split": "test", "text": SHORT, "answer": 4},
    {"id": "d", "split": "test", "text": "1 2 3 4 5 6 7 8 9 10"},
]
AROUND = words(1000, 1040), words(2000, 2040)
DOCS = {
    "clean": words(500, 600),
    "test": f"{AROUND[0]}\n\nQ: {TEST}\n\n{AROUND[1]}",
    "train": f"{AROUND[0]}\n\nQ: {TRAIN}\n\n{AROUND[1]}",
    "part": f"é {AROUND[0]}\n\n{words(5, 20)} {words(3000, 3100)}",
    "answered": f"{words(700, 750)} {words(101, 129)} It is blue.",
}
NAMES = {text: name for name, text in DOCS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tainted")
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, ITEMS)))
    (folder / "web").mkdir()
    for number, text in enumerate(DOCS.values()):
        (folder / "web" / f"{number}.jsonl").write_text(json.dumps({"text": text}))
    return folder


def recipe(**keys: Any) -> Recipe:
    stage = {"name": "core", "tokens": "1K", "seq_len": 64, "batch": {"sequences": 2}}
    return parse(
        {
            "name": "tainted",
            "part_bytes": 900,
            "sources": {"web": {"format": "jsonl", "paths": ["web/*.jsonl"]}},
            "curate": {"decontaminate": {"benchmarks": ["sums.jsonl"], **keys}},
            "tokenizer": {"train": {"vocab_size": 400}},
            "stages": [stage | {"mixture": {"web": 1}}],
        }
    )


def curate(folder: Path, run: Path, **keys: Any) -> Path:
    """Curate without Prefect."""
    job = open_job(recipe(**keys), run, folder, update=True)
    run.mkdir(parents=True, exist_ok=True)
    start(job)
    engine = Fresh(job, 1, Screen(make_console()))
    documents = edit(engine, steps.ingest(engine))
    signals = steps.measure(engine, documents)
    judged = steps.judge(engine, documents, signals, steps.score(engine, documents), {})
    decided = Decided(judged, {}, decontaminate(engine, documents))
    steps.conclude(engine, documents, decided, finish(engine, documents, decided))
    return run


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def hits(run: Path) -> list[tuple[Any, ...]]:
    """The hits as (document, item, score, policy)."""
    rows = ask(
        run,
        """SELECT text, item_id, round(score, 3), policy,
        substr(text, span_start + 1, span_end - span_start), ngram
        FROM contamination JOIN documents USING (doc_id) ORDER BY ALL""",
    )
    assert all(span.startswith(ngram) for *_, span, ngram in rows)
    return sorted((NAMES[text], *found) for text, *found, _, _ in rows)


def dropped(run: Path) -> set[str]:
    rows = ask(run, "SELECT text FROM verdicts JOIN documents USING (doc_id) WHERE NOT kept")
    return {NAMES[text] for (text,) in rows}


def finished(run: Path) -> dict[str, str]:
    """The texts that changed, by document."""
    rows = ask(run, "SELECT text, finished_text FROM documents WHERE finished_text IS NOT NULL")
    return {NAMES[text]: left for text, left in rows}


ANY = [
    ("answered", "b", 0.889),
    ("part", "a", 0.167),
    ("test", "a", 1.0),
    ("train", "b", 1.0),
]


def test_any_hit_drops_by_default(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run")
    assert hits(run) == [(*hit, "drop") for hit in ANY]
    assert dropped(run) == {"test", "train", "part", "answered"}
    assert finished(run) == {}
    assert ask(run, "SELECT * EXCLUDE (benchmark) FROM benchmarks ORDER BY split") == [
        ("test", "drop", 3, 2, 1),
        ("train", "drop", 1, 0, 0),
    ]


def test_a_split_and_a_low_score_may_only_be_reported(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", splits={"train": "report"}, min_score=0.5)
    policies = ("report", "report", "drop", "report")
    assert hits(run) == [(*hit, policy) for hit, policy in zip(ANY, policies, strict=True)]
    assert dropped(run) == {"test"}


def test_report_drops_nothing(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", policy="report")
    assert {hit[-1] for hit in hits(run)} == {"report"}
    assert dropped(run) == set()


def test_paragraphs_go_and_spans_are_masked_by_split(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", policy="drop_paragraph", splits={"train": "mask"})
    assert dropped(run) == set()
    assert finished(run) == {
        "test": f"{AROUND[0]}\n\n{AROUND[1]}",
        "train": f"{AROUND[0]}\n\nQ:  \n\n{AROUND[1]}",
        "part": f"é {AROUND[0]}",
        "answered": f"{words(700, 750)}   It is blue.",
    }
    again = curate(folder, run, policy="drop")  # in the same directory: nothing is cut any more
    assert dropped(again) == {"test", "train", "part", "answered"}
    assert finished(again) == {}
    assert not (run / "tables" / "contamination_cuts").exists()


def test_an_answer_nearby_raises_the_score(folder: Path, tmp_path: Path) -> None:
    fields = {"question": "text", "answer": "answer"}
    run = curate(folder, tmp_path / "run", fields=fields, min_score=0.9)
    assert hits(run) == [
        ("answered", "b", round(0.75 * 16 / 18 + 0.25, 3), "drop"),
        ("part", "a", 0.125, "report"),
        ("test", "a", 0.75, "report"),
        ("train", "b", 0.75, "report"),
    ]


def test_the_second_gate_is_the_longest_common_subsequence(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", method="lcs")
    assert hits(run) == [
        ("answered", "b", 0.933, "drop"),
        ("part", "a", 0.5, "report"),
        ("test", "a", 1.0, "drop"),
        ("train", "b", 1.0, "drop"),
    ]
    assert dropped(run) == {"test", "train", "answered"}


def test_an_ngram_in_common_usage_is_no_evidence(folder: Path, tmp_path: Path) -> None:
    lengths = {"shortest": 4, "longest": 5}
    run = curate(folder, tmp_path / "all", ngram=lengths)
    assert dropped(run) == {"test", "train", "part", "answered"}
    run = curate(folder, tmp_path / "run", ngram=lengths | {"common": 2})
    # w5 to w19 and w101 to w128 stand in two documents; what is left of the items is at their ends
    assert [(hit[0], hit[1]) for hit in hits(run)] == [("test", "a")] * 2 + [("train", "b")] * 2
    assert dropped(run) == {"test", "train"}
    counted = ask(run, f"SELECT count(*) FROM '{run}/tables/common_ngrams/all.parquet'")
    assert counted == [(12 + 11 + 25 + 24,)]


def test_token8_reports_shares_of_documents_and_items(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", method="token8")
    assert dropped(run) == set()
    rows = ask(
        run,
        """SELECT text, n_words, n_covered, share FROM benchmark_overlap
        JOIN documents USING (doc_id) ORDER BY n_covered, path""",
    )
    assert [(NAMES[row[0]], *row[1:]) for row in rows] == [
        ("clean", 100, 0, 0.0),
        ("part", 156, 15, 15 / 156),
        ("answered", 81, 28, 28 / 81),
        ("test", 111, 30, 30 / 111),
        ("train", 111, 30, 30 / 111),
    ]
    covered = ask(run, "SELECT item_id, n_words, n_covered FROM benchmark_coverage ORDER BY ALL")
    assert covered == [("a", 30, 30), ("b", 30, 30), ("c", 5, 0), ("d", 10, 0)]


def test_items_of_few_words_are_found_when_asked_for(folder: Path, tmp_path: Path) -> None:
    run = curate(folder, tmp_path / "run", min_words=5)
    assert ask(run, "SELECT sum(unmatched) FROM benchmarks") == [(1,)]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"ngram": {"shortest": 9, "longest": 4}}, "shortest 9 is above longest 4"),
        ({"ngram": 0}, "greater than or equal to 1"),
        ({"method": "lcs", "ngram": {"shortest": 4}}, "n-grams of one length"),
        ({"method": "token8", "policy": "mask"}, "only reports"),
        ({"method": "token8", "splits": {"test": "drop_paragraph"}}, "only reports"),
        ({"policy": "keep"}, "drop_paragraph"),
    ],
)
def test_what_a_method_does_not_have_is_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        recipe(**keys)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"splits": {"trian": "report"}}, "'trian', which no item is of. .* have 'test', 'train'"),
        ({"fields": {"answer": "anwser"}}, "'anwser', which no item has"),
        ({"fields": {"text": "text", "question": "text"}}, "text and question"),
        ({"fields": {"txt": "text"}}, "'txt'"),
        ({"fields": {"question": "body"}}, "no text in field 'body'"),
    ],
)
def test_what_benchmarks_do_not_have_is_refused(
    folder: Path, keys: dict[str, Any], why: str
) -> None:
    spec = recipe(**keys).curate.decontaminate
    assert spec is not None
    with pytest.raises(SourceError, match=why):
        benchmark_items(spec, resolve(spec.benchmarks, [], folder))


def test_answers_are_text_or_numbers_or_missing(folder: Path) -> None:
    items = read_items(resolve(["sums.jsonl"], [], folder), {"answer": "answer", "passage": "id"})
    assert [(item.answer, item.passage) for item in items] == [
        ("green", "a"),
        ("blue", "b"),
        ("4", "c"),
        ("", "d"),
    ]


def test_a_shared_value_is_made_once_and_can_be_taken() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    shared = Shared(make)
    assert [shared.get(), shared.get(), shared.take(), shared.get()] == [1, 1, 1, 2]
