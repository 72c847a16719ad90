"""Real text in many scripts, code and conversations: what is read from shards is what went in."""

import json
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import zstandard

from cuvee.handoff.reader import ShardReader
from cuvee.handoff.shards import ShardRows, write_shard
from cuvee.tokenize.chat import ChatMaker
from cuvee.tokenize.pack import Pieces
from cuvee.tokenize.policies import Policy, fill
from cuvee.tokenize.spans import Made, Run, Span, encode_runs, runs_of
from cuvee.tokenize.store import Part, cu_seqlens, scatter, scatter_targets
from cuvee.tokenize.tokenizer import Tokenizer, load

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
QWEN = SHARED / "tokenizers" / "qwen" / "qwen.tiktoken"
CODE = SHARED / "code" / "code.jsonl.zst"
TEXTS = SHARED / "text" / "text-000.jsonl.zst"
pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in (QWEN, TEXTS, CODE)),
    reason="the real texts and tokenizers are not here",
)
CHARACTERS, SEQ_LEN = 6000, 512


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Two documents of each of the first 150 languages, and code."""
    found: dict[str, list[str]] = {}
    with zstandard.open(TEXTS, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            held = found.setdefault(row["lang"], [])
            if len(held) < 2 and len(found) <= 150:
                held.append(row["text"][:CHARACTERS])
    with zstandard.open(CODE, "rt", encoding="utf-8") as file:
        code = [json.loads(line)["text"][:CHARACTERS] for line in islice(file, 60)]
    return [text for held in found.values() for text in held] + code


@pytest.fixture(scope="module")
def qwen() -> Tokenizer:
    return load(QWEN, "<|endoftext|>")


@pytest.fixture(scope="module")
def made(texts: list[str], qwen: Tokenizer) -> tuple[list[str], Made]:
    """The texts themselves, and each two neighbours as a question and its answer."""
    runs, due = [[Run(text)] for text in texts], list(texts)
    for one, two in zip(texts[::2], texts[1::2], strict=False):
        talk = [{"role": "user", "content": one}, {"role": "assistant", "content": two}]
        got = ChatMaker()([talk])
        assert not isinstance(got, str)
        due.append(got[0])
        runs.append(runs_of(got[0], [Span(**s) for s in got[1]], qwen.control_tokens, 0))
    return due, encode_runs(qwen, runs)


def read_back(
    path: Path, result: Made, pad: int, policy: Policy = "best_fit"
) -> tuple[dict[int, dict[int, Any]], int, int]:
    """Pack and write documents; give ids and loss by document and start, and tokens left over."""
    lengths = np.diff(result.encoded.offsets)
    order = np.random.default_rng(3).permutation(len(lengths))
    nothing = np.zeros(len(order), np.int64)
    pieces = Pieces(order, nothing, lengths[order], nothing.astype(np.int32))
    full = int(lengths.sum()) // SEQ_LEN
    window = full if policy != "pad" else int((-(-lengths // SEQ_LEN)).sum())
    segments, left = fill(policy, pieces, SEQ_LEN, (window, window))
    rows = int(segments.ordinal.max()) + 1
    tokens = np.full((rows, SEQ_LEN + 1), pad, result.encoded.ids.dtype)
    mask = np.ones((rows, SEQ_LEN), np.bool_)
    ids, offsets = result.encoded
    scatter(Part(ids, offsets, 0), segments, segments.ordinal, tokens)
    scatter_targets(Part(result.loss, offsets, 0), segments, segments.ordinal, mask)
    bounds, starts = cu_seqlens(segments)
    places = np.arange(rows)
    sources, ends = np.zeros(rows, np.int32), bounds[starts[1:] - 1]
    shard = ShardRows(
        tokens, places, places.astype(np.int32), sources, ("all",), bounds, starts, ends, mask
    )
    write_shard(path, shard, 1)
    found: dict[int, dict[int, Any]] = {}
    with ShardReader(path, SEQ_LEN, tokens.dtype.name) as reader:
        groups = [reader.read(row) for row in range(rows)]
    for at in range(len(segments.ordinal)):
        group, offset = groups[segments.ordinal[at]], segments.offset[at]
        span = slice(offset, offset + segments.length[at])
        assert group.mask_bits is not None
        bits = np.unpackbits(group.mask_bits[0], count=SEQ_LEN, bitorder="little")
        held = found.setdefault(int(segments.doc_row[at]), {})
        held[int(segments.doc_start[at])] = (group.tokens[0][span], bits[span].astype(bool))
    return found, int(left.length.sum()), int(lengths.sum())


@pytest.mark.parametrize("policy", get_args(Policy))
def test_every_document_comes_back_and_every_token_is_placed_or_left_over(
    made: tuple[list[str], Made], qwen: Tokenizer, tmp_path: Path, policy: Policy
) -> None:
    due, result = made
    found, left, total = read_back(tmp_path / "0.parquet", result, qwen.pad_id, policy)
    offsets, whole, placed = result.encoded.offsets, 0, 0
    for row, text in enumerate(due):
        parts = [one for _, one in sorted(found.get(row, {}).items())]
        ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in parts)])
        placed += len(ids)
        if len(ids) < offsets[row + 1] - offsets[row]:
            continue
        assert ids[-1] == qwen.eos_id
        assert qwen.decode(ids[:-1]) == text
        bits = np.concatenate([bits for _, bits in parts])
        assert (bits[:-1] == result.loss[offsets[row] + 1 : offsets[row + 1]]).all()
        whole += 1
    assert placed + left == total
    assert whole > 0.9 * len(due)


def test_only_the_answers_of_conversations_bear_loss(
    made: tuple[list[str], Made], qwen: Tokenizer, texts: list[str]
) -> None:
    due, result = made
    offsets = result.encoded.offsets
    for row in range(len(texts), len(due)):
        here = slice(offsets[row], offsets[row + 1])
        answer = texts[2 * (row - len(texts)) + 1]
        assert qwen.decode(result.encoded.ids[here][result.loss[here]]) == f"{answer}<|im_end|>"
