"""The index of earlier documents: it finds what was added, all of it and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RequestError, RunError, RunMismatch
from cuvee.corpus import dedup_entry, dedup_index
from cuvee.corpus.dedup_entry import Origin, add_entry
from cuvee.corpus.dedup_index import earlier, locate, matches, read_entries

PARAMETERS: dict[str, int | str] = {"exact": "folded", "minhash.bands": 2}
KEYS = [0, 1, 2**62 - 1, 2**62, 2**63, 2**63 + 1, 2**64 - 1]
Document = tuple[int | None, tuple[int, int] | None]  # keys of `url` and `exact`


def origin(identity: str, **changes: Any) -> Origin:
    fields: dict[str, Any] = {
        "name": identity,
        "run": Path("runs") / identity,
        "identity": identity,
        "contents": f"contents of {identity}",
        "parameters": PARAMETERS,
        "parts": [("web/00000", "print 0"), ("web/00001", "print 1")],
        "key_bits": {"url": 64, "exact": 128},
    }
    return Origin(**(fields | changes))


def table(documents: Sequence[Document], first: int = 0) -> pa.Table:
    exact = [
        None if wide is None else wide[0].to_bytes(8, "big") + wide[1].to_bytes(8, "big")
        for _, wide in documents
    ]
    numbers = list(range(first, first + len(documents)))
    return pa.table(
        {
            "doc_id": pa.array([n.to_bytes(16, "big") for n in numbers], pa.binary(16)),
            "part": pa.array([n % 2 for n in numbers], pa.int32()),
            "row": pa.array([n // 2 for n in numbers], pa.int64()),
            "n_bytes": pa.array([10 + n for n in numbers], pa.int64()),
            "n_shingles": pa.array([n or None for n in numbers], pa.int32()),
            "url": pa.array([url for url, _ in documents], pa.uint64()),
            "exact": pa.array(exact, pa.binary(16)),
        }
    )


def add(index: Path, identity: str, documents: Sequence[Document], **changes: Any) -> None:
    half = len(documents) // 2
    tables = [table(documents[:half]), table(documents[half:], half)]
    add_entry(index, origin(identity, **changes), tables)


def contents(index: Path) -> dict[str, bytes]:
    files = [path for path in index.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(index)): path.read_bytes() for path in files}


documents_ = st.lists(
    st.tuples(
        st.none() | st.sampled_from(KEYS),
        st.none() | st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS[:2])),
    ),
    max_size=12,
)


@contextmanager
def small_files() -> Iterator[None]:
    """Have four partitions and several files of documents for a handful of documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup_entry, "DOCUMENTS_A_PARTITION", 2)
        patch.setattr(dedup_entry, "MAX_PARTITIONS", 4)
        patch.setattr(dedup_entry, "DOCUMENTS_A_FILE", 5)
        patch.setattr(dedup_index, "DOCUMENTS_A_FILE", 5)
        yield


@given(entries=st.lists(documents_, min_size=1, max_size=2), asked=st.lists(st.sampled_from(KEYS)))
@settings(max_examples=12, deadline=None)
def test_what_is_found_is_what_a_search_of_all_documents_finds(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[list[Document]],
    asked: list[int],
) -> None:
    index = tmp_path_factory.mktemp("index")
    with small_files():
        for number, documents in enumerate(entries):
            add(index, f"run {number}", documents)
    found = earlier(index, "mine", PARAMETERS)
    narrow = np.array(sorted(asked), np.uint64)
    wide = np.array([(key, low) for key in sorted(asked) for low in (0, 1)], np.uint64)
    for kind, keys in (("url", narrow), ("exact", wide.reshape(-1, 2))):
        column, plain = ("url", "exact").index(kind), keys.tolist()
        expected = [
            (row, entry, doc)
            for entry, documents in enumerate(entries)
            for row, key in enumerate(plain)
            for doc, keys_of in enumerate(documents)
            if keys_of[column] == (key if kind == "url" else tuple(key))
        ]
        assert np.transpose(matches(found, kind, keys)).tolist() == [list(hit) for hit in expected]


@given(numbers=st.lists(st.integers(0, 11), max_size=8))
@settings(max_examples=6, deadline=None)
def test_documents_are_located_in_the_order_asked_for(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int]
) -> None:
    index = tmp_path_factory.mktemp("index")
    with small_files():
        add(index, "run", [(None, None)] * 12)
        found = locate(earlier(index, "mine", PARAMETERS), 0, np.array(numbers, np.int64))
    assert found.to_pylist() == [
        {
            "doc_id": n.to_bytes(16, "big"),
            "part": f"web/0000{n % 2}",
            "row": n // 2,
            "n_bytes": 10 + n,
            "n_shingles": n or None,
        }
        for n in numbers
    ]


