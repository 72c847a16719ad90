"""fastText's model files, versions 11 and 12: read without the library, and checked as they are.

A file is a header, the *dictionary* (words, then labels), the *input* matrix (a row a word, then a
row a bucket of hashed n-grams) and the *output* matrix (a row a label, or a node of the tree of
labels), each plain or *product-quantised*: a row is cut into parts of a few numbers, and a byte
names which of 256 centroids stands for a part; its norm may be another byte. A *pruned* dictionary
has rows for some buckets only. The layout is that of fasttext.cc, args.cc, dictionary.cc,
densematrix.cc, quantmatrix.cc and productquantizer.cc; a number that would make the library read
outside of what is there is refused.

Matrices are put out as plain numbers, a row as wide as a whole number of vectors (`BLOCK`). So a
model takes `4 * rows * dim` bytes of memory (`dim` rounded up to 16): lid.176.ftz 3.2 MB.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.fasttext_vectors import BLOCK

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]

MAGIC = 793712314  # fasttext.cc: FASTTEXT_FILEFORMAT_MAGIC_INT32
VERSIONS = (11, 12)  # fasttext.h: FASTTEXT_VERSION is 12; 11 lacks character n-grams
SUPERVISED = 3  # args.h: model_name::sup
LOSSES = HS, NS, SOFTMAX, OVA = 1, 2, 3, 4  # args.h: loss_name
CENTROIDS = 256  # productquantizer.h: ksub_
HEADER = np.dtype(
    [(name, "<i4") for name in ("magic", "version", "dim", "ws", "epoch", "min_count", "neg")]
    + [(name, "<i4") for name in ("ngrams", "loss", "model", "bucket", "minn", "maxn", "rate")]
    + [("t", "<f8"), ("n_entries", "<i4"), ("n_words", "<i4"), ("n_labels", "<i4")]
    + [("n_tokens", "<i8"), ("n_pruned", "<i8")]
)
QUANTISER = np.dtype([("dim", "<i4"), ("parts", "<i4"), ("size", "<i4"), ("last", "<i4")])
UNPRUNED = -1  # of n_pruned; 0 has no n-grams at all


class Header(NamedTuple):
    """What decides how a text is read: numbers of fastText's `Args` and `Dictionary`."""

    dim: int
    n_words: int
    bucket: int  # rows for hashed n-grams before pruning
    minn: int  # characters
    maxn: int  # characters; 0 is no character n-grams
    ngrams: int  # words of the longest word n-gram
    n_pruned: int


class Words(NamedTuple):
    """The words of a dictionary: word i is `text[ends[i]:ends[i + 1]]`, ends int64 [words + 1]."""

    text: U8
    ends: I64


class Model(NamedTuple):
    """A supervised model. Matrices are float32, [rows, dim rounded up to `BLOCK`].

    `pruned` is int32 [n_pruned, 2]: buckets that have a row, and which behind the words. A row of
    the output counts `scale` times, float32 [labels].
    """

    labels: tuple[str, ...]
    counts: I64  # int64 [labels], of the training data
    header: Header
    words: Words
    pruned: I32
    input: F32
    output: F32
    scale: F32
    loss: int


class _Reader:
    """The bytes of a file, and how far they are read."""

    def __init__(self, data: U8) -> None:
        self.data, self.at = data, 0

    def take(self, count: int, kind: str | np.dtype[np.void]) -> NDArray[np.generic]:
        """Take `count` values; ValueError where the file ends before."""
        dtype = np.dtype(kind)
        end = self.at + count * dtype.itemsize
        if count < 0 or end > self.data.size:
            raise ValueError("it is cut off")
        taken = self.data[self.at : end]
        self.at = end
        # Most of a file has no alignment.
        return np.frombuffer(taken.tobytes(), dtype) if taken.size < 2**16 else taken.view(dtype)

    def flag(self) -> bool:
        """Take a byte that is 0 or 1."""
        return bool(self.take(1, "u1")[0])


def parse(data: U8) -> Model:
    """Read a model from the bytes of its file. ValueError says what is wrong with it."""
    reader = _Reader(data)
    raw = reader.take(1, HEADER)[0]
    head = {name: raw[name].item() for name in HEADER.names or ()}
    _check(head)
    words, labels, counts = _dictionary(reader, head)
    pruned = reader.take(2 * max(head["n_pruned"], 0), "<i4").reshape(-1, 2).astype(np.int32)
    maxn = 0 if head["version"] == 11 else head["maxn"]  # fasttext.cc, loadModel
    header = Header(
        head["dim"],
        head["n_words"],
        head["bucket"],
        head["minn"],
        maxn,
        head["ngrams"],
        head["n_pruned"],
    )
    quantised = reader.flag()
    if pruned.size and not quantised:
        raise ValueError("it is pruned and not quantised, which fastText takes for damaged")
    hashed = pruned.shape[0] if head["n_pruned"] >= 0 else head["bucket"]
    if pruned.size and not 0 <= pruned[:, 1].min() <= pruned[:, 1].max() < hashed:
        raise ValueError("it names rows that it does not have")
    input_, scale = _matrix(reader, (head["n_words"] + hashed, head["dim"]), quantised)
    _multiply(input_, scale)
    output_quantised = reader.flag() and quantised
    output, scale = _matrix(reader, (head["n_labels"], head["dim"]), output_quantised)
    if reader.at != data.size:
        raise ValueError(f"it has {data.size} bytes and should have {reader.at}")
    return Model(labels, counts, header, words, pruned, input_, output, scale, head["loss"])


