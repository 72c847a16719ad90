"""What a teacher model said of a part's tokens, laid beside the token store.

The *taught* table has a row for each row of the part's token store: `k` ids and probabilities for
each token of the document, what the teacher thinks may follow it. It is kept apart from the tokens,
so that another teacher encodes nothing again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import SourceError
from cuvee.corpus.schemas import TAUGHT
from cuvee.corpus.whole import part_writer
from cuvee.flows.partfiles import column, row_groups

Counts = Mapping[str, int]
COLUMNS = ("doc_id", "ids", "probs")


@dataclass(frozen=True)
class Teaching:
    """A teacher's files, the ids that it gives a token, and the bytes of an id in the store."""

    files: tuple[Path, ...]
    k: int
    width: int


class _Place(NamedTuple):
    """Where a teacher's row is: the file, the row group and the row in it."""

    file: int
    group: int
    row: int


def taught_table(tokens: Path) -> Path:
    """Return where the taught table of a part of the token store lies."""
    return tokens.parents[2] / "teacher" / tokens.parent.name / tokens.name


def teach_part(tokens: Path, teaching: Teaching, target: Path) -> Counts:
    """Write what a teacher says of each document of a part of the token store.

    Counts documents that it says nothing of (`untaught`). SourceError where a file has not the
    columns, or any document's numbers do not fit its tokens; it names the first and counts them.
    Memory: a place for each document, 150 bytes, and two row groups of the teacher's; it takes one
    reading of its files where they are in the order of the token store.
    """
    stored = pq.read_table(tokens, columns=["doc_id", "n_tokens"])
    doc_ids: list[Any] = stored.column("doc_id").to_pylist()
    lengths: list[Any] = stored.column("n_tokens").to_pylist()
    places = _places(teaching, set(doc_ids))
    rows = _Rows(teaching)
    counts, wrong = {"docs": len(doc_ids), "untaught": 0}, list[str]()
    with part_writer(target, TAUGHT) as writer:
        for doc_id, length in zip(doc_ids, lengths, strict=True):
            values: tuple[bytes | None, bytes | None] = (None, None)
            if doc_id in places:
                ids, probs = rows.read(places[doc_id])
                if len(ids) != length * teaching.k or len(probs) != len(ids):
                    wrong.append(
                        f"document {doc_id.hex()} has {length} tokens and {len(ids)} ids with "
                        f"{len(probs)} probabilities, not {length * teaching.k}"
                    )
                elif not _sound(ids, probs, teaching):
                    wrong.append(f"document {doc_id.hex()} has an id or a probability out of range")
                else:
                    small = probs.astype("<f2").tobytes()
                    values = (ids.astype(f"<u{teaching.width}").tobytes(), small)
            else:
                counts["untaught"] += 1
            row: list[Any] = [pa.array([doc_id], pa.binary(16))]
            row += [pa.array([value], pa.large_binary()) for value in values]
            writer.write(pa.RecordBatch.from_arrays(row, schema=TAUGHT))
        if wrong:
            raise SourceError(
                f"The teacher of {tokens.parent.name!r} does not fit {len(wrong)} of its "
                f"documents: {wrong[0]}.",
                f"It gives {teaching.k} ids and probabilities for every token, the end included.",
                "Run the teacher on the tokens of RUN/tokens, or leave these documents out of it.",
            )
    return counts


def _sound(ids: NDArray[Any], probs: NDArray[Any], teaching: Teaching) -> bool:
    """Say whether ids fit their width, and probabilities are 0 to 1 and each token's sum to 1."""
    if not len(ids):
        return True
    inside = int(ids.min()) >= 0 and int(ids.max()) < 2 ** (8 * teaching.width)
    sums = probs.astype(np.float64).reshape(-1, teaching.k).sum(axis=1)
    return inside and bool((probs >= 0).all()) and bool((sums <= 1 + 1e-3).all())


def _places(teaching: Teaching, wanted: set[bytes]) -> dict[bytes, _Place]:
    """Find the rows of some documents; of two for one document, the last."""
    found: dict[bytes, _Place] = {}
    for number, path in enumerate(teaching.files):
        _check_columns(path)
        for group, table in enumerate(row_groups(path, ["doc_id"])):
            for row, doc_id in enumerate(_keys(column(table, "doc_id"))):
                if doc_id in wanted:
                    found[doc_id] = _Place(number, group, row)
    return found


def _keys(column_: "pa.Array[Any]") -> Iterator[bytes | None]:
    """Yield the document ids of a column, of bytes or of their hex."""
    for value in column_.to_pylist():
        if isinstance(value, str):
            try:
                yield bytes.fromhex(value)
            except ValueError:
                yield None
        else:
            yield value


def _check_columns(path: Path) -> None:
    """Refuse a file without the columns of a teacher."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} is no Parquet file: {error}.") from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise SourceError(
            f"{path} has no column {missing[0]!r}.", f"A teacher gives {', '.join(COLUMNS)}."
        )


class _Rows:
    """The rows of a teacher's files, of which one row group is held."""

    def __init__(self, teaching: Teaching) -> None:
        self._files, self._at = teaching.files, (-1, -1)
        self._table = pa.table({})

    def read(self, place: _Place) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the ids and probabilities of a row, each as one flat array."""
        if (place.file, place.group) != self._at:
            with pq.ParquetFile(self._files[place.file], page_checksum_verification=True) as file:
                self._table = file.read_row_group(place.group, ["ids", "probs"]).combine_chunks()
            self._at = (place.file, place.group)
        return _flat(self._table, "ids", place.row), _flat(self._table, "probs", place.row)


def _flat(table: pa.Table, name: str, row: int) -> NDArray[Any]:
    """Return the numbers of one list, or list of lists, as one array."""
    values = table.column(name)[row].values
    while values is not None and pa.types.is_nested(values.type):
        values = values.flatten()
    if values is None:
        return np.empty(0, np.float32 if name == "probs" else np.int64)
    return np.asarray(values.to_numpy(zero_copy_only=False))
