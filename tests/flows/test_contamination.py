"""`cuvee contamination eval`, on items and hosts made up here and on real benchmarks and text."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cuvee.configs.decontamination import Decontaminate, NgramRange
from cuvee.configs.errors import RequestError
from cuvee.corpus.paths import resolve
from cuvee.filters.contamination import Item
from cuvee.filters.planting import KINDS, VERBATIM
from cuvee.flows import contamination_commands
from cuvee.flows.benchmarks import read_items
from cuvee.flows.contamination_evaluation import (
    HOST_CHARS,
    HOSTS,
    chosen_items,
    clean_run,
    never_found,
    recall_of,
    search_for,
    upper_rate,
)
from cuvee.flows.decontamination_parts import Search

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
BENCHMARKS = SHARED / "benchmarks"

TEXT = (
    '{0} has {1} apples, and - "so it\'s said" - gives 3 of them to Ann; '
    "who then has how many of all the fruit of this one very old {0} tree?"
)
LONG = [
    Item("sums", "test", f"long-{n}", TEXT.format(name, n + 20))
    for n, name in enumerate(("Tom", "Bea", "Cal", "Dee", "Eva"))
]
MIDDLE = Item("sums", "test", "middle", "Which of these nine words is the longest one?")
SHORT = Item("short", "test", "short", "Why is it so?")
NUMBERS = Item("short", "test", "numbers", "1 2 3 4 5 6 7 8 9 10 11 12 13 14")
ITEMS = [*LONG, MIDDLE, SHORT, NUMBERS]


def search(items: list[Item] = ITEMS, **keys: Any) -> Search:
    """Prepare the search of a recipe with these keys."""
    return search_for(Decontaminate(benchmarks=["-"], **keys), items, lambda: PAGES)


def page(seed: int, words: int = 80) -> str:
    chance = random.Random(seed)
    lines = [" ".join(chance.choices(("cat", "dog", "sun", "sea", "hill", "tree"), k=8))] * (
        words // 8
    )
    return f"{seed}\n" + "\n".join(lines)


PAGES = [page(n) for n in range(300)]


def test_what_stays_word_for_word_is_found_and_what_does_not_is_not() -> None:
    index = search()
    recall = recall_of(ITEMS, range(len(ITEMS)), PAGES[:7], index)
    for kind in (kind for kind in KINDS if kind.family in (VERBATIM, "case", "spacing")):
        assert recall.of(kind=kind.name, length=2, benchmark="sums") == (5, 5), kind.name
        assert recall.of(kind=kind.name, length=1) == (1, 1), kind.name
    assert recall.of(kind="curly quotes") == (5, 5)
    assert recall.of(kind="full-width marks", benchmark="sums") == (6, 6)
    assert recall.of(kind="1 word in 10 another")[0] == 0
    assert recall.of(kind="other numbers", benchmark="sums") == (5, 5)  # 13 words without a number
    assert recall.of(benchmark="short")[0] == 0
    found, planted = recall.verbatim
    assert (found, planted) == (4 * 6, 4 * 7)
    assert recall.missed == {7: 4}


def test_each_method_is_measured_as_the_flow_finds_and_whatever_its_policy_is() -> None:
    def verbatim(found: Search) -> list[tuple[int, int]]:
        recall = recall_of(ITEMS, [0, 5], PAGES[:3], found)
        return [recall.of(kind="prefix", length=length) for length in (2, 1)]

    assert verbatim(search(policy="report", splits={"test": "report"})) == [(1, 1), (1, 1)]
    assert verbatim(search(method="token8")) == [(1, 1), (1, 1)]
    assert verbatim(search(method="lcs")) == [(1, 1), (0, 1)]  # 13 words at least
    lengths = NgramRange(shortest=4, longest=13, common=2)
    assert verbatim(search(ngram=lengths)) == [(1, 1), (1, 1)]
    spec = Decontaminate(benchmarks=["-"], ngram=lengths)
    assert verbatim(search_for(spec, ITEMS, lambda: [LONG[0].text] * 2)) == [(0, 1), (1, 1)]


def test_an_item_is_planted_with_its_passage_and_answer() -> None:
    item = Item("b", "", "1", MIDDLE.text, "elephants and nothing else", LONG[0].text)
    found = search([item], min_score=0.99)
    assert recall_of([item], [0], PAGES[:2], found).of(family=VERBATIM) == (4, 4)
    assert clean_run([f"{page(1)}\n{item.text}"], [item], found).flagged == 0


def test_a_hit_elsewhere_or_of_another_item_is_not_recall() -> None:
    index = search()
    hosts = [f"{LONG[0].text} {page(1)}"]
    recall = recall_of(ITEMS, [6, 7], hosts, index)
    assert recall.of(family=VERBATIM) == (0, 8)
    swapped = search([MIDDLE, *LONG])
    assert recall_of(ITEMS, [5], PAGES[:1], swapped).of(family=VERBATIM) == (0, 4)


def test_a_clean_run_tells_whole_items_from_pieces_and_chooses_hosts_by_content() -> None:
    piece = LONG[1].text.split(" to Ann")[0]
    texts = [*PAGES, f"{page(1)}\n{LONG[0].text.upper()}", f"{page(2)}\n{piece}", "few words"]
    texts.append(page(3, words=2 * HOST_CHARS))
    index = search(ngram=8)
    clean = clean_run(texts, ITEMS, index)
    assert (clean.documents, clean.flagged, clean.whole, clean.false_alarms) == (304, 2, 1, 1)
    alarms = {ITEMS[n].item_id: alarm for n, alarm in clean.alarms.items()}
    assert (alarms["long-0"].documents, alarms["long-0"].whole) == (2, 1)  # one shares 8 words
    assert alarms["long-0"].best[0] == 1.0
    assert (alarms["long-1"].documents, alarms["long-1"].whole) == (2, 0)
    assert alarms["long-1"].best[1].startswith("APPLES, AND")  # it holds more of the words
    assert len(clean.hosts) == HOSTS
    assert not [host for host in clean.hosts if "apples" in host or host == "few words"]
    assert max(len(host) for host in clean.hosts) <= HOST_CHARS
    chance = random.Random(0)
    assert clean_run(chance.sample(texts, len(texts)), ITEMS, index) == clean


def test_a_document_twice_is_one_host() -> None:
    assert clean_run([PAGES[0]] * 9, ITEMS, search()).hosts == PAGES[:1]


def test_items_are_chosen_by_content_and_as_many_of_each_benchmark() -> None:
    chosen = chosen_items(ITEMS, 2)
    assert [ITEMS[n].benchmark for n in chosen] == ["sums", "sums", "short", "short"]
    turned = ITEMS[::-1]
    assert {turned[n] for n in chosen_items(turned, 2)} == {ITEMS[n] for n in chosen}


def test_items_that_can_never_be_found_are_counted_by_cause() -> None:
    counts = never_found(ITEMS, search())
    assert counts == {"sums": {"items": 6}, "short": {"items": 2, "short": 1, "no letter": 1}}


def test_the_upper_rate_is_wilsons_bound() -> None:
    assert upper_rate(10, 100) == pytest.approx(0.1744, abs=1e-4)
    assert upper_rate(100, 100) == pytest.approx(1.0)


def cuvee(folder: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cuvee.flows", "contamination", "eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=os.environ,
        check=False,
    )


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Return a recipe over pages and items of this file."""
    (tmp_path / "web.jsonl").write_text("\n".join(json.dumps({"text": p}) for p in PAGES[:60]))
    lines = [json.dumps(item._asdict() | {"id": item.item_id}) for item in ITEMS]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    stage = {"name": "core", "tokens": "1K", "seq_len": 8, "batch": {"sequences": 1}}
    value = {
        "name": "small",
        "sources": {"web": {"format": "jsonl", "paths": ["web.jsonl"]}},
        "curate": {"decontaminate": {"benchmarks": ["items.jsonl"]}},
        "tokenizer": {"train": {}},
        "stages": [stage | {"mixture": {"web": 1}}],
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def test_the_command_prints_the_same_tables_every_time(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = cuvee(recipe.parent, "recipe.yaml")
    assert done.returncode == 0, done.stderr
    for words in ("1 word in 10 another", "13 or more", "no letter", "clean documents: 60"):
        assert words in done.stdout
    assert "verbatim items of 8 words or more: 85.7% found (24 of 28 planted)" in done.stdout
    assert "short: numbers" in done.stdout
    contamination_commands.evaluate(recipe, 200, 10_000, [])
    assert capsys.readouterr().out == done.stdout
    contamination_commands.evaluate(recipe, 1, 40, [])
    fewer = capsys.readouterr().out
    assert "clean documents: 40" in fewer
    assert "(4 of 8 planted)" in fewer


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("curate.decontaminate=null", "names no benchmarks"),
        ("curate.decontaminate.benchmarks=[none.jsonl]", r"none\.jsonl"),
        ("sources.web.fields={text: body}", "can be a host"),
    ],
)
def test_what_cannot_be_measured_is_refused(recipe: Path, override: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        contamination_commands.evaluate(recipe, 1, 1, [override])


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are not there")
def test_ninety_nine_of_a_hundred_real_items_are_found_where_they_stand_verbatim() -> None:
    items = read_items(resolve([f"{BENCHMARKS}/*.jsonl.gz"], [], Path()), {})
    index = search(items)
    recall = recall_of(items, chosen_items(items, 25), PAGES[:20], index)
    found, planted = recall.verbatim
    assert planted > 1200
    assert found >= 0.99 * planted
    assert not [n for n in recall.missed if index.index.n_ngrams[n]]
