"""Whole jobs, from JSON lines to the documents that go, as a user starts them: ours and peers'.

A *job* is every process of it: start, reading, writing what a run writes. Ours is `cuvee curate` on
a recipe with that one step; theirs are datatrove's pipelines (`whole_datatrove.py`) and `dolma
dedupe`. All have two workers. Of equal documents, or of a cluster, the first counts as the one that
stays, whichever a tool keeps, so that the sets can be compared.
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from environments import PEERS, NotInstalled, python_of
from processes import Failed, Took, take
from texts import MB, Text
from whole_corpus import WORKERS, Corpus, Texts, begins, with_items, write_corpus, write_items

HERE = Path(__file__).parent
NGRAM = 13  # words of an n-gram of decontamination
OVERLAP = 0.5  # of a paragraph's n-grams, for dolma to mark it; marin's
BLOOM_RATE = 1e-15  # of dolma's false positives, as its v1.6 was made
MINHASH = {"ngram": 5, "bands": 14, "rows": 8, "keep": "first"}
CURATE: dict[str, Any] = {
    "minhash": {"dedup": {"exact": False, "minhash": MINHASH}},
    "decontamination": {"dedup": {"exact": False}, "decontaminate": {"ngram": NGRAM}},
    "exact": {"dedup": {"exact": True}},
}


class Done(NamedTuple):
    """What a job took, and the ids of the documents that it removes."""

    took: Took
    removed: frozenset[str]


def ours(task: str, corpus: Corpus, folder: Path) -> Done:
    """Run `cuvee curate`."""
    folder.mkdir()
    curate = json.loads(json.dumps(CURATE[task]))
    if "decontaminate" in curate:
        curate["decontaminate"]["benchmarks"] = [str(corpus.items)]
    documents = corpus.folder / "documents"
    stage = {"name": "core", "tokens": "1K", "seq_len": 8, "batch": {"sequences": 1}}
    recipe = {
        "name": task,
        "part_bytes": 1,  # a part a file: one for each worker
        "sources": {"text": {"format": "jsonl", "paths": [f"{documents}/*.jsonl"]}},
        "curate": curate,
        "tokenizer": {"train": {}},
        "stages": [stage | {"mixture": {"text": 1}}],
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    command = [sys.executable, "-m", "cuvee.flows", "curate", str(folder / "recipe.yaml")]
    env = os.environ | {"PREFECT_HOME": str(folder / "prefect")}
    took = take([*command, "--out", str(folder / "run"), "--workers", str(WORKERS)], env)
    return Done(took, _dropped(folder / "run", corpus))


def _dropped(run: Path, corpus: Corpus) -> frozenset[str]:
    """Return the ids of the documents that a run dropped."""
    first = {f"{worker}.jsonl": begin for worker, begin in enumerate(begins(len(corpus.texts)))}
    found: set[str] = set()
    for part in sorted((run / "tables" / "verdicts").glob("*/*.parquet")):
        documents = part.parents[2] / "documents" / part.parent.name / part.name
        read = pq.read_table(documents, columns=["path", "row"]).to_pylist()
        kept = pq.read_table(part, columns=["kept"])["kept"].to_pylist()
        gone = (one for one, k in zip(read, kept, strict=True) if not k)
        found.update(f"{first[one['path']] + one['row']:07d}" for one in gone)
    return frozenset(found)


def datatrove(task: str, corpus: Corpus, folder: Path, python: Path) -> Done:
    """Run datatrove's pipelines."""
    folder.mkdir()
    result = folder / "removed.json"
    script = [str(python), str(HERE / "whole_datatrove.py"), task]
    took = take([*script, str(corpus.folder / "documents"), str(corpus.items), str(result)])
    return Done(took, frozenset(json.loads(result.read_text())))


def dolma(task: str, corpus: Corpus, folder: Path, python: Path) -> Done:
    """Run `dolma dedupe`: on whole texts, or on paragraphs against those of items."""
    folder.mkdir()
    documents = folder / "documents"
    documents.symlink_to((corpus.folder / "documents").resolve(), target_is_directory=True)
    spans, seconds = "copy", list[Took]()
    key: dict[str, Any] = {"documents": {"attribute_name": spans, "key": "$.text"}}
    if task == "decontamination":
        # Whole paragraphs of `min_words` would be its own way, but 1.2.1 passes over all of them.
        ngrams = {"ngram_length": NGRAM, "overlap_threshold": OVERLAP, "stride": 0}
        by_ngram = ngrams | {"skip_short_paragraphs": True}
        key = {"paragraphs": {"attribute_name": spans, "by_ngram": by_ngram}}
        learnt = folder / "items" / "documents"
        learnt.mkdir(parents=True)
        (learnt / "items.jsonl").write_text(corpus.items.read_text(encoding="utf-8"))
        seconds.append(take(_dolma(python, folder, learnt, key, read_only=False)))
    read_only = task == "decontamination"
    seconds.append(take(_dolma(python, folder, documents, key, read_only=read_only)))
    removed = set()
    for path in sorted((folder / "attributes" / spans).glob("*.jsonl")):
        for line in path.open(encoding="utf-8"):
            record = json.loads(line)
            if record["attributes"].get(spans):
                removed.add(record["id"])
    if task == "exact":
        removed = _first_stays(corpus.texts, removed)
    took = Took(
        sum(one.wall_s for one in seconds),
        sum(one.cpu_s for one in seconds),
        max(one.peak_mib for one in seconds),
    )
    return Done(took, frozenset(removed))


