"""`cuvee index`, and the texts of documents that earlier runs kept."""

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

from cuvee.configs.deduplication import Dedup, MinHash
from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.corpus import catalog
from cuvee.corpus.dedup_entry import Origin, add_entry
from cuvee.corpus.dedup_index import Earlier, earlier, locate, matches, read_entries
from cuvee.corpus.records import Record, finish
from cuvee.corpus.schemas import DOCUMENTS, EDITED
from cuvee.corpus.whole import part_writer
from cuvee.filters.minhash import MinHashParams, band_hashes, signatures
from cuvee.flows.index_commands import add, show
from cuvee.flows.index_keys import identity_of, key_bits, parameters_of, texts_print
from cuvee.flows.index_texts import kept_texts

Cuvee = Callable[..., subprocess.CompletedProcess[str]]
PARTS = ("web/00000", "web/00001")


def write_run(run: Path, texts: list[str], edits: dict[int, str]) -> None:
    """Write two parts of the same texts, row groups of three; the second part's are edited."""
    for number, part in enumerate(PARTS):
        columns: dict[str, list[Any]] = {
            "doc_id": [bytes([number] * 15 + [row]) for row in range(len(texts))],
            "text": texts,
        }
        nothing = {name: [None] * len(texts) for name in DOCUMENTS.names if name not in columns}
        edited = {
            "doc_id": columns["doc_id"],
            "text": [edits.get(row) for row in range(len(texts))],
        }
        tables = {"documents": pa.table(columns | nothing, DOCUMENTS)}
        tables |= {"edited": pa.table(edited, EDITED)} if number else {}
        for name, table in tables.items():
            path = run / "tables" / name / f"{part}.parquet"
            with part_writer(path, table.schema) as writer:
                for batch in table.to_batches(max_chunksize=3):
                    writer.write(batch)
                    writer.flush()
            step = {"documents": "ingest", "edited": "edit"}[name]
            finish(run, step, part, Record(f"{step} of {part}", step, {}, 0.0, []))


