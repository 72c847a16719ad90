"""A run whose stages ramp, change shape on the way, and pass documents over."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cuvee.configs.errors import RecipeError
from cuvee.configs.stages import Exclude
from cuvee.corpus import catalog
from cuvee.flows.exclusions import check_condition
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
]


@pytest.fixture(scope="module")
def run(cuvee: Cuvee, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small recipe with these stages; hits of benchmarks are only reported."""
    recipe = yaml.safe_load((corpus / "small.yaml").read_text())
    recipe["stages"] = STAGES
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
    found = "SELECT sum(n_tokens) FROM tokens WHERE source IN ('web', 'notes')"
    ((tokens,),) = ask(run, found)
    stage = read_manifest(run / "shards" / "all")
    assert abs(stage.sequences * stage.seq_len - tokens) <= 8 * 128


def test_a_stage_that_excludes_too_much_says_what_is_missing(
    run: Path, cuvee: Cuvee, corpus: Path
) -> None:
    done = cuvee(
        *("build", corpus / "stages.yaml", "--out", run, "--update"),
        *("--set", "stages.clean.exclude.where=1 = 1"),
    )
    assert done.returncode == 2
    assert "passes over so much of source" in done.stdout + done.stderr


def test_a_condition_that_is_no_expression_is_refused_before_any_work() -> None:
    check_condition("core", Exclude(where="language = 'zh' -- Chinese"))
    for where in ("language =", "true); SELECT 1; --"):
        with pytest.raises(RecipeError, match=r"stages\.core\.exclude\.where"):
            check_condition("core", Exclude(where=where))
