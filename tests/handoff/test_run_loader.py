"""Whole runs: stages in order, forks, resuming, gates, and stages that are not those listed."""

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import Any

import fsspec
import jsonschema
import pytest

from cuvee.configs.errors import CorruptShard, RequestError, RunMismatch
from cuvee.handoff import Batch, RunLoader, StageLoader, StageStart, verify_stage
from cuvee.handoff.places import place_of
from cuvee.handoff.run_index import IndexedStage, read_run_index, write_run_index

SCHEMA = json.loads(resources.files("cuvee.handoff").joinpath("run.schema.json").read_text())
SHA = "0" * 64


def told(loader: RunLoader) -> list[Any]:
    """Events as plain values: ("core", 0) for a start, else (step, positions, seq_len)."""
    return [
        (event.stage, event.step)
        if isinstance(event, StageStart)
        else (event.step, event.positions.tolist(), event.tokens.shape[1])
        for event in loader
    ]


def due(run: Any, stage: str, rank: int, world: int, start: int = 0) -> list[Any]:
    """What a rank reads of a stage at once per step, by the definition."""
    spec = run.stages[stage].spec
    slots = range(spec.batch)[rank::world]
    steps = range(start, spec.steps)
    return [(step, [step * spec.batch + slot for slot in slots], spec.seq_len) for step in steps]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_stages_follow_each_other_with_their_own_shapes(
    run: Any, world: int, prefetch: int
) -> None:
    for rank in range(world):
        loader = RunLoader(run.directory, rank, world, until="long", prefetch=prefetch)
        assert loader.path == ("core", "long")
        assert told(loader) == [
            ("core", 0),
            *due(run, "core", rank, world),
            ("long", 0),
            *due(run, "long", rank, world),
        ]
        assert list(loader) == []
        assert loader.state_dict()["step"] == 5


def test_a_stage_tells_what_a_trainer_must_change(run: Any) -> None:
    starts = [e for e in RunLoader(run.directory, until="long") if isinstance(e, StageStart)]
    assert [(s.stage, s.seq_len, s.global_batch, s.steps) for s in starts] == [
        ("core", 16, 8, 7),
        ("long", 64, 3, 5),
    ]
    assert starts[0].meta["rope_theta"] == 500000
    assert starts[0].sources == ("s0", "s1", "s2")


def test_a_fork_must_be_named_and_a_join_takes_all_before_it(run: Any) -> None:
    with pytest.raises(RequestError, match=r"2 stages. They are long, code. Name one as `until`"):
        RunLoader(run.directory)
    with pytest.raises(RequestError, match=r"no stage 'end'. It has core, long, code"):
        RunLoader(run.directory, until="end")
    assert RunLoader(run.directory, until="code").path == ("core", "code")
    assert RunLoader(run.directory, until="core").path == ("core",)
    run.index(core=(), long=(), code=("core", "long"))
    assert RunLoader(run.directory).path == ("core", "long", "code")
    assert RunLoader(run.directory, until="long").path == ("long",)


def test_micro_batches_may_be_given_in_tokens(run: Any) -> None:
    loader = RunLoader(run.directory, micro_tokens=64, until="long")
    shapes = {e.tokens.shape for e in loader if isinstance(e, Batch)}
    assert shapes == {(4, 16), (1, 64)}
    with pytest.raises(RequestError, match="micro_tokens 63 in stage 'long' of 64 tokens"):
        RunLoader(run.directory, micro_tokens=63, until="long")
    with pytest.raises(RequestError, match="both micro_batch and micro_tokens"):
        RunLoader(run.directory, micro_batch=1, micro_tokens=64, until="long")
    sizes = {
        len(e.positions)
        for e in RunLoader(run.directory, 0, 1, 3, until="long")
        if isinstance(e, Batch)
    }
    assert sizes == {3, 2}


@pytest.mark.parametrize("events", [0, 1, 2, 7, 8, 9, 10, 14])
@pytest.mark.parametrize("world", [1, 3])
def test_training_resumes_in_the_right_stage_at_another_world_size(
    run: Any, events: int, world: int
) -> None:
    before = RunLoader(run.directory, 1, 2, until="long")
    for _ in range(events):
        next(before)
    state = json.loads(json.dumps(before.state_dict()))
    assert state.keys() == {"stage", "manifest", "algorithm", "step"}
    read = max(0, events - 1) if events <= 8 else max(0, events - 2)  # batches
    for rank in range(world):
        after = RunLoader(run.directory, rank, world, until="long")
        after.load_state_dict(state)
        core = [("core", read), *due(run, "core", rank, world, read)] if read < 7 else []
        start = max(0, read - 7)
        long = [("long", start), *due(run, "long", rank, world, start)] if start < 5 else []
        assert told(after) == [*core, *long]


def test_seeking_goes_to_any_stage_and_back(run: Any) -> None:
    loader = RunLoader(run.directory, until="long")
    loader.seek("long", 4)
    assert told(loader) == [("long", 4), *due(run, "long", 0, 1, 4)]
    loader.seek("core", 6)
    assert told(loader) == [
        ("core", 6),
        *due(run, "core", 0, 1, 6),
        ("long", 0),
        *due(run, "long", 0, 1),
    ]
    with pytest.raises(RequestError, match=r"'code' is not on the path. It is core, long"):
        loader.seek("code", 0)
    with pytest.raises(RequestError, match="step 9"):
        loader.seek("core", 9)


def test_a_broken_off_step_is_read_again_without_the_start_of_its_stage(run: Any) -> None:
    loader = RunLoader(run.directory, micro_batch=3, until="core")
    *_, fourth, _ = (next(loader) for _ in range(6))
    again = next(iter(loader))
    assert isinstance(fourth, Batch)
    assert isinstance(again, Batch)
    assert again.positions.tolist() == fourth.positions.tolist()
    assert again.micro == 0


