"""What stages draw of one source: every token once, caps kept on every way, prefixes that stay."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuvee.configs.stages import Packing
from cuvee.mixers.cursor import Cursor, draw, draw_limit
from cuvee.mixers.fits import Fit
from cuvee.mixers.ledger import Given, Ledger, Need, Rows
from cuvee.mixers.lines import Line, Place
from cuvee.mixers.pools import replay_pool
from cuvee.tokenize.pack import Pieces
from cuvee.tokenize.policies import fill

Segment = tuple[int, int, int, int, int]  # sequence, row, start, length, epoch
LENGTHS = st.lists(st.integers(1, 60), min_size=3, max_size=60).map(
    lambda lengths: np.array(lengths, np.int32)
)
POLICIES = st.sampled_from(["best_fit", "concat", "pad"])


class Placed(NamedTuple):
    """A stage's segments by pool, and what it was given."""

    segments: dict[str, list[Segment]]
    given: Mapping[str, Given]


def take(
    ledger: Ledger,
    folder: str,
    needs: Mapping[str, int],
    fit: Fit,
    positions: Mapping[str, NDArray[np.int64]] | None = None,
    seed: int = 1,
) -> Placed:
    """Pack what a stage needs of each pool."""
    segments: dict[str, list[Segment]] = {name: [] for name in needs}

    def placing(name: str) -> Place:
        def place(line: Line, window: int, keep: int) -> tuple[Line, NDArray[np.int64]]:
            packing = fit.packing.policy
            found, left = fill(packing, Pieces(*line), fit.seq_len, (window, keep))
            first = segments[name][-1][0] + 1 if segments[name] else 0
            columns = (found.doc_row, found.doc_start, found.length, found.epoch)
            rows = zip(
                (found.ordinal + first).tolist(), *(c.tolist() for c in columns), strict=True
            )
            segments[name] += rows
            return Line(*left), found.doc_row

        return place

    asked = {
        name: (
            Need(name, seed, count, None if positions is None else positions[name]),
            placing(name),
        )
        for name, count in needs.items()
    }
    return Placed(segments, ledger.take(folder, folder, fit, asked))


def ledger_of(
    lengths: NDArray[np.int32],
    max_epochs: float = 3,
    parents: Mapping[str, Sequence[str]] | None = None,
) -> Ledger:
    """A source with two views: its longer documents, and some of them twice."""
    long = np.flatnonzero(lengths > 20)
    views = {"long": Rows(long, False), "twice": Rows(np.repeat(long[::2], 2), False)}
    replayed = {pool.name: pool for pool in (replay_pool("s", "a"), replay_pool("s", "a", False))}
    ways = parents or {"a": (), "b": ("a",), "c": ("b",)}
    return Ledger("s", lengths, max_epochs, {"s": Rows(None, True)} | views, ways, replayed)


