"""Add what a run kept to an index of earlier documents (`dedup_index`), as a new entry.

Documents come in any number of tables, in the order in which they are numbered; their keys are
sorted by DuckDB, which spills beside them (`MEMORY_LIMIT`). The entry's folder is filled file by
file and the manifest is written last, so a kill at any moment leaves what was, and the next one who
adds starts the folder anew. One process adds at a time.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cuvee.configs.errors import RunMismatch
from cuvee.corpus.dedup_index import (
    DOCUMENTS_A_FILE,
    MANIFEST,
    NOTHING,
    Entry,
    Parameters,
    partition_starts,
    read_entries,
    require_parameters,
)
from cuvee.corpus.schemas import DOC_ID
from cuvee.corpus.whole import part_writer, write_json, write_part

MEMORY_LIMIT: Final = "1GB"  # of DuckDB's sorting, the rest spills
SORTED_AT_ONCE: Final = 2**16  # keys
DOCUMENTS_A_PARTITION: Final = 2**14  # 256 kB of keys a kind
MAX_PARTITIONS: Final = 64
_COLUMNS: Final[dict[str, pa.DataType]] = {
    "doc_id": DOC_ID,
    "part": pa.int32(),
    "row": pa.int64(),
    "n_bytes": pa.int64(),
    "n_shingles": pa.int32(),
}
DOCUMENTS: Final = pa.schema(_COLUMNS)
PARTS: Final = pa.schema([("part", pa.string()), ("texts", pa.string())])
SCRATCH: Final = "scratch"  # a folder within the entry's, gone before the manifest is written


@dataclass(frozen=True)
class Origin:
    """Which run an entry is made of; the fields are those of `Entry`, `parts` those of its table.

    `key_bits` is 64 or 128 by kind.
    """

    name: str
    run: Path
    identity: str
    contents: str
    parameters: Parameters
    parts: Sequence[tuple[str, str]]
    key_bits: Mapping[str, int]


def add_entry(index: Path, origin: Origin, documents: Iterable[pa.Table]) -> tuple[Entry, bool]:
    """Add an entry to an index, which is made if it is not there; say whether it is a new one.

    `documents` have the columns of `DOCUMENTS` and one for every kind of `origin.key_bits`, uint64
    or fixed_size_binary(16), null for no key. An entry with the same identity and contents is
    returned as it is. RunMismatch when the index holds the same documents otherwise kept, keys of
    other parameters, or when another process is adding. For a million documents with 14 bands: 5 s
    of CPU, 185 MB of disk and half as much again while it works, 200 MB of memory.
    """
    index.mkdir(parents=True, exist_ok=True)
    with _alone(index):
        entries = read_entries(index)
        for entry in entries:
            if entry.identity == origin.identity:
                return _same(index, entry, origin), False
            names = sorted({*entry.parameters, *origin.parameters})
            mine = {name: origin.parameters.get(name, NOTHING) for name in names}
            require_parameters(index, entry, mine)
        return _write(index, len(entries), origin, documents), True


@contextmanager
def _alone(index: Path) -> Iterator[None]:
    """Hold an index for adding; a killed process holds it no longer."""
    with (index / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunMismatch(
                f"Another run is being added to {index}.", do="Wait for it, then add this one."
            ) from error
        yield


def _same(index: Path, entry: Entry, origin: Origin) -> Entry:
    """Return the entry if it is what would be added; else refuse to change it."""
    if entry.contents != origin.contents:
        raise RunMismatch(
            f"Entry {entry.number} ({entry.name}) of {index} was made of the documents of this run "
            "when another recipe had kept other ones of them.",
            "An entry never changes.",
            "Keep it as it is, or make a new index and add the runs to it in their order.",
        )
    return entry


def _write(index: Path, number: int, origin: Origin, documents: Iterable[pa.Table]) -> Entry:
    """Write an entry, its manifest last."""
    folder = index / f"{number:05d}"
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left of it
    scratch = folder / SCRATCH
    scratch.mkdir(parents=True)
    docs, n_bytes = _write_documents(folder, origin, documents)
    partitions = _partitions(docs)
    for kind, bits in origin.key_bits.items():
        _write_kind(folder, kind, bits, partitions)
    shutil.rmtree(scratch)
    columns = [[part[n] for part in origin.parts] for n in (0, 1)]
    parts = pa.table(columns, schema=PARTS)
    write_part(folder / "parts.parquet", PARTS, parts.to_batches())
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.parquet"))
    }
    entry = Entry(
        number=number,
        name=origin.name,
        run=str(origin.run.resolve()),
        identity=origin.identity,
        contents=origin.contents,
        parameters=dict(origin.parameters),
        docs=docs,
        n_bytes=n_bytes,
        partitions=partitions,
        kinds=list(origin.key_bits),
        files={name: _sha256(path) for name, path in files.items()},
    )
    write_json(folder / MANIFEST, asdict(entry))
    return entry


def _partitions(docs: int) -> int:
    """Return into how many files the keys of a kind go."""
    partitions = 1
    while partitions < MAX_PARTITIONS and docs > partitions * DOCUMENTS_A_PARTITION:
        partitions *= 2
    return partitions


def _write_documents(
    folder: Path, origin: Origin, documents: Iterable[pa.Table]
) -> tuple[int, int]:
    """Write the documents and, into the scratch folder, their keys; return how many and how large.

    The keys of a file of documents are a file of the same name.
    """
    docs = n_bytes = 0
    halves = [half for kind, bits in origin.key_bits.items() for half in _halves(kind, bits)]
    keys = pa.schema([("doc", pa.int64()), *((half, pa.uint64()) for half in halves)])
    for file, pieces in groupby(_numbered(documents, origin.key_bits), key=itemgetter(0)):
        name = f"{file:05d}.parquet"
        with (
            part_writer(folder / "documents" / name, DOCUMENTS) as documents_out,
            part_writer(folder / SCRATCH / name, keys) as keys_out,
        ):
            for _, piece in pieces:
                rows = piece.select(DOCUMENTS.names).cast(DOCUMENTS).combine_chunks()
                for batch in rows.to_batches():
                    documents_out.write(batch)
                for batch in _keys_of(piece, origin.key_bits, docs, keys).to_batches():
                    keys_out.write(batch)
                docs += rows.num_rows
                n_bytes += pc.sum(rows["n_bytes"]).as_py() or 0
    return docs, n_bytes


def _numbered(
    documents: Iterable[pa.Table], key_bits: Mapping[str, int]
) -> Iterator[tuple[int, pa.Table]]:
    """Yield documents, none or more at a time, with the number of the file that they go to."""
    kinds = [(kind, DOC_ID if bits == 128 else pa.uint64()) for kind, bits in key_bits.items()]
    yield 0, pa.schema([*DOCUMENTS, *kinds]).empty_table()
    number = 0
    for table in documents:
        while table.num_rows:
            piece = table.slice(0, DOCUMENTS_A_FILE - number % DOCUMENTS_A_FILE)
            yield number // DOCUMENTS_A_FILE, piece
            number, table = number + piece.num_rows, table.slice(piece.num_rows)


def _halves(kind: str, bits: int) -> list[str]:
    """Return the columns of a kind's keys in the scratch tables."""
    return [kind] if bits == 64 else [kind, f"{kind}_low"]


