"""From sums of input rows to probabilities of labels: what fastText's `Loss::predict` does.

*Softmax* shares out one among the labels. *One against all* and *negative sampling* give each label
a probability of its own, read off a table of 512 steps as the library does. *Hierarchical softmax*
walks a tree of labels, made of how often each was seen, from the root down: a node's probability
parts between its two sides. The library adds 1e-5 to a probability before it takes the logarithm,
and does not list a label below the logarithm of 1e-5 of a tree; so is it here.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cuvee.filters.fasttext_file import HS, SOFTMAX, Model
from cuvee.filters.fasttext_words import Sums
from cuvee.filters.pointers import inner

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

UNLISTED = -1  # instead of a label, where a model lists none for a text
_TINY = 1e-5  # loss.cc, std_log
_ROOM = 10**15  # of labels seen, in a tree's node that is not made yet
_STEPS, _BOUND = 512, 8  # loss.cc: SIGMOID_TABLE_SIZE, MAX_SIGMOID


class Output(NamedTuple):
    """A model's output, laid out for the kernels.

    `columns` float32 [numbers, labels] is the output matrix, transposed; a label's product counts
    `scale` times. `tree` int32 [2 * labels - 1, 3] has the left, right and parent node of each
    node, -1 for none; the labels are the first nodes. It is empty where the loss is no tree.
    """

    columns: F32
    scale: F32
    loss: int
    tree: I32
    sigmoids: F32


class Best(NamedTuple):
    """The likeliest label of each text, int64 (`UNLISTED`: none), and its probability, float32.

    Where sums are not finite the probability is not a number.
    """

    label: I64
    share: F32


def output(model: Model) -> Output:
    """Lay out a model's output."""
    n_labels = len(model.labels)
    tree = np.zeros((0, 3), np.int32)
    if model.loss == HS:
        tree = _tree(model.counts)
    columns = np.ascontiguousarray(model.output[:n_labels, : model.header.dim].T)
    return Output(columns, model.scale[:n_labels], model.loss, tree, _sigmoids())


def best(output: Output, sums: Sums) -> Best:
    """Find the likeliest label of each text; of labels that are equally likely, as the library."""
    n = len(sums.n_rows)
    found = Best(np.full(n, UNLISTED, np.int64), np.zeros(n, np.float32))
    _best(output, sums.vectors, sums.n_rows, found)
    return found


def shares(output: Output, sums: Sums, label: int) -> F32:
    """Give the probability of one label for each text, float32; 0 where it is not listed."""
    found = np.zeros(len(sums.n_rows), np.float32)
    _shares(output, sums.vectors, sums.n_rows, label, found)
    return found


