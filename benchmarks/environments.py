"""Give each peer a virtual environment of its own, made once and kept.

A peer's requirements would not go together with ours, or with each other's: dolma wants numpy 1.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

VERSIONS = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"


class Peer(NamedTuple):
    """A library to compare with: its own name, all that is installed, and the patience for it."""

    name: str
    requirements: tuple[str, ...]
    timeout_s: float


PEERS = (
    # Its splitter for English is spaCy's and its reader of JSON lines orjson, which the extra does
    # not install.
    Peer("datatrove", ("datatrove[processing]==0.10.1", "spacy>=3.8,<3.9", "orjson"), 600),
    # The second saves pip from trying every boto3 there ever was.
    Peer("dolma", ("dolma==1.2.1", "aiobotocore[boto3]==2.5.4"), 180),
)


class NotInstalled(Exception):
    """A peer cannot be installed on this machine."""


def python_of(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of the peer's environment, which is made if it is not there."""
    home = folder.resolve() / peer.name
    python, ready = home / "bin" / "python", home / "ready"
    wanted = "\n".join(peer.requirements)
    if ready.exists() and ready.read_text() == wanted:
        return python
    print(f"installing {peer.name} into {home} ...", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(home)], peer)
    _run([str(python), "-m", "pip", "install", "--quiet", *peer.requirements], peer)
    ready.write_text(wanted)
    return python


def version_of(peer: Peer, python: Path) -> str:
    """Return the version that is installed."""
    return subprocess.run(
        [str(python), "-c", VERSIONS, peer.name], check=True, capture_output=True, text=True
    ).stdout.strip()


def _run(command: list[str], peer: Peer) -> None:
    """Run one step of the installation."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=peer.timeout_s)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"not installed within {peer.timeout_s:.0f} s") from None
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled((faults or done.stderr.splitlines() or ["pip failed"])[-1])
