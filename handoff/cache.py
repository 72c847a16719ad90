"""Shards behind a URL, kept as local files by their sha256.

A shard is fetched whole into `CACHE/<sha256>.parquet` and hashed on the way, written beside and
renamed, so that one which bears the name is whole; it is hashed again by each process that uses it
later, and fetched again where it was damaged. Processes of one host take turns by a lock on
`CACHE/<sha256>.lock`, so that one of them fetches and the others find the file. Nothing is ever
removed: the directory may be emptied whenever no loader runs. fsspec reads the URLs; it and the
library of the protocol must be installed.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

from cuvee.configs.errors import CorruptShard, RequestError
from cuvee.handoff.manifest import MANIFEST, ShardFile
from cuvee.handoff.places import PIECE_BYTES, SoundFiles, Work, check_size, other_bytes, unreadable

LOCK_WAIT_S = 0.05  # between two looks at a lock that another process holds


def default_cache() -> Path:
    """Return the user's own cache of shards: `$XDG_CACHE_HOME/cuvee/shards`, or in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "cuvee" / "shards"


class RemotePlace:
    """A directory behind a URL, read through a cache; see `cuvee.handoff.places.Place`."""

    def __init__(self, url: str, cache: Path) -> None:
        self._url, self._cache = url.rstrip("/"), cache
        self._files, self._root = _filesystem(self._url)
        self._sound = SoundFiles()

    def __str__(self) -> str:
        return self._url

    def under(self, name: str) -> "RemotePlace":
        """Return the place of a directory inside."""
        return RemotePlace(f"{self._url}/{name}", self._cache)

    def above(self) -> tuple["RemotePlace", str]:
        """Return the place of the directory that holds this one, and this one's name in it."""
        parent, _, name = self._url.rpartition("/")
        return RemotePlace(parent, self._cache), name

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a small file; None where there is none."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except (FileNotFoundError, PermissionError):  # S3 forbids to know what is missing
            return None
        # Every protocol's library has errors of its own.
        except Exception as error:
            raise unreadable(f"{self._url}/{name}", error) from error

    def check(self, files: Sequence[ShardFile]) -> None:
        """Refuse shards that are missing or have another size, where the URL can be listed."""
        try:
            listed = self._files.ls(self._root, detail=True)
            sizes = {str(e["name"]).rpartition("/")[2]: e.get("size") for e in listed}
        # Some protocols cannot list, each failing in its own way: there, shards are met one by one.
        except Exception:
            return
        if MANIFEST in sizes:
            for file in files:
                size = sizes.get(file.path)
                if file.path not in sizes or size is not None:
                    check_size(f"{self._url}/{file.path}", size, file)

    def prepare(self, file: ShardFile) -> Work:
        """Find a shard in the cache, or fetch it."""
        target = self._cache / f"{file.sha256}.parquet"
        if target.exists() and (yield from self._sound.holds(target, file)):
            return target
        with self._lock(target) as lock:
            yield from _locked(lock)
            if not (target.exists() and (yield from self._sound.holds(target, file))):
                yield from self._fetch(file, target)
        return target

    def _lock(self, target: Path) -> IO[bytes]:
        """Open the lock of a file in the cache, making the cache's directory."""
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            return target.with_suffix(".lock").open("wb")
        except OSError as error:
            raise RequestError(
                f"the cache {self._cache} cannot be written to: {error}.",
                do="Give another directory as `cache`.",
            ) from error

    def _fetch(self, file: ShardFile, target: Path) -> Generator[None, None, None]:
        """Copy a shard into the cache, whole and right or not at all. The lock is held."""
        name, beside = f"{self._url}/{file.path}", target.with_suffix(".tmp")
        digest = hashlib.sha256()
        try:
            with self._open(file.path) as remote, beside.open("wb") as local:
                while piece := remote.read(PIECE_BYTES):
                    digest.update(piece)
                    local.write(piece)
                    yield
            check_size(name, beside.stat().st_size, file)
            if digest.hexdigest() != file.sha256:
                raise other_bytes(name)
            os.replace(beside, target)
        except FileNotFoundError as error:
            raise CorruptShard(
                f"{name} is missing.", do="Copy it again, or build the stage again."
            ) from error
        except CorruptShard:
            raise
        # Every protocol's library has errors of its own.
        except Exception as error:
            raise unreadable(name, error) from error
        finally:
            beside.unlink(missing_ok=True)

    def _open(self, name: str) -> IO[bytes]:
        """Open a file behind the URL."""
        opened: IO[bytes] = self._files.open(f"{self._root}/{name}", "rb", block_size=PIECE_BYTES)
        return opened


def _filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise RequestError(
            f"{url} cannot be read: {error}.",
            "URLs are read by fsspec, together with the library of their protocol.",
            "Correct the URL, or install what is named.",
        ) from error
    return files, str(root)


def _locked(lock: IO[bytes]) -> Generator[None, None, None]:
    """Wait for a lock; it is free again when `lock` is closed, even by the process' death."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_WAIT_S)
            yield
        else:
            return
