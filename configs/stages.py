"""The keys of a recipe about stages: budgets, shapes, and what each stage reads of which source.

A *stage* is a phase of training. Its *budget* is in tokens, steps, sequences, or epochs of all that
it reads. Its *shape* is the length of a sequence and the global batch; a stage whose shape changes
on the way has *phases*. A *mixture* gives each source its share of the stage's tokens.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cuvee.configs.forms import Count, Name, Part, PositiveCount

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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


class Inherit(Part):
    """An earlier stage's last mixture; `scale` multiplies some of its shares, `set` replaces some.

    What is set is in shares of the earlier mixture, too, and all are then made to sum to one.
    """

    inherit: Name
    scale: dict[Name, Number] = {}
    set: dict[Name, Number] = {}


class BySize(Part):
    """Shares that follow from the sources' sizes, in tokens.

    p ~ size^(1 / temperature): 1 is proportional, more is flatter. With `max_epochs` the shares are
    as equal as they can be while no source is read more often: UniMax (Chung et al. 2023, arXiv
    2304.09151).
    """

    by_size: list[Name] = Field(min_length=1)
    temperature: Positive = 1.0
    max_epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.max_epochs is not None and self.temperature != 1:
            raise ValueError("give either temperature or max_epochs")
        return self


class Group(Part):
    """Several sources that share a weight: by weights of their own, as a stage has them, by size.

    `like` keeps the distribution that an earlier stage has over its sources.
    """

    share: Number
    of: "Weights | None" = None
    like: Name | None = None
    by_size: list[Name] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if [self.of, self.like, self.by_size].count(None) != 2:
            raise ValueError(
                "give one of of (weights), like (an earlier stage) and by_size (sources)"
            )
        return self


def _weight_form(value: Any) -> str:
    """Tell a number from a group."""
    return "(group)" if isinstance(value, dict | Group) else "(weight)"


Weights = dict[
    Name,
    Annotated[
        Annotated[Number, Tag("(weight)")] | Annotated[Group, Tag("(group)")],
        Discriminator(_weight_form),
    ],
]


class Quotas(Part):
    """Tokens of some sources; what is left of the stage's budget goes to the `rest`."""

    quotas: dict[Name, PositiveCount] = Field(min_length=1)
    rest: Weights = {}


class WeightsFile(Part):
    """Weights by source in a JSON or YAML file, as a search for mixtures writes them."""

    file: str


def _mixture_form(value: Any) -> str:
    """Tell the ways to write a mixture apart, so that an error speaks of the one meant."""
    for form, model in _FORMS.items():
        if isinstance(value, model) or (isinstance(value, dict) and form in value):
            return f"({form})"
    return "(weights)"


_FORMS: dict[str, type[Part]] = {
    "inherit": Inherit,
    "by_size": BySize,
    "quotas": Quotas,
    "file": WeightsFile,
}

Fixed = Annotated[
    Annotated[Inherit, Tag("(inherit)")]
    | Annotated[BySize, Tag("(by_size)")]
    | Annotated[Quotas, Tag("(quotas)")]
    | Annotated[WeightsFile, Tag("(file)")]
    | Annotated[Weights, Tag("(weights)")],
    Discriminator(_mixture_form),
]


class Point(Part):
    """The mixture that a ramp has reached after `at` tokens."""

    at: Count
    mixture: Fixed


class Ramp(Part):
    """A mixture that changes with the tokens read: of the stage, or of the whole run.

    Between two points shares go over along `curve`; `step` keeps each until the next point. Before
    the first and after the last point they stay.
    """

    ramp: list[Point] = Field(min_length=2)
    curve: Literal["linear", "cosine", "step"] = "linear"
    of: Literal["stage", "run"] = "stage"

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        places = [point.at for point in self.ramp]
        if sorted(set(places)) != places:
            raise ValueError(f"the points lie at {places}; each must lie behind the one before")
        return self


def _form(value: Any) -> str:
    """Tell a ramp from a mixture that stays."""
    ramped = isinstance(value, Ramp) or (isinstance(value, dict) and "ramp" in value)
    return "(ramp)" if ramped else "(fixed)"


Mixture = Annotated[
    Annotated[Ramp, Tag("(ramp)")] | Annotated[Fixed, Tag("(fixed)")], Discriminator(_form)
]


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


class Stage(Part):
    """One phase of training, from one mixture."""

    name: Name
    tokens: PositiveCount | None = None
    steps: PositiveCount | None = None
    sequences: PositiveCount | None = None
    epochs: Positive | None = None  # of all tokens of the sources that it draws from
    seq_len: PositiveCount | None = None  # tokens of input per sequence
    batch: Batch | None = None
    phases: list[Phase] = []
    mixture: Mixture
    exclude: Exclude | None = None
    meta: dict[str, Any] = {}  # carried untouched to the manifest: RoPE base, schedule hints, ...

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if [self.tokens, self.steps, self.sequences, self.epochs].count(None) != 3:
            raise ValueError("give one of tokens, steps, sequences and epochs: its budget")
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
        """Its budget in tokens, as the recipe says it; None where it is in epochs."""
        shape = self.shapes[0]
        if self.steps is not None:
            return self.steps * shape.batch.in_sequences(shape.seq_len) * shape.seq_len
        if self.sequences is not None:
            return self.sequences * shape.seq_len
        return self.tokens