def test_waiting_is_added_up_over_stages(run: Any) -> None:
    loader = RunLoader(run.directory, until="long")
    waited = [event.waited for event in loader if isinstance(event, Batch)]
    assert loader.waited == pytest.approx(sum(waited))


def test_states_that_do_not_fit_are_refused(run: Any) -> None:
    loader = RunLoader(run.directory, until="long")
    state = loader.state_dict()
    with pytest.raises(RequestError, match="keys"):
        loader.load_state_dict({"step": 1})
    with pytest.raises(RunMismatch, match=r"stage 'code'. This loader reads core, long"):
        loader.load_state_dict({**state, "stage": "code"})
    with pytest.raises(RunMismatch, match="manifest"):
        loader.load_state_dict({**state, "stage": "long"})
    assert loader.state_dict() == state


def test_a_stage_behind_a_gate_is_refused_when_it_is_reached_and_read_once_built(
    run: Any,
) -> None:
    shards = run.directory / "shards"
    built = read_run_index(place_of(shards))
    assert built is not None
    core, long, _ = built.stages
    gated = dataclasses.replace(long, manifest="", built=False, gate="a loss of core below 2.1")
    write_run_index(shards, [core, gated])
    loader = RunLoader(run.directory)
    assert len([next(loader) for _ in range(8)]) == 8
    for _ in range(2):
        with pytest.raises(RequestError, match=r"'long' of .* not built yet. It waits for a loss"):
            next(loader)
    assert loader.state_dict()["stage"] == "core"
    write_run_index(shards, [core, long])
    assert told(loader) == [("long", 0), *due(run, "long", 0, 1)]


def test_a_run_without_an_index_is_refused(run: Any) -> None:
    (run.directory / "shards" / "run.json").unlink()
    with pytest.raises(RequestError, match=r"holds no run\.json"):
        RunLoader(run.directory)


def test_a_run_is_read_from_a_url(run: Any, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(run.directory), "/elsewhere", recursive=True)
    try:
        loader = RunLoader("memory://elsewhere", until="long", cache=tmp_path / "cache")
        assert told(loader) == told(RunLoader(run.directory, until="long"))
    finally:
        store.rm("/elsewhere", recursive=True)


def test_another_tokenizer_is_refused(run: Any) -> None:
    made = run.stages["core"].manifest.tokenizer.sha256
    directory = run.stages["core"].directory
    assert StageLoader(directory, tokenizer=made).steps == 7
    with pytest.raises(RunMismatch, match=f"made with tokenizer 'made-up' of sha256 {made}"):
        StageLoader(directory, tokenizer=SHA)
    with pytest.raises(RunMismatch, match="The model is for the one of sha256 000"):
        RunLoader(run.directory, until="long", tokenizer=SHA)


def test_stages_of_different_tokenizers_are_refused(run: Any) -> None:
    stage = run.stages["long"]
    other = dataclasses.replace(stage.manifest.tokenizer, sha256=SHA)
    stage.write_manifest(dataclasses.replace(stage.manifest, tokenizer=other))
    # As it stands, the manifest is not the one listed.
    for refuses in (verify_stage, StageLoader):
        with pytest.raises(CorruptShard, match=r"long/manifest\.json: its sha256"):
            refuses(stage.directory)
    with pytest.raises(CorruptShard, match=r"long/manifest\.json: its sha256"):
        RunLoader(run.directory, until="long")
    run.index(core=(), long=("core",), code=("core",))
    verify_stage(stage.directory).raise_first()
    assert RunLoader(run.directory, until="code").path == ("core", "code")
    with pytest.raises(RunMismatch, match=r"'core' and 'long' of .* different tokenizers"):
        RunLoader(run.directory, until="long")


def test_the_index_comes_back_as_written_and_fits_its_schema(run: Any) -> None:
    shards = run.directory / "shards"
    document = json.loads((shards / "run.json").read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert list(document) == SCHEMA["required"]
    assert list(document["stages"][0]) == SCHEMA["$defs"]["stage"]["required"]
    index = read_run_index(place_of(shards))
    assert index is not None
    assert [entry.stage for entry in index.stages] == ["core", "long", "code"]
    assert index.leaves() == ["long", "code"]
    before = (shards / "run.json").read_bytes()
    write_run_index(shards, index.stages)
    assert (shards / "run.json").read_bytes() == before
    assert not list(shards.glob("*.tmp"))


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "it lists no stage"),
        ([IndexedStage("a", (), SHA), IndexedStage("a", (), SHA)], "'a' stands in it twice"),
        ([IndexedStage("a", ("b",), SHA)], "'a' comes after 'b', which does not stand before it"),
        ([IndexedStage("a/b", (), SHA)], "'a/b' is no folder's name"),
        ([IndexedStage("a", (), "")], "built and manifest contradict each other"),
        ([IndexedStage("a", (), SHA, built=False)], "built and manifest contradict each other"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(
    tmp_path: Path, stages: list[IndexedStage], said: str
) -> None:
    with pytest.raises(CorruptShard, match=said):
        write_run_index(tmp_path, stages)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda d: d.update(format_version=2), RequestError, "format version 2"),
        (lambda d: d["stages"][1].pop("after"), CorruptShard, r"run\.json is no index.*missing"),
        (lambda d: d["stages"].reverse(), CorruptShard, "does not stand before it"),
    ],
)
def test_a_damaged_index_is_named(run: Any, change: Any, error: Any, said: str) -> None:
    path = run.directory / "shards" / "run.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(error, match=said):
        RunLoader(run.directory, until="long")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorruptShard, match=r"run\.json is no index"):
        RunLoader(run.directory, until="long")
