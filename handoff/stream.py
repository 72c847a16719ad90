"""The row groups of a stage in order, from any position on, each checked to belong there.

Like preparing a file, this is done by generators that pause between pieces of work; nothing here
knows of threads.
"""

from bisect import bisect_right
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuvee.configs.errors import CorruptShard, CuveeError
from cuvee.handoff.manifest import Manifest, ShardFile
from cuvee.handoff.places import Place, Work
from cuvee.handoff.reader import ShardGroup, open_shard


class LoadedGroup(NamedTuple):
    """A row group in memory.

    first: position of its first row. source_of: int64, the stage's id of each of its names.
    """

    first: int
    rows: ShardGroup
    source_of: npt.NDArray[np.int64]

    @property
    def end(self) -> int:
        """The position behind its last row."""
        return self.first + len(self.rows.positions)


class GroupStream:
    """Reads the files of one stage one after the other; one row group and one file at a time."""

    def __init__(self, place: Place, manifest: Manifest) -> None:
        self._place, self._manifest = place, manifest
        self._names = [source.name for source in manifest.sources]
        self._begun: Work | None = None  # the preparation of the next file

    def groups(self, position: int) -> Generator[LoadedGroup | None, None, None]:
        """Give the row groups from the one that holds `position` on; None between other work."""
        files = self._manifest.files
        index = bisect_right([file.first_position for file in files], position) - 1
        try:
            for i, file in enumerate(files[index:], index):
                path = yield from (self._begun or self._place.prepare(file))
                self._begun = self._place.prepare(files[i + 1]) if i + 1 < len(files) else None
                yield from self._read(path, file, position)
        finally:
            if self._begun is not None:
                self._begun.close()

    def ahead(self) -> bool:
        """Do a piece of work on the next file; False where there is nothing left to do."""
        if self._begun is None:
            return False
        try:
            next(self._begun)
        except (StopIteration, CuveeError):
            self._begun = None  # what is wrong is told when the file is reached, and tried again
            return False
        return True

    def _read(
        self, path: Path, file: ShardFile, position: int
    ) -> Generator[LoadedGroup, None, None]:
        """Give the row groups of a file, from the one that holds `position` on."""
        with open_shard(path, self._manifest) as reader:
            if reader.starts[-1] != file.rows:
                raise self._misplaced(file)
            start = reader.group_of(max(0, position - file.first_position))
            for number in range(start, len(reader.starts) - 1):
                first = file.first_position + int(reader.starts[number])
                yield self._checked(file, first, reader.read(number))

    def _checked(self, file: ShardFile, first: int, rows: ShardGroup) -> LoadedGroup:
        """Refuse rows that are not those which belong here: a file that was built wrongly."""
        due, batch = np.arange(first, first + len(rows.positions)), self._manifest.global_batch
        whole = first % batch.sequences == 0 and len(due) % batch.sequences == 0
        known = set(rows.source_names) <= set(self._names)
        if not (whole and known and np.array_equal(rows.positions, due)):
            raise self._misplaced(file)
        source_of = np.array([self._names.index(name) for name in rows.source_names], np.int64)
        return LoadedGroup(first, rows, source_of)

    def _misplaced(self, file: ShardFile) -> CorruptShard:
        """Say that a file holds other rows than the manifest lists."""
        return CorruptShard(
            f"{self._place}/{file.path} does not hold this stage's sequences {file.first_position} "
            f"to {file.last_position}.",
            do="Run `cuvee verify` on the run; copy the file again, or build the stage again.",
        )
