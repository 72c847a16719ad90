"""Write an export's folder whole or not at all, with the size and hash of every file in it.

*Whole*: the files are written into a hidden folder beside the place where they are to be, which is
renamed when all of them are on the disk. A reader sees the whole export or none. After a kill a
hidden `.NAME.<hex>.tmp` may stay behind; it is no export and may be deleted.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from cuvee.configs.errors import RequestError


class ExportedFile(NamedTuple):
    """A file of an export: its name in the folder, with `/`, its bytes and its sha256 (hex)."""

    path: str
    bytes: int
    sha256: str


class Array(NamedTuple):
    """A file that is a raw array: its numpy type, little-endian, and its shape, row-major."""

    dtype: str
    shape: tuple[int, ...]


class Written(NamedTuple):
    """What was written of a stage.

    arrays: the files that are raw arrays.
    loss_mask: a sentence on where the loss mask is.
    lost: what the format has no room for, a sentence each; shown to the user.
    """

    arrays: dict[str, Array]
    loss_mask: str
    lost: tuple[str, ...]


class HashedFile:
    """A file that is being written: `bytes` so far, and the sha256 of them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest, self.bytes = stream, hashlib.sha256(), 0

    def write(self, values: bytes | npt.NDArray[Any]) -> int:
        """Write bytes, or the elements of an array in row-major order; return the bytes written."""
        if isinstance(values, np.ndarray):
            # A view of bytes, which an array without elements has, too, but no memoryview.
            data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        else:
            data = memoryview(values)
        self._stream.write(data)
        self._digest.update(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._stream.flush()

    def sha256(self) -> str:
        """Return the sha256 (hex) of what was written so far."""
        return self._digest.hexdigest()


class ExportFolder:
    """The folder that is being written; `files` are those finished, in the order of writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[ExportedFile] = []

    @contextmanager
    def file(self, name: str) -> Iterator[HashedFile]:
        """Write the file `name`; it is on the disk and in `files` when the block ends."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as stream:
            written = HashedFile(stream)
            yield written
            written.flush()
            os.fsync(stream.fileno())
        self.files.append(ExportedFile(name, written.bytes, written.sha256()))

    @contextmanager
    def scratch(self, name: str) -> Iterator[BinaryIO]:
        """Keep bytes on the disk, to be read back; the file is gone when the block ends."""
        target = self.path / f".{name}"
        with target.open("w+b") as stream:
            yield stream
        target.unlink()


@contextmanager
def whole_folder(out: Path) -> Iterator[ExportFolder]:
    """Give a folder to write into; it becomes `out` on success, and is removed on any error.

    Raises RequestError where `out` is there already and is not an empty folder.
    """
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        held = "holds files already" if out.is_dir() else "is a file"
        raise RequestError(
            f"{out} {held}.",
            "An export is a folder of its own, written whole.",
            "Name a folder that is not there yet, or remove this one first.",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield ExportFolder(temporary)
        for folder in (*filter(Path.is_dir, temporary.iterdir()), temporary):
            _sync(folder)
        temporary.replace(out)  # an empty folder gives way
        _sync(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the disk hold the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
