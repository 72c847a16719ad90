"""The quota at every prefix, against plain twins of the scheduler and the certificate."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuvee.configs.errors import RecipeError
from cuvee.mixers.quota import MAX_POSITIONS, certificate, schedule
from cuvee.mixers.targets import Targets, constant, first
from cuvee.mixers.weights import SHARE_UNITS, integerise

# Weights for which an on-the-fly blend that trusts the greedy rule repeats and skips samples.
FIFTEEN = (1, 1, 1, 1, 5, 5, 7, 18, 19, 56, 93, 144, 162, 653, 953)

MIXES = st.lists(
    st.one_of(
        st.just(0.0), st.just(1.0), st.sampled_from([1e-8, 1e-6, 1e-3]), st.floats(1e-3, 1.0)
    ),
    min_size=2,
    max_size=64,
).filter(any)


def integers(raw: Sequence[float]) -> NDArray[np.int64]:
    """Integer weights of a plain list."""
    return integerise({str(i): weight for i, weight in enumerate(raw)})


def plain_schedule(weights: NDArray[np.int64], length: int) -> list[int]:
    """Serve, at each position, the released draw with the earliest deadline."""
    drawn, out = [0] * len(weights), []
    for position in range(length):
        released = []
        for i, w in enumerate(weights.tolist()):
            if w * (position + 1) > drawn[i] * SHARE_UNITS:
                deadline = -(-(drawn[i] + 1) * SHARE_UNITS // w) - 1
                released.append((deadline, i))
        out.append(min(released)[1])
        drawn[out[-1]] += 1
    return out


def assert_quota_at_every_prefix(sources: NDArray[np.uint16], weights: NDArray[np.int64]) -> None:
    """Compare the counts of every source at every prefix with floor and ceil of its target."""
    prefix = np.arange(1, len(sources) + 1, dtype=np.int64)
    for i, w in enumerate(weights.tolist()):
        drawn = np.cumsum(sources == i, dtype=np.int64)
        assert (drawn >= prefix * w // SHARE_UNITS).all()
        assert (drawn <= -(-prefix * w // SHARE_UNITS)).all()


def test_every_small_mixture_has_its_quota_at_every_prefix() -> None:
    for raw in product(range(7), repeat=3):
        if any(raw):
            weights = integers(raw)
            sources = schedule(constant(weights, 50))
            assert_quota_at_every_prefix(sources, weights)
            assert certificate(sources, constant(weights, len(sources))).holds


@settings(max_examples=60, deadline=None)
@given(MIXES, st.integers(0, 250))
@example([1.0] * 64, 250)
@example([1.0, 0.0], 10)
@example([float(w) for w in FIFTEEN], 250)
def test_the_schedule_is_that_of_its_plain_twin(raw: list[float], length: int) -> None:
    weights = integers(raw)
    sources = schedule(constant(weights, length))
    assert sources.dtype == np.uint16
    assert sources.tolist() == plain_schedule(weights, length)


@settings(max_examples=40, deadline=None)
@given(MIXES)
@example([float(w) for w in FIFTEEN])
def test_random_mixtures_have_their_quota_at_every_prefix(raw: list[float]) -> None:
    weights = integers(raw)
    sources = schedule(constant(weights, 4238))
    assert_quota_at_every_prefix(sources, weights)
    assert (weights[sources] > 0).all()
    proof = certificate(sources, constant(weights, len(sources)))
    assert proof.holds
    assert proof.leaks == 0
    assert proof.max_deviation.max() < 1


@pytest.mark.parametrize("raw", [FIFTEEN, (0.7, 0.3), (0.5, *[0.01] * 50), (1, 1e-7, 1e-9)])
def test_a_long_schedule_does_not_drift(raw: Sequence[float]) -> None:
    weights = integers(raw)
    assert_quota_at_every_prefix(schedule(constant(weights, 1_000_000)), weights)


@settings(max_examples=20, deadline=None)
@given(MIXES, st.integers(0, 2000))
def test_a_shorter_schedule_is_a_prefix_of_a_longer_one(raw: list[float], length: int) -> None:
    weights = integers(raw)
    assert (schedule(constant(weights, length)) == schedule(constant(weights, 2000))[:length]).all()


def plain_deviation(
    sources: Sequence[int], weights: NDArray[np.int64]
) -> tuple[list[Fraction], bool, int]:
    """Largest |count - target| per source over all prefixes, whether the quota holds, and leaks."""
    n = len(weights)
    largest, holds, drawn, leaks = [Fraction(0)] * n, True, [0] * n, 0
    for t, source in enumerate(sources, start=1):
        if source >= n or weights[source] == 0:
            leaks += 1
        if source < n:
            drawn[source] += 1
        for i, w in enumerate(weights.tolist()):
            target = Fraction(w * t, SHARE_UNITS)
            largest[i] = max(largest[i], abs(drawn[i] - target))
            holds = holds and target // 1 <= drawn[i] <= -(-target // 1)
    return largest, holds and leaks == 0, leaks


@settings(max_examples=60, deadline=None)
@given(MIXES, st.data())
def test_the_certificate_is_that_of_its_plain_twin(raw: list[float], data: st.DataObject) -> None:
    weights = integers(raw)
    right = schedule(constant(weights, data.draw(st.integers(0, 60)))).tolist()
    wrong = st.lists(st.integers(0, len(raw)), max_size=20)
    sources = right + data.draw(wrong)
    proof = certificate(np.array(sources, np.uint16), constant(weights, len(sources)))
    largest, holds, leaks = plain_deviation(sources, weights)
    assert proof.max_deviation.tolist() == [float(deviation) for deviation in largest]
    assert (proof.holds, proof.leaks) == (holds, leaks)


def test_a_swapped_pair_breaks_the_certificate() -> None:
    weights = integers((0.5, 0.5))
    sources = schedule(constant(weights, 100))
    sources[[10, 11, 12, 13]] = 0, 0, 1, 1
    proof = certificate(sources, constant(weights, len(sources)))
    assert not proof.holds
    assert proof.max_deviation.tolist() == [1.0, 1.0]


def test_a_drawn_source_of_weight_zero_is_a_leak() -> None:
    proof = certificate(np.array([0, 0, 1, 0], np.uint16), constant(integers((1.0, 0.0)), 4))
    assert not proof.holds
    assert proof.leaks == 1


def test_a_stage_too_large_to_count_is_refused() -> None:
    with pytest.raises(RecipeError, match="Split it in two stages"):
        schedule(constant(integers((1, 1)), MAX_POSITIONS + 1))
    with pytest.raises(RecipeError, match="at most 65,536"):
        schedule(constant(np.full(2**17, 2**15, np.int64), 10))


def random_targets(rng: np.random.Generator) -> Targets:
    """Stages end to end, some ramped from the one before; sources switch on and off."""
    n, lengths, rows = int(rng.integers(2, 65)), list[int](), list[NDArray[np.float64]]()
    for _ in range(int(rng.integers(1, 7))):
        shares = rng.dirichlet(np.full(n, 0.6)) * (rng.random(n) > 0.4)
        shares[rng.integers(n)] += 0.01
        shares /= shares.sum()
        ramped = bool(rows) and rng.random() < 0.5
        steps = np.linspace(0, 1, int(rng.integers(2, 40))) if ramped else [1.0]
        before = rows[-1] if ramped else shares
        rows += [(1 - step) * before + step * shares for step in steps]
        lengths += rng.integers(1, 7 if ramped else 150, len(steps)).tolist()
    units = np.floor(np.array(rows) * SHARE_UNITS).astype(np.int64)
    units[np.arange(len(units)), units.argmax(1)] += SHARE_UNITS - units.sum(1)
    return Targets(np.array(lengths, np.int64), units)


def faults_of(sources: NDArray[np.uint16], targets: Targets) -> int:
    """Count (prefix, source) beyond floor and ceiling of what is due, and draws that leak."""
    weights = np.repeat(targets.weights, targets.lengths, axis=0)
    due = np.cumsum(weights, axis=0)
    drawn = np.cumsum(sources[:, None] == np.arange(weights.shape[1]), axis=0)
    beyond = (drawn < due // SHARE_UNITS) | (drawn > -(-due // SHARE_UNITS))
    leaks = weights[np.arange(len(sources)), sources] == 0
    return int(beyond.sum() + leaks.sum())


def test_ramps_and_sources_that_switch_on_and_off_have_their_quota_at_every_prefix() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2000):
        targets = random_targets(rng)
        sources = schedule(targets)
        assert faults_of(sources, targets) == 0
        assert certificate(sources, targets).holds


def test_the_certificate_of_a_ramp_counts_its_leaks_and_its_deviation() -> None:
    half = SHARE_UNITS // 2
    pieces = np.array([[half, half], [SHARE_UNITS, 0]])
    targets = Targets(np.array([3, 4]), pieces)
    proof = certificate(np.array([0, 1, 0, 0, 1, 0, 0], np.uint16), targets)
    assert (proof.holds, proof.leaks) == (False, 1)
    assert proof.max_deviation.tolist() == [0.5, 0.5]


def test_the_first_positions_of_a_ramp_keep_its_pieces() -> None:
    targets = Targets(np.array([3, 4, 5]), np.array([[8, 0], [4, 4], [0, 8]]))
    assert first(targets, 5).lengths.tolist() == [3, 2]
    assert first(targets, 3).lengths.tolist() == [3]
    assert first(targets, 20).lengths.tolist() == [3, 4, 13]
