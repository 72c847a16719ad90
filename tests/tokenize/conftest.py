"""A small tokenizer with the control tokens of chat and of filling in the middle."""

import json
from pathlib import Path

import pytest

from cuvee.tokenize.tokenizer import Tokenizer, load
from cuvee.tokenize.train import train

EOS = "<|eos|>"
CONTROL = [
    *("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|pad|>", "<|image|>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    texts = ["user assistant system a text of words, 123\n  some more\n\nof it. ünïcödé"] * 3
    made = json.loads(train(texts, 330, EOS))
    size = len(made["model"]["vocab"])
    first = made["added_tokens"][0]
    made["added_tokens"] += [
        {**first, "id": size + n, "content": content} for n, content in enumerate(CONTROL)
    ]
    path: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(json.dumps(made))
    return load(path, EOS)
