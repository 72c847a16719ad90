"""Copies over whole tables: which one stays, and that a plain twin in Python agrees."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.configs.load import parse
from cuvee.corpus.dedup_entry import Origin, add_entry
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.records import Record, finish, finished
from cuvee.corpus.schemas import DOCUMENTS, JUDGED
from cuvee.corpus.whole import write_part
from cuvee.filters.minhash import MinHashParams, band_hashes, signatures
from cuvee.filters.shingles import shingle_sets
from cuvee.filters.url_keys import canonical_urls
from cuvee.flows.checks import check_names
from cuvee.flows.dedup_files import SPILL, Budget
from cuvee.flows.dedup_steps import deduplicate, duplicates_table, kinds, sign
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.index_keys import identity_of, key_bits, parameters_of, texts_print
from cuvee.flows.job import Documents, Job, Part
from cuvee.flows.screen import Screen, make_console

TINY = Budget(section=2000, group=4000)  # several sections, groups of a few documents


class Direct(Engine):
    """Units one after the other, the last first, without Prefect and without records."""

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        for unit in reversed(units):
            for output in unit.outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
            unit.work(*unit.arguments)
            assert all(output.exists() for output in unit.outputs)
        return [""] * len(units)


@dataclass(frozen=True)
class Doc:
    """A document of a corpus that a test makes."""

    id: int
    source: str
    text: str
    url: str | None = None
    date: str | None = None
    score: float | None = None
    language: str = "en"
    kept: bool = True

    @property
    def n_bytes(self) -> int:
        return len(self.text.encode())


def job_of(run: Path, dedup: dict[str, Any], sources: Sequence[str] = ("web", "books")) -> Job:
    curate: dict[str, Any] = {
        "dedup": dedup,
        "language": {"min_score": 0},
        "classifiers": [{"name": "q", "model": "q.bin", "label": "good"}],
    }
    recipe = {
        "name": "copies",
        "sources": {name: {"format": "jsonl", "paths": ["none"]} for name in sources},
        "curate": curate,
        "tokenizer": {"train": {}},
        "stages": [
            {
                "name": "core",
                "tokens": 1,
                "seq_len": 1,
                "batch": {"sequences": 1},
                "mixture": {sources[0]: 1},
            }
        ],
    }
    return Job(parse(recipe), run, run)


def parts_of(docs: Sequence[Doc], size: int) -> Iterator[tuple[Part, list[Doc]]]:
    """Cut the documents of each source into parts of `size`."""
    for source in dict.fromkeys(doc.source for doc in docs):
        mine = [doc for doc in docs if doc.source == source]
        for number, first in enumerate(range(0, len(mine), size)):
            yield Part(source, number), mine[first : first + size]


def write_tables(job: Job, docs: Sequence[Doc], size: int) -> Documents:
    """Write documents, judged and scores; a part has `size` documents."""
    parts = []
    for part, mine in parts_of(docs, size):
        ids = [doc.id.to_bytes(16, "big") for doc in mine]
        columns: dict[str, list[Any]] = {
            "doc_id": ids,
            "source": [doc.source for doc in mine],
            "text": [doc.text for doc in mine],
            "url": [doc.url for doc in mine],
            "date": [doc.date for doc in mine],
            "n_bytes": [doc.n_bytes for doc in mine],
        }
        nothing = {name: [None] * len(mine) for name in DOCUMENTS.names if name not in columns}
        kept: dict[str, Any] = {"doc_id": ids, "kept": [doc.kept for doc in mine]}
        none: dict[str, Any] = {name: [None] * len(mine) for name in ("step", "reason")}
        scores: dict[str, Any] = {
            "doc_id": pa.array(ids, pa.binary(16)),
            "language": pa.array([doc.language for doc in mine], pa.string()),
            "score_q": pa.array([doc.score for doc in mine], pa.float32()),
        }
        for name, table in (
            ("documents", pa.table(columns | nothing, DOCUMENTS)),
            ("judged", pa.table(kept | none, JUDGED)),
            ("scores", pa.table(scores)),
        ):
            write_part(job.table(name, part), table.schema, table.to_batches())
        parts.append(part)
    return Documents(parts, [""] * len(parts))


def run_on(
    run: Path,
    docs: Sequence[Doc],
    dedup: dict[str, Any],
    size: int = 7,
    budget: Budget | None = None,
) -> dict[str, dict[int, tuple[int, float]]]:
    """Deduplicate a corpus: {kind: {removed: (kept, similarity)}}."""
    job = job_of(run, dedup)
    documents = write_tables(job, docs, size)
    deduplicate_in(Direct(job, 1, Screen(make_console(stderr=True))), documents, budget)
    return copies_of(job)


def deduplicate_in(engine: Engine, documents: Documents, budget: Budget | None = None) -> None:
    signed = sign(engine, documents)
    deduplicate(engine, documents, signed, signed, budget)
    assert not (engine.job.run / SPILL).exists()


def copies_of(job: Job) -> dict[str, dict[int, tuple[int, float]]]:
    """Read the tables of duplicates: {kind: {removed: (kept, similarity)}}."""
    found = {}
    for kind in kinds(job.recipe):
        rows = pq.read_table(duplicates_table(job, kind)).to_pylist()
        assert [row["doc_id"] for row in rows] == sorted(row["doc_id"] for row in rows)
        assert {row["kind"] for row in rows} <= {kind}
        found[kind] = {
            int.from_bytes(row["doc_id"], "big"): (
                int.from_bytes(row["kept_doc_id"], "big"),
                row["similarity"],
            )
            for row in rows
        }
    return found


# The twin: all in dictionaries and sets, one document after the other.


def twin_order(docs: Sequence[Doc], keep: Any, priority: Sequence[str]) -> list[Doc]:
    place = {doc.id: n for n, doc in enumerate(docs)}

    def key(doc: Doc) -> tuple[Any, ...]:
        before = priority.index(doc.source) if doc.source in priority else len(priority)
        if keep == "first":
            return before, place[doc.id]
        if keep == "newest":
            date = [-ord(c) for c in doc.date or ""] + [1]  # a longer date is a later one
            return before, doc.date is None, date, doc.id
        if keep == "longest":
            return before, -doc.n_bytes, doc.id
        score = None if doc.score is None else np.float32(doc.score)
        return before, score is None, 0 if score is None else -score, doc.id

    return sorted(docs, key=key)


def twin_scope(doc: Doc, scope: Any) -> Any:
    if scope == "source":
        return doc.source
    if scope == "language":
        return doc.language
    if isinstance(scope, list):
        return next((n for n, group in enumerate(scope) if doc.source in group), None)
    return None


def twin_keys(docs: Sequence[Doc], key: Any, scope: Any) -> dict[int, tuple[int, float]]:
    first: dict[Any, int] = {}
    removed = {}
    for doc in docs:
        asked = key(doc)
        if asked is not None:
            kept = first.setdefault((twin_scope(doc, scope), asked), doc.id)
            if kept != doc.id:
                removed[doc.id] = (kept, 1.0)
    return removed


def twin_near(docs: Sequence[Doc], near: dict[str, Any], scope: Any) -> dict[int, Any]:
    ngram, bands, rows = (near.get(k, d) for k, d in (("ngram", 5), ("bands", 14), ("rows", 8)))
    texts = pa.array([doc.text for doc in docs], pa.large_string())
    offsets, hashes = shingle_sets(texts, ngram)
    sets = [set(hashes[a:b].tolist()) for a, b in pairwise(offsets)]
    signed, _ = signatures(texts, MinHashParams(ngram, bands, rows))
    banded = band_hashes(signed, bands, rows).tolist()
    removed, kept = {}, list[int]()
    for n, doc in enumerate(docs):
        best: tuple[float, int] | None = None
        for other in kept:
            if not sets[n] or not set(banded[n]) & set(banded[other]):
                continue
            if twin_scope(doc, scope) != twin_scope(docs[other], scope):
                continue
            both = len(sets[n] & sets[other])
            whole = len(sets[n]) if near.get("measure") == "containment" else 0
            s = both / (whole or len(sets[n] | sets[other]))
            if s >= near.get("verify", 0.8) and s > 0 and (best is None or s > best[0]):
                best = s, docs[other].id
        if best is None:
            kept.append(n)
        else:
            removed[doc.id] = best[1], best[0]
    return removed


def twin(docs: Sequence[Doc], dedup: dict[str, Any]) -> dict[str, dict[int, Any]]:
    left = [doc for doc in docs if doc.kept]
    scope, priority = dedup.get("scope", "all"), dedup.get("priority", [])
    near = dedup.get("minhash")
    found: dict[str, dict[int, Any]] = {}

    def drop(kind: str, removed: dict[int, Any]) -> list[Doc]:
        found[kind] = removed
        return [doc for doc in left if doc.id not in removed]

    if url := dedup.get("url"):
        keep = "newest" if url is True else url
        form = {
            doc.id: canonical_urls(pa.array([doc.url], pa.string())).to_pylist()[0] for doc in left
        }
        ordered = twin_order(left, keep, priority)
        left = drop("url", twin_keys(ordered, lambda doc: form[doc.id], scope))
    main = "longest" if near is None else near.get("keep", "longest")
    if dedup.get("exact", True):
        ordered = twin_order(left, main, priority)
        folded = twin_keys(ordered, lambda d: " ".join(d.text.split()), scope)
        left = drop("exact", folded)
    if near is not None:
        left = drop("minhash", twin_near(twin_order(left, main, priority), near, scope))
    return found


def words(chance: random.Random, n: int) -> list[str]:
    return ["".join(chance.choices("abcdefghij", k=5)) for _ in range(n)]


def corpus(seed: int, n: int = 40) -> list[Doc]:
    """Make documents, most of them near-copies, copies or of a URL of another one."""
    chance = random.Random(seed)
    bases = [words(chance, chance.choice([3, 8, 30, 60])) for _ in range(max(1, n // 8))]
    docs = []
    ids = chance.sample(range(1, 10**6), n)
    for id_ in ids:
        text = list(chance.choice(bases))
        for _ in range(chance.choice([0, 0, 1, 2, 5])):
            text[chance.randrange(len(text))] = chance.choice(words(chance, 3))
        text += words(chance, chance.choice([0, 0, 1, 9]))
        docs.append(
            Doc(
                id_,
                chance.choice(["web", "books"]),
                chance.choice([" ", "  ", "\n"]).join(text),
                chance.choice([None, "http://a.b/", "https://www.a.b", f"c.d/{chance.random()}"]),
                chance.choice([None, "2024", "2024-01-02", "2025-01-01"]),
                chance.choice([None, 0.1, 0.5, 0.5, -1.0]),
                chance.choice(["en", "de"]),
                chance.random() > 0.1,
            )
        )
    return sorted(docs, key=lambda doc: doc.source != "web")


BASE = words(random.Random(1), 200)
KEEPS = st.sampled_from(["longest", "newest", "first", {"best": "score_q"}])
NEAR = st.fixed_dictionaries(
    {
        "keep": KEEPS,
        "ngram": st.sampled_from([1, 2, 5]),
        "bands": st.sampled_from([3, 14, 30]),
        "rows": st.sampled_from([1, 3, 8]),
        "verify": st.sampled_from([0.3, 0.6, 0.8, 1.0]),
        "measure": st.sampled_from(["jaccard", "containment"]),
    }
)
DEDUPS = st.fixed_dictionaries(
    {
        "url": st.sampled_from([False, True, "longest", "first"]),
        "exact": st.booleans(),
        "minhash": st.none() | NEAR,
        "scope": st.sampled_from(["all", "source", "language", [["web"], ["books"]], [["web"]]]),
        "priority": st.sampled_from([[], ["books"], ["web", "books"]]),
    }
)
RUNS = count()
PHASES = (Phase.explicit, Phase.generate)  # a run takes too long to be shrunk


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(st.integers(0, 10**6), DEDUPS, st.sampled_from([None, TINY]))
def test_copies_are_those_of_a_plain_twin(
    tmp_path_factory: pytest.TempPathFactory, seed: int, dedup: dict[str, Any], budget: Budget
) -> None:
    run = tmp_path_factory.mktemp(f"run{next(RUNS)}")
    docs = corpus(seed)
    assert run_on(run, docs, dedup, budget=budget) == twin(docs, dedup)


COPIES = [
    Doc(1, "web", " ".join(BASE), date="2024-01-01", score=0.1),
    Doc(2, "web", " ".join([*BASE, "and", "a", "tail"]), score=0.9),  # the longest, the best
    Doc(3, "web", " ".join(words(random.Random(2), 200)), date="2024-05-05", score=0.5),
    Doc(4, "books", " ".join([*BASE, "end"]), date="2025-01-01", score=0.5),  # the newest
    Doc(5, "books", " ".join([*BASE, "longer", "but", "dropped"]), "2026", score=1.0, kept=False),
]


@pytest.mark.parametrize(
    ("keep", "kept"), [("longest", 2), ("newest", 4), ("first", 1), ({"best": "score_q"}, 2)]
)
def test_the_policy_says_which_copy_stays(tmp_path: Path, keep: Any, kept: int) -> None:
    found = run_on(tmp_path, COPIES, {"minhash": {"keep": keep}})["minhash"]
    assert {copy: by for copy, (by, _) in found.items()} == {
        copy: kept for copy in (1, 2, 4) if copy != kept
    }


def test_a_source_named_first_wins_before_the_policy_is_asked(tmp_path: Path) -> None:
    found = run_on(tmp_path, COPIES, {"minhash": {}, "priority": ["books"]})["minhash"]
    assert {copy: by for copy, (by, _) in found.items()} == {1: 4, 2: 4}


def test_of_a_chain_the_unlike_ends_both_stay(tmp_path: Path) -> None:
    docs = [Doc(n, "web", " ".join(BASE[at : at + 180])) for n, at in enumerate((0, 10, 20))]
    near = {"keep": "first", "bands": 100}
    found = run_on(tmp_path, docs, {"minhash": near})["minhash"]
    ((copy, (kept, similarity)),) = found.items()
    assert (copy, kept) == (1, 0)
    assert similarity == pytest.approx(166 / 186)  # shingles of 170 + 4 shared words, by hand


@pytest.mark.parametrize("budget", [None, Budget(section=20_000, group=30_000)])
def test_a_chain_of_hundreds_pages_of_a_template_and_a_giant_lose_no_unlike_document(
    tmp_path: Path, budget: Budget | None
) -> None:
    # Transitive closure over such shingles left 2 documents of 859,092.
    chance = random.Random(1)
    line = words(chance, 1500)
    chain = [Doc(n, "web", " ".join(line[5 * n : 5 * n + 65])) for n in range(280)]  # 0.85 each
    template = words(chance, 60)
    pages = [Doc(1000 + n, "web", " ".join([*template, *words(chance, 30)])) for n in range(100)]
    giant = Doc(5000, "books", " ".join([*line, *template]))
    dedup = {"minhash": {"bands": 60, "rows": 3, "keep": "first"}}
    docs = [*chain, *pages, giant]
    found = run_on(tmp_path, docs, dedup, 50, budget)["minhash"]
    assert found.keys() <= {doc.id for doc in chain}
    assert {abs(copy - by) for copy, (by, _) in found.items()} == {1}
    assert 130 <= len(found) <= 140
    assert found == twin(docs, dedup)["minhash"]


@pytest.mark.parametrize("keep", ["longest", {"best": "score_q"}, "newest"])
def test_the_order_of_the_documents_makes_no_difference(tmp_path: Path, keep: Any) -> None:
    docs = corpus(3, 60)
    dedup = {"url": True, "minhash": {"keep": keep, "rows": 2}}
    found = run_on(tmp_path / "one", docs, dedup)
    assert sum(map(len, found.values())) > 10
    turned = [doc for source in ("books", "web") for doc in docs[::-1] if doc.source == source]
    assert run_on(tmp_path / "other", turned, dedup, 11) == found


def test_threads_parts_and_budgets_make_no_difference_to_the_bytes(tmp_path: Path) -> None:
    docs, dedup, found = corpus(5, 80), {"minhash": {"rows": 2}}, list[list[bytes]]()
    for n, (size, budget) in enumerate([(7, TINY), (80, None), (20, Budget(10**4, 10**4))]):
        run = tmp_path / str(n)
        run_on(run, docs, dedup, size, budget)
        tables = sorted((run / "tables" / "duplicates").glob("*.parquet"))
        found.append([table.read_bytes() for table in tables])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2


@pytest.mark.parametrize("kept", [None, False, True])
def test_no_document_none_kept_or_only_empty_ones_are_no_trouble(
    tmp_path: Path, kept: bool | None
) -> None:
    texts = [] if kept is None else ["", "", "a b"]
    docs = [Doc(n, "web", text, kept=bool(kept)) for n, text in enumerate(texts)]
    dedup = {"url": True, "minhash": {}, "scope": "language"}
    found = run_on(tmp_path, docs, dedup)
    assert found == {"url": {}, "exact": {1: (0, 1.0)} if kept else {}, "minhash": {}}


@pytest.mark.parametrize("dedup", [{"scope": [["web", "boks"]]}, {"priority": ["boks"]}])
def test_a_source_that_is_not_there_is_refused(tmp_path: Path, dedup: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="Did you mean 'books'"):
        check_names(job_of(tmp_path, dedup).recipe)


class Stopping(Engine):
    """Units one after the other, with records, until `left` of them are done."""

    left = 10**9

    def run(self, step: Step, units: Sequence[Unit]) -> list[str]:
        prints = [fingerprint([step.name, unit.name, list(unit.reads)]) for unit in units]
        for unit, print_ in zip(units, prints, strict=True):
            if finished(self.job.run, step.name, unit.name, print_):
                continue
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            Direct(self.job, 1, self.screen).run(step, [unit])
            outputs = [str(path.relative_to(self.job.run)) for path in unit.outputs]
            record = Record(print_, step.name, {}, 0.0, outputs)
            finish(self.job.run, step.name, unit.name, record)
        return prints

    def is_finished(self, step: Step, unit: Unit) -> bool:
        print_ = fingerprint([step.name, unit.name, list(unit.reads)])
        return finished(self.job.run, step.name, unit.name, print_) is not None


def test_a_stopped_run_goes_on_where_it_was_and_leaves_nothing(tmp_path: Path) -> None:
    docs, dedup = corpus(8, 60), {"url": True, "minhash": {"rows": 2, "bands": 3}}
    whole = run_on(tmp_path / "whole", docs, dedup, budget=TINY)
    job = job_of(tmp_path / "stopped", dedup)
    documents = write_tables(job, docs, 7)
    engine = Stopping(job, 1, Screen(make_console(stderr=True)))
    units, stops = 0, 0
    while True:
        engine.left = 9
        try:
            deduplicate_in(engine, documents, TINY)
            break
        except KeyboardInterrupt:
            units, stops = units + 9, stops + 1
    units += 9 - engine.left
    assert stops > 4
    assert copies_of(job) == whole
    records = list((job.run / "records").rglob("*.json"))
    assert units == len(records)  # none was done twice


def test_what_another_recipe_and_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    docs = corpus(6)
    run_on(tmp_path, docs, {"url": True, "minhash": {}})
    left = tmp_path / SPILL / "0123" / "all" / "ids.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    run_on(tmp_path, docs, {})
    tables = (tmp_path / "tables" / "duplicates").iterdir()
    assert [table.name for table in tables] == ["exact.parquet"]
    assert not (tmp_path / "dedup.json").exists()


def index_run(index: Path, job: Job, documents: Documents) -> None:
    """Add what a run kept to an index."""
    gone = [copy for found in copies_of(job).values() for copy in found]
    tables = []
    for number, part in enumerate(documents.parts):
        signed = pq.read_table(job.table("signatures", part))
        docs = pq.read_table(job.table("documents", part), columns=["n_bytes"])
        judged = pq.read_table(job.table("judged", part)).to_pylist()
        ids = [int.from_bytes(row["doc_id"], "big") for row in judged]
        at = [n for n, row in enumerate(judged) if row["kept"] and ids[n] not in gone]
        signed = signed.append_column("n_bytes", docs["n_bytes"])
        signed = signed.append_column("part", pa.array([number] * len(signed), pa.int32()))
        signed = signed.append_column("row", pa.array(range(len(signed)), pa.int64()))
        tables.append(signed.take(pa.array(at, pa.int64())))
    dedup, names = job.recipe.curate.dedup, [str(part) for part in documents.parts]
    origin = Origin(
        name=job.run.name,
        run=job.run,
        identity=identity_of(job.run, names),
        contents="",
        parameters=parameters_of(dedup),
        parts=[(name, texts_print(job.run, name)) for name in names],
        key_bits=key_bits(dedup),
    )
    add_entry(index, origin, tables)


@pytest.mark.parametrize(("seed", "scope"), [(1, "all"), (2, "source")])
def test_three_crawls_one_after_the_other_keep_what_one_run_over_all_keeps(
    tmp_path: Path, seed: int, scope: str
) -> None:
    docs, index = corpus(seed, 90), tmp_path / "index"
    near = {"keep": "first", "rows": 2, "verify": 0.6}
    dedup: dict[str, Any] = {"minhash": near, "scope": scope}
    crawls = [[doc for doc in docs if doc.id % 3 == n] for n in range(3)]
    whole = twin([doc for crawl in crawls for doc in crawl], dedup)
    gone = {copy for found in whole.values() for copy in found}
    kept_by: dict[int, int] = {}
    index.mkdir()
    for n, crawl in enumerate(crawls):
        job = job_of(tmp_path / f"crawl{n}", dedup | {"against": str(index)})
        documents = write_tables(job, crawl, 7)
        for part in documents.parts:
            finish(job.run, "ingest", str(part), Record(f"{n} {part}", "ingest", {}, 0.0, []))
        engine = Direct(job, 1, Screen(make_console(stderr=True)))
        deduplicate_in(engine, documents, TINY if n % 2 else None)
        for found in copies_of(job).values():
            kept_by |= {copy: by for copy, (by, _) in found.items()}
        index_run(index, job, documents)
    assert kept_by.keys() == gone
    crawl_of = {doc.id: n for n, crawl in enumerate(crawls) for doc in crawl}
    assert any(crawl_of[copy] > crawl_of[by] for copy, by in kept_by.items())
    assert all(crawl_of[copy] >= crawl_of[by] for copy, by in kept_by.items())
