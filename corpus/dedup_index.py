"""The index of documents that earlier runs kept: a new crawl is deduplicated against it.

An *index* is a folder. An *entry* is what one run kept, INDEX/00000, INDEX/00001, ... in the order
in which they were added (`cuvee.corpus.dedup_entry`); it never changes. A *kind* is what documents
may agree in: `url`, `exact`, `band_00`, `band_01`, ...; a document without a key of a kind (no URL,
too few words) is not in it. The *number* of a document counts from 0 within its entry.

| file of an entry | columns | |
|---|---|---|
| `entry.json` | | the manifest, written last: an entry without it does not exist |
| `parts.parquet` | part, texts | the run's parts, `<source>/<00000>`, and what made their texts |
| `documents/00000.parquet` | doc_id, part, row, n_bytes, n_shingles | `DOCUMENTS_A_FILE` each |
| `KIND/00000.parquet` | key, [low,] doc | one file a partition, sorted |

`part` is a row of `parts.parquet`, `row` a row of that part's documents table in the run: texts are
not copied, so the runs must stay. A *key* of 64 bits is a uint64, one of 128 bits a uint64 and the
`low` 64 bits in another. The *partition* of a key is its top bits: an entry has 1 to 64 partitions
by its size. Every file bears its sha256 in the manifest, which is checked whenever it is read.

How a run uses it:

    asked = earlier(path, identity, parameters)  # refuses other parameters; pickles; is small
    asked.fingerprint                            # into `reads` of every unit that asks
    found = matches(asked, "band_07", keys)      # ascending keys, a range of them after the other
    where = locate(asked, entry, numbers)        # doc_id, part, row, n_bytes, n_shingles
    kept_texts(asked, entry, numbers)            # of `cuvee.flows.index_texts`: for true similarity

`cuvee.flows.index_keys` makes `parameters`, and `identity`, which stands for the documents that a
run reads. An entry of the same identity, and all that came after it, are not asked: so a run that
was added gives the same when it is run again, there or elsewhere.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import RequestError, RunError, RunMismatch
from cuvee.corpus.fingerprint import fingerprint

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]
#: What decides keys, by name: `minhash.ngram`, `minhash.seed`, `exact`, `url`, `unicode`, ...
Parameters = Mapping[str, int | str]

FORMAT: Final = 1  # of an entry's folder
MANIFEST: Final = "entry.json"
NOTHING: Final = "nothing"  # the value of a parameter that is not there
DOCUMENTS_A_FILE: Final = 2**20  # 40 MB decoded


@dataclass(frozen=True)
class Entry:
    """The manifest of an entry.

    `run` is the absolute path of the run when it was added; `identity` says which documents the run
    read, `contents` which of them it kept and their keys; `n_bytes` is of their texts in UTF-8;
    `partitions` is how many files each kind has; `files` are sha256 in hex by path in the entry.
    """

    number: int
    name: str
    run: str
    identity: str
    contents: str
    parameters: Parameters
    docs: int
    n_bytes: int
    partitions: int
    kinds: Sequence[str]
    files: Mapping[str, str]
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """Identify what the entry answers, wherever it and its run lie."""
        value = asdict(self)
        return fingerprint({key: value[key] for key in value if key not in ("name", "run")})


@dataclass(frozen=True)
class Earlier:
    """What a run asks of an index: the entries that came before it, in order."""

    index: Path
    entries: tuple[Entry, ...] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Identify all that these entries answer."""
        return fingerprint([entry.fingerprint for entry in self.entries])


class Matches(NamedTuple):
    """Documents that have one of the keys that were asked for, [n] each.

    `row` is the row of the key among those asked, `entry` the entry's number, `doc` the document's
    number in it. Sorted by entry, row and doc.
    """

    row: Numbers
    entry: Numbers
    doc: Numbers


def read_entries(index: Path) -> list[Entry]:
    """Return the entries of an index in the order in which they came; none of an empty folder.

    RequestError when there is no such folder, RunError for a manifest that is none or is missing
    in between.
    """
    if not index.is_dir():
        raise RequestError(
            f"There is no index {index}.", do=f"Make one with `cuvee index add RUN {index}`."
        )
    manifests = sorted(index.glob(f"[0-9][0-9][0-9][0-9][0-9]/{MANIFEST}"))
    entries = [_read_manifest(path) for path in manifests]
    for number, entry in enumerate(entries):
        if entry.number != number:
            raise RunError(
                f"Entry {number} of the index {index} is missing.",
                "Entries are numbered in the order of their arrival, without gaps.",
                "Restore its folder from a copy.",
            )
    return entries


def _read_manifest(path: Path) -> Entry:
    """Read one manifest."""
    try:
        value = json.loads(path.read_bytes())
        version = value["format"]
        entry = Entry(**value) if version == FORMAT else None
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} is no manifest of an entry: {error}.", do="Restore it from a copy."
        ) from error
    if entry is None:
        raise RunError(
            f"{path} has the format {version}.",
            f"This version reads format {FORMAT}.",
            "Use the version that wrote the index, or make it anew.",
        )
    return entry


def earlier(index: Path, identity: str, parameters: Parameters) -> Earlier:
    """Return what a run of this identity asks of an index: the entries before its own.

    RunMismatch when an entry's keys were made with other `parameters`; what the entry knows
    beside these (a kind that the run does not ask for) makes no difference.
    """
    entries = read_entries(index)
    own = [entry.number for entry in entries if entry.identity == identity]
    asked = entries[: min(own, default=len(entries))]
    for entry in asked:
        require_parameters(index, entry, parameters)
    return Earlier(index, tuple(asked))