@njit(nogil=True, cache=True)
def _tree(counts: I64) -> I32:
    """Make Huffman's tree of labels, in the library's order (loss.cc, buildTree)."""
    n = len(counts)
    weights = np.full(2 * n - 1, _ROOM)
    weights[:n] = counts
    tree = np.full((2 * n - 1, 3), -1, np.int32)
    leaf, inner = n - 1, n
    for node in range(n, 2 * n - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[inner]:
                child = leaf
                leaf -= 1
            else:
                child = inner
                inner += 1
            tree[node, side] = child
            tree[child, 2] = node
        weights[node] = weights[tree[node, 0]] + weights[tree[node, 1]]
    return tree


@cache
def _sigmoids() -> F32:
    """Make the library's table of the sigmoid (loss.cc), float32 [513]."""
    x = np.arange(_STEPS + 1, dtype=np.float32) * 2 * _BOUND / _STEPS - _BOUND
    table = np.array([1.0 / (1.0 + float(np.exp(-value))) for value in x], np.float32)
    table.flags.writeable = False
    return table


@inner
def _log(x: float | np.float32) -> np.float32:
    """Take the logarithm as the library does (loss.cc, std_log)."""
    return np.float32(math.log(x + _TINY))


@inner
def _exp(x: np.float32) -> np.float32:
    """Raise e to a power, 1 at most: the library gives 1.00001 for what is certain."""
    raised = np.float32(math.exp(x))
    return np.float32(1) if raised > 1 else raised


@inner
def _node_share(output: Output, node: int, vector: F32) -> np.float32:
    """Probability of the right side of a node."""
    dot = np.float32(0)
    row = node - output.columns.shape[1]
    for place in range(output.columns.shape[0]):
        dot += vector[place] * output.columns[place, row]
    dot *= output.scale[row]
    return np.float32(1.0 / (np.float32(1) + np.float32(math.exp(-dot))))


@inner
def _best_leaf(output: Output, vector: F32, stack: I64, scores: F32) -> tuple[int, np.float32]:
    """Search the tree for the likeliest label, left before right (loss.cc, dfs)."""
    n_labels = output.columns.shape[1]
    found, score = UNLISTED, np.float32(-np.inf)
    least = _log(0.0)
    stack[0], scores[0], depth = 2 * n_labels - 2, 0.0, 1
    while depth:
        depth -= 1
        node, here = stack[depth], scores[depth]
        if here < least or here < score:
            continue
        if node < n_labels:
            found, score = node, here
            continue
        share = _node_share(output, node, vector)
        if math.isnan(share):
            return UNLISTED, share
        stack[depth], scores[depth] = output.tree[node, 1], here + _log(share)
        stack[depth + 1], scores[depth + 1] = (
            output.tree[node, 0],
            here + _log(np.float32(1.0 - share)),
        )
        depth += 2
    return found, _exp(score) if found >= 0 else np.float32(0)


@inner
def _leaf_share(output: Output, vector: F32, label: int, path: I64) -> np.float32:
    """Probability of a label of the tree; 0 where a node above it is too unlikely to be listed."""
    node, depth = label, 0
    while output.tree[node, 2] >= 0:
        path[depth] = node
        node = output.tree[node, 2]
        depth += 1
    score = np.float32(0)
    for step in range(depth - 1, -1, -1):
        share = _node_share(output, node, vector)
        if math.isnan(share):
            return share
        score += (
            _log(share) if output.tree[node, 1] == path[step] else _log(np.float32(1.0 - share))
        )
        if score < _log(0.0):
            return np.float32(0)
        node = path[step]
    return _exp(score)


@inner
def _all_shares(output: Output, vector: F32, found: F32) -> None:
    """Write the probability of every label of a loss that is no tree."""
    n_labels = len(found)
    found[:] = 0
    for place in range(output.columns.shape[0]):
        weight = vector[place]
        for label in range(n_labels):
            found[label] += weight * output.columns[place, label]
    highest, total = np.float32(-np.inf), np.float32(0)
    for label in range(n_labels):
        found[label] *= output.scale[label]
        highest = max(highest, found[label])
    for label in range(n_labels):
        if output.loss == SOFTMAX:
            found[label] = np.float32(math.exp(found[label] - highest))
            total += found[label]
        else:
            found[label] = _sigmoid(found[label], output.sigmoids)
    if output.loss == SOFTMAX:
        for label in range(n_labels):
            found[label] /= total


@inner
def _sigmoid(x: np.float32, table: F32) -> np.float32:
    """Read the sigmoid off the table (loss.cc, sigmoid)."""
    if math.isnan(x):
        return x
    if x < -_BOUND:
        return np.float32(0)
    if x > _BOUND:
        return np.float32(1)
    step = int((x + np.float32(_BOUND)) * np.float32(_STEPS) / np.float32(2 * _BOUND))
    return np.float32(table[step])


@njit(nogil=True, cache=True)
def _best(output: Output, vectors: F32, n_rows: I64, found: Best) -> None:
    """Find the likeliest label of every text that has rows."""
    n_labels = output.columns.shape[1]
    stack, scores = np.zeros(n_labels + 2, np.int64), np.zeros(n_labels + 2, np.float32)
    for n in range(len(n_rows)):
        if n_rows[n] == 0:
            continue
        if output.loss == HS:
            found.label[n], found.share[n] = _best_leaf(output, vectors[n], stack, scores)
            continue
        _all_shares(output, vectors[n], scores[:n_labels])
        score = np.float32(-np.inf)
        for label in range(n_labels):
            logarithm = _log(scores[label])
            if logarithm >= score:  # the library keeps the last of equals
                found.label[n], score = label, logarithm
        found.share[n] = _exp(score) if found.label[n] >= 0 else np.float32(np.nan)


@njit(nogil=True, cache=True)
def _shares(output: Output, vectors: F32, n_rows: I64, label: int, found: F32) -> None:
    """Write the probability of one label for every text that has rows."""
    n_labels = output.columns.shape[1]
    path, all_ = np.zeros(n_labels + 2, np.int64), np.zeros(n_labels, np.float32)
    for n in range(len(n_rows)):
        if n_rows[n] == 0:
            continue
        if output.loss == HS:
            found[n] = _leaf_share(output, vectors[n], label, path)
        else:
            _all_shares(output, vectors[n], all_)
            found[n] = _exp(_log(all_[label]))
