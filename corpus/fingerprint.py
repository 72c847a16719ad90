"""Say in a few characters what would change the bytes.

A *fingerprint* of a value is the sha256 of its canonical JSON: sorted keys, no spaces, UTF-8. What
has no stable form is refused rather than guessed. A fingerprint of a file is its content's
xxh3_128 and its size; when and where it was written is no part of it.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

import xxhash

from cuvee.configs.errors import RecipeError, SourceError
from cuvee.corpus.paths import SourceFile
from cuvee.corpus.streams import open_source

CHUNK_BYTES: Final = 2**20


def fingerprint(value: object) -> str:
    """Give the sha256, in hex, of a value of mappings, sequences, text, numbers, bools and None.

    A tuple counts as a list, a relative path as its text. Raises RecipeError, with the place
    within the value, for what has no stable form: sets, NaN and infinities, functions, objects,
    absolute paths, keys that are no text.

    >>> fingerprint({"b": 1, "a": [True, None]}) == fingerprint({"a": (True, None), "b": 1})
    True
    """
    plain = _plain(value, "value")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object, at: str) -> object:
    """Give the value in JSON's own types, or refuse it."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return _checked_text(value, at)
        case float() if math.isfinite(value):
            return value
        case PurePath() if not value.is_absolute():
            return _checked_text(value.as_posix(), at)
        case list() | tuple():
            return [_plain(item, f"{at}.{i}") for i, item in enumerate(value)]
        case Mapping():
            return {_key(key, at): _plain(item, f"{at}.{key}") for key, item in value.items()}
    raise _refusal(value, at)


def _checked_text(text: str, at: str) -> str:
    """Give text back if UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecipeError(
            f"{at} holds a lone surrogate, which has no UTF-8 form, so no fingerprint.",
            do="Take it out of the text.",
        ) from error
    return text


def _key(key: object, at: str) -> str:
    """Give a mapping's key back if it is text."""
    if isinstance(key, str):
        return _checked_text(key, at)
    raise RecipeError(
        f"{at} has the key {key!r} of type {type(key).__name__}.",
        "A fingerprint takes mappings whose keys are text.",
        "Write the key as text.",
    )


def _refusal(value: object, at: str) -> RecipeError:
    """Say why a value has no stable form and what to give in its place."""
    match value:
        case set() | frozenset():
            why, do = "a set has no order", "Give a sorted list."
        case float():
            why, do = f"{value} equals nothing reliably", "Give a finite number or null."
        case PurePath():
            why = f"the absolute path {value} differs from machine to machine"
            do = "Give a path relative to the recipe, or the file's own fingerprint."
        case _ if callable(value):
            why, do = "a function has no stable form", "Give its name and its parameters."
        case _:
            why = f"a {type(value).__name__} has no stable form"
            do = "Give it as mappings, lists, text and numbers."
    return RecipeError(f"{at} cannot be fingerprinted: {why}.", do=do)


def file_fingerprint(path_or_url: str | Path) -> str:
    """Give `<xxh3_128 in hex>-<bytes>` of a file's content, as stored, local or remote.

    Streams in pieces of 1 MiB (8 GB/s from the page cache). Raises SourceError where the
    file cannot be read.
    """
    digest, n_bytes = xxhash.xxh3_128(), 0
    try:
        with open_source(str(path_or_url)) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                n_bytes += len(chunk)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(
            f"{path_or_url} cannot be read: {error}.", do="Check the path and its permissions."
        ) from error
    return f"{digest.hexdigest()}-{n_bytes}"


def files_print(files: Sequence[SourceFile]) -> str:
    """Identify the names and contents of several files."""
    return " ".join(f"{file.name}:{file_fingerprint(file.url)}" for file in files)