def tokens(segments: Sequence[Segment]) -> Counter[tuple[int, int, int]]:
    """Every token as (row, epoch, place), and how often it is there."""
    return Counter(
        (row, epoch, at)
        for _, row, start, length, epoch in segments
        for at in range(start, start + length)
    )


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.lists(st.integers(0, 9), min_size=3, max_size=3), POLICIES)
def test_every_token_drawn_is_placed_once_or_waits_in_line(
    lengths: NDArray[np.int32], counts: list[int], policy: str
) -> None:
    ledger = ledger_of(lengths)
    placed: list[Segment] = []
    for (folder, seq_len), count in zip([("a", 16), ("b", 25), ("c", 8)], counts, strict=True):
        fit = Fit(seq_len, Packing.model_validate({"policy": policy}))
        placed += take(ledger, folder, {"s": count}, fit).segments["s"]
    held = ledger.end_of("c").get((1, "s"))
    if held is None:
        assert not placed
        return
    line = [(0, *piece) for piece in zip(*(c.tolist() for c in held.line), strict=True)]
    found = tokens(placed) + tokens(line)
    drawn = draw(Cursor(1, "s"), lengths, 10**9, held.cursor.draws)
    turns = zip(drawn.doc_row.tolist(), drawn.epoch.tolist(), strict=True)
    whole = Counter((row, epoch, at) for row, epoch in turns for at in range(lengths[row]))
    assert found == whole


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS,
    st.lists(st.integers(0, 12), min_size=9, max_size=9),
    st.sampled_from([0.7, 1, 2, 3]),
    POLICIES,
)
def test_no_document_is_begun_more_often_than_its_cap_on_any_way(
    lengths: NDArray[np.int32], counts: list[int], max_epochs: float, policy: str
) -> None:
    parents = {"a": (), "left": ("a",), "right": ("a",), "join": ("left", "right")}
    ledger = ledger_of(lengths, max_epochs, parents)
    most, read = int(np.ceil(max_epochs)), dict[str, Counter[tuple[int, int]]]()
    asked = {
        "a": {"s": counts[0], "long": counts[1]},
        "left": {"twice": counts[2], "s@a": counts[3]},
        "right": {"s": counts[4], "s@not_a": counts[5]},
        "join": {"s": counts[6], "long": counts[7], "s@a": counts[8]},
    }
    for number, (folder, needs) in enumerate(asked.items()):
        fit = Fit(16 + number, Packing.model_validate({"policy": policy}))
        placed = take(ledger, folder, needs, fit, seed=int(folder == "right"))
        own = (token for held in placed.segments.values() for token in tokens(held).elements())
        read[folder] = Counter((row, at) for row, _, at in own)
        seen, begun = ledger.seen(folder), ledger.begun(folder)
        older = [ledger.begun(before) for before in ledger.ancestors[folder]]
        assert (seen == sum(older, np.zeros(len(lengths)))).all()
        # Ways that a join unites kept the cap each by itself.
        assert ((seen + begun <= most) | (begun == 0)).all()
        if folder != "join":
            way = sum((read[before] for before in ledger.ancestors[folder]), read[folder])
            assert all(times <= (seen + begun)[row] for (row, _), times in way.items())


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS,
    st.integers(1, 100),
    st.integers(0, 100),
    st.randoms(),
    POLICIES,
    st.sampled_from([1, 2, 4]),
)
def test_what_a_sequence_holds_does_not_depend_on_how_long_its_stage_is(
    lengths: NDArray[np.int32],
    short: int,
    more: int,
    chance: "np.random.RandomState",
    policy: str,
    max_epochs: int,
) -> None:
    schedule = np.array([chance.choice(("s", "long", "twice")) for _ in range(short + more)])
    fit, found = Fit(8, Packing.model_validate({"policy": policy})), []
    for length in (short, short + more):
        ledger = ledger_of(lengths, max_epochs)
        positions = {n: np.flatnonzero(schedule[:length] == n) for n in ("s", "long", "twice")}
        needs = {name: len(at) for name, at in positions.items()}
        found.append(take(ledger, "a", needs, fit, positions))
    for pool, segments in found[0].segments.items():
        whole = found[0].given[pool].sequences
        assert segments == [s for s in found[1].segments[pool] if s[0] < whole]


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 12), POLICIES, st.sampled_from(["truncate", "skip"]))
def test_what_is_not_placed_of_a_drawn_document_waits_or_is_counted(
    lengths: NDArray[np.int32], count: int, policy: str, long: str
) -> None:
    packing = Packing.model_validate({"policy": policy, "long": long, "min_tokens": 4})
    ledger, fit = ledger_of(lengths), Fit(16, packing)
    placed = take(ledger, "a", {"s": count}, fit)
    cursor, line = ledger.end_of("a")[1, "s"]
    waits = tokens([(0, *piece) for piece in zip(*(c.tolist() for c in line), strict=True)])
    read = tokens(placed.segments["s"])
    drawn = draw(Cursor(1, "s"), lengths, 10**9, cursor.draws)
    left_out, begun = [0, 0], ledger.begun("a")
    for row, epoch in zip(drawn.doc_row.tolist(), drawn.epoch.tolist(), strict=True):
        length = int(lengths[row])
        if length < 4 or (long == "skip" and length > 16):
            left_out = [left_out[0] + 1, left_out[1] + length]
            continue
        here, there = (sum(held[row, epoch, at] for at in range(length)) for held in (read, waits))
        cut = max(0, length - 16) if long == "truncate" and (here or there < length) else 0
        assert here + there + cut == length
        assert here == 0 or begun[row] > 0
    assert placed.given["s"].left_out == tuple(left_out)


def test_a_whole_source_is_drawn_in_the_order_of_its_permutations() -> None:
    lengths = np.random.default_rng(2).integers(1, 40, 500).astype(np.int32)
    placed = take(ledger_of(lengths), "a", {"s": 900}, Fit(16, Packing(policy="concat")))
    heads = [(row, epoch) for _, row, start, _, epoch in placed.segments["s"] if start == 0]
    drawn = draw(Cursor(1, "s"), lengths, 900 * 16, draw_limit(3, 500))
    assert heads == list(zip(drawn.doc_row.tolist(), drawn.epoch.tolist(), strict=True))


def test_windows_end_with_an_epoch() -> None:
    lengths = np.full(10, 5, np.int32)
    placed = take(ledger_of(lengths), "a", {"s": 9}, Fit(16))
    epochs = [{e for n, *_, e in placed.segments["s"] if n == ordinal} for ordinal in range(9)]
    assert epochs[:3] == [{0}] * 3
    assert sum(len(held) > 1 for held in epochs) <= 2


