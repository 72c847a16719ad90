"""Eight bytes, eight rows or sixteen numbers at a time: what `fasttext_words` is made fast with.

All of them take bare pointers (`pointers.py`) and places in elements; nothing is checked. A vector
operation does to each of its numbers what the plain one does, so sums are the same to the last bit.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 16  # numbers of a vector that are added, or hashes that are taken, at a time
COPIED = 8  # rows that are copied at a time

_FNV_PRIME = 16777619

_cgutils: Any = cgutils  # its functions have no types
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_at: Any = types.int64


def _load8(typing: Any, data: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `load8`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(args[0], [args[1]])
        return builder.load(builder.bitcast(place, _I64.as_pointer()), align=1)

    return types.uint64(data, _at), codegen


def _low_zeros(typing: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `low_zeros`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


def _copy_rows(
    typing: Any, out: Any, at: Any, rows: Any, first: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `copy_rows`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.VectorType(_I32, COPIED).as_pointer()
        source = builder.bitcast(builder.gep(args[2], [args[3]]), wide)
        target = builder.bitcast(builder.gep(args[0], [args[1]]), wide)
        builder.store(builder.load(source, align=4), target, align=4)
        return context.get_dummy_value()

    return types.void(out, _at, rows, _at), codegen


def _add_rows(
    typing: Any, sums: Any, matrix: Any, at: Any, width: Any, rows: Any, count: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `add_rows`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums_, matrix_, at_, width_, rows_, count_ = args
        wide = ir.VectorType(ir.FloatType(), BLOCK)
        target = builder.bitcast(builder.gep(sums_, [at_]), wide.as_pointer())
        total = _cgutils.alloca_once_value(builder, builder.load(target, align=4))
        with _cgutils.for_range(builder, count_) as loop:
            row = builder.sext(builder.load(builder.gep(rows_, [loop.index])), _I64)
            place = builder.gep(matrix_, [builder.add(builder.mul(row, width_), at_)])
            vector = builder.load(builder.bitcast(place, wide.as_pointer()), align=4)
            builder.store(builder.fadd(builder.load(total), vector), total)
        builder.store(builder.load(total), target, align=4)
        return context.get_dummy_value()

    return types.void(sums, matrix, _at, _at, rows, _at), codegen


def _step_hashes(
    typing: Any, hashes: Any, out: Any, chars: Any, byte_at: Any, size_at: Any, place: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `step_hashes`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        hashes_, out_, chars_, byte_at_, size_at_, place_ = args
        wide = ir.VectorType(_I32, BLOCK)

        def vector(array: Any, start: Any) -> Any:
            return builder.bitcast(builder.gep(array, [start]), wide.as_pointer())

        before = builder.load(vector(hashes_, out_), align=4)
        byte = builder.load(vector(chars_, byte_at_), align=4)
        size = builder.load(vector(chars_, size_at_), align=4)
        prime = ir.Constant(wide, [_FNV_PRIME] * BLOCK)
        stepped = builder.mul(builder.xor(before, byte), prime)
        least = builder.trunc(place_, _I32)
        zeros = ir.Constant(wide, [0] * BLOCK)
        none = ir.Constant(wide, ir.Undefined)
        spread = builder.shuffle_vector(
            builder.insert_element(none, least, ir.Constant(_I32, 0)), none, zeros
        )
        has = builder.icmp_signed(">", size, spread)
        builder.store(builder.select(has, stepped, before), vector(hashes_, out_), align=4)
        return context.get_dummy_value()

    return types.void(hashes, _at, chars, _at, _at, _at), codegen


def _copy_hashes(typing: Any, hashes: Any, to: Any, source: Any) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `copy_hashes`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.VectorType(_I32, BLOCK).as_pointer()
        source_ = builder.bitcast(builder.gep(args[0], [args[2]]), wide)
        target = builder.bitcast(builder.gep(args[0], [args[1]]), wide)
        builder.store(builder.load(source_, align=4), target, align=4)
        return context.get_dummy_value()

    return types.void(hashes, _at, _at), codegen


def _high_product(typing: Any, one: Any, other: Any) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `high_product`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        long = ir.IntType(128)
        product = builder.mul(*(builder.zext(value, long) for value in args))
        return builder.trunc(builder.lshr(product, ir.Constant(long, 64)), _I64)

    return types.uint64(types.uint64, types.uint64), codegen


load8 = cast("Callable[[Any, int], np.uint64]", intrinsic(_load8))
"""The eight bytes at a place, the first of them lowest."""
low_zeros = cast("Callable[[np.uint64], int]", intrinsic(_low_zeros))
"""How many zero bits a number other than 0 has below its lowest one."""
copy_rows = cast("Callable[[Any, int, Any, int], None]", intrinsic(_copy_rows))
"""Copy `COPIED` int32 to `out` at a place from `rows` at a place."""
add_rows = cast("Callable[[Any, Any, int, int, Any, int], None]", intrinsic(_add_rows))
"""Add numbers `at` to `at + BLOCK` of rows of a float32 matrix to those of sums, row by row.

The matrix is so `width`."""
step_hashes = cast("Callable[[Any, int, Any, int, int, int], None]", intrinsic(_step_hashes))
"""Take `BLOCK` FNV-1a hashes at a place one byte on: int32 bytes of characters, at one place of an
array, whose sizes are at another; a hash whose character has no byte so far in stays."""
copy_hashes = cast("Callable[[Any, int, int], None]", intrinsic(_copy_hashes))
"""Copy `BLOCK` int32 to a place of an array from another place of it."""
high_product = cast("Callable[[np.uint64, np.uint64], np.uint64]", intrinsic(_high_product))
"""The higher 64 bits of a product."""