def open_file(path: Path) -> U8:
    """Map a file into memory."""
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _check(head: dict[str, int]) -> None:
    """Refuse a header that is of no model that could be applied."""
    if head["magic"] != MAGIC or head["version"] not in VERSIONS:
        raise ValueError("it does not start as one")
    if head["model"] != SUPERVISED:
        raise ValueError("it holds word vectors and no classifier")
    if head["loss"] not in LOSSES:
        raise ValueError(f"it has the loss {head['loss']}, which is none of 1 to 4")
    if min(head["dim"], head["n_labels"]) < 1 or min(head["n_words"], head["bucket"]) < 0:
        raise ValueError("its header has a number that cannot be")
    if head["n_entries"] != head["n_words"] + head["n_labels"] or head["n_pruned"] < UNPRUNED:
        raise ValueError("its header has numbers that contradict each other")
    if (head["maxn"] > 0 or head["ngrams"] > 1) and head["bucket"] == 0:
        raise ValueError("it has n-grams and no bucket for them")


def _dictionary(reader: _Reader, head: dict[str, int]) -> tuple[Words, tuple[str, ...], I64]:
    """Read the words, the labels and how often each label was seen."""
    n_entries, n_words = head["n_entries"], head["n_words"]
    if n_entries * 10 > reader.data.size:  # a NUL, a count and a kind each
        raise ValueError("its dictionary is cut off")
    starts = np.zeros(n_entries + 1, np.int64)
    if not _entry_starts(reader.data, reader.at, starts):
        raise ValueError("its dictionary is cut off")
    reader.at = int(starts[-1])
    tail = reader.data[starts[1:, None] + np.arange(-9, 0)]
    if np.any(tail[:n_words, 8] != 0) or np.any(tail[n_words:, 8] != 1):
        raise ValueError("its labels do not come behind its words")
    counts = np.ascontiguousarray(tail[n_words:, :8]).view("<i8")[:, 0].astype(np.int64)
    ends = starts[: n_words + 1] - starts[0] - 10 * np.arange(n_words + 1)
    text = _entry_bytes(reader.data, starts[: n_words + 1], ends)
    labels = [
        reader.data[first : last - 10].tobytes().decode()
        for first, last in zip(starts[n_words:-1], starts[n_words + 1 :], strict=True)
    ]
    return Words(text, ends), tuple(labels), counts


@njit(nogil=True, cache=True)
def _entry_starts(data: U8, at: int, starts: I64) -> bool:
    """Find where entries start and the last one ends: bytes, a NUL, a count (8 bytes), a kind."""
    starts[0] = at
    for entry in range(len(starts) - 1):
        while at < len(data) and data[at] != 0:
            at += 1
        at += 10
        starts[entry + 1] = at
        if at > len(data):
            return False
    return True


@njit(nogil=True, cache=True)
def _entry_bytes(data: U8, starts: I64, ends: I64) -> U8:
    """Copy the bytes of entries together."""
    text = np.empty(ends[-1], np.uint8)
    for entry in range(len(starts) - 1):
        for place in range(ends[entry + 1] - ends[entry]):
            text[ends[entry] + place] = data[starts[entry] + place]
    return text


def _matrix(reader: _Reader, shape: tuple[int, int], quantised: bool) -> tuple[F32, F32]:
    """Read a matrix that must have at least these rows and exactly these columns, and its norms.

    Numbers of a quantised row are to be taken times its norm; of a plain matrix norms are 1.
    """
    has_norms = quantised and reader.flag()
    rows, dim = (int(value) for value in reader.take(2, "<i8"))
    if rows < shape[0] or dim != shape[1]:
        raise ValueError(f"a matrix has shape {rows} x {dim} and should have {shape}")
    wide = -(-dim // BLOCK) * BLOCK
    if not quantised:
        plain = reader.take(rows * dim, "<f4").reshape(rows, dim)
        matrix = np.zeros((rows, wide), np.float32)
        matrix[:, :dim] = plain
        return matrix, np.ones(rows, np.float32)
    codes = reader.take(int(reader.take(1, "<i4")[0]), "u1")
    centroids, parts = _centroids(reader, dim)
    if codes.size != rows * parts:
        raise ValueError(f"a matrix has {codes.size} codes and should have {rows * parts}")
    matrix = np.zeros((rows, wide), np.float32)
    size = centroids.shape[2]
    for part, coded in enumerate(codes.reshape(rows, parts).T):
        room = matrix[:, part * size : min((part + 1) * size, dim)]
        room[:] = centroids[part, coded, : room.shape[1]]
    norms = np.ones(rows, np.float32)
    if has_norms:
        codes = reader.take(rows, "u1")
        norms = _centroids(reader, 1)[0][0, codes, 0]
    return matrix, norms


def _centroids(reader: _Reader, dim: int) -> tuple[F32, int]:
    """Read a quantiser: centroids float32 [parts, 256, numbers of a part], and how many parts."""
    raw = reader.take(1, QUANTISER)[0]
    size, parts = int(raw["size"]), int(raw["parts"])
    if raw["dim"] != dim or size < 1 or parts != -(-dim // size):
        raise ValueError("a quantiser does not fit its matrix")
    last = dim - (parts - 1) * size  # numbers of the last part, which may be shorter
    if raw["last"] != last:
        raise ValueError("a quantiser does not fit its matrix")
    flat = reader.take(CENTROIDS * dim, "<f4").astype(np.float32)
    centroids = np.zeros((parts, CENTROIDS, size), np.float32)
    before = CENTROIDS * size * (parts - 1)
    centroids[:-1] = flat[:before].reshape(parts - 1, CENTROIDS, size)
    centroids[-1, :, :last] = flat[before:].reshape(CENTROIDS, last)
    return centroids, parts


def _multiply(matrix: F32, norms: F32) -> None:
    """Multiply rows by their norms, as the library does before it adds them."""
    if np.any(norms != 1):
        matrix *= norms[:, None]