def test_a_run_is_asked_about_what_came_before_it_alone(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        add(tmp_path, name, [(7, None)])
    keys = np.array([7], np.uint64)

    def entries_of(identity: str) -> list[int]:
        found = matches(earlier(tmp_path, identity, PARAMETERS), "url", keys)
        return [int(entry) for entry in found.entry]

    assert entries_of("first") == []
    assert entries_of("second") == [0]
    assert entries_of("new") == [0, 1, 2]


def test_what_is_asked_has_an_identity_that_later_entries_do_not_change(tmp_path: Path) -> None:
    add(tmp_path, "first", [(7, None)])
    before = earlier(tmp_path, "second", PARAMETERS).fingerprint
    add(tmp_path, "second", [(8, None)])
    add(tmp_path, "third", [(9, None)])
    assert earlier(tmp_path, "second", PARAMETERS).fingerprint == before
    assert earlier(tmp_path, "third", PARAMETERS).fingerprint != before


def test_adding_a_run_again_changes_nothing(tmp_path: Path) -> None:
    add(tmp_path, "first", [(7, (1, 2)), (None, None)])
    before = contents(tmp_path)
    add(tmp_path, "first", [(7, (1, 2)), (None, None)], name="another name")
    assert contents(tmp_path) == before


def test_the_same_documents_otherwise_kept_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "first", [(7, None)])
    with pytest.raises(RunMismatch, match="another recipe had kept other ones"):
        add(tmp_path, "first", [(7, None)], contents="others")


def test_keys_of_other_parameters_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "first", [(7, None)])
    with pytest.raises(RunMismatch, match=r"minhash.bands \(2 there, 3 here\)"):
        earlier(tmp_path, "new", PARAMETERS | {"minhash.bands": 3})
    with pytest.raises(RunMismatch, match=r"url \(nothing there, canonical 1 here\)"):
        earlier(tmp_path, "new", {"url": "canonical 1"})
    with pytest.raises(RunMismatch, match=r"exact \(folded there, nothing here\)"):
        add(tmp_path, "second", [(7, None)], parameters={"minhash.bands": 2})
    with pytest.raises(RunMismatch, match="has no band_00 keys"):
        matches(earlier(tmp_path, "new", {}), "band_00", np.array([7], np.uint64))


def test_a_changed_or_missing_file_is_an_error_and_no_missing_match(tmp_path: Path) -> None:
    add(tmp_path, "first", [(7, None)])
    asked, path = earlier(tmp_path, "new", PARAMETERS), tmp_path / "00000" / "url" / "00000.parquet"
    path.write_bytes(path.read_bytes().replace(b"url", b"key"))
    (tmp_path / "00000" / "parts.parquet").write_bytes(b"")
    with pytest.raises(RunError, match="is not what was written"):
        locate(asked, 0, np.array([0]))
    path.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        matches(asked, "url", np.array([7], np.uint64))


def test_entries_without_a_manifest_do_not_exist_and_none_may_be_missing(tmp_path: Path) -> None:
    for name in ("first", "second"):
        add(tmp_path, name, [(7, None)])
    (tmp_path / "00001" / "entry.json").unlink()
    assert [entry.name for entry in read_entries(tmp_path)] == ["first"]
    add(tmp_path, "third", [(7, None)])
    (tmp_path / "00000" / "entry.json").unlink()
    with pytest.raises(RunError, match=r"Entry 0 of the index .* is missing"):
        read_entries(tmp_path)


def test_no_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="There is no index"):
        earlier(tmp_path / "none", "new", PARAMETERS)


KILL = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_dedup_index as tests
from cuvee.corpus import whole
index, sync, calls = Path({index!r}), whole._sync, 0
def die_at(moment):
    def counted(path):
        global calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)
    whole._sync = counted
for moment in {moments}:  # each file is synced, and its folder once it is in its place
    child = os.fork()
    if not child:
        die_at(moment)
        tests.add(index, "second", tests.SOME)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, moment
    print([entry.name for entry in tests.read_entries(index)])
"""
SOME: list[Document] = [(n, (n, n)) for n in range(40)]


def test_a_killed_addition_leaves_the_index_as_it_was_and_can_be_done_again(tmp_path: Path) -> None:
    for name in ("killed", "undisturbed"):
        add(tmp_path / name, "first", SOME)
    add(tmp_path / "undisturbed", "second", SOME)
    syncs = 2 * (len(list((tmp_path / "undisturbed" / "00001").rglob("*.*"))) + 1)  # + the scratch
    moments = [1, 2, 3, 4, 7, syncs - 2, syncs - 1]
    script = KILL.format(
        tests=str(Path(__file__).parent), index=str(tmp_path / "killed"), moments=moments
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['first']"] * len(moments)
    add(tmp_path / "killed", "second", SOME)
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
