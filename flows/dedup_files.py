"""Files of arrays that deduplication spills below the run directory, and where each lies.

The *ordinal* of a document is its place among all documents of a run, parts in order: a uint32.
An *array file* holds arrays one behind the other and is read memory-mapped. A *record file* holds
records by *section*, one section a key range of one kind of key: it is written chunk by chunk, and
a section is read from all parts at once, which is how documents of all parts meet.

All of it lies in RUN/spill, which is gone when the run is done with deduplication; what a kill
leaves of it is used by the next run, or removed.
"""

import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.deduplication import Dedup
from cuvee.corpus.dedup_index import Earlier
from cuvee.corpus.whole import whole
from cuvee.filters.buckets import Ordinals, Rows
from cuvee.filters.shingles import Hashes
from cuvee.flows.job import Job, Part

SPILL = "spill"  # the folder in a run
ALIGN = 64  # bytes
Array = NDArray[Any]


class Budget(NamedTuple):
    """Bytes that are held at once, by each worker: of records of a section, and of a group.

    128 MB of shingles, memberships and rows: two workers stay below half a gigabyte.
    """

    section: int = 2**26
    group: int = 2**27


@dataclass(frozen=True)
class Layout:
    """What deduplication works on and where its files lie.

    `starts` are the ordinals at which parts start and, at the end, how many documents there are;
    `spill` is the folder of these files, another one for other settings; `earlier` are the
    documents of earlier runs, if the recipe asks for them.
    """

    job: Job
    parts: tuple[Part, ...]
    starts: tuple[int, ...]
    spill: str
    budget: Budget
    earlier: Earlier | None = None

    @property
    def dedup(self) -> Dedup:
        """What the recipe says."""
        return self.job.recipe.curate.dedup

    @property
    def documents(self) -> int:
        """How many documents the run has."""
        return self.starts[-1]

    def file(self, kind: str, name: object) -> Path:
        """Return where one spilled file lies."""
        return self.job.run / SPILL / self.spill / kind / f"{name}.bin"

    def files(self, kind: str) -> list[Path]:
        """Return where the files of all parts lie, in their order."""
        return [self.file(kind, part) for part in self.parts]

    def sections(self, record_bytes: int) -> int:
        """Return how many sections keep one within the budget, of one record a document.

        Four times the records are held while they are grouped.
        """
        sections = 1
        while 4 * self.documents * record_bytes > sections * self.budget.section:
            sections *= 2
        return sections

    def part_of(self, ordinals: Ordinals) -> Rows:
        """Return the number of each document's part."""
        return np.searchsorted(np.asarray(self.starts), ordinals, side="right") - 1


def starts_of(documents: Sequence[Path]) -> tuple[int, ...]:
    """Return the ordinals at which the documents of each part start, and how many there are."""
    rows = [pq.read_metadata(path).num_rows for path in documents]
    return (0, *np.cumsum(rows, dtype=np.int64).tolist())


def save_arrays(path: Path, arrays: Sequence[Array]) -> None:
    """Write an array file, whole."""
    with whole(path, lasting=False) as temporary, temporary.open("wb") as file:
        _write_arrays(file, arrays)


def _write_arrays(file: BinaryIO, arrays: Sequence[Array]) -> None:
    """Write a line that says what follows, and the arrays."""
    header = json.dumps([[array.dtype.str, array.shape] for array in arrays]).encode() + b"\n"
    file.write(header)
    for array in arrays:
        file.write(b"\0" * (-file.tell() % ALIGN))
        file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def open_arrays(path: Path) -> list[Array]:
    """Map the arrays of a file into memory; writing to them changes nothing on disk."""
    with path.open("rb") as file:
        header = file.readline()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays, at = list[Array](), len(header)
    for kind, shape in json.loads(header):
        at += -at % ALIGN
        size = int(np.prod(shape))
        # No array of a size 0 can be mapped at the end of a file.
        array = np.frombuffer(mapped, kind, size, at) if size else np.empty(0, kind)
        arrays.append(array.reshape(shape))
        at += array.nbytes
    return arrays


def write_records(path: Path, sections: int, chunks: Iterable[tuple[Rows, list[Array]]]) -> int:
    """Write chunks of records by section; return how many records there are.

    A chunk is (section of each record, its columns). The file ends with the place and the number of
    records of every section in every chunk.
    """
    index = list[Rows]()
    with whole(path, lasting=False) as temporary, temporary.open("wb") as file:
        for of, columns in chunks:
            counts = np.bincount(of, minlength=sections)
            if (counts > 0).sum() > 1:
                order = np.argsort(of.astype(np.uint16), kind="stable")  # a radix sort
                columns = [column[order] for column in columns]
            firsts = np.cumsum(counts) - counts
            width = sum(column.itemsize for column in columns)
            index.append(np.stack([file.tell() + firsts * width, counts], axis=1))
            for section in np.flatnonzero(counts):
                first = firsts[section]
                for column in columns:
                    file.write(column[first : first + counts[section]].data.cast("B"))
        table = np.array(index, np.int64).reshape(len(index), sections, 2)
        end = file.tell()
        file.write(np.ascontiguousarray(table.transpose(1, 0, 2)).data.cast("B") if index else b"")
        file.write(np.array([end, len(index)], np.int64).tobytes())
    return int(table[:, :, 1].sum())


def read_records(paths: Iterable[Path], section: int, kinds: Sequence[Any]) -> list[Array]:
    """Read one section of several record files; `kinds` are the dtypes of the columns."""
    read: list[list[Array]] = [[np.empty(0, kind)] for kind in kinds]
    for path in paths:
        with path.open("rb") as file:
            file.seek(-16, 2)
            end, chunks = np.fromfile(file, np.int64, 2)
            file.seek(end + section * chunks * 16)
            for at, count in np.fromfile(file, np.int64, 2 * chunks).reshape(-1, 2).tolist():
                file.seek(at)
                for column, kind in zip(read, kinds, strict=True):
                    column.append(np.fromfile(file, kind, count))
    return [np.concatenate(column) for column in read]


def aligned(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Yield tables of exactly `rows` rows (the last may have fewer) of a Parquet file."""
    held, n = list[pa.RecordBatch](), 0
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow.empty_table().select(list(columns)).schema
        for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
            held.append(batch)
            n += batch.num_rows
            while n >= rows:
                table = pa.Table.from_batches(held, schema)
                yield table.slice(0, rows).combine_chunks()
                held, n = table.slice(rows).to_batches(), n - rows
    if n:
        yield pa.Table.from_batches(held, schema).combine_chunks()


def halves(ids: "pa.ChunkedArray[Any] | pa.Array[Any]") -> tuple[Hashes, Hashes]:
    """Split values of 16 bytes into the high and the low 64 bits; null is 0."""
    filled: Any = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if filled.null_count:
        filled = filled.fill_null(bytes(16))
    data = np.frombuffer(filled.buffers()[1], ">u8", 2 * len(filled), 16 * filled.offset)
    both = data.astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def scratch_array(beside: Path, kind: "np.dtype[Any]", n: int) -> Array:
    """Make an array of zeros in a file that has no name, so that a kill leaves nothing behind."""
    return np.frombuffer(nameless(beside, max(1, n) * kind.itemsize), kind, n)


def nameless(beside: Path, n_bytes: int) -> mmap.mmap:
    """Map a new file that is gone from its folder at once."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    with beside.with_name(f".{beside.name}.{id(beside):x}.tmp").open("w+b") as file:
        Path(file.name).unlink()
        file.truncate(n_bytes)
        return mmap.mmap(file.fileno(), n_bytes)
