r"""Lines and paragraphs that occur more than once, as Dolma, DCLM and NeMo count them.

A *segment* is what lies between two separators of so many newlines, found from left to right. It
may be stripped first, and blank segments may be left out. Dolma counts every line as it stands;
DCLM strips lines and paragraphs, leaves out the blank ones, and finds nothing in a single segment;
NeMo leaves out blank lines.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.filters import variant_tally as v
from cuvee.filters.characters import count_chars, strip
from cuvee.filters.names import ONE, SPREAD, roll
from cuvee.filters.pointers import Bytes, Counts, Tables, inner, signed

_SMALLEST = 64  # slots of a fresh set


class Cut(NamedTuple):
    """How a text is cut into segments."""

    newlines: int  # of a separator
    stripped: bool
    blanks: bool  # whether blank segments count
    block: int  # where the counts go


DOLMA = Cut(1, False, True, v.DOLMA_LINES)
DCLM = (Cut(1, True, False, v.DCLM_LINES), Cut(2, True, False, v.DCLM_PARAGRAPHS))
NEMO = (Cut(1, False, False, v.NEMO_LINES), Cut(2, False, True, v.NEMO_PARAGRAPHS))


@inner
def _times(seen: NDArray[np.uint64], value: np.uint64, more: np.uint64) -> int:
    """Note a hash `more` times; how often it was noted. Slot 0 counts hashes, pairs follow."""
    value = max(value, ONE)  # 0 marks a free slot
    slots = (len(seen) - 1) // 2
    slot = signed((value * SPREAD) >> np.uint64(32)) % slots
    while seen[1 + 2 * slot] != 0 and seen[1 + 2 * slot] != value:
        slot = slot + 1 if slot + 1 < slots else 0
    if seen[1 + 2 * slot] == 0:
        seen[1 + 2 * slot] = value
        seen[0] += ONE
    seen[2 + 2 * slot] += more
    return signed(seen[2 + 2 * slot])


@inner
def _room(seen: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the set, with twice the slots where half of them are taken."""
    if signed(seen[0]) * 4 < len(seen) - 1:
        return seen
    larger = np.zeros(2 * len(seen) - 1, np.uint64)
    for slot in range(1, len(seen), 2):
        if seen[slot] != 0:
            _times(larger, seen[slot], seen[slot + 1])
    return larger


@inner
def _separator(data: Bytes, at: int, hi: int, newlines: int) -> int:
    """Byte where the next separator starts; `hi` where there is none."""
    while at < hi:
        if data[at] == 0x0A and (newlines == 1 or (at + 1 < hi and data[at + 1] == 0x0A)):
            return at
        at += 1
    return hi


@inner
def _count_marks(data: Bytes, span: tuple[int, int], cut: Cut, tally: Counts) -> None:
    """Count a line that starts with a bullet, or ends with an ellipsis, by the tool's list."""
    lo, hi = span
    if hi == lo:
        return
    bullet = data[lo] == 0x2A or data[lo] == 0x2D
    tail = hi - lo > 2 and data[hi - 3] == 0xE2 and data[hi - 2] == 0x80 and data[hi - 1] == 0xA6
    if cut.stripped and hi - lo > 2:
        round_bullet = data[lo + 1] == 0x80 and data[lo + 2] == 0xA2  # U+2022
        disc = data[lo + 1] == 0x97 and data[lo + 2] == 0x8F  # U+25CF
        bullet |= data[lo] == 0xE2 and (round_bullet or disc)
        dots = data[hi - 1] == 0x2E and data[hi - 2] == 0x2E and data[hi - 3] == 0x2E
        tail |= dots or (hi - lo > 4 and is_spaced_dots(data, hi - 5))
    tally[cut.block + v.BULLETS] += bullet
    tally[cut.block + v.ELLIPSES] += tail


@inner
def is_spaced_dots(data: Bytes, at: int) -> bool:
    """Whether `. . .` stands at byte `at`, behind which there are four bytes at least."""
    dots = data[at] == 0x2E and data[at + 2] == 0x2E and data[at + 4] == 0x2E
    return bool(dots and data[at + 1] == 0x20 and data[at + 3] == 0x20)


@inner
def _put_segment(chars: int, times: int, block: int, tally: Counts) -> None:
    """Count a segment that occurs for the `times`-th time."""
    tally[block + v.SEGMENTS] += 1
    tally[block + v.SEGMENT_CHARS] += chars
    if times > 1:
        tally[block + v.AGAIN] += 1
        tally[block + v.AGAIN_CHARS] += chars
        fresh = 2 if times == 2 else 1  # the first occurrence is repeated too
        tally[block + v.REPEATED] += fresh
        tally[block + v.REPEATED_CHARS] += fresh * chars


@inner
def count_segments(data: Bytes, size: int, tables: Tables, cut: Cut, tally: Counts) -> None:
    """Count the segments of one document of `size` bytes."""
    seen = np.zeros(2 * _SMALLEST + 1, np.uint64)
    start = signed(0)
    while start <= size:
        end = _separator(data, start, size, cut.newlines)
        lo, hi = start, end
        start = end + cut.newlines if end < size else size + 1
        if cut.stripped or not cut.blanks:
            stripped = strip(data, lo, hi, tables)
            if stripped[0] == stripped[1] and not cut.blanks:
                continue
            if cut.stripped:
                lo, hi = stripped
        seen = _room(seen)
        times = _times(seen, roll(data, lo, hi), ONE)
        _put_segment(count_chars(data, lo, hi), times, cut.block, tally)
        if cut.newlines == 1:
            _count_marks(data, (lo, hi), cut, tally)
