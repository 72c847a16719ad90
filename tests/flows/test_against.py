"""A crawl that is deduplicated against an index: what earlier runs kept does not come again."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cuvee.configs.errors import RunMismatch
from cuvee.corpus import catalog
from cuvee.corpus.dedup_index import read_entries
from cuvee.flows.curate import curate
from cuvee.flows.engine import Engine, Step, Unit, perform
from cuvee.flows.index_commands import add

WORDS = [a + b + c for a in "bdfg" for b in "aeiou" for c in ("l", "m", "nt", "rk")]


def page(chance: random.Random) -> str:
    return "\n".join(" ".join(chance.choices(WORDS, k=12)) + "." for _ in range(12))


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do every unit where it is asked for, in this process."""

    def submit(engine: Engine, step: Step, unit: Unit, print_: str) -> Any:
        counts = perform.fn(engine, step, unit, print_)
        return SimpleNamespace(result=lambda: counts)

    monkeypatch.setattr(Engine, "_submit", submit)
    monkeypatch.setattr(Engine, "call", lambda _, __, unit: unit.work(*unit.arguments))


def crawl(folder: Path, name: str, texts: Sequence[tuple[str, str | None]]) -> None:
    """Write a crawl and a recipe that deduplicates it against the index beside it."""
    lines = [json.dumps({"text": text, "url": url}) for text, url in texts]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    write_recipe(folder, name, [name], {"url": True, "minhash": {}, "against": "index"})


def write_recipe(folder: Path, name: str, sources: list[str], dedup: dict[str, Any]) -> None:
    stage = {"name": "core", "tokens": "1K", "seq_len": 128, "batch": {"sequences": 1}}
    recipe = {
        "name": name,
        "part_bytes": "20K",
        "sources": {s: {"format": "jsonl", "paths": [f"{s}.jsonl"]} for s in sources},
        "curate": {"dedup": dedup},
        "tokenizer": {"train": {"vocab_size": 600}},
        "stages": [stage | {"mixture": {sources[0]: 1}}],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))


def ids(run: Path) -> list[str]:
    with catalog.connect(run) as connection:
        rows = connection.execute("SELECT doc_id FROM documents ORDER BY row").fetchall()
    return [doc_id for (doc_id,) in rows]


def duplicates(run: Path) -> dict[str, tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        rows = connection.execute("SELECT doc_id, kept_doc_id, kind FROM duplicates").fetchall()
    return {doc_id: tuple(rest) for doc_id, *rest in rows}


def test_a_new_crawl_brings_nothing_again_that_an_earlier_one_kept(tmp_path: Path) -> None:
    def run(name: str, out: Path) -> None:
        curate.fn(str(tmp_path / f"{name}.yaml"), str(out))

    chance = random.Random(3)
    old, new = ([page(chance) for _ in range(n)] for n in (30, 4))
    near, same = old[7] + "\nAnd one line more.", old[9].replace("\n", "  ")
    again = [old[4], near, *new[:3], new[0], same]
    index, first, second = (tmp_path / name for name in ("index", "first", "second"))
    index.mkdir()
    urls = [f"https://www.a.example/{n}" for n in range(30)]
    revisited = (new[3], "http://a.example/3/?utm_source=b#top")
    for out, texts in (
        (first, list(zip(old, urls, strict=True))),
        (second, [*((text, None) for text in again), revisited]),
    ):
        crawl(tmp_path, out.name, texts)
        run(out.name, out)
        add(out, index, None)
    was, now = ids(first), ids(second)
    assert duplicates(first) == {}
    stays, goes = sorted([now[2], now[5]])  # of equal ones the lower id stays
    assert duplicates(second) == {
        now[0]: (was[4], "exact"),
        now[1]: (was[7], "minhash"),
        goes: (stays, "exact"),
        now[6]: (was[9], "exact"),
        now[7]: (was[3], "url"),
    }
    assert [entry.docs for entry in read_entries(index)] == [30, 3]
    # The second run, added since, asks of the first alone: in its own place and in another.
    before = (second / "tables" / "duplicates" / "minhash.parquet").read_bytes()
    for table in ("url", "exact", "minhash"):
        (second / "records" / table / "all.json").unlink()
    for out in (second, tmp_path / "elsewhere"):
        run("second", out)
        assert (out / "tables" / "duplicates" / "minhash.parquet").read_bytes() == before
    (first / "tables" / "documents").rename(first / "tables" / "gone")
    with pytest.raises(RunMismatch, match="which are gone"):
        run("second", tmp_path / "third")


def test_a_run_against_an_index_loses_what_it_would_lose_beside_the_earlier_run(
    tmp_path: Path,
) -> None:
    chance = random.Random(8)
    families = [page(chance).split("\n") for _ in range(12)]
    texts = []
    for lines in families * 12:  # pages of a family differ in a line or some
        changed = dict.fromkeys(chance.sample(range(12), chance.randint(0, 3)), page(chance)[:60])
        texts.append("\n".join(changed.get(n, line) for n, line in enumerate(lines)))
    chance.shuffle(texts)
    for name, half in (("one", texts[::2]), ("two", texts[1::2])):
        crawl(tmp_path, name, [(text, None) for text in half])
    near = {"bands": 20, "rows": 5, "verify": 0.6}
    asked: dict[str, Any] = {"exact": False, "minhash": near}
    (tmp_path / "index").mkdir()
    write_recipe(tmp_path, "one", ["one"], asked)
    write_recipe(tmp_path, "two", ["two"], asked | {"against": "index"})
    write_recipe(tmp_path, "both", ["one", "two"], asked | {"priority": ["one"]})
    for name in ("one", "two", "both"):
        curate.fn(str(tmp_path / f"{name}.yaml"), str(tmp_path / name))
        if name == "one":
            add(tmp_path / name, tmp_path / "index", None)
    one, two, both = (duplicates(tmp_path / name) for name in ("one", "two", "both"))
    assert one | two == both
    assert len(one) > 20
    assert len(two) > len(one)
