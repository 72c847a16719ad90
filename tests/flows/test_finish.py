"""Runs whose recipes cut repeated text and mask personal data: what is left is trained on."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cuvee.corpus import catalog
from cuvee.corpus.lineage import explain_document, explain_position
from cuvee.filters.pii import EXAMPLES
from cuvee.tokenize import tokenizer

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
WORDS = ["river", "stone", "garden", "winter", "letter", "window", "music", "bread", "market"]
PAGES = 40
OFTEN, SELDOM = "Subscribe to our letter, no. {}!", "All rights are reserved."
MENU = "home | news | about"
PHONE, EMAIL = "+44 20 7946 0958", "ada.{}@lovelace.org"


def body(chance: random.Random, sentences: int = 8) -> list[str]:
    return [" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(sentences)]


def pages(chance: random.Random) -> dict[str, list[str]]:
    """Write pages with a line in all of them, one in four, and personal data."""
    web = []
    for n in range(PAGES):
        lines = [MENU, *body(chance), OFTEN.format(n), "", "***"]
        lines += [SELDOM] if n < 4 else []
        topic = " ".join(chance.choices(WORDS, k=6))
        lines += [f"On {topic} write to {EMAIL.format(n)} or call {PHONE}."] if n % 2 else []
        web.append("\n".join(lines))
    web += ["\n".join([MENU, OFTEN.format(7)]), f"{MENU}\nOnly four words stay."]
    notes = ["\n".join(body(chance, 3)) for _ in range(PAGES)]
    first, _, third = notes[4].split("\n")
    notes[5] = "\n".join([first, *body(chance, 2), third, third])
    books, extra = [" ".join(body(chance, 5)) for _ in range(6)], " ".join(body(chance, 3))
    books += [f"{books[1]} The end.\n{books[0]} {extra}", f"{books[2]} The end."]
    return {"web": web, "notes": notes, "books": books}


def write_sources(folder: Path, sources: dict[str, list[str]]) -> None:
    for name, texts in sources.items():
        (folder / name).mkdir(parents=True)
        for shard in range(4):
            lines = [json.dumps({"text": text}) for text in texts[shard * len(texts) // 4 :]]
            lines = lines[: (shard + 1) * len(texts) // 4 - shard * len(texts) // 4]
            (folder / name / f"{shard}.jsonl").write_text("\n".join(lines))


def write_recipe(folder: Path, curate: dict[str, Any]) -> Path:
    """Write a recipe of three sources, one stage and no rules."""
    sources = {
        name: {"format": "jsonl", "paths": [f"{name}/*.jsonl"], "max_epochs": 8}
        for name in ("web", "notes", "books")
    }
    stage = {"name": "core", "tokens": "6K", "seq_len": 256, "batch": {"sequences": 4}}
    recipe = {
        "name": "finished",
        "part_bytes": "10K",
        "sources": sources,
        "curate": curate,
        "tokenizer": {"train": {"vocab_size": 400, "sample_bytes": "50K"}},
        "stages": [stage | {"mixture": {"notes": 0.4, "web": 0.5, "books": 0.1}}],
    }
    path = folder / "finished.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def decoder(run: Path) -> Callable[[Any], str]:
    return tokenizer.load(run / "models" / "tokenizer.json", "<|end_of_text|>", None).decode


def trained_on(run: Path) -> dict[str, str]:
    """Decode the token store: text by document."""
    rows = ask(run, "SELECT lower(hex(doc_id)), tokens FROM raw.tokens")
    decode = decoder(run)
    return {doc_id: decode(np.frombuffer(tokens, "<u2")[:-1]) for doc_id, tokens in rows}


def tables(run: Path) -> dict[str, bytes]:
    """Return the bytes of every table of a run."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for name in ("tables", "tokens")
        for path in sorted((run / name).rglob("*.parquet"))
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_sources(folder, pages(random.Random(5)))
    return folder


CUTS = {
    "dedup": {
        "lines": {"max": 4, "min_left": 5, "sources": ["web"]},
        "paragraphs": {"sources": ["notes"]},
        "ngrams": {"sources": ["books"], "memory": "64Ki"},
    },
    "pii": {"mask": True},
}


