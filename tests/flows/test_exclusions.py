"""A run whose stages ramp, change shape, pass documents over, fork, replay, join, and wait."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cuvee.configs.errors import RecipeError, RunMismatch
from cuvee.configs.stages import Exclude
from cuvee.corpus import catalog
from cuvee.corpus.whole import write_json, write_part
from cuvee.flows.advances import Advance
from cuvee.flows.chains import first_difference, stored_plan
from cuvee.flows.consumed import keep_consumed, refuse_changed, stops_of
from cuvee.flows.exclusions import check_condition
from cuvee.flows.job import load_job
from cuvee.handoff import StageLoader, read_manifest, verify_stage

Cuvee = Callable[..., subprocess.CompletedProcess[str]]

STAGES: list[dict[str, Any]] = [
    {
        "name": "joint",
        "tokens": "120K",
        "phases": [
            {"until": "40K", "seq_len": 128, "batch": {"sequences": 8}},
            {"seq_len": 256, "batch": {"sequences": 8}},
        ],
        "mixture": {
            "ramp": [
                {"at": 0, "mixture": {"web": 1}},
                {"at": "120K", "mixture": {"web": 0.6, "books": 0.4}},
            ]
        },
    },
    {
        "name": "clean",
        "tokens": "30K",
        "seq_len": 128,
        "batch": {"sequences": 8},
        "mixture": {"web": 0.5, "books": 0.3, "notes": 0.2},
        "exclude": {"hits": ["benchmark"], "where": "n_chars > 1500 AND source = 'web'"},
    },
    {
        "name": "all",
        "epochs": 1,
        "seq_len": 128,
        "batch": {"sequences": 8},
        "mixture": {"by_size": ["web", "notes"]},
    },
    {
        "name": "left",
        "after": "clean",
        "tokens": "15K",
        "seq_len": 128,
        "batch": {"sequences": 8},
        "mixture": {"web@good": 0.6, "back": {"share": 0.4, "replay": "clean"}},
        "packing": {"policy": "concat"},
        "gate": "the loss is below 3",
    },
    {
        "name": "right",
        "after": "clean",
        "seed": 9,
        "tokens": "15K",
        "seq_len": 64,
        "batch": {"sequences": 8},
        "mixture": {"notes": 0.5, "new": {"share": 0.5, "replay": "clean", "seen": False}},
        "packing": {"policy": "pad", "long": "truncate"},
    },
    {
        "name": "joined",
        "after": ["left", "right"],
        "tokens": "15K",
        "seq_len": 256,
        "batch": {"sequences": 8},
        "mixture": {"web@long": 0.7, "notes@even": 0.3},
        "packing": {"long": "skip"},
    },
]
VIEWS: dict[str, dict[str, Any]] = {
    "web@long": {"of": "web", "min_tokens": 150},
    "web@good": {"of": "web", "upsample": {"by": "n_chars", "mean": 1.0, "cap": 4, "buckets": 5}},
    "notes@even": {"of": "notes", "where": "n_chars % 2 = 0"},
}


@pytest.fixture(scope="module")
def run(cuvee: Cuvee, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small recipe with these stages; hits of benchmarks are only reported."""
    recipe = yaml.safe_load((corpus / "small.yaml").read_text())
    recipe["stages"], recipe["views"] = STAGES, VIEWS
    recipe["sources"]["notes"]["sample"] = "20K"
    recipe["curate"] = {
        "rules": recipe["curate"]["rules"],
        "decontaminate": {"benchmarks": ["benchmark.jsonl"], "policy": "report"},
    }
    path = corpus / "stages.yaml"
    path.write_text(yaml.safe_dump(recipe))
    out = tmp_path_factory.mktemp("runs") / "stages"
    done = cuvee("run", path, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def ask(run: Path, query: str) -> list[tuple[Any, ...]]:
    with catalog.connect(run) as connection:
        return connection.execute(query).fetchall()


def test_every_phase_is_a_stage_of_its_own_that_verifies(run: Path) -> None:
    for name in ("joint_1", "joint_2", "clean", "all"):
        assert verify_stage(run / "shards" / name).problems == ()
        assert sum(1 for _ in StageLoader(run / "shards" / name)) > 0
    first, second = (read_manifest(run / "shards" / f"joint_{n}") for n in (1, 2))
    assert (first.seq_len, second.seq_len) == (128, 256)
    assert first.steps == round(40_000 / 1024)
    assert second.steps == round((120_000 - first.steps * 1024) / 2048)


def test_a_ramp_goes_on_from_phase_to_phase(run: Path) -> None:
    shares = dict(ask(run, "SELECT stage, share FROM mixture WHERE source = 'books'"))
    assert shares["joint_1"] == pytest.approx(0.4 / 6, abs=0.01)
    assert shares["joint_2"] == pytest.approx(0.4 * 4 / 6, abs=0.01)
    assert all(worst < 1 for (worst,) in ask(run, "SELECT max_deviation FROM mixture"))


def test_what_a_stage_excludes_never_reaches_it_and_reaches_others(run: Path) -> None:
    of = "SELECT count(*) FROM segments JOIN documents USING (doc_id) JOIN signals USING (doc_id)"
    long = f"{of} WHERE documents.source = 'web' AND n_chars > 1500 AND stage = "
    hit = "SELECT count(*) FROM segments JOIN contamination USING (doc_id) WHERE stage = "
    assert ask(run, f"{long} 'clean'") == [(0,)]
    assert ask(run, f"{hit} 'clean'") == [(0,)]
    assert ask(run, f"{long} 'joint_1'")[0][0] > 10
    assert ask(run, f"{hit} 'all'")[0][0] > 0


def test_an_epoch_of_several_sources_reads_each_of_their_tokens_once(run: Path) -> None:
    ((tokens,),) = ask(run, "SELECT sum(available_tokens) FROM mixture WHERE stage = 'all'")
    stage = read_manifest(run / "shards" / "all")
    assert abs(stage.sequences * stage.seq_len - tokens) <= 8 * 128


def documents_of(run: Path, stage: str, pool: str) -> set[str]:
    query = f"SELECT doc_id FROM segments WHERE stage = '{stage}' AND source = '{pool}'"
    return {doc_id for (doc_id,) in ask(run, query)}


def test_a_pool_has_the_documents_that_its_view_sample_or_replay_shows(run: Path) -> None:
    told = "SELECT min(n_tokens), max(n_tokens), bool_and(n_chars % 2 = 0) FROM segments"
    both = f"{told} JOIN tokens USING (doc_id) JOIN signals USING (doc_id) WHERE segments.source = "
    ((shortest, longest, _),) = ask(run, f"{both} 'web@long'")
    assert 150 <= shortest <= longest <= 256  # what is longer than a sequence is skipped there
    assert ask(run, f"{both} 'notes@even'")[0][2] is True
    read = documents_of(run, "clean", "web")
    assert documents_of(run, "left", "web@clean") <= read
    assert not documents_of(run, "right", "web@not_clean") & read
    used = "SELECT sum(n_tokens) FROM tokens WHERE doc_id IN (SELECT doc_id FROM segments)"
    ((tokens,),) = ask(run, f"{used} AND source = 'notes'")
    assert tokens <= 20_200


def test_no_document_is_read_more_often_than_its_source_allows(run: Path) -> None:
    ways = {"all": ["joint_1", "joint_2", "clean"], "left": ["joint_1", "joint_2", "clean"]}
    for stage, above in ways.items():
        query = f"""SELECT max(times) FROM (SELECT sum(times) AS times FROM repetitions
            WHERE stage IN {(*above, stage)} GROUP BY source, doc_id)"""
        ((most,),) = ask(run, query)
        assert most <= 8
        ((said,),) = ask(run, f"SELECT max(most_seen) FROM mixture WHERE stage = '{stage}'")
        assert most <= said <= 8


def test_a_stage_behind_a_gate_is_planned_and_not_written(run: Path) -> None:
    assert ask(run, "SELECT built FROM stages WHERE stage = 'joined'") == [(False,)]
    assert ask(run, "SELECT after FROM stages WHERE stage = 'joined'") == [(["left", "right"],)]
    assert ask(run, "SELECT count(*) FROM plan WHERE stage = 'joined'")[0][0] == 7 * 8
    assert not (run / "shards" / "joined").exists()
    index = json.loads((run / "shards" / "run.json").read_text())["stages"]
    assert [entry["stage"] for entry in index if not entry["built"]] == ["joined"]
    assert index[-1]["gate"] == "left: the loss is below 3"


def test_what_is_changed_later_leaves_every_byte_before_it(
    run: Path, cuvee: Cuvee, corpus: Path, tmp_path: Path
) -> None:
    other = tmp_path / "changed"
    shutil.copytree(run, other)
    done = cuvee(
        *("build", corpus / "stages.yaml", "--out", other, "--update"),
        *("--set", "stages.all.epochs=0.5", "--set", "stages.left.mixture.web@good=0.9"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for stage in ("joint_1", "joint_2", "clean", "right"):
        assert first_difference(run, other, stage) is None
        (old, new) = (sorted((at / "shards" / stage).iterdir()) for at in (run, other))
        assert [path.read_bytes() for path in old] == [path.read_bytes() for path in new]
        assert [path.stat().st_mtime_ns for path in old] == [
            path.stat().st_mtime_ns for path in new
        ]
    shorter = read_manifest(other / "shards" / "all").sequences
    assert first_difference(run, other, "all") == shorter
    assert shorter < read_manifest(run / "shards" / "all").sequences
    rows = [
        np.concatenate([batch.tokens for batch in StageLoader(at / "shards" / "all")])
        for at in (run, other)
    ]
    assert (rows[0][:shorter] == rows[1]).all()
    left = first_difference(run, other, "left")
    assert left is not None
    assert left < 120


def test_what_training_has_read_is_not_changed(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    job, made = load_job(copy), [Advance("joint", 60, "")]
    keep_consumed(copy, job.recipe, made)
    assert stops_of(copy, job.recipe) == {}
    stages = [stage.model_copy(update={"gate": "a test"}) for stage in job.recipe.stages]
    gated = job.recipe.model_copy(update={"stages": stages})
    assert stops_of(copy, gated) == {"joint_2": 60 - 39}
    refuse_changed(copy, job.recipe, made)
    stored = stored_plan(copy, "joint_2")
    for position, refused in ((21 * 8, False), (21 * 8 - 1, True)):
        row = pq.read_table(stored.plan).slice(position, 1).to_pylist()[0]
        packs = stored.packs / f"{row['source']}.parquet"
        table = pq.read_table(packs)
        ids = table.column("doc_id").to_pylist()
        ids[table.column("ordinal").to_pylist().index(row["ordinal"])] = bytes(16)
        at = table.schema.get_field_index("doc_id")
        table = table.set_column(at, table.schema.field(at), pa.array(ids, pa.binary(16)))
        write_part(packs, table.schema, table.to_batches())
        held = stored.read() | {"head": "of another plan"}
        write_json(stored.chain, held)
        if refused:
            with pytest.raises(RunMismatch, match=f"'joint_2' up to step 21.*position {position}"):
                refuse_changed(copy, job.recipe, made)
        else:
            refuse_changed(copy, job.recipe, made)


def test_a_stage_that_excludes_too_much_says_what_is_missing(
    run: Path, cuvee: Cuvee, corpus: Path
) -> None:
    done = cuvee(
        *("build", corpus / "stages.yaml", "--out", run, "--update"),
        *("--set", "stages.clean.exclude.where=1 = 1"),
    )
    assert done.returncode == 2
    assert "source 'books' can give 0 tokens" in done.stdout + done.stderr
    assert "Of these it passes over documents by stages.clean.exclude." in done.stderr


def test_a_condition_that_is_no_expression_is_refused_before_any_work() -> None:
    check_condition("core", Exclude(where="language = 'zh' -- Chinese"))
    for where in ("language =", "true); SELECT 1; --"):
        with pytest.raises(RecipeError, match=r"stages\.core\.exclude\.where"):
            check_condition("core", Exclude(where=where))
