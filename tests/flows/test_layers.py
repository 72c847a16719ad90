"""Tokens, packs and shards are layers: text is encoded once, however often it is packed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cuvee.handoff import read_manifest
from cuvee.tokenize.tokenizer import Tokenizer

InProcess = Callable[..., None]


def test_other_weights_lengths_and_packing_encode_nothing(
    corpus: Path, tmp_path: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = 0
    encode = Tokenizer.encode_texts

    def counted(tokenizer: Tokenizer, texts: Any) -> Any:
        nonlocal documents
        documents += len(texts)
        return encode(tokenizer, texts)

    monkeypatch.setattr(Tokenizer, "encode_texts", counted)
    out = tmp_path / "run"
    in_process(corpus / "small.yaml", out)
    assert documents > 300
    first, documents = read_manifest(out / "shards" / "core"), 0
    changes = ("mixture.web=0.3", "seq_len=64", "packing={policy: concat}")
    in_process(
        corpus / "small.yaml", out, [f"stages.core.{change}" for change in changes], update=True
    )
    second = read_manifest(out / "shards" / "core")
    assert (first.seq_len, second.seq_len) == (128, 64)
    assert second.sources[0].weight > first.sources[0].weight  # books
    assert documents == 0
