"""The shipped recipe for web pages keeps text of every language, however it is written."""

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import zstandard

from cuvee.configs.load import load, shipped
from cuvee.flows import curate_steps as steps
from cuvee.flows.job import Job
from cuvee.flows.retune import Direct
from cuvee.flows.screen import Screen, make_console

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TEXTS = SHARED / "text" / "text-000.jsonl.zst"
LEAST_BYTES = 1000  # a page; less is too short in any language
MOST = 60  # documents of a language


class Page(NamedTuple):
    """A text and its language; its script where it is a translation of one text into many."""

    language: str
    script: str
    text: str


def script(text: str) -> str:
    names = (unicodedata.name(letter, "") for letter in text[:1000] if letter.isalpha())
    return Counter(name.split()[0] for name in names if name).most_common(1)[0][0]


def pages() -> Iterator[Page]:
    """Yield up to MOST pages of every language, and the Declaration of Human Rights in all."""
    counts, joined = Counter[str](), defaultdict[tuple[str, str], list[str]](list)
    with zstandard.open(TEXTS, "rt", encoding="utf-8") as lines:
        for one in map(json.loads, lines):
            if one["source"] == "udhr-articles":
                joined[one["lang"], one["path"].partition("#")[0]].append(one["text"])
            elif one["lang_sure"] and len(one["text"].encode()) >= LEAST_BYTES:
                counts[one["lang"]] += 1
                if counts[one["lang"]] <= MOST:
                    yield Page(one["lang"], "", one["text"])
    for (language, _), texts in joined.items():
        yield Page(language, script(texts[0]), "\n\n".join(texts))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Judge all pages by the recipe: label, script, kept, reason and the language identified."""
    if not TEXTS.exists():
        pytest.skip("the texts in many languages are not there")
    folder, found = tmp_path_factory.mktemp("web"), list(pages())
    lines = (json.dumps({"text": page.text}) for page in found)
    (folder / "pages.jsonl").write_text("\n".join(lines))
    recipe = load(shipped()["web"], [f"sources.web.paths=[{folder}/pages.jsonl]"])
    (folder / "run").mkdir()
    engine = Direct(Job(recipe, folder / "run", folder), 1, Screen(make_console()))
    documents = steps.ingest(engine)
    signals, scores = steps.measure(engine, documents), steps.score(engine, documents)
    steps.judge(engine, documents, signals, scores, {})
    tables = [
        pl.read_parquet(folder / "run" / "tables" / name / "web" / "00000.parquet", columns=columns)
        for name, columns in (("judged", ["kept", "reason"]), ("scores", ["language"]))
    ]
    labels = pl.DataFrame(
        {"label": [page.language for page in found], "script": [page.script for page in found]}
    )
    return pl.concat([labels, *tables], how="horizontal")


def shares(judged: pl.DataFrame, by: str, least: int) -> dict[str, float]:
    """Return the share kept of every language or script with so many documents."""
    counted = judged.group_by(by).agg(pl.len(), pl.col("kept").mean())
    rows = counted.filter(pl.col("len") >= least).iter_rows(named=True)
    return {row[by]: row["kept"] for row in rows}


def test_no_language_is_near_zero(judged: pl.DataFrame) -> None:
    found = shares(judged.filter(pl.col("script") == ""), "label", 25)
    assert {"en", "de", "ru", "ja"} <= found.keys()
    assert {language: share for language, share in found.items() if share < 0.3} == {}


def test_no_script_that_the_model_knows_is_near_zero(judged: pl.DataFrame) -> None:
    known = (pl.col("script") != "") & (pl.col("language") == pl.col("label"))
    found = shares(judged.filter(known), "script", 1)
    # Its one text has a mark between words and no space, as was done once: 17 words.
    assert found.pop("ETHIOPIC") == 0
    assert len(found) > 20
    assert {"THAI", "TIBETAN", "MYANMAR", "HANGUL", "CJK", "DEVANAGARI"} <= found.keys()
    assert {name: share for name, share in found.items() if share < 0.5} == {}
