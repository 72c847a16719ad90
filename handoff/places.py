"""Where a stage lies: a local directory, or a URL that is read through a cache.

A *place* gives a small file whole (`read`), and of a shard a local path whose every byte was
compared with the manifest's sha256 (`prepare`). Preparing takes a while, and is therefore a
generator: it yields between two *pieces* of its work, so that a thread can do other things, or
stop, and returns the path. Page checksums alone would not do: they leave out page headers and the
footer. Hashing reads 1.8 GB/s, which is 2 billion tokens a second of a compressed shard.
"""

import hashlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from cuvee.configs.errors import CorruptShard, RunError
from cuvee.handoff.manifest import ShardFile

PIECE_BYTES = 8 << 20  # 5 ms of hashing; a request of that size keeps an object store busy

Work = Generator[None, None, Path]
"""Yields between two pieces of the work on a shard; returns where the shard then lies."""


class Place(Protocol):
    """A directory that is read. Its `str` is what the user calls it, a path or a URL."""

    def under(self, name: str) -> "Place":
        """Return the place of a directory inside."""

    def above(self) -> tuple["Place", str]:
        """Return the place of the directory that holds this one, and this one's name in it."""

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a small file; None where there is none."""

    def check(self, files: Sequence[ShardFile]) -> None:
        """Refuse shards that are missing or have another size, as far as a listing tells."""

    def prepare(self, file: ShardFile) -> Work:
        """Make a shard a local file of which every byte is right. Raises CorruptShard."""


def place_of(location: str | Path, cache: str | Path | None = None) -> Place:
    """Return the place of a directory or URL. Paths, and file:// URLs, are read where they are.

    cache: where shards of URLs are kept; None is the user's own cache directory.
    """
    text = str(location)
    if "://" not in text:
        return LocalPlace(Path(location))
    if text.startswith("file://"):
        return LocalPlace(Path(text.removeprefix("file://")))
    # Only here, because it needs fsspec, which readers of local files need not have.
    from cuvee.handoff.cache import RemotePlace, default_cache

    return RemotePlace(text, default_cache() if cache is None else Path(cache))


class LocalPlace:
    """A local directory; a shard is hashed once, and again when its size or time changes."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._sound = directory, SoundFiles()

    def __str__(self) -> str:
        return str(self._directory)

    def under(self, name: str) -> "LocalPlace":
        """Return the place of a directory inside."""
        return LocalPlace(self._directory / name)

    def above(self) -> tuple["LocalPlace", str]:
        """Return the place of the directory that holds this one, and this one's name in it."""
        whole = self._directory.absolute()
        return LocalPlace(whole.parent), whole.name

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a small file; None where there is none."""
        path = self._directory / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise unreadable(str(path), error) from error

    def check(self, files: Sequence[ShardFile]) -> None:
        """Refuse shards that are missing or have another size."""
        for file in files:
            path = self._directory / file.path
            check_size(str(path), path.stat().st_size if path.is_file() else None, file)

    def prepare(self, file: ShardFile) -> Work:
        """Hash a shard, if that was not done before."""
        path = self._directory / file.path
        self.check([file])
        try:
            sound = yield from self._sound.holds(path, file)
        except OSError as error:
            raise unreadable(str(path), error) from error
        if not sound:
            raise other_bytes(str(path))
        return path


class SoundFiles:
    """The local files whose sha256 was found right, by path, with size and time of change."""

    def __init__(self) -> None:
        self._marks: dict[Path, tuple[int, int]] = {}

    def holds(self, path: Path, file: ShardFile) -> Generator[None, None, bool]:
        """Say whether `path` holds the bytes of `file`, hashing it at most once."""
        held = path.stat()
        mark = held.st_size, held.st_mtime_ns
        if self._marks.get(path) == mark:
            return True
        if held.st_size != file.bytes or (yield from _digest(path)) != file.sha256:
            return False
        self._marks[path] = mark
        return True


def check_size(name: str, size: int | None, file: ShardFile) -> None:
    """Refuse a shard that is missing, where `size` is None, or has another size."""
    found = "is missing" if size is None else f"has {size} bytes"
    if size != file.bytes:
        raise CorruptShard(
            f"{name} {found}.",
            f"The manifest lists it with {file.bytes} bytes.",
            "Copy it again, or build the stage again.",
        )


def other_bytes(name: str) -> CorruptShard:
    """Say that a shard's bytes are not those that were written."""
    return CorruptShard(
        f"{name}: its sha256 is not the manifest's.",
        do="Run `cuvee verify` on the run; copy the file again, or build the stage again.",
    )


def unreadable(name: str, error: Exception) -> RunError:
    """Say that a file could not be read, and why."""
    return RunError(
        f"{name} could not be read: {type(error).__name__}: {error}.",
        do="See to the disk, the network and the rights; the loader goes on where it stood.",
    )


def _digest(path: Path) -> Generator[None, None, str]:
    """Return the sha256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            yield
    return digest.hexdigest()
