"""The parts of a URL in UTF-8 bytes, and sets of hashes to look them up in: kernels.

`cuvee.filters.urls` says what a host, a domain and a piece are. The hash of a string starts at
`SEED`, takes `h = (h ^ byte) * golden ratio` mod 2^64 for each byte, and ends with the finalizer of
MurmurHash3; a domain is read from its end, so that all its parents are hashed on the way. 0 is
free.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_MIX1 = np.uint64(0xFF51AFD7ED558CCD)  # fmix64 of MurmurHash3
_MIX2 = np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(33)
SEED = np.uint64(1)
_DOT, _COLON, _SLASH, _AT = ord("."), ord(":"), ord("/"), ord("@")
_WWW = 4  # bytes of `www.`


def _lower_table() -> Bytes:
    """Tabulate ASCII letters and digits in lower case, all else as 0: uint8 [256]."""
    table = np.zeros(256, np.uint8)
    for code in range(0x80):
        if chr(code).isalnum():
            table[code] = ord(chr(code).lower())
    return table


PIECES = _lower_table()


@njit(nogil=True, cache=True, forceinline=True)
def mix(h: np.uint64) -> np.uint64:
    """Spread each bit of 64 over all; 0, a free slot, comes of nothing that is hashed here."""
    h = (h ^ (h >> _HALF)) * _MIX1
    h = (h ^ (h >> _HALF)) * _MIX2
    return (h ^ (h >> _HALF)) | SEED


@njit(nogil=True, cache=True)
def hash_set(hashes: U64) -> U64:
    """Lay hashes out with open addressing, at most half full."""
    size = 2
    while size < 2 * hashes.size:
        size *= 2
    slots = np.zeros(size, np.uint64)
    for value in hashes:
        if value:
            slot = np.int64(value >> np.uint64(1)) & (size - 1)
            while slots[slot] != 0 and slots[slot] != value:
                slot = (slot + 1) & (size - 1)
            slots[slot] = value
    return slots


@njit(nogil=True, cache=True, forceinline=True)
def holds(slots: U64, value: np.uint64) -> bool:
    """Say whether a hash is in a set."""
    slot = np.int64(value >> np.uint64(1)) & (slots.size - 1)
    while slots[slot] != 0:
        if slots[slot] == value:
            return True
        slot = (slot + 1) & (slots.size - 1)
    return False


@njit(nogil=True, cache=True, forceinline=True)
def _lower(byte: int) -> np.uint64:
    """Give a byte with ASCII capitals in lower case."""
    return np.uint64(byte | 0x20 if ord("A") <= byte <= ord("Z") else byte)


@njit(nogil=True, cache=True)
def authority_of(data: Bytes, lo: int, hi: int) -> tuple[int, int]:
    """Find the bytes between `//`, or the start, and the path."""
    at = lo
    while at < hi and (PIECES[data[at]] or data[at] in (ord("+"), ord("-"), _DOT)):
        at += 1
    named = at < hi and data[at] == _COLON
    at += named
    if (named or at == lo) and at + 1 < hi and data[at] == _SLASH and data[at + 1] == _SLASH:
        lo = at + 2
    end = lo
    while end < hi and data[end] not in (_SLASH, ord("?"), ord("#")):
        end += 1
    return lo, end


@njit(nogil=True, cache=True)
def host_of(data: Bytes, lo: int, hi: int) -> tuple[int, int]:
    """Find the host in the bytes between `//` and the path."""
    for at in range(lo, hi):
        lo = at + 1 if data[at] == _AT else lo
    port = hi
    while port > lo and ord("0") <= data[port - 1] <= ord("9"):
        port -= 1
    hi = port - 1 if port > lo and data[port - 1] == _COLON else hi
    while hi > lo and data[hi - 1] == _DOT:
        hi -= 1
    www = hi - lo > _WWW and data[lo + _WWW - 1] == _DOT
    for at in range(lo, lo + _WWW - 1 if www else lo):
        www = www and _lower(data[at]) == ord("w")
    return lo + www * _WWW, hi


@njit(nogil=True, cache=True)
def url_hash(data: Bytes, host: tuple[int, int], rest: tuple[int, int]) -> np.uint64:
    """Hash a host and what follows it, without fragment and final slashes; 0 for no host."""
    value, end = SEED, rest[0]
    if host[0] >= host[1]:
        return np.uint64(0)
    for at in range(host[0], host[1]):
        value = (value ^ _lower(data[at])) * GOLDEN
    while end < rest[1] and data[end] != ord("#"):
        end += 1
    while end > rest[0] and data[end - 1] == _SLASH:
        end -= 1
    for at in range(rest[0], end):
        value = (value ^ np.uint64(data[at])) * GOLDEN
    return mix(value)


@njit(nogil=True, cache=True)
def in_domain(data: Bytes, host: tuple[int, int], domains: U64) -> bool:
    """Say whether a host or a parent of it is in a set."""
    value = SEED
    for at in range(host[1] - 1, host[0] - 1, -1):
        if data[at] == _DOT and holds(domains, mix(value)):
            return True
        value = (value ^ _lower(data[at])) * GOLDEN
    return host[1] > host[0] and holds(domains, mix(value))


@njit(nogil=True, cache=True)
def list_hashes(data: Bytes, offsets: I64, domains: bool) -> U64:
    """Hash the entries of a list of domains, or of URLs or words; 0 for an entry without a host."""
    hashes = np.zeros(offsets.size - 1, np.uint64)
    for row in range(hashes.size):
        lo, end = authority_of(data, offsets[row], offsets[row + 1])
        host = host_of(data, lo, end)
        if not domains:
            hashes[row] = url_hash(data, host, (end, offsets[row + 1]))
            continue
        value = SEED
        for at in range(host[1] - 1, host[0] - 1, -1):
            value = (value ^ _lower(data[at])) * GOLDEN
        hashes[row] = mix(value) if host[1] > host[0] else np.uint64(0)
    return hashes
