"""The keys of a recipe about mixtures: the share that each source has of what a stage reads.

A mixture names *pools*: sources, views of them (`books@64K`), and what an earlier stage drew
(`web@core`). A *replay* of a stage draws again from the documents that it read.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cuvee.configs.forms import Count, Name, Part, PoolName, PositiveCount, Share

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Inherit(Part):
    """An earlier stage's last mixture; `scale` multiplies some of its shares, `set` replaces some.

    What is set is in shares of the earlier mixture, too, and all are then made to sum to one.
    """

    inherit: Name
    scale: dict[PoolName, Number] = {}
    set: dict[PoolName, Number] = {}


class BySize(Part):
    """Shares that follow from the sources' sizes, in tokens.

    p ~ size^(1 / temperature): 1 is proportional, more is flatter. With `max_epochs` the shares are
    as equal as they can be while no source is read more often: UniMax (Chung et al. 2023, arXiv
    2304.09151).
    """

    by_size: list[PoolName] = Field(min_length=1)
    temperature: Positive = 1.0
    max_epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.max_epochs is not None and self.temperature != 1:
            raise ValueError("give either temperature or max_epochs")
        return self


class _Dealt(Part):
    """Several pools that share what is given to all of them together."""

    of: "Weights | None" = None  # by weights of their own
    like: Name | None = None  # as an earlier stage's mixture has them
    by_size: list[PoolName] | None = None
    # What an ancestor stage drew, or with `seen: false` what it left of the same sources; in
    # proportion to what it drew of each.
    replay: Name | None = None
    seen: bool = True

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if [self.of, self.like, self.by_size, self.replay].count(None) != 3:
            raise ValueError(
                "give one of of (weights), like (an earlier stage), by_size (sources) and replay "
                "(an earlier stage)"
            )
        if not self.seen and self.replay is None:
            raise ValueError("seen is about a replay; give replay (an earlier stage)")
        return self


class Group(_Dealt):
    """Several pools that share a weight."""

    share: Number


class QuotaGroup(_Dealt):
    """Several pools that share a quota of tokens."""

    tokens: PositiveCount


def _weight_form(value: Any) -> str:
    """Tell a number from a group."""
    return "(group)" if isinstance(value, dict | Group) else "(weight)"


Weights = dict[
    PoolName,
    Annotated[
        Annotated[Number, Tag("(weight)")] | Annotated[Group, Tag("(group)")],
        Discriminator(_weight_form),
    ],
]


def _quota_form(value: Any) -> str:
    """Tell a number of tokens from a group."""
    return "(quota_group)" if isinstance(value, dict | QuotaGroup) else "(quota)"


class Quotas(Part):
    """Tokens of some pools; what is left of the stage's budget goes to the `rest`."""

    quotas: dict[
        PoolName,
        Annotated[
            Annotated[PositiveCount, Tag("(quota)")] | Annotated[QuotaGroup, Tag("(quota_group)")],
            Discriminator(_quota_form),
        ],
    ] = Field(min_length=1)
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


class Bound(Part):
    """The least and the most that some pools may have of a stage together, in shares.

    They are named, or are those of sources that bear all of some tags. Where the mixture gives
    less or more, their share is set to the bound, and the others share the rest as before.
    """

    pools: list[PoolName] = []
    tags: dict[str, str] = {}
    min: Share = 0.0
    max: Share = 1.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if bool(self.pools) == bool(self.tags):
            raise ValueError("give either pools or tags: what it is about")
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self
