import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.corpus.schemas import CUTS
from cuvee.filters.cuts import apply, records

Cut = tuple[int, int, int, str, str, str | None]


def plain_apply(text: str, cuts: list[Cut]) -> str:
    """Cut one text of ASCII by clusters of cuts that overlap."""
    clusters: list[tuple[int, int, str | None]] = []
    for _, start, end, _, _, put in sorted(cuts, key=lambda cut: (cut[1], -cut[2])):
        if clusters and start < clusters[-1][1]:
            first, stop, stands = clusters.pop()
            whole = None if put is None or stands is None else stands
            clusters.append((first, max(stop, end), whole))
        else:
            clusters.append((start, end, put))
    for start, end, put in reversed(clusters):
        text = text[:start] + (put or "") + text[end:]
    return text


def plain_records(text: str, cuts: list[Cut]) -> dict[tuple[str, str], tuple[list[int], int]]:
    """Say which lines lose characters to a step and reason, and how many."""
    gone: dict[tuple[str, str], set[int]] = {}
    for _, start, end, step, reason, _ in cuts:
        gone.setdefault((step, reason), set()).update(range(start, end))
    found = {}
    for name, places in gone.items():
        letters = [place for place in sorted(places) if text[place] != "\n"]
        lines = sorted({text.count("\n", 0, place) for place in letters})
        found[name] = (lines, len(letters))
    return found


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[str], list[Cut]]:
    texts = draw(st.lists(st.text("ab\n", max_size=40), max_size=4))
    cuts: list[Cut] = []
    for row, text in enumerate(texts):
        for _ in range(draw(st.integers(0, 5)) if text else 0):
            start = draw(st.integers(0, len(text) - 1))
            end = draw(st.integers(start + 1, len(text)))
            name = draw(st.sampled_from([("lines", "x"), ("lines", "y"), ("ngrams", "x")]))
            # One put at any place, so that what stands for a cluster does not depend on the order.
            put = None if draw(st.booleans()) else f"<{start},{end}>"
            cuts.append((row, start, end, *name, put))
    return texts, cuts


def table(cuts: list[Cut]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(CUTS.names, cut, strict=True)) for cut in cuts], schema=CUTS
    )


@given(cut_texts())
@settings(max_examples=200, deadline=None)
def test_cuts_and_masks_are_made_as_the_plain_ones_are(given_: tuple[list[str], list[Cut]]) -> None:
    texts, cuts = given_
    array = pa.array(["offset", *texts], pa.large_string())[1:]
    expected = [plain_apply(t, [c for c in cuts if c[0] == n]) for n, t in enumerate(texts)]
    assert apply(array, table(cuts)).to_pylist() == expected


@given(cut_texts())
@settings(max_examples=200, deadline=None)
def test_lines_and_characters_are_counted_as_the_plain_ones_are(
    given_: tuple[list[str], list[Cut]],
) -> None:
    texts, cuts = given_
    # One step's own cuts do not overlap.
    apart = [
        cut
        for n, cut in enumerate(cuts)
        if not any(
            cut[0] == o[0] and cut[3:5] == o[3:5] and cut[1] < o[2] and o[1] < cut[2]
            for o in cuts[:n]
        )
    ]
    found = records(pa.array(texts, pa.large_string()), table(apart)).to_pylist()
    for n, text in enumerate(texts):
        expected = plain_records(text, [cut for cut in apart if cut[0] == n])
        here = {(row["edit"], row["reason"]): row for row in found if row["row"] == n}
        assert here.keys() == expected.keys()
        for name, (lines, n_chars) in expected.items():
            row = here[name]
            assert (row["n_lines"], row["n_chars"]) == (len(lines), n_chars)
            assert row["lines"] == lines[:16]


def test_bytes_are_cut_and_characters_counted() -> None:
    texts = pa.array(["Größe\nÖl", "\U0001f347"], pa.large_string())
    cuts = table([(0, 2, 6, "lines", "x", None), (1, 0, 4, "lines", "x", "ß")])
    assert apply(texts, cuts).to_pylist() == ["Gre\nÖl", "ß"]
    assert records(texts, cuts)["n_chars"].to_pylist() == [2, 1]
