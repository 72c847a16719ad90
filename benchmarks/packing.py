"""Compare the ways to pack documents: how many are cut, what is padded, what a token sees.

    python benchmarks/packing.py TOKENIZER.json EOS web.jsonl.zst books.parquet --times 20

The documents' lengths in tokens, `--times` over, are drawn and packed once at each length of a
sequence. *Cut* are documents that do not lie whole in one sequence, as a share of those placed;
*context* is the mean over all placed tokens of the tokens before each one in its document and
sequence. Time is that of drawing and packing, the best of three, on one thread; memory the peak of
the process after each length, so the lengths rise.
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import texts
from numpy.typing import NDArray

from cuvee.configs.stages import Packing
from cuvee.corpus.terminal import house_table
from cuvee.flows.screen import make_console
from cuvee.mixers.fits import Fit
from cuvee.mixers.ledger import Ledger, Need, Rows
from cuvee.mixers.lines import Line
from cuvee.tokenize import tokenizer as tokenizers
from cuvee.tokenize.pack import Pieces
from cuvee.tokenize.policies import fill

RUNS, SLICE = 3, 1024  # documents that are encoded at once
Policy = Literal["best_fit", "concat", "pad"]


class Figures(NamedTuple):
    """What one way to pack does at one length."""

    cut: float  # share of the documents placed
    padding: float  # share of the slots
    context: float  # tokens
    rate: float  # documents a second
    peak: int  # bytes


def lengths_of(files: list[Path], tokenizer: tokenizers.Tokenizer) -> NDArray[np.int32]:
    """Return the tokens of every document, its end mark included."""
    found = []
    held = [one.text for path in files for one in texts.load(path)]
    for low in range(0, len(held), SLICE):
        encoded = tokenizer.encode_batch(pa.array(held[low : low + SLICE], pa.large_string()))
        found.append(np.diff(encoded.offsets))
    return np.concatenate(found).astype(np.int32)


class Packer:
    """Packs and counts; every call of `place` is a window."""

    def __init__(self, lengths: NDArray[np.int32], seq_len: int, policy: Policy) -> None:
        self.lengths, self.seq_len, self.policy = lengths, seq_len, policy
        self.whole = np.zeros(len(lengths), np.bool_)
        self.begun = np.zeros(len(lengths), np.bool_)
        self.tokens = self.before = self.sequences = 0

    def place(self, line: Line, window: int, keep: int) -> tuple[Line, NDArray[np.int64]]:
        """Pack a window."""
        placed, left = fill(self.policy, Pieces(*line), self.seq_len, (window, keep))
        size = placed.length.astype(np.int64)
        self.begun[placed.doc_row] = True
        self.whole[placed.doc_row[size == self.lengths[placed.doc_row]]] = True
        self.tokens += int(size.sum())
        self.before += int((size * (size - 1) // 2).sum())
        self.sequences += keep
        return Line(*left), placed.doc_row


def measure(lengths: NDArray[np.int32], seq_len: int, policy: Policy) -> Figures:
    """Pack all documents once."""
    seconds = []
    for _ in range(RUNS):
        packer = Packer(lengths, seq_len, policy)
        ledger = Ledger("all", lengths, 1, {"all": Rows(None, True)}, {"stage": ()})
        begin = time.perf_counter()
        asked = {"all": (Need("all", 0, 2**40), packer.place)}
        ledger.take("stage", "stage", Fit(seq_len, Packing(policy=policy)), asked)
        seconds.append(time.perf_counter() - begin)
    return Figures(
        1 - packer.whole.sum() / packer.begun.sum(),
        1 - packer.tokens / (packer.sequences * seq_len),
        packer.before / packer.tokens,
        len(lengths) / min(seconds),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("eos")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--times", type=int, default=1, help="take the lengths so many times over")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 4096, 8192, 32768, 2**20])
    asked = parser.parse_args()
    one = lengths_of(asked.files, tokenizers.load(asked.tokenizer, asked.eos))
    lengths = np.tile(one, asked.times)
    console = make_console()
    console.print(
        f"{len(lengths):,} documents, {lengths.sum(dtype=np.int64):,} tokens; "
        f"median {np.median(one):,.0f}, mean {one.mean():,.0f}, longest {one.max():,}"
    )
    table = house_table("sequence")
    for name in ("policy", "cut", "padding", "context", "M docs/s", "peak MB"):
        table.add_column(name, justify="right", no_wrap=True)
    policies: tuple[Policy, ...] = ("best_fit", "concat", "pad")
    for seq_len in asked.lengths:
        for policy in policies:
            found = measure(lengths, seq_len, policy)
            shares = (f"{100 * found.cut:.2f} %", f"{100 * found.padding:.3f} %")
            speed = (f"{found.context:,.0f}", f"{found.rate / 1e6:.2f}", f"{found.peak / 1e6:,.0f}")
            table.add_row(f"{seq_len:,}", policy, *shares, *speed)
    console.print(table)


if __name__ == "__main__":
    main()
