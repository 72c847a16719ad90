"""The whole way on a small corpus: what a run holds, and that it can be stopped at any moment."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.corpus import catalog
from cuvee.handoff import StageLoader, read_manifest, verify_stage
from cuvee.tokenize import tokenizer

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
STAGES = ("core", "anneal", "long")


def manifests(run: Path) -> dict[str, str]:
    """Return the hash of every manifest; a manifest holds the hash of every shard."""
    paths = {stage: run / "shards" / stage / "manifest.json" for stage in STAGES}
    return {stage: hashlib.sha256(path.read_bytes()).hexdigest() for stage, path in paths.items()}


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def test_every_stage_of_a_run_verifies(finished: Path) -> None:
    for stage in STAGES:
        assert verify_stage(finished / "shards" / stage).problems == ()


def test_every_document_is_accounted_for_at_every_step(finished: Path) -> None:
    rows = ask(finished, "SELECT step_order, source, reason, docs FROM funnel")
    for source in ("web", "books", "notes"):
        seen = sum(docs for order, name, _, docs in rows if order == 0 and name == source)
        for step in sorted({order for order, *_ in rows}):
            here = [
                (reason, docs)
                for order, name, reason, docs in rows
                if (order, name) == (step, source)
            ]
            if not here:
                continue
            assert sum(docs for _, docs in here) == seen
            seen = sum(docs for reason, docs in here if reason is None)
    reasons = {reason for _, _, reason, _ in rows}
    assert {"empty", "gopher_short_doc", "duplicate", "benchmark"} <= reasons


def test_planted_copies_and_benchmark_items_are_found(finished: Path) -> None:
    kinds = dict(ask(finished, "SELECT kind, count(*) FROM duplicates GROUP BY kind"))
    assert kinds == {"exact": 1, "minhash": 1}
    (hit,) = ask(
        finished,
        """SELECT item_id, score, substr(text, span_start + 1, span_end - span_start)
        FROM contamination JOIN documents USING (doc_id)""",
    )
    assert hit[:2] == ("item-2", 1.0)
    assert hit[2].count("\n") == 2


def test_no_source_is_ever_a_whole_sequence_off_its_share(finished: Path) -> None:
    deviations = ask(finished, "SELECT max_deviation FROM mixture")
    assert len(deviations) == 8
    assert all(0 <= deviation < 1 for (deviation,) in deviations)


def test_a_stage_decodes_to_the_texts_of_its_documents(finished: Path) -> None:
    loaded = tokenizer.load(finished / "models" / "tokenizer.json", "<|end_of_text|>")
    for stage in STAGES:
        rows = ask(
            finished,
            f"""SELECT s.position, s."offset", s.length, s.doc_start, t.n_tokens, d.text
            FROM segments s JOIN documents d USING (doc_id) JOIN tokens t USING (doc_id)
            WHERE stage = '{stage}' ORDER BY position, "offset" """,
        )
        sequences = np.concatenate(
            [batch.tokens for batch in StageLoader(finished / "shards" / stage)]
        )
        assert len(rows) > 0
        for position, offset, length, start, n_tokens, text in rows:
            if start == 0 and length == n_tokens:
                ids = sequences[position, offset : offset + length - 1]
                assert loaded.decode(ids) == text


def test_a_document_that_is_cut_goes_on_where_it_was_cut(finished: Path) -> None:
    cut = ask(
        finished,
        """SELECT doc_start, doc_start + length FROM segments JOIN tokens USING (doc_id, source)
        WHERE stage = 'core' AND epoch = 0 AND length < n_tokens""",
    )
    starts = {start for start, _ in cut}
    assert 0 in starts
    assert len(starts) > 1


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_any_number_of_ranks_reads_the_same_global_batches(finished: Path, world_size: int) -> None:
    folder = finished / "shards" / "core"
    alone = [batch.positions for batch in StageLoader(folder)]
    ranks = [StageLoader(folder, rank=rank, world_size=world_size) for rank in range(world_size)]
    for together, batches in zip(alone, zip(*ranks, strict=True), strict=True):
        interleaved = np.sort(np.concatenate([batch.positions for batch in batches]))
        assert interleaved.tolist() == together.tolist()
        for rank, batch in enumerate(batches):
            assert batch.positions.tolist() == together[rank::world_size].tolist()


def test_training_goes_on_at_another_world_size(finished: Path) -> None:
    folder = finished / "shards" / "core"
    loader = StageLoader(folder, rank=0, world_size=2)
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    state = loader.state_dict()
    assert state["step"] == 3
    resumed = StageLoader(folder)
    resumed.load_state_dict(state)
    assert next(iter(resumed)).positions[0] == 3 * read_manifest(folder).global_batch.sequences


def test_the_number_of_workers_changes_no_byte(
    cuvee: Cuvee, corpus: Path, finished: Path, tmp_path: Path
) -> None:
    done = cuvee("run", corpus / "small.yaml", "--out", tmp_path / "one", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert manifests(tmp_path / "one") == manifests(finished)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    api_url: str, cuvee: Cuvee, corpus: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    total = len(list((finished / "records").rglob("*.json")))
    command = ["run", corpus / "small.yaml", "--out", out, "--workers", "2"]
    for share in (0.3, 0.9):
        process = subprocess.Popen(
            [sys.executable, "-m", "cuvee.flows", *map(str, command)],
            env=os.environ | {"PREFECT_API_URL": api_url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list((out / "records").rglob("*.json"))) < share * total:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in (out / "records").rglob("*.json")}
    done = cuvee(*command)
    assert done.returncode == 0, done.stderr
    assert manifests(out) == manifests(finished)
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in before.items())


def test_a_finished_run_does_nothing_again(cuvee: Cuvee, corpus: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "records").rglob("*.json")}
    done = cuvee("run", corpus / "small.yaml", "--out", finished)
    assert done.returncode == 0, done.stderr
    after = {path: path.stat().st_mtime_ns for path in (finished / "records").rglob("*.json")}
    assert after == before
