"""Repeated n-grams of words, as Dolma, DCLM and NeMo count them.

Unlike those of `repetition.py`, grams are equal where their words are, so a gram can be repeated
only if the two shorter grams that it begins and ends with are. From one size to the next only such
places are looked up: they are *live*. A `Work` holds what is known of them; its fields are
pointers, of an entry a word.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.filters import variant_tally as v
from cuvee.filters.names import BASE
from cuvee.filters.pointers import Bytes, Counts, Slots, Words, inner, pointer, signed
from cuvee.filters.repetition import first_place, fresh_base, gram_length, slots_log2
from cuvee.filters.scan import COLUMNS, HASH, POWER

SMALLEST, LARGEST = 2, 10
TOP_LARGEST = 4  # up to this size the most frequent gram counts, above it all that are repeated
_MOST_BYTES = 4  # of a character
_SPACE = np.uint64(0x20 + 1)  # as a hash adds a byte


class Work(NamedTuple):
    """What the grams of a document are counted with."""

    words: Words  # see scan.py
    grams: Words  # hash of the gram at each live place
    slots: NDArray[np.int32]  # an array, see repetition.py
    first: Slots  # number of times, at the place where a gram was seen first
    live: Slots  # the live places, in order
    numbers: Slots  # how often the gram of each live place has come, itself included
    repeated: Slots  # whether the gram at a place occurs more than once
    size: int  # words


class Top(NamedTuple):
    """The most frequent gram."""

    place: int  # of the one that was seen first
    times: int
    longest: int  # characters of the longest one as frequent


@inner
def _start(work: Work) -> int:
    """Make every pair of words a live gram; how many there are."""
    here = max(0, work.size - SMALLEST + 1)
    for place in range(here):
        word = COLUMNS * place
        gram = work.words[word + HASH] * BASE + _SPACE
        work.grams[place] = (
            gram * work.words[word + COLUMNS + POWER] + work.words[word + COLUMNS + HASH]
        )
        work.live[place] = place
    return here


@inner
def _lengthen(work: Work, size: int, alive: int) -> int:
    """Lengthen those live grams to `size` words that may be repeated; how many are left.

    Afterwards none is noted as repeated, so that the places that are not live never are.
    """
    kept = 0
    for one in range(alive):
        place = signed(work.live[one])
        may = place + size <= work.size and work.repeated[place] and work.repeated[place + 1]
        work.repeated[place] = 0
        if not may:
            continue
        word = COLUMNS * (place + size - 1)
        gram = work.grams[place] * BASE + _SPACE
        work.grams[place] = gram * work.words[word + POWER] + work.words[word + HASH]
        work.live[kept] = place
        kept += 1
    return kept


@inner
def _look_up(work: Work, size: int, alive: int) -> Top:
    """Count how often each live gram has come, and note which are repeated."""
    table = (pointer(work.slots), slots_log2(work.size), fresh_base(work.slots, work.size))
    best, most, longest = 0, 1, 0
    for one in range(alive):
        place = signed(work.live[one])
        first = first_place(work.grams, place, table)
        number = 1 if first == place else signed(work.first[first]) + 1
        work.first[first] = number
        work.numbers[one] = number
        work.repeated[place] = number > 1
        if number > 1:
            work.repeated[first] = 1
        if number > 1 and size <= TOP_LARGEST and number >= most:
            chars = gram_length(work.words, place, size)
            longest = chars if number > most else max(longest, chars)
            best = first if number > most else min(best, first)
            most = number
    return Top(best, most, longest)


@inner
def _all_chars(work: Work, size: int, total: int) -> int:
    """Characters of all grams of `size` words together; those of all words are `total`."""
    if work.size < 2 * size:
        chars = 0
        for place in range(work.size - size + 1):
            chars += gram_length(work.words, place, size)
        return chars
    chars = size * total
    for place in range(size - 1):  # the words at both ends are in fewer grams
        ends = gram_length(work.words, place, 1) + gram_length(work.words, work.size - 1 - place, 1)
        chars -= (size - 1 - place) * ends
    return chars


@inner
def _put_dolma(work: Work, size: int, alive: int, tally: Counts) -> None:
    """Dolma: the characters of every gram that occurs more than once."""
    chars = 0
    for one in range(alive):
        number = signed(work.numbers[one])
        if number > 1:  # the second brings the first with it
            chars += gram_length(work.words, signed(work.live[one]), size) * (
                2 if number == 2 else 1
            )
    tally[v.DOLMA_GRAMS + size] = chars
    tally[v.DOLMA_ALL_GRAMS + size] = _all_chars(work, size, tally[v.GRAM_CHARS])


@inner
def _put_nemo(work: Work, size: int, alive: int, tally: Counts) -> None:
    """NeMo: grams that came before, but for the words that overlap with the one before."""
    chars, last = 0, -size
    for one in range(alive):
        place = signed(work.live[one])
        if work.numbers[one] > 1:
            over = max(0, size - (place - last))
            chars += gram_length(work.words, place + over, size - over) + min(size - over, size - 1)
            last = place
    tally[v.NEMO_GRAMS + size] = chars


@inner
def _put_dclm(work: Work, size: int, alive: int, tally: Counts) -> None:
    """DCLM: every word that some repeated gram covers."""
    chars, covered = 0, 0
    for one in range(alive):
        place = signed(work.live[one])
        if work.repeated[place]:
            start = max(place, covered)
            chars += gram_length(work.words, start, place + size - start)
            covered = place + size
    tally[v.DCLM_GRAMS + size] = chars


@inner
def count_bounded_grams(work: Work, tally: Counts) -> None:
    """Count the grams of bounded words, as DCLM does."""
    alive = _start(work)
    for size in range(SMALLEST, LARGEST + 1):
        if size > SMALLEST:
            alive = _lengthen(work, size, alive)
        top = _look_up(work, size, alive)
        if size > TOP_LARGEST:
            _put_dclm(work, size, alive, tally)
        elif top.times > 1:
            tally[v.DCLM_GRAMS + size] = top.times * top.longest


@inner
def _write(
    text: tuple[Bytes, int], starts: Counts, work: Work, place: int, size: int
) -> NDArray[np.uint8]:
    """Return the bytes of the gram of spaced words at `place`, joined by spaces."""
    data, hi = text
    joined = np.empty(_MOST_BYTES * gram_length(work.words, place, size) + size, np.uint8)
    end = 0
    for word in range(place, place + size):
        at = starts[word]
        for _ in range(gram_length(work.words, word, 1)):
            joined[end] = data[at]
            at, end = at + 1, end + 1
            while at < hi and data[at] & 0xC0 == 0x80:
                joined[end] = data[at]
                at, end = at + 1, end + 1
        joined[end] = 0x20
        end += 1
    return joined[: end - 1]


@inner
def _occurrences(text: tuple[Bytes, int], joined: NDArray[np.uint8]) -> int:
    """Occurrences of a string in the text as `str.count` counts them (Horspool's search)."""
    data, hi = text
    size = len(joined)
    steps = np.full(256, size, np.int64)
    for place in range(size - 1):
        steps[joined[place]] = size - 1 - place
    found = at = signed(0)
    while at + size <= hi:
        last = data[at + size - 1]
        place = size - 1 if last == joined[size - 1] else -1
        while place > 0 and data[at + place - 1] == joined[place - 1]:
            place -= 1
        found += place == 0
        at += size if place == 0 else signed(steps[last])
    return found


@inner
def count_spaced_grams(text: tuple[Bytes, int], starts: Counts, work: Work, tally: Counts) -> None:
    """Count the grams of spaced words (that begin at `starts`), as Dolma and NeMo do."""
    alive = _start(work)
    for size in range(SMALLEST, LARGEST + 1):
        if size > SMALLEST:
            alive = _lengthen(work, size, alive)
        top = _look_up(work, size, alive)
        if work.size < size:  # NeMo drops a text with fewer words
            tally[v.NEMO_GRAMS + size] = tally[v.TEXT_CHARS]
        elif size > TOP_LARGEST:
            _put_dolma(work, size, alive, tally)
            _put_nemo(work, size, alive, tally)
        else:
            chars = gram_length(work.words, top.place, size)
            tally[v.DOLMA_GRAMS + size] = top.times * chars
            found = _occurrences(text, _write(text, starts, work, top.place, size))
            tally[v.NEMO_GRAMS + size] = found * (chars + size - 1)
