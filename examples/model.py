"""A small decoder-only transformer in plain torch, for sequences that hold several documents.

It works on *flat* tokens: the rows of a micro-batch behind each other, as variable-length attention
kernels want them, too. `bounds` are the ends of the documents in the flat tokens: 0, then each end.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  (the name that all of torch's users give it)
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; the vocabulary is the run's."""

    vocabulary: int
    width: int = 64
    layers: int = 2
    heads: int = 2


class Transformer(nn.Module):
    """RMSNorm, rotary positions, attention within documents, SwiGLU, tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_width = shape.width // shape.heads
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        for name, weights in self.named_parameters():
            if weights.ndim == 2:
                # What is added to the residual stream is made smaller, as in GPT-2.
                adds = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weights, std=0.02 / (2 * shape.layers if adds else 1) ** 0.5)

    def forward(self, tokens: Tensor, positions: Tensor, bounds: list[int], theta: float) -> Tensor:
        """Return the last hidden state [T, width] of tokens [T] at their positions [T].

        theta: the base of the rotary frequencies, which is the stage's to say.
        """
        turn = rotation(positions, self.head_width, theta)
        hidden = self.embedding(tokens)
        for block in self.blocks:
            hidden = block(hidden, turn, bounds)
        return self.norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return [T, vocabulary]: the embedding is the output matrix as well."""
        return hidden @ self.embedding.weight.T


class Block(nn.Module):
    """One layer: attention, then the gated feed-forward, each added to what comes in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner = shape.width, shape.width * 8 // 3
        self.heads = shape.heads
        self.attention_norm, self.feed_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor, turn: tuple[Tensor, Tensor], bounds: list[int]) -> Tensor:
        """Return [T, width] for [T, width]."""
        qkv = self.qkv(self.attention_norm(hidden)).unflatten(1, (3, self.heads, -1))
        query, key, value = qkv.unbind(1)  # each [T, heads, head width]
        mixed = attend(rotate(query, turn), rotate(key, turn), value, bounds)
        hidden = hidden + self.out(mixed.flatten(1))
        gate, up = self.up(self.feed_norm(hidden)).chunk(2, dim=1)
        return hidden + self.down(F.silu(gate) * up)


def attend(query: Tensor, key: Tensor, value: Tensor, bounds: list[int]) -> Tensor:
    """Attend causally within each document, and to nothing beyond it; all are [T, heads, width].

    One call for each document costs what the documents cost, not what a mask over whole rows would.
    On a GPU this function is one call of a variable-length kernel with the same bounds.
    """
    mixed = [
        F.scaled_dot_product_attention(
            *(x[start:end].transpose(0, 1)[None] for x in (query, key, value)), is_causal=True
        )[0].transpose(0, 1)
        for start, end in pairwise(bounds)
    ]
    return torch.cat(mixed)


def rotation(positions: Tensor, width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [T, 1, width / 2] of the angles of RoPE (Su et al. 2021)."""
    frequencies = theta ** -(torch.arange(0, width, 2) / width)
    angles = (positions[:, None] * frequencies)[:, None, :]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pairs of channels (i, i + width / 2) of [T, heads, width] by their angles."""
    cosine, sine = turn
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)
