"""A small run directory, written by hand as the flows would leave it.

Two sources (web in two parts, books in one), two stages of different lengths, bytes as tokens
with 256 for the end of text. `web` loses one document to each step; a page of it is hostile HTML.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.corpus import schemas

EOS = 256
STEPS = ["text", "language", "gopher", "exact", "minhash", "decontaminate"]
STAGES = {"core": (32, 2), "anneal": (64, 1)}  # tokens per sequence, sequences per step
META = '{"rope_theta": 10000.0}'
HOSTILE = "<script>alert('x')</script> & <b>bold</b> " + "spam " * 30


class Doc(NamedTuple):
    text: str
    step: str | None = None
    reason: str | None = None


WEB = [
    Doc("Grüße aus Köln: der Dom, der Rhein, die Brücken und ein Kölsch. 🍇 " * 2),
    Doc("x", "text", "empty"),
    Doc("pas en allemand", "language", "language_not_kept"),
    Doc(HOSTILE, "gopher", "top_2gram"),
    Doc("A plain page about wine, its casks and its cellars."),
    Doc("A plain page about wine, its casks and its cellars!", "minhash", "near_duplicate"),
    Doc("the answer to life the universe and everything", "decontaminate", "ngram13"),
    Doc("short\nlines\nof verse"),
]
BOOKS = [
    Doc("Call me Ishmael. Some years ago, never mind how long precisely. " * 4),
    Doc("It was the best of times, it was the worst of times. " * 3),
]
PARTS = {"web": [WEB[:4], WEB[4:]], "books": [BOOKS]}


def doc_id(text: str) -> bytes:
    return hashlib.md5(text.encode()).digest()


def tokens_of(text: str) -> list[int]:
    return [*text.encode(), EOS]


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def write_curated(run: Path) -> None:
    """Write what `cuvee curate` leaves, no more."""
    run.mkdir(parents=True)
    recipe = {"name": "tiny", "seed": 7}
    (run / "recipe.json").write_text(json.dumps({"base": "/nowhere", "recipe": recipe}))
    (run / "steps.json").write_text(json.dumps(STEPS))
    for source, parts in PARTS.items():
        for number, docs in enumerate(parts):
            _write_part(run, source, number, docs)
    tables = run / "tables"
    lost: dict[str, Any] = {"source": "web", "path": "pages.jsonl", "row": 9, "n_bytes": 5}
    bad = [lost | {"reason": "not_json", "excerpt": "{<i>"}, lost | {"reason": "no_text"}]
    _write(tables / "quarantine" / "web" / "00000.parquet", bad, schemas.QUARANTINE)
    copy = {"doc_id": doc_id(WEB[5].text), "kept_doc_id": doc_id(WEB[4].text)}
    near = [copy | {"kind": "minhash", "similarity": 0.9}]
    _write(tables / "duplicates" / "minhash.parquet", near, schemas.DUPLICATES)
    hit: dict[str, Any] = {
        "doc_id": doc_id(WEB[6].text),
        "benchmark": "hitchhiker",
        "split": "test",
    }
    hit |= {"item_id": "42", "span_start": 0, "span_end": 18, "score": 1.0, "ngram": "the answer"}
    hit["policy"] = "drop"
    _write(tables / "contamination" / "web" / "00001.parquet", [hit], schemas.CONTAMINATION)
    share = hit | {"n_words": 9, "n_covered": 0, "share": 0.0}
    for name, kind in (("overlap/web/00001", "OVERLAP"), ("coverage/all", "COVERAGE")):
        file = tables / f"benchmark_{name}.parquet"
        _write(file, [{n: share[n] for n in getattr(schemas, kind).names}], getattr(schemas, kind))
    split = {"benchmark": "hitchhiker", "split": "test", "policy": "drop", "items": 1}
    _write(tables / "benchmarks" / "all.parquet", [split], schemas.BENCHMARKS)
    cut: dict[str, Any] = {"doc_id": doc_id(WEB[6].text), "edit": "c4_lines@tfds", "lines": [0]}
    cut |= {"reason": "policy", "n_lines": 1, "n_chars": 9}
    _write(tables / "edits" / "web" / "00001.parquet", [cut], schemas.EDITS)


def _write_part(run: Path, source: str, number: int, docs: list[Doc]) -> None:
    name = f"{source}/{number:05d}.parquet"
    rows = [
        {
            "doc_id": doc_id(doc.text),
            "source": source,
            "text": doc.text,
            "url": f"https://{source}.test/{number}/{row}",
            "n_bytes": len(doc.text.encode()),
            "path": f"{source}.jsonl",
            "row": row,
            "kept": doc.step is None,
            "step": doc.step,
            "reason": doc.reason,
            "n_words": len(doc.text.split()),
            "language": "en",
            "language_score": 0.5,
            "score_quality": 0.25,
        }
        for row, doc in enumerate(docs)
    ]
    words: dict[str, pa.DataType] = {"doc_id": schemas.DOC_ID, "n_words": pa.int64()}
    scores: dict[str, pa.DataType] = {"doc_id": schemas.DOC_ID, "language": pa.string()}
    scores["language_score"] = pa.float32()
    if source == "web":  # the classifier judges the web alone
        scores["score_quality"] = pa.float32()
    _write(run / "tables" / "documents" / name, rows, schemas.DOCUMENTS)
    _write(run / "tables" / "verdicts" / name, rows, schemas.VERDICTS)
    _write(run / "tables" / "signals" / name, rows, pa.schema(words))
    _write(run / "tables" / "scores" / name, rows, pa.schema(scores))


def write_stages(run: Path) -> None:
    """Write what `cuvee plan` and `cuvee build` add: tokens, packs, plan and shards."""
    survivors = {
        source: [doc for part in parts for doc in part if doc.step is None]
        for source, parts in PARTS.items()
    }
    for source, parts in PARTS.items():
        for number, docs in enumerate(parts):
            rows = [_stored(doc) for doc in docs if doc.step is None]
            _write(run / "tokens" / source / f"{number:05d}.parquet", rows, schemas.TOKENS)
    totals, shares = [], []
    for stage, (seq_len, batch) in STAGES.items():
        packed = {source: _packed(docs, seq_len) for source, docs in survivors.items()}
        n = _write_stage(run, stage, packed)
        row = {"stage": stage, "seq_len": seq_len, "sequences": n, "tokens": n * seq_len}
        totals.append(row | {"steps": n // batch, "batch_sequences": batch, "meta": META})
        shares += [_share(stage, source, len(sequences), n) for source, sequences in packed.items()]
    pq.write_table(pa.Table.from_pylist(totals), run / "plan" / "stages.parquet")
    pq.write_table(pa.Table.from_pylist(shares), run / "plan" / "mixture.parquet")


def _stored(doc: Doc) -> dict[str, Any]:
    ids = np.array(tokens_of(doc.text), "<u2")
    return {"doc_id": doc_id(doc.text), "tokens": ids.tobytes(), "n_tokens": len(ids)}


def _share(stage: str, source: str, sequences: int, of: int) -> dict[str, Any]:
    tokens = sequences * STAGES[stage][0]
    return {
        "stage": stage,
        "source": source,
        "planned_tokens": tokens,
        "realised_tokens": tokens,
        "share": sequences / of,
        "epochs": 1.0,
        "unique_tokens": tokens,
        "max_deviation": 0.5,
    }


Segment = tuple[int, str, int, int]  # offset, text, doc_start, length


def _packed(docs: list[Doc], seq_len: int) -> list[list[Segment]]:
    """Lay documents end to end and cut at every `seq_len` tokens."""
    sequences: list[list[Segment]] = [[]]
    used = 0
    for doc in docs:
        start, left = 0, len(tokens_of(doc.text))
        while left:
            if used == seq_len:
                sequences.append([])
                used = 0
            length = min(left, seq_len - used)
            sequences[-1].append((used, doc.text, start, length))
            start, left, used = start + length, left - length, used + length
    return sequences


def _write_stage(run: Path, stage: str, packed: dict[str, list[list[Segment]]]) -> int:
    """Write packs, plan and one shard of a stage; give the number of sequences."""
    seq_len, batch = STAGES[stage]
    for source, sequences in packed.items():
        rows = [
            {"ordinal": ordinal, "offset": offset, "length": length, "doc_id": doc_id(text)}
            | {"doc_start": start, "doc_row": 0, "epoch": 0}
            for ordinal, segments in enumerate(sequences)
            for offset, text, start, length in segments
        ]
        _write(run / "packs" / stage / f"{source}.parquet", rows, schemas.PACKS)
    order = [(source, k) for source, rows in sorted(packed.items()) for k in range(len(rows))]
    plan = [
        {"stage": stage, "position": position, "step": position // batch, "slot": position % batch}
        | {"source": source, "epoch": 0, "ordinal": ordinal}
        for position, (source, ordinal) in enumerate(order)
    ]
    _write(run / "plan" / f"{stage}.parquet", plan, schemas.PLAN)
    width = pa.binary(2 * (seq_len + 1))
    shard: dict[str, pa.DataType] = {"position": pa.int64(), "tokens": width}
    shard["n_tokens"] = pa.int32()
    rows = [
        {"position": at} | _sequence(packed[source][k], seq_len)
        for at, (source, k) in enumerate(order)
    ]
    _write(run / "shards" / stage / "00000.parquet", rows, pa.schema(shard))
    return len(order)


def _sequence(segments: list[Segment], seq_len: int) -> dict[str, Any]:
    """Give the tokens of a sequence: its segments, then pad."""
    slots = np.full(seq_len + 1, EOS, "<u2")
    for offset, text, start, length in segments:
        slots[offset : offset + length] = tokens_of(text)[start : start + length]
    offset, _, _, length = segments[-1]
    return {"tokens": slots.tobytes(), "n_tokens": offset + length}


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    """A run that has only been curated."""
    write_curated(tmp_path / "curated")
    return tmp_path / "curated"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; tests only read it."""
    run = tmp_path_factory.mktemp("runs") / "it's [1] *run*"
    write_curated(run)
    write_stages(run)
    return run


@pytest.fixture
def decode() -> Callable[[np.ndarray[Any, Any]], str]:
    """The tokenizer's way back: bytes to text, a cut character to U+FFFD."""
    return lambda ids: bytes(ids.astype(np.uint8)).decode(errors="replace")


@pytest.fixture
def identify() -> Callable[[str], str]:
    """Give the hex id of the document with a text."""
    return lambda text: doc_id(text).hex()
