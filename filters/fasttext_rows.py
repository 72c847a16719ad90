"""Which rows of a model's input a word has: its own, and those of its character n-grams.

Words are found, and n-grams are put into *buckets*, by the hash FNV-1a of their bytes, which count
as signed (dictionary.cc). The n-grams of a word run over `<word>`, by characters; those that start
in sixteen neighbouring characters are hashed at once.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.fasttext_file import UNPRUNED, Model
from cuvee.filters.fasttext_vectors import BLOCK, copy_hashes, high_product, step_hashes
from cuvee.filters.pointers import Bytes, inlined, inner, pointer, signed

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
Word = tuple[Bytes, int, int]
"""A text, the byte where a word starts, and its size in bytes."""

LONGEST_NGRAM = 64  # characters; fastText's default is 6
PIECE = 80  # characters in which n-grams start that are gathered at once
PIECE_ROWS = PIECE * LONGEST_NGRAM
END_MARK = (0x3C, 0x2F, 0x73, 0x3E)  # </s>
_PLANE = PIECE + LONGEST_NGRAM + BLOCK
# Planes of characters: sizes in bytes, where they start, and four bytes, as signed.
_SIZES, _STARTS, _BYTES = 0, _PLANE, 2 * _PLANE
CHARACTERS = 6 * _PLANE
HASHES = BLOCK * (LONGEST_NGRAM + 1)

_FNV_START, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
_FNV_SIGNED = np.int32(2166136261 - 2**32)
_ONE, _SIX_BITS = np.uint64(1), np.uint64(63)
_ALL = np.uint64(2**64 - 1)
_OPEN, _CLOSE = 0x3C, 0x3E


class Index(NamedTuple):
    """A model's input, laid out for the kernels, which get arrays or pointers to them.

    `text` uint8 and `ends` int64 are the dictionary's words; `slots` int32 is a hash table of them,
    -1 where free, with `mask` + 1 slots. `marks` uint64 [bucket / 64] has a bit for each bucket
    that has a row, `rows` int32 [bucket] says which; both are empty where no bucket is pruned.
    """

    text: NDArray[np.uint8]
    ends: I64
    slots: I32
    marks: U64
    rows: I32
    mask: int
    n_words: int
    bucket: int
    magic: np.uint64  # that divides by `bucket`
    minn: int
    maxn: int
    ngrams: int
    pruned: bool
    end_row: int  # of `</s>`, -1 where the dictionary lacks it


def index(model: Model) -> Index:
    """Lay out a model's input. ValueError where it has n-grams longer than `LONGEST_NGRAM`."""
    header = model.header
    if header.maxn > LONGEST_NGRAM:
        raise ValueError(f"it has n-grams of {header.maxn} characters, above {LONGEST_NGRAM}")
    slots = np.full(1 << max(2 * header.n_words, 1).bit_length(), -1, np.int32)
    _put_words(model.words.text, model.words.ends, slots)
    marks, rows = np.zeros(0, np.uint64), np.zeros(0, np.int32)
    if header.n_pruned != UNPRUNED:
        marks = np.zeros(header.bucket // 64 + 1, np.uint64)
        rows = np.zeros(header.bucket, np.int32)
        kept = model.pruned[(model.pruned[:, 0] >= 0) & (model.pruned[:, 0] < header.bucket)]
        bits = np.uint64(1) << (kept[:, 0] % 64).astype(np.uint64)
        np.bitwise_or.at(marks, kept[:, 0] // 64, bits)
        rows[kept[:, 0]] = kept[:, 1] + header.n_words
    laid = Index(
        *model.words,
        slots,
        marks,
        rows,
        len(slots) - 1,
        header.n_words,
        header.bucket,
        np.uint64((2**64 - 1) // max(header.bucket, 1)),
        max(header.minn, 1),
        header.maxn,
        header.ngrams,
        header.n_pruned != UNPRUNED,
        -1,
    )
    return laid._replace(end_row=_end_row(laid))


@inlined
def pointed(laid: Index) -> Index:
    """Take pointers to an index's arrays, which must be kept alive."""
    return Index(
        pointer(laid.text),
        pointer(laid.ends),
        pointer(laid.slots),
        pointer(laid.marks),
        pointer(laid.rows),
        laid.mask,
        laid.n_words,
        laid.bucket,
        laid.magic,
        laid.minn,
        laid.maxn,
        laid.ngrams,
        laid.pruned,
        laid.end_row,
    )


@inlined
def _step(hashed: np.uint32, byte: np.uint8) -> np.uint32:
    """Hash one more byte, which counts as signed (dictionary.cc, hash)."""
    return np.uint32((hashed ^ np.uint32(np.int8(byte))) * _FNV_PRIME)


@inner
def hash_of(word: Word) -> np.uint32:
    """Hash a word."""
    line, at, size = word
    hashed = _FNV_START
    for place in range(at, at + size):
        hashed = _step(hashed, line[place])
    return hashed


@inner
def find(word: Word, hashed: np.uint32, laid: Index) -> int:
    """Find the row of a word, -1 where the dictionary lacks it."""
    line, at, size = word
    slot = signed(hashed) & laid.mask
    while laid.slots[slot] >= 0:
        row = signed(laid.slots[slot])
        lo = laid.ends[row]
        if laid.ends[row + 1] - lo == size:
            same = True
            for place in range(size):
                same &= laid.text[lo + place] == line[at + place]
            if same:
                return row
        slot = (slot + 1) & laid.mask
    return -1


@inlined
def put_bucket(bucket: int, laid: Index, rows: I32, n: int) -> int:
    """Write a bucket to `rows` if it has a row; how many there are now. `name_rows` is to follow.

    Whether it has is hard to foresee, so there is no branch, which would often be taken in vain.
    """
    rows[n] = bucket
    if not laid.pruned:
        return n + 1
    mark = laid.marks[bucket >> 6] >> (np.uint64(bucket) & _SIX_BITS) & _ONE
    return n + signed(mark)


@inlined
def name_rows(laid: Index, rows: I32, first: int, last: int) -> None:
    """Put the rows of buckets in their place."""
    if laid.pruned:
        for n in range(first, last):
            rows[n] = laid.rows[rows[n]]
    else:
        for n in range(first, last):
            rows[n] += np.int32(laid.n_words)


@inlined
def _rest32(value: np.uint32, laid: Index) -> int:
    """Divide 32 bits by the number of buckets, without a division; what is left.

    Lemire, Kaser and Kurz 2019 (arXiv 1902.01961).
    """
    part = (laid.magic + _ONE) * np.uint64(value)
    return signed(high_product(part, np.uint64(laid.bucket)))


@inlined
def rest(value: np.uint64, laid: Index) -> int:
    """Divide by the number of buckets, without a division; what is left."""
    divisor = np.uint64(laid.bucket)
    left = value - high_product(value, laid.magic) * divisor
    while left >= divisor:  # twice at most
        left -= divisor
    return signed(left)


@inner
def _read_characters(line: Bytes, span: tuple[int, int], most: int, chars: I32) -> tuple[int, int]:
    """Lay out the characters of bytes lo..hi, `most` at most: how many, and bytes of the widest."""
    at, hi = span
    count, widest = 0, 1
    while at < hi and count < most:
        chars[_STARTS + count] = at
        chars[_BYTES + count] = np.int8(line[at])
        at += 1
        size = 1
        while at < hi and line[at] & 0xC0 == 0x80 and size < 4:
            chars[_BYTES + size * _PLANE + count] = np.int8(line[at])
            at += 1
            size += 1
        chars[_SIZES + count] = size
        widest = max(widest, size)
        count += 1
    chars[_STARTS + count] = at
    return count, widest


@inner
def put_subwords(
    word: Word, at: int, laid: Index, room: tuple[I32, I32], rows: I32, n: int
) -> tuple[int, int]:
    """Write to `rows`, from `n` on, those of n-grams that start in `PIECE` characters from `at`.

    `word` is in its brackets; an n-gram of one bracket alone is none. `room` is for `CHARACTERS`
    and `HASHES`. Returns how many rows there are now, and where the next piece starts.
    """
    line, lo, size = word
    chars, hashes = room
    hi = lo + size
    count, widest = _read_characters(line, (at, hi), PIECE + laid.maxn - 1, chars)
    starts, before = min(count, PIECE), n
    for first in range(0, starts, BLOCK):
        _hash_block(first, widest, laid, chars, hashes)
        for lane in range(min(BLOCK, starts - first)):
            start = first + lane
            for length in range(laid.minn, min(laid.maxn, count - start) + 1):
                if length == 1 and (
                    chars[_STARTS + start] == lo or chars[_STARTS + start + 1] == hi
                ):
                    continue
                hashed = np.uint32(hashes[BLOCK * length + lane])
                n = put_bucket(_rest32(hashed, laid), laid, rows, n)
    name_rows(laid, rows, before, n)
    return n, signed(chars[_STARTS + starts])


@inlined
def _hash_block(first: int, widest: int, laid: Index, chars: I32, hashes: I32) -> None:
    """Hash the n-grams of every length that start in `BLOCK` characters; row 0 is of none."""
    for lane in range(BLOCK):
        hashes[lane] = _FNV_SIGNED
    for length in range(1, laid.maxn + 1):
        out, last = BLOCK * length, first + length - 1
        copy_hashes(hashes, out, out - BLOCK)
        for place in range(widest):
            step_hashes(hashes, out, chars, _BYTES + place * _PLANE + last, _SIZES + last, place)


@inner
def end_hash() -> np.uint32:
    """Hash `</s>`."""
    hashed = _FNV_START
    for byte in END_MARK:
        hashed = _step(hashed, np.uint8(byte))
    return hashed


@njit(nogil=True, cache=True)
def _put_words(text: NDArray[np.uint8], ends: I64, slots: I32) -> None:
    """Fill the hash table of words; of two that are equal the last counts, as for the library."""
    mask = len(slots) - 1
    for row in range(len(ends) - 1):
        lo, hi = ends[row], ends[row + 1]
        slot = signed(hash_of((pointer(text), lo, hi - lo))) & mask
        while slots[slot] >= 0:
            other = slots[slot]
            if np.array_equal(text[ends[other] : ends[other + 1]], text[lo:hi]):
                break
            slot = (slot + 1) & mask
        slots[slot] = row


@njit(nogil=True, cache=True)
def _end_row(laid: Index) -> int:
    """Row of `</s>`, -1 where the dictionary lacks it."""
    mark = np.array(END_MARK, np.uint8)
    row = find((pointer(mark), signed(0), len(mark)), end_hash(), pointed(laid))
    return row if len(mark) and len(laid.text) >= 0 else -1
