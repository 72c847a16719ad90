"""Remove compiled kernels that a change of the code has made stale.

numba keeps what it compiled beside the source and compiles it anew when *that* file changes; a
kernel holds the code of the kernels that it calls, too, which may stand in other files. So the
caches of all rooms go together, whenever any file of these rooms is another than before.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cuvee import filters

ROOMS = ("filters", "mixers", "tokenize")
STAMP = "kernels.sha256"  # beside the caches of `filters`: of which sources they are


def drop_stale(root: Path = Path(filters.__file__).parents[1]) -> int:
    """Remove the caches of kernels below `root` if its sources have changed; return how many went.

    A folder that cannot be written has no caches of ours: numba keeps those elsewhere.
    """
    stamp = root / ROOMS[0] / "__pycache__" / STAMP
    sources = hashlib.sha256("\n".join(_sources(root)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == sources:
        return 0
    try:
        stamp.parent.mkdir(exist_ok=True)
        stale = [file for room in ROOMS for file in (root / room / "__pycache__").glob("*.nb?")]
        for file in stale:
            file.unlink(missing_ok=True)
        stamp.write_text(sources)
    except OSError:
        return 0
    return len(stale)


def _sources(root: Path) -> Iterator[str]:
    """Yield name, size and time of every source of the rooms."""
    for room in ROOMS:
        for file in sorted((root / room).glob("*.py")):
            held = file.stat()
            yield f"{room}/{file.name} {held.st_size} {held.st_mtime_ns}"