def test_a_fork_copies_its_parents_line_and_a_join_goes_on_from_its_first_parent() -> None:
    lengths = np.full(1000, 10, np.int32)
    parents = {"a": (), "left": ("a",), "right": ("a",), "join": ("right", "left")}
    ledger = ledger_of(lengths, 1, parents)
    fit = Fit(16)
    for folder in ("a", "left", "right"):
        take(ledger, folder, {"s": 100 + 50 * (folder == "right")}, fit)
    both = ledger.begun("left")[ledger.begun("right") > 0]
    assert both.sum() == ledger.begun("left").sum()  # the longer goes beyond the shorter
    seen = ledger.seen("join")
    assert (seen == ledger.begun("a") + ledger.begun("left") + ledger.begun("right")).all()
    assert seen.max() == 2
    joined = take(ledger, "join", {"s": 50}, fit)
    rows = {row for _, row, start, *_ in joined.segments["s"] if start == 0}
    assert seen[list(rows)].max() == 0


def test_another_seed_has_another_order_and_passes_over_what_was_seen() -> None:
    lengths = np.full(400, 16, np.int32)
    ledger = ledger_of(lengths, 1)
    first = take(ledger, "a", {"s": 200}, Fit(16))
    other = take(ledger, "b", {"s": 200}, Fit(16), seed=5)
    rows = [[row for _, row, *_ in placed.segments["s"]] for placed in (first, other)]
    assert sorted(rows[0] + rows[1]) == list(range(400))
    assert rows[1] != [
        row for row in draw(Cursor(1, "s"), lengths, 10**9, 400).doc_row if row in rows[1]
    ]


def test_what_a_stage_excludes_waits_and_what_it_leaves_out_is_counted() -> None:
    lengths = np.array([10] * 50 + [40] * 50, np.int32)
    ledger = ledger_of(lengths, 1)
    take(ledger, "a", {"s": 20}, Fit(16))
    waits = ledger.end_of("a")[1, "s"].line
    assert (waits.length == 40).any()
    fit = Fit(16, Packing(long="skip", min_tokens=5), excluded=lengths < 5)
    skipped = take(ledger, "b", {"s": 10}, fit)
    assert {row for _, row, *_ in skipped.segments["s"]} <= set(range(50))
    documents, left_out = skipped.given["s"].left_out
    assert left_out == 40 * documents
    kept = ledger.end_of("b")[1, "s"].line
    assert set(waits.doc_row[waits.length == 40].tolist()) <= set(kept.doc_row.tolist())


def test_a_truncated_document_is_read_up_to_a_sequence_and_restored_where_it_was_not_begun() -> (
    None
):
    lengths = np.full(60, 40, np.int32)
    ledger = ledger_of(lengths, 1)
    cut = take(ledger, "a", {"s": 20}, Fit(16, Packing(long="truncate")))
    assert all((start, length) == (0, 16) for _, _, start, length, _ in cut.segments["s"])
    assert set(ledger.end_of("a")[1, "s"].line.length.tolist()) == {40}
    whole = take(ledger, "b", {"s": 100}, Fit(16))
    assert whole.given["s"].sequences == 100  # 40 documents of 40 tokens
    assert max(tokens(whole.segments["s"]).values()) == 1


def test_replays_have_what_a_stage_placed_and_what_it_did_not() -> None:
    lengths = np.full(300, 10, np.int32)
    ledger = ledger_of(lengths, 2)
    placed = take(ledger, "a", {"s": 60}, Fit(16))
    rows = {row for _, row, *_ in placed.segments["s"]}
    assert set(np.asarray(ledger.rows_of("s@a").rows).tolist()) == rows
    assert set(np.asarray(ledger.rows_of("s@not_a").rows).tolist()) == set(range(300)) - rows
    again = take(ledger, "b", {"s@a": 30, "s@not_a": 30}, Fit(16))
    assert {row for _, row, *_ in again.segments["s@a"]} <= rows
    assert not {row for _, row, *_ in again.segments["s@not_a"]} & rows


@pytest.mark.parametrize(("max_epochs", "most"), [(1, 1), (2.5, 3)])
def test_overlapping_pools_end_when_a_whole_pass_gives_nothing(
    max_epochs: float, most: int
) -> None:
    lengths = np.full(100, 32, np.int32)
    ledger = ledger_of(lengths, max_epochs)
    placed = take(ledger, "a", {"long": 10_000, "twice": 10_000}, Fit(32))
    assert ledger.begun("a").tolist() == [most] * 100
    assert sum(one.sequences for one in placed.given.values()) == most * 100
