"""The keys of a recipe about stages: budgets, shapes, and where each stage comes from.

A *stage* is a phase of training. Its *budget* is in tokens, steps, sequences, examples, or epochs
of all that it reads. Its *shape* is the length of a sequence and the global batch; a stage whose
shape changes on the way has *phases*. It comes *after* the stage before it, unless it says which:
two that come after the same one are a fork, one that comes after two is a join. A *gate* keeps
what comes after a stage closed until a person says that it has done its work.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cuvee.configs.forms import Name, Part, PositiveCount
from cuvee.configs.mixtures import Bound, Mixture, Positive


class Batch(Part):
    """The global batch of one optimizer step, in sequences or in tokens."""

    sequences: PositiveCount | None = None
    tokens: PositiveCount | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.sequences is None) == (self.tokens is None):
            raise ValueError("give either sequences or tokens")
        return self

    def in_sequences(self, seq_len: int) -> int:
        """Return its sequences of `seq_len` tokens; ValueError where that is no whole number."""
        if self.sequences is not None:
            return self.sequences
        assert self.tokens is not None  # _one_of
        if self.tokens % seq_len:
            nearest = max(1, round(self.tokens / seq_len)) * seq_len
            raise ValueError(
                f"batch.tokens {self.tokens} is no whole number of sequences of "
                f"{seq_len} tokens; the nearest that is: {nearest}"
            )
        return self.tokens // seq_len


class Phase(Part):
    """A part of a stage with one shape, up to `until` tokens of the stage; the last to its end."""

    until: PositiveCount | None = None
    seq_len: PositiveCount
    batch: Batch

    @model_validator(mode="after")
    def _whole_sequences(self) -> Self:
        self.batch.in_sequences(self.seq_len)
        return self


class Exclude(Part):
    """Documents that a stage passes over, whichever source they are of.

    `hits` names benchmarks, or `benchmark/split`, whose items a document has; `where` is a
    condition in SQL over the views `documents` and `signals`. What is not known is excluded.
    """

    hits: list[str] = []
    where: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.hits and self.where is None:
            raise ValueError("give hits (benchmarks) or where (a condition)")
        return self


class Packing(Part):
    """How documents become sequences."""

    # best_fit: documents are cut only where they must be (Ding et al. 2024, arXiv 2404.10830);
    # concat: one stream of documents, cut every seq_len tokens; pad: one document a sequence.
    policy: Literal["best_fit", "concat", "pad"] = "best_fit"
    # Of a document longer than a sequence: all its fragments, its first tokens, or nothing.
    long: Literal["fragment", "truncate", "skip"] = "fragment"
    min_tokens: PositiveCount = 1  # shorter documents are left out


class Stage(Part):
    """One phase of training, from one mixture."""

    name: Name
    after: Name | list[Name] | None = None  # None: the stage before it; []: it begins a run
    tokens: PositiveCount | None = None
    steps: PositiveCount | None = None
    sequences: PositiveCount | None = None
    examples: PositiveCount | None = None  # documents, of the mean length of what it reads
    epochs: Positive | None = None  # of all tokens of the sources that it draws from
    stop: PositiveCount | None = None  # tokens after which it ends, whatever its budget
    gate: str | None = None  # what has to hold before the stages after it are built
    seed: int | None = Field(default=None, ge=0, lt=2**63)  # another order than the run's
    seq_len: PositiveCount | None = None  # tokens of input per sequence
    batch: Batch | None = None
    phases: list[Phase] = []
    mixture: Mixture | None = None  # None: as the stage that it comes after ends
    # What shares are of. An example is a document.
    unit: Literal["tokens", "sequences", "examples"] = "tokens"
    bounds: list[Bound] = []
    # Where a source cannot give its share: refuse; give its share to the others; read it more
    # often than its max_epochs; or end the stage before.
    on_exhaust: Literal["error", "redistribute", "repeat", "shrink"] = "error"
    exclude: Exclude | None = None
    packing: Packing = Packing()
    # Take the loss mask of records that have one; else every token bears loss.
    loss_mask: bool = False
    teacher: bool = False  # carry what the teachers of its sources say of each token
    meta: dict[str, Any] = {}  # carried untouched to the manifest: RoPE base, schedule hints, ...

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        budgets = [self.tokens, self.steps, self.sequences, self.examples, self.epochs]
        if budgets.count(None) != 4:
            raise ValueError(
                "give one of tokens, steps, sequences, examples and epochs (its budget)"
            )
        if self.phases and self.tokens is None:
            raise ValueError("a stage with phases has its budget in tokens, as they have")
        return self

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if bool(self.phases) == (self.seq_len is not None or self.batch is not None):
            raise ValueError("give seq_len and batch, or phases that have them")
        if not self.phases and (self.seq_len is None or self.batch is None):
            raise ValueError("give both seq_len and batch")
        if self.seq_len is not None and self.batch is not None:
            self.batch.in_sequences(self.seq_len)
        ends = [phase.until for phase in self.phases]
        known = [end for end in ends if end is not None]
        if ends and (ends[-1] is not None or None in ends[:-1] or sorted(set(known)) != known):
            raise ValueError(
                "each phase but the last has an `until` behind the one before; the last has none"
            )
        return self

    @property
    def shapes(self) -> list[Phase]:
        """Its phases; one, where its shape stays."""
        if self.phases:
            return self.phases
        assert self.seq_len is not None
        assert self.batch is not None  # _one_shape
        return [Phase(seq_len=self.seq_len, batch=self.batch)]

    @property
    def folders(self) -> list[str]:
        """The name of each phase's folder; its own, where there is one phase."""
        if not self.phases:
            return [self.name]
        return [f"{self.name}_{number}" for number in range(1, len(self.phases) + 1)]

    @property
    def budget(self) -> int | None:
        """Its budget in tokens, as the recipe says it; None where that takes sources' sizes."""
        shape = self.shapes[0]
        if self.steps is not None:
            return self.steps * shape.batch.in_sequences(shape.seq_len) * shape.seq_len
        if self.sequences is not None:
            return self.sequences * shape.seq_len
        return self.tokens
