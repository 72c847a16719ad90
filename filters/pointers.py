"""Bare pointers to the elements of arrays, for the kernels that run per character and per word.

A kernel that gets arrays counts references to them, atomically, in every call that it makes: with
them a scan took three times as long. A *pointer* is indexed like its array and costs nothing to
pass, but knows no length, and keeps nothing alive: whoever takes one must hold the array as a
parameter, or use it later.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
"""UTF-8 text; in the kernels a pointer to its bytes."""
Tables = NDArray[np.uint64]
"""What `names.tables` builds; in the kernels a pointer to it."""
Words = NDArray[np.uint64]
"""What is kept of a document's words (`scan.py`), or grams; in the kernels a pointer."""
Counts = NDArray[np.int64]
"""A document's tally (`tally.py`); in the kernels a pointer to it."""
Slots = NDArray[np.int32]
"""A hash table of places; in the kernels a pointer to it."""

_pointer_type: Any = types.CPointer
signed = cast("Callable[[Any], int]", np.int64)
"""An element as a signed number: `np.int64`, which a type checker takes for an int."""


def _pointer(typing: Any, array: Any) -> tuple[Any, Callable[..., Any]]:
    """Return signature and code of `pointer`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return _pointer_type(array.dtype)(array), codegen


pointer = cast("Callable[[Any], Any]", intrinsic(_pointer))
"""The pointer to the first element of a contiguous array; in a kernel only."""

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_njit: Any = njit  # its stubs leave out what is meant for extensions
_INNER = {"nogil": True, "cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(kernel: Kernel) -> Kernel:
    """Decorate a kernel that only kernels call.

    It has no way in from Python, whose compiling took a fifth of the time: a call from Python ends
    the process. Give it `signed(0)`, not `0`: numba compiles it anew for every literal number.
    """
    return cast("Kernel", _njit(**_INNER)(kernel))


def inlined(kernel: Kernel) -> Kernel:
    """Decorate an inner kernel whose code is to be copied to each place where it is called."""
    return cast("Kernel", _njit(forceinline=True, **_INNER)(kernel))


def pasted(kernel: Kernel) -> Kernel:
    """Decorate an inner kernel that is called in one place: numba writes it in there.

    It is no function of its own to compile. Of a function, LLVM would work on the code again in
    every kernel above it: without this, the first call of `measure` took 2.5 s more.
    """
    return cast("Kernel", _njit(nogil=True, inline="always")(kernel))