def _keys_of(
    table: pa.Table, key_bits: Mapping[str, int], first: int, schema: pa.Schema
) -> pa.Table:
    """Return the numbers and keys of documents, keys of 128 bits in halves."""
    columns: list[Any] = [np.arange(first, first + table.num_rows)]
    for kind, bits in key_bits.items():
        keys: Any = table.column(kind).combine_chunks()
        columns += [keys] if bits == 64 else _split(keys)
    return pa.table(columns, schema=schema).combine_chunks()


def _split(keys: pa.FixedSizeBinaryArray) -> list[Any]:
    """Split keys of 16 bytes, big endian, into two uint64."""
    halves = np.zeros((len(keys), 2), np.uint64)
    content = keys.buffers()[1]
    if content is not None:
        view = cast("memoryview", content)
        halves[:] = np.frombuffer(view, ">u8")[2 * keys.offset :][: 2 * len(keys)].reshape(-1, 2)
    missing = keys.is_null().to_numpy(zero_copy_only=False)
    return [pa.array(halves[:, n], mask=missing) for n in (0, 1)]


def _write_kind(folder: Path, kind: str, bits: int, partitions: int) -> None:
    """Write the keys of one kind, sorted, a file a partition."""
    halves = _halves(kind, bits)
    columns = ["key", "low", "doc"] if bits == 128 else ["key", "doc"]
    schema = pa.schema([(name, pa.int64() if name == "doc" else pa.uint64()) for name in columns])
    scratch = folder / SCRATCH
    with _sorter(scratch) as connection:
        batches = connection.sql(
            f"""SELECT {", ".join(halves)}, doc FROM read_parquet($files)
            WHERE {kind} IS NOT NULL ORDER BY ALL""",
            params={"files": [str(path) for path in sorted(scratch.glob("*.parquet"))]},
        ).to_arrow_reader(SORTED_AT_ONCE)
        left = set(range(partitions))
        pieces = (piece for batch in batches or () for piece in _partitioned(batch, partitions))
        for partition, rows in groupby(pieces, key=itemgetter(0)):
            left.remove(partition)
            sorted_ = (pa.record_batch(rows_.columns, schema=schema) for _, rows_ in rows)
            write_part(folder / kind / f"{partition:05d}.parquet", schema, sorted_)
    for partition in left:
        write_part(folder / kind / f"{partition:05d}.parquet", schema, [])


@contextmanager
def _sorter(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that holds `MEMORY_LIMIT` and spills into the scratch folder."""
    settings = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(scratch / "spill")}
    with duckdb.connect(config=settings) as connection:  # type: ignore[arg-type]
        yield connection


def _partitioned(batch: pa.RecordBatch, partitions: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut sorted keys into those of each partition."""
    starts = np.searchsorted(batch.column(0).to_numpy(), partition_starts(partitions))
    stops = [*starts[1:], batch.num_rows]
    for partition, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if start < stop:
            yield partition, batch.slice(start, stop - start)


def _sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
