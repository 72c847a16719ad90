"""Every shipped system runs from real text to verified shards, at a hundred-millionth of its size.

Each source is bound to texts of its own, cut to lengths from a few lines to a few pages, so that
views by length find some. Three systems, with a fork, a join and gates, run as `cuvee run` does it;
the others with the same steps in this process, without Prefect, which saves minutes.
"""

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from cuvee.configs.load import load, shipped
from cuvee.flows.bindings import with_bindings
from cuvee.flows.commands import verify
from cuvee.flows.views import write_pools

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TEXTS = [SHARED / "text" / "text-000.jsonl.zst", SHARED / "code" / "code.jsonl.zst"]
SYSTEMS = sorted(name for name, path in shipped().items() if path.parent.name == "systems")
COMMANDS = ["kimi_vl", "llama3_1_405b", "ouro"]
SCALE = 1e-8
LENGTHS = [300, 600, 1200, 2400, 4800]  # characters of a document
MIN_CHARS, CHARS_PER_TOKEN = 15_000, 5  # of a source; of its tokens, with room for what is cut

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
InProcess = Callable[..., None]


def documents() -> Iterator[str]:
    """Yield documents of the texts, each cut out of another one, in five lengths."""
    lengths = itertools.cycle(LENGTHS)
    for path in TEXTS:
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            for text in (json.loads(line)["text"] for line in lines):
                if len(text) >= LENGTHS[-1]:
                    yield text[: next(lengths)]


def bind(name: str, folder: Path) -> Path:
    """Write texts for every source of a system, and a file of bindings to them."""
    if not all(path.exists() for path in TEXTS):
        pytest.skip("the real texts are not there")
    found, bindings = documents(), {}
    for source, one in load(shipped()[name]).sources.items():
        left = max(MIN_CHARS, round((one.tokens or 0) * SCALE * CHARS_PER_TOKEN))
        path = folder / "texts" / f"{source}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            while left > 0:
                text = next(found)
                file.write(json.dumps({"text": text}) + "\n")
                left -= len(text)
        bindings[source] = {"paths": [f"texts/{source}.jsonl"]}
    (folder / "bindings.yaml").write_text(yaml.safe_dump(bindings))
    return folder / "bindings.yaml"


def gates(name: str, but: str = "") -> list[str]:
    """Return the overrides that open every gate of a system but one."""
    held = (stage for stage in load(shipped()[name]).stages if stage.gate and stage.name != but)
    return [f"stages.{stage.name}.gate=null" for stage in held]


def folders(run: Path) -> set[str]:
    return {path.parent.name for path in (run / "shards").glob("*/manifest.json")}


def planned(name: str) -> set[str]:
    return {folder for stage in load(shipped()[name]).stages for folder in stage.folders}


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in COMMANDS])
def test_a_system_runs_end_to_end_on_real_text(
    name: str, tmp_path: Path, in_process: InProcess
) -> None:
    recipe, out = shipped()[name], tmp_path / "run"
    overrides = with_bindings(recipe, gates(name), [str(bind(name, tmp_path))])
    in_process(recipe, out, overrides, SCALE)
    verify(out)
    assert folders(out) == planned(name)


@pytest.mark.parametrize("name", ["kimi_vl", "ouro"])
def test_a_system_with_a_fork_or_a_join_runs_as_a_command(
    name: str, cuvee: Cuvee, tmp_path: Path
) -> None:
    out, bindings = tmp_path / "run", bind(name, tmp_path)
    ran = cuvee("run", name, "--bind", bindings, "--scale", SCALE, "--out", out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verified = cuvee("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert folders(out) == planned(name)


def test_llamas_next_increment_waits_for_its_gate(cuvee: Cuvee, tmp_path: Path) -> None:
    name, out = "llama3_1_405b", tmp_path / "run"
    arguments = ["run", name, "--bind", bind(name, tmp_path), "--scale", SCALE, "--out", out]
    arguments += [f"--set={override}" for override in gates(name, but="long_1")]
    before = {"initial_1", "initial_2", "initial_3", "long_1", "probe", "probe_baseline"}
    ran = cuvee(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert folders(out) == before
    advanced = cuvee("advance", out, "long_1", "--note", "needles are found at 16K")
    assert advanced.returncode == 0, advanced.stdout + advanced.stderr
    built = cuvee("build", *arguments[1:])
    assert built.returncode == 0, built.stdout + built.stderr
    assert folders(out) == planned(name)
    verified = cuvee("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_prolongs_views_keep_documents_that_fill_their_length_alone(tmp_path: Path) -> None:
    recipe = load(shipped()["llama3_1_8b_1m"])
    views = {name: view for name, view in recipe.views.items() if view.of == "books"}
    lengths = [65_535, 65_536, 65_537, 524_287, 524_288, 10]
    ids = pa.array([bytes([n] * 16) for n in range(len(lengths))], pa.binary(16))
    store = pa.table({"doc_id": ids, "n_tokens": pa.array(lengths, pa.int32())})
    pq.write_table(store, tmp_path / "tokens.parquet")
    targets = {name: tmp_path / f"{name}.parquet" for name in views}
    source = ("books", recipe.sources["books"])
    write_pools(tmp_path, source, views, (tmp_path / "tokens.parquet",), 0, targets)
    rows = {name: pq.read_table(path)["doc_row"].to_pylist() for name, path in targets.items()}
    assert rows == {"books@64K": [1, 2, 3, 4], "books@512K": [4]}
