"""What is said to be given before packing is what packing finds."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuvee.configs.stages import Packing
from cuvee.mixers.cursor import draw_limit
from cuvee.mixers.fits import Fit
from cuvee.mixers.ledger import Ledger, Need, Rows
from cuvee.mixers.lines import Line, Place
from cuvee.mixers.measured import MeasuredSupply
from cuvee.mixers.order import permute, source_key
from cuvee.mixers.pools import Demand
from cuvee.tokenize.pack import Pieces
from cuvee.tokenize.policies import fill

PACKINGS = st.builds(
    lambda policy, long, least: Packing.model_validate(
        {"policy": policy, "long": long, "min_tokens": least}
    ),
    st.sampled_from(["best_fit", "concat", "pad"]),
    st.sampled_from(["fragment", "truncate", "skip"]),
    st.integers(1, 10),
)
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80).map(
    lambda lengths: np.array(lengths, np.int32)
)


def supply_of(lengths: NDArray[np.int32], max_epochs: float, *fits: Fit) -> MeasuredSupply:
    names = ("a", "b", "c")[: len(fits)]
    return MeasuredSupply(
        "s", max_epochs, lengths, {"s": Rows(None, True)}, dict(zip(names, fits, strict=True))
    )


def placing(fit: Fit) -> Place:
    def place(line: Line, window: int, keep: int) -> tuple[Line, NDArray[np.int64]]:
        found, left = fill(fit.packing.policy, Pieces(*line), fit.seq_len, (window, keep))
        assert len(np.unique(found.ordinal)) == keep
        return Line(*left), found.doc_row

    return place


@settings(max_examples=80, deadline=None)
@given(LENGTHS, PACKINGS, PACKINGS, st.lists(st.integers(0, 80), min_size=3, max_size=3))
def test_packing_finds_what_was_said_to_be_given(
    lengths: NDArray[np.int32], first: Packing, second: Packing, counts: list[int]
) -> None:
    excluded = np.arange(len(lengths)) % 3 == 0
    fits = {"a": Fit(16, first), "b": Fit(24, second, excluded), "c": Fit(8)}
    supply = supply_of(lengths, 2, *fits.values())
    parents: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",)}
    demands = [
        Demand(name, parents[name], name, 1, "s", count * fits[name].seq_len)
        for name, count in zip(fits, counts, strict=True)
    ]
    given_ = supply.give(demands)
    ledger = Ledger("s", lengths, 2, supply.pools, parents)
    for demand, tokens in zip(demands, given_.tolist(), strict=True):
        fit = fits[demand.stage]
        assert tokens % fit.seq_len == 0
        needs = {"s": (Need("s", 1, tokens // fit.seq_len), placing(fit))}
        if tokens:
            got = ledger.take(demand.stage, demand.of, fit, needs)
            assert got["s"].sequences == tokens // fit.seq_len


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(20, 400).map(lambda hundredths: hundredths / 100))
def test_a_plain_source_gives_all_draws_of_its_cap(
    lengths: NDArray[np.int32], max_epochs: float
) -> None:
    n, limit = len(lengths), draw_limit(max_epochs, len(lengths))
    rows = [int(permute(np.array([k % n]), n, source_key(1, "s", k // n))[0]) for k in range(limit)]
    supply = supply_of(lengths, max_epochs, Fit(1))
    demand = Demand("a", (), "a", 1, "s", 10**6)
    assert supply.give([demand]).tolist() == [lengths[rows].sum()]
    assert supply.give([demand._replace(tokens=10**4)], math.inf).tolist() == [10**4]


def test_sizes_count_a_document_as_often_as_a_pass_has_it() -> None:
    lengths = np.array([5, 7, 11], np.int32)
    pools = {"s": Rows(None, True), "v": Rows(np.array([0, 2, 2]), False)}
    supply = MeasuredSupply("s", 4, lengths, pools, {"a": Fit(4)})
    assert supply.sizes == {"s": 23, "v": 27}
    assert supply.documents == {"s": 3, "v": 3}


def test_views_of_one_source_share_its_caps_and_replays_are_named_by_their_stages() -> None:
    lengths = np.full(100, 16, np.int32)
    pools = {"s": Rows(None, True), "v": Rows(np.arange(50), False)}
    supply = MeasuredSupply("s", 1, lengths, pools, {n: Fit(16) for n in "abc"})
    a, b = Demand("a", (), "a", 1, "s", 60 * 16), Demand("b", ("a",), "b", 1, "v", 10**6)
    given_ = supply.give([a, b])
    assert given_[0] == 60 * 16
    assert given_[1] == 16 * (50 - overlap(lengths))
    seen, unseen = (Demand("c", ("b",), "c", 1, name, 10**6) for name in ("s@a", "s@not_a"))
    idle = b._replace(tokens=0)
    assert supply.give([a, idle, seen, unseen], 2).tolist()[2:] == [60 * 16, 80 * 16]


def overlap(lengths: NDArray[np.int32]) -> int:
    """How many of the first 50 documents the first 60 draws have."""
    first = permute(np.arange(60), len(lengths), source_key(1, "s", 0))
    return int((first < 50).sum())