def index_of(run: Path, index: Path, docs: int) -> Earlier:
    """Index the documents of a run, `docs` of each part, without keys."""
    numbers = np.arange(2 * docs)
    ids = [bytes([n // docs] * 15 + [n % docs]) for n in range(2 * docs)]
    table = pa.table(
        {
            "doc_id": pa.array(ids, pa.binary(16)),
            "part": pa.array(numbers // docs, pa.int32()),
            "row": pa.array(numbers % docs),
            "n_bytes": pa.array(numbers),
            "n_shingles": pa.nulls(2 * docs, pa.int32()),
        }
    )
    parts = [(part, texts_print(run, part)) for part in PARTS]
    add_entry(index, Origin("run", run, "id", "contents", {}, parts, {}), [table])
    return earlier(index, "another", {})


@pytest.fixture
def asked(tmp_path: Path) -> Earlier:
    write_run(tmp_path / "run", [f"text {row}" for row in range(8)], {4: "edited 4", 7: ""})
    return index_of(tmp_path / "run", tmp_path / "index", 8)


def texts_by_number(asked: Earlier, numbers: list[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in kept_texts(asked, 0, np.array(numbers, np.int64)):
        found |= dict(zip(some.numbers.tolist(), some.texts.to_pylist(), strict=True))
    return found


@pytest.mark.parametrize(
    "numbers", [[], [0], [7, 3, 4], [15, 8, 12, 0], list(range(15, -1, -1))], ids=str
)
def test_the_texts_are_those_that_deduplication_read(asked: Earlier, numbers: list[int]) -> None:
    texts = [f"text {row}" for row in range(8)]
    edited = [*texts[:4], "edited 4", *texts[5:7], ""]
    assert texts_by_number(asked, numbers) == {n: (texts + edited)[n] for n in numbers}


def test_a_run_that_is_gone_is_an_error_that_names_it(asked: Earlier, tmp_path: Path) -> None:
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    gone = tmp_path / "run" / "tables" / "documents" / "web" / "00000.parquet"
    with pytest.raises(RunMismatch, match=rf"Entry 0 \(run\) .* {gone}, which are gone"):
        texts_by_number(asked, [0])


@pytest.mark.parametrize("step", ["ingest", "edit"])
def test_texts_that_were_made_anew_are_an_error(asked: Earlier, tmp_path: Path, step: str) -> None:
    part = PARTS[step == "edit"]
    finish(tmp_path / "run", step, part, Record("another", step, {}, 0.0, []))
    with pytest.raises(RunMismatch, match="made anew"):
        texts_by_number(asked, [0, 8])


def test_another_document_in_the_row_is_an_error(asked: Earlier, tmp_path: Path) -> None:
    path = tmp_path / "run" / "tables" / "documents" / f"{PARTS[0]}.parquet"
    table = pq.read_table(path)
    ids = pa.array([b"another id of 16"] * table.num_rows, pa.binary(16))
    pq.write_table(table.set_column(0, "doc_id", ids), path)
    with pytest.raises(RunMismatch, match="made anew"):
        texts_by_number(asked, [0])


def test_only_what_decides_keys_is_a_parameter() -> None:
    one, other = (
        Dedup(minhash=MinHash(verify=verify, keep=keep))  # type: ignore[arg-type]  # mypy widens the literals
        for verify, keep in ((0.8, "longest"), (0.7, "first"))
    )
    assert parameters_of(one) == parameters_of(other)
    for change in (MinHash(ngram=7), MinHash(bands=9), MinHash(rows=9), None):
        assert parameters_of(one) != parameters_of(Dedup(minhash=change))
    assert parameters_of(one) != parameters_of(Dedup(exact=False, minhash=MinHash()))


def test_a_finished_run_is_added_shown_and_found_again(
    cuvee: Cuvee, finished: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    done = cuvee("index", "add", finished, index, "--name", "crawl-1")
    assert done.returncode == 0, done.stderr
    again = cuvee("index", "add", finished, index)
    assert "entry 0 (crawl-1)" in again.stdout
    assert "was there already" in again.stdout
    (entry,) = read_entries(index)
    with catalog.connect(finished) as connection:
        kept = connection.execute(
            "SELECT doc_id FROM verdicts WHERE kept OR step = 'decontaminate'"
        ).fetchall()
        (dropped,) = connection.execute(
            "SELECT count(*) FROM verdicts WHERE step = 'decontaminate'"
        ).fetchall()
    asked = earlier(index, "another", {})
    ids: list[Any] = locate(asked, 0, np.arange(entry.docs))["doc_id"].to_pylist()
    assert sorted(doc_id.hex() for doc_id in ids) == sorted(doc_id for (doc_id,) in kept)
    assert dropped[0] > 0
    shown = cuvee("index", "show", index).stdout
    assert "crawl-1" in shown
    assert f"{entry.docs:,}" in shown
    assert "minhash.bands" in shown


def test_every_document_that_was_added_is_found_by_its_keys(finished: Path, tmp_path: Path) -> None:
    add(finished, tmp_path / "index", None)
    asked = earlier(tmp_path / "index", "another", {})
    numbers = np.arange(asked.entries[0].docs)
    held = list(kept_texts(asked, 0, numbers))
    for some in held:
        lowest, shingles = signatures(some.texts, MinHashParams())
        bands = band_hashes(lowest, 14, 8)
        for band in (0, 13):
            order = np.argsort(bands[:, band])
            found = matches(asked, f"band_{band:02d}", bands[order, band])
            pairs = np.stack([some.numbers[order[found.row]], found.doc], axis=1)
            itself = pairs[pairs[:, 0] == pairs[:, 1], 0]
            assert sorted(itself.tolist()) == sorted(some.numbers[shingles > 0].tolist())
    assert sum(len(some.numbers) for some in held) == len(numbers)


def test_a_run_asks_nothing_of_itself_wherever_it_lies(finished: Path, tmp_path: Path) -> None:
    add(finished, tmp_path / "index", None)
    shutil.copytree(finished / "records", tmp_path / "copy" / "records")
    curated = json.loads((finished / "curated.json").read_text())
    parts = [f"{name}/{n:05d}" for name, prints in curated.items() for n in range(len(prints))]
    for run in (finished, tmp_path / "copy"):
        assert earlier(tmp_path / "index", identity_of(run, parts), {}).entries == ()
    assert earlier(tmp_path / "index", identity_of(finished, parts[1:]), {}).entries != ()


def test_what_is_no_finished_run_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RunMismatch, match="is no run directory"):
        add(tmp_path, tmp_path / "index", None)
    (tmp_path / "recipe.json").write_bytes((finished / "recipe.json").read_bytes())
    with pytest.raises(RequestError, match="The curation of this run is not there yet"):
        add(tmp_path, tmp_path / "index", None)
    with pytest.raises(RequestError, match="There is no index"):
        show(tmp_path / "index")


def test_the_keys_are_columns_of_signatures() -> None:
    assert list(key_bits(Dedup(minhash=MinHash(bands=2)))) == ["exact", "band_00", "band_01"]