def require_parameters(index: Path, entry: Entry, parameters: Parameters) -> None:
    """Raise RunMismatch unless an entry has these values of the parameters."""
    theirs = {name: entry.parameters.get(name, NOTHING) for name in parameters}
    differing = [
        f"{name} ({theirs[name]} there, {value} here)"
        for name, value in parameters.items()
        if theirs[name] != value
    ]
    if differing:
        raise RunMismatch(
            f"The index {index} has keys of other parameters: {'; '.join(differing)}.",
            "Keys can be compared only when they were made alike.",
            "Give the recipe the parameters of the index, or make an index of this recipe's runs.",
        )


def matches(asked: Earlier, kind: str, keys: Keys) -> Matches:
    """Find the documents of earlier runs that have one of `keys`.

    `keys` uint64 [n], or [n, 2] (high and low half) of kinds of 128 bits, ascending, repeats
    allowed. Reads the partitions from the first key to the last, one at a time: asking for a range
    of keys after the other reads each once, with memory for one (0.25 MB for each million
    documents of a large entry) and for what is found. Looks up 9 million keys a second on one core.
    """
    found = [_matches_in(asked.index, entry, kind, keys) for entry in asked.entries]
    nothing = Matches(*(np.empty(0, np.int64) for _ in Matches._fields))
    return Matches(*(np.concatenate(parts) for parts in zip(nothing, *found, strict=True)))


def _matches_in(index: Path, entry: Entry, kind: str, keys: Keys) -> Matches:
    """Find the documents of one entry."""
    if kind not in entry.kinds:
        raise RunMismatch(
            f"Entry {entry.number} ({entry.name}) of the index {index} has no {kind} keys.",
            f"It has {', '.join(entry.kinds)}.",
            "Make the index anew of runs whose recipe asks for them.",
        )
    rows, docs = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for partition, start, stop in _ranges(keys, entry.partitions):
        table = _read(index, entry, f"{kind}/{partition:05d}.parquet")
        row, at = _equal(keys[start:stop], table)
        rows.append(row + start)
        docs.append(table["doc"].to_numpy()[at])
    row, doc = np.concatenate(rows), np.concatenate(docs)
    return Matches(row, np.full(len(row), entry.number, np.int64), doc)


def _ranges(keys: Keys, partitions: int) -> Iterator[tuple[int, int, int]]:
    """Yield each partition that keys fall into, and the range of its keys."""
    high = keys if keys.ndim == 1 else keys[:, 0]
    bounds = np.searchsorted(high, partition_starts(partitions))
    for partition, (start, stop) in enumerate(zip(bounds, [*bounds[1:], len(high)], strict=True)):
        if start < stop:
            yield partition, int(start), int(stop)


def partition_starts(partitions: int) -> Keys:
    """Return the least key of each partition, uint64 [partitions], a power of two.

    >>> [hex(key) for key in partition_starts(4).tolist()]
    ['0x0', '0x4000000000000000', '0x8000000000000000', '0xc000000000000000']
    """
    return np.array([number * (2**64 // partitions) for number in range(partitions)], np.uint64)


def _equal(keys: Keys, table: pa.Table) -> tuple[Numbers, Numbers]:
    """Return pairs (row of the keys, row of a partition) that are equal, in this order."""
    high = keys if keys.ndim == 1 else keys[:, 0]
    held = table["key"].to_numpy()
    first, last = (np.searchsorted(held, high, side) for side in ("left", "right"))
    times = last - first
    row = np.repeat(np.arange(len(high)), times)
    at = np.arange(len(row)) - np.repeat(np.cumsum(times) - times - first, times)
    if keys.ndim == 2:
        same = keys[row, 1] == table["low"].to_numpy()[at]
        row, at = row[same], at[same]
    return row, at


def locate(asked: Earlier, entry: int, numbers: Numbers) -> pa.Table:
    """Return what an entry knows of some of its documents, a row for each of `numbers`, in order.

    Columns: doc_id fixed_size_binary(16), part string (`<source>/<00000>`) and row int64 (where
    its text lies in the run), n_bytes int64, n_shingles int32 (null where no bands are held).
    Reads the files that hold them, one at a time.
    """
    held = asked.entries[entry]
    files, tables, rows = numbers // DOCUMENTS_A_FILE, list[pa.Table](), list[Numbers]()
    for file in np.unique(files) if len(files) else [0]:
        table = _read(asked.index, held, f"documents/{file:05d}.parquet")
        rows.append(np.flatnonzero(files == file))
        tables.append(table.take(numbers[rows[-1]] % DOCUMENTS_A_FILE))
    found = pa.concat_tables(tables).take(np.argsort(np.concatenate(rows)))
    parts = read_parts(asked, entry)["part"].combine_chunks().take(found["part"].combine_chunks())
    return found.set_column(1, "part", parts)


def read_parts(asked: Earlier, entry: int) -> pa.Table:
    """Return the parts of an entry's run: part and texts (what made its texts), string both."""
    return _read(asked.index, asked.entries[entry], "parts.parquet")


def _read(index: Path, entry: Entry, name: str) -> pa.Table:
    """Read a file of an entry whole; RunError when it is not what the manifest says."""
    path = index / f"{entry.number:05d}" / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error}.", do="Restore it from a copy.") from error
    if hashlib.sha256(content).hexdigest() != entry.files.get(name):
        raise RunError(
            f"{path} is not what was written when entry {entry.number} was added.",
            do="Restore it from a copy.",
        )
    source: Any = pa.BufferReader(content)
    return pq.read_table(source).combine_chunks()