def _dolma(
    python: Path, folder: Path, documents: Path, key: dict[str, Any], read_only: bool
) -> list[str]:
    """Write a configuration and return the command."""
    config = folder / f"{documents.parent.name}-{read_only}.json"
    bloom = {
        "file": str(folder / "bloom.bin"),
        "read_only": read_only,
        "estimated_doc_count": 1_000_000,
        "desired_false_positive_rate": BLOOM_RATE,
    }
    value = {
        "documents": [f"{documents}/*.jsonl"],
        "dedupe": {"name": "copy", "skip_empty": True} | key,
        "bloom_filter": bloom,
        "processes": WORKERS,
    }
    config.write_text(json.dumps(value))
    return [str(python.parent / "dolma"), "-c", str(config), "dedupe"]


def _first_stays(texts: Iterable[Text], removed: set[str]) -> set[str]:
    """Return as many documents of each text as were removed, the last ones."""
    copies: dict[str, list[str]] = defaultdict(list)
    for one in texts:
        copies[one.text].append(one.id)
    gone = ((ids, sum(one in removed for one in ids)) for ids in copies.values())
    return {one for ids, count in gone if count for one in ids[-count:]}


class Pace(NamedTuple):
    """Two runs of one job, on less and on more text: bytes of text and CPU seconds of both.

    What both runs take (start, imports, the index) is not in the difference.
    """

    less: tuple[int, float]
    more: tuple[int, float]

    @property
    def mb_per_cpu_s(self) -> float:
        """Return the speed on what the second run had more; NaN where it took no longer."""
        n_bytes, seconds = (b - a for a, b in zip(self.less, self.more, strict=True))
        return n_bytes / MB / seconds if seconds > 0 else float("nan")


class Whole(NamedTuple):
    """A job done by both: bytes of text, what each took, and how many documents each removes.

    `planted` are the ids of the documents with an item, and its kind.
    """

    peer: str
    task: str
    n_bytes: int
    documents: int
    ours: Done
    theirs: Done
    ours_pace: Pace
    theirs_pace: Pace
    planted: Mapping[str, str]

    @property
    def removed(self) -> tuple[int, int, int]:
        """Return how many documents both remove, ours alone, and theirs alone."""
        mine, other = self.ours.removed, self.theirs.removed
        return len(mine & other), len(mine - other), len(other - mine)

    @property
    def agreement(self) -> float:
        """Return the share of documents with the same decision."""
        return 1 - (self.removed[1] + self.removed[2]) / self.documents


PEER_JOBS: dict[str, tuple[tuple[str, ...], Callable[[str, Corpus, Path, Path], Done]]] = {
    "datatrove": (("minhash", "decontamination"), datatrove),
    "dolma": (("exact", "decontamination"), dolma),
}


def compare_whole(
    texts: Texts, benchmarks: Sequence[Path], envs: Path, folder: Path
) -> tuple[list[Whole], list[str]]:
    """Do every job with us and with the peers that have it; what cannot be is said in notes."""
    items = write_items(benchmarks, folder / "items.jsonl")
    rows: list[Whole] = []
    notes: list[str] = []
    for task in CURATE if benchmarks else ("minhash", "exact"):
        plants = task == "decontamination"
        given, planted = with_items(texts.chosen, items) if plants else (texts.chosen, {})
        corpora = {
            name: write_corpus(own, items, folder / task / name)
            for name, own in (("less", texts.less), ("all", texts.everything), ("chosen", given))
        }
        chosen = corpora["chosen"]
        print(f"cuvee: whole job, {task} ...", flush=True)
        mine = ours(task, chosen, folder / task / "cuvee")
        more = ours(task, corpora["all"], folder / task / "cuvee-all")
        pace = Pace(_pace(chosen, mine), _pace(corpora["all"], more))
        for peer in PEERS:
            tasks, job = PEER_JOBS[peer.name]
            if task not in tasks:
                continue
            print(f"{peer.name}: whole job, {task} ...", flush=True)
            try:
                python = python_of(peer, envs)
                few = job(task, corpora["less"], folder / task / f"{peer.name}-less", python)
                other = job(task, chosen, folder / task / peer.name, python)
            except (NotInstalled, Failed) as fault:
                notes.append(f"{peer.name}, whole {task}: {fault}")
                continue
            theirs = Pace(_pace(corpora["less"], few), _pace(chosen, other))
            counts = (chosen.n_bytes, len(chosen.texts))
            rows.append(Whole(peer.name, task, *counts, mine, other, pace, theirs, planted))
            print(
                f"  ours {mine.took}, theirs {other.took}, removed {rows[-1].removed}", flush=True
            )
    return rows, notes


def _pace(corpus: Corpus, done: Done) -> tuple[int, float]:
    """Return bytes of text and CPU seconds."""
    return corpus.n_bytes, done.took.cpu_s