@pytest.fixture(scope="module")
def run(cuvee: Cuvee, folder: Path) -> Path:
    done = cuvee("run", write_recipe(folder, CUTS), "--out", folder / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def test_lines_above_the_limit_vanish_and_those_at_it_stay(run: Path) -> None:
    rows = ask(run, "SELECT doc_id, source, text, finished_text FROM documents")
    found = trained_on(run)
    web = {doc_id: text for doc_id, source, text, _ in rows if source == "web"}
    left = "\n".join(found[doc_id] for doc_id in web if doc_id in found)
    assert MENU not in left
    assert "Subscribe" not in left
    assert left.count(SELDOM) == 4
    assert left.count("***") == PAGES
    for doc_id, source, text, finished in rows:
        if doc_id in found:
            assert found[doc_id] == (text if finished is None else finished)
            assert source != "web" or finished is not None


def test_a_paragraph_stays_where_it_stands_first(run: Path) -> None:
    rows = ask(run, "SELECT text, finished_text FROM documents WHERE source = 'notes'")
    changed = {text: finished for text, finished in rows if finished is not None}
    (text,) = changed
    assert changed[text] == "\n".join(text.split("\n")[1:3])
    assert len(rows) == PAGES


def test_paragraphs_and_documents_of_known_ngrams_go(run: Path) -> None:
    rows = ask(
        run,
        "SELECT text, finished_text FROM documents WHERE source = 'books' "
        "AND finished_text IS NOT NULL",
    )
    assert [finished for _, finished in rows] == [text.split("\n")[1] for text, _ in rows]
    assert len(rows) == 1
    edits = ask(run, "SELECT reason, n_lines FROM edits WHERE edit = 'ngrams' ORDER BY reason")
    assert edits == [("known_document", 1), ("known_paragraph", 1)]
    dropped = ask(run, "SELECT step, reason FROM verdicts WHERE NOT kept AND source = 'books'")
    assert dropped == [("ngrams", "emptied")]


def test_a_document_with_too_little_left_is_dropped_and_says_by_whom(run: Path) -> None:
    dropped = ask(
        run, "SELECT step, reason FROM verdicts WHERE source = 'web' AND NOT kept ORDER BY 2"
    )
    assert dropped == [("lines", "emptied"), ("lines", "too_few_words")]
    funnel = ask(
        run,
        "SELECT step, reason, sum(docs)::INT FROM funnel WHERE step IN ('exact', 'lines') "
        "AND source = 'web' GROUP BY ALL ORDER BY ALL",
    )
    assert funnel == [
        ("exact", None, PAGES + 2),
        ("lines", "emptied", 1),
        ("lines", "too_few_words", 1),
        ("lines", None, PAGES),
    ]


def test_no_personal_data_reaches_the_tokens(run: Path) -> None:
    left = "\n".join(trained_on(run).values())
    assert "lovelace" not in left
    assert PHONE not in left
    assert sum(left.count(example) for example in EXAMPLES["email"]) == PAGES / 2
    assert sum(left.count(example) for example in EXAMPLES["phone"]) == PAGES / 2
    original = "\n".join(text for (text,) in ask(run, "SELECT text FROM documents"))
    assert original.count(PHONE) == PAGES / 2


def test_what_went_is_recorded_by_step_and_reason(run: Path) -> None:
    pii = ask(
        run,
        "SELECT reason, n_lines, count(*) FROM edits WHERE edit = 'pii' GROUP BY ALL ORDER BY ALL",
    )
    assert pii == [("email", 1, PAGES / 2), ("phone", 1, PAGES / 2)]
    lines = ask(run, "SELECT lines, n_chars FROM edits WHERE edit = 'lines' ORDER BY n_chars")
    assert len(lines) == PAGES + 2
    assert lines[0] == ([0], len(MENU))
    assert lines[-1] == ([0, 9], len(MENU) + len(OFTEN.format(10)))


def test_every_position_is_traced_to_the_finished_text(run: Path) -> None:
    decode = decoder(run)
    shown = set()
    for position in range(24):
        segments = explain_position(run, "core", position, decode).segments
        assert segments
        assert all(segment.matches for segment in segments)
        shown |= {segment.page.finished_text for segment in segments}
    assert len(shown) > PAGES / 2
    (doc_id,) = ask(run, "SELECT doc_id FROM documents WHERE finished_text IS NOT NULL LIMIT 1")[0]
    page = explain_document(run, doc_id).page
    assert page.trained_text == page.finished_text != page.text


def test_the_number_of_workers_changes_no_byte(
    cuvee: Cuvee, folder: Path, run: Path, tmp_path: Path
) -> None:
    done = cuvee("run", folder / "finished.yaml", "--out", tmp_path / "run", "--workers", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(tmp_path / "run") == tables(run)


def test_an_update_without_cuts_trains_on_the_originals(
    cuvee: Cuvee, folder: Path, run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(run, tmp_path / "run")
    done = cuvee("run", write_recipe(folder, {}), "--out", run, "--update")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (run / "tables").iterdir()}
    assert not names & {"survivors", "finished", "finish_edits", "line_cuts", "ngram_cuts"}
    assert ask(run, "SELECT * FROM edits") == []
    found, texts = trained_on(run), dict(ask(run, "SELECT doc_id, text FROM documents"))
    assert len(found) == len(texts)
    assert found == texts
