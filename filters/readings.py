"""The two ways in which the text of a benchmark item is read, and the n-grams of both.

In the first reading punctuation ends a word; in the second it vanishes (`don't` is `dont`, `3.14`
is `314`), so that an item is also found where its punctuation was deleted. A document is read in
the first way alone. The second reading has fewer words of as many letters: an item that is long
enough in the first is matched as a whole from half as many words on.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.filters.ngram_table import Table, character_table, lay_out, stripped_table
from cuvee.filters.ngram_words import count_words
from cuvee.filters.ngrams import Lengths, Listed, list_ngrams
from cuvee.filters.shingles import utf8_views


class Held(NamedTuple):
    """The n-grams of texts laid out for the search, and the readings that hold each.

    The readings with n-gram `g` of `table` are `holders[offsets[g] : offsets[g + 1]]` (int32,
    ascending); reading t is the first and t + texts the second of text t.
    """

    table: Table
    offsets: NDArray[np.int32]
    holders: NDArray[np.int32]


def changes(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Say where a row differs from the one before in any column; the first row always does."""
    changed = np.zeros(columns[0].size, np.bool_)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def hold(texts: pa.LargeStringArray, lengths: Lengths, second: bool) -> Held:
    """Lay out the n-grams of the first and, if asked for, the `second` reading of every text."""
    gate_words = (lengths.min_words + 1) // 2 if second else lengths.shortest
    first = list_ngrams(*_data(texts), character_table(), lengths, gate_words)
    listed = _joined(first, _second(texts, lengths, gate_words)) if second else first
    del first
    used = np.unique(np.append(listed.lengths, lengths.longest))
    gates = listed.gates[listed.lengths < lengths.longest]
    keys, checks, holder = listed.keys, listed.checks, listed.texts
    del listed  # one by one, what is not in order is let go: there may be many n-grams
    order = np.lexsort((checks, keys))  # equal n-grams stay in the texts' order
    keys = keys[order]
    checks = checks[order]
    holder = holder[order]
    del order
    new_gram = changes(keys, checks)
    new_pair = new_gram | changes(holder)
    table = lay_out(keys[new_gram], checks[new_gram], gates, gate_words, used)
    holder = holder[new_pair]
    firsts = np.flatnonzero(new_gram[new_pair])
    return Held(table, np.append(firsts, holder.size).astype(np.int32), holder)


def _data(texts: pa.LargeStringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """View the bytes and offsets of texts."""
    offsets, data = utf8_views(texts)
    return data, offsets


def _second(texts: pa.LargeStringArray, lengths: Lengths, least: int) -> Listed:
    """List the n-grams of second readings that have fewer words than a first one that is long."""
    words = count_words(*_data(texts), character_table())
    fewer = count_words(*_data(texts), stripped_table()) < words
    differing = np.flatnonzero(fewer & (words >= lengths.min_words))
    chosen = texts.take(differing)
    shape = lengths._replace(min_words=least)
    listed = list_ngrams(*_data(chosen), stripped_table(), shape, least)
    return listed._replace(texts=(differing[listed.texts] + len(texts)).astype(np.int32))


def _joined(first: Listed, second: Listed) -> Listed:
    """Put the n-grams of second readings behind those of first ones."""
    columns = [np.concatenate([a, b]) for a, b in zip(first, second, strict=True)]
    return Listed(*columns)
