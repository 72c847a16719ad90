"""Compiled kernels go when any source of theirs has changed, and only then."""

from pathlib import Path

from cuvee.flows.kernels import ROOMS, drop_stale


def test_caches_go_together_when_any_source_changes(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room / "__pycache__").mkdir(parents=True)
        (tmp_path / room / "kernel.py").write_text("1")
    cache = tmp_path / "mixers" / "__pycache__" / "kernel.run-3.nbi"
    cache.touch()
    assert drop_stale(tmp_path) == 1  # of sources that nobody knows
    cache.touch()
    assert drop_stale(tmp_path) == 0
    assert cache.exists()
    (tmp_path / "filters" / "kernel.py").write_text("two")
    assert drop_stale(tmp_path) == 1
    assert not cache.exists()
