"""Signatures equal datasketch's; on real near-duplicates the candidates follow the curve."""

import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.configs.errors import RecipeError
from cuvee.filters.buckets import Buckets, find_buckets
from cuvee.filters.dedup import Rule, jaccard, resolve_minhash
from cuvee.filters.minhash import (
    EMPTY,
    MinHashParams,
    band_hashes,
    candidate_probability,
    signatures,
)
from cuvee.filters.shingles import shingle_hashes, shingle_sets

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
NEAR_DUPLICATES = SHARED / "dedup" / "near_dup_exact_jaccard.jsonl.gz"
WORDS = st.lists(st.sampled_from(["a", "b", "c", "漢", "don't", "12", "éé"]), max_size=40).map(
    " ".join
)

needs_shared = pytest.mark.skipif(
    not NEAR_DUPLICATES.exists(), reason="the shared near-duplicates are not beside the repository"
)


def column(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def plain_signature(hashes: list[int], params: MinHashParams) -> list[int]:
    sketch = MinHash(params.permutations, params.seed, hashfunc=lambda h: h, scheme="affine32")
    sketch.update_batch([h >> 32 for h in hashes])
    return list(sketch.hashvalues.tolist())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(WORDS, st.text(max_size=30)), max_size=4),
    st.builds(
        MinHashParams, st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(0, 9)
    ),
)
def test_signatures_equal_those_of_datasketch(texts: list[str], params: MinHashParams) -> None:
    found, counts = signatures(column(texts), params)
    offsets, hashes = shingle_hashes(column(texts), params.ngram)
    assert found.shape == (len(texts), params.permutations)
    assert counts.tolist() == np.diff(offsets).tolist()
    for i, signature in enumerate(found.tolist()):
        document = hashes[offsets[i] : offsets[i + 1]].tolist()
        assert signature == plain_signature(document, params)


def test_fewer_words_than_a_shingle_give_no_signature() -> None:
    found, counts = signatures(column(["", "\0", "one", "1 2 3 4", "a b c d e"]), MinHashParams())
    assert counts.tolist() == [0, 0, 0, 0, 1]
    assert (found[:4] == EMPTY).all()
    assert not (found[4] == EMPTY).any()


def test_a_document_has_the_same_signature_in_any_company_and_thread() -> None:
    params = MinHashParams()
    rng = np.random.default_rng(5)
    texts = [" ".join(map(chr, rng.integers(0x61, 0x4FF, n))) for n in (9, 400_000, 0, 700_000, 50)]
    found, counts = signatures(column(texts), params)  # more than one block
    with ThreadPoolExecutor(2) as threads:
        alone = list(threads.map(lambda text: signatures(column([text]), params), texts))
    assert (found == np.concatenate([one for one, _ in alone])).all()
    assert counts.tolist() == [n[0] for _, n in alone]


@given(st.integers(1, 4), st.integers(1, 4), st.data())
@settings(max_examples=40, deadline=None)
def test_band_hashes_equal_those_of_plain_python(
    bands: int, rows: int, data: st.DataObject
) -> None:
    def mix(h: int) -> int:
        h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD % (1 << 64)
        h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 % (1 << 64)
        return h ^ (h >> 33)

    docs = data.draw(st.integers(0, 3))
    values = data.draw(
        st.lists(
            st.integers(0, (1 << 32) - 1),
            min_size=docs * bands * rows,
            max_size=docs * bands * rows,
        )
    )
    plain = []
    for first in range(0, len(values), rows):
        h = mix(1 + first // rows % bands)
        for value in values[first : first + rows]:
            h = mix(h ^ value)
        plain.append(h)
    lowest = np.array(values, np.uint32).reshape(docs, bands * rows)
    found = band_hashes(lowest, bands, rows)
    assert found.dtype == np.uint64
    assert found.ravel().tolist() == plain


def test_equal_values_in_two_bands_are_no_match() -> None:
    assert len(np.unique(band_hashes(np.full((1, 112), 7, np.uint32), 14, 8))) == 14


@pytest.mark.parametrize(
    ("bands", "rows", "at_half", "at_eight_tenths"),
    # As the papers and tools state them: datatrove, NeMo, Dolma 3, duplodocus.
    [(14, 8, 0.053, 0.924), (20, 13, 0.002, 0.677), (26, 11, 0.013, 0.903), (20, 5, 0.470, 1.0)],
)
def test_the_curve_has_the_published_values(
    bands: int, rows: int, at_half: float, at_eight_tenths: float
) -> None:
    assert candidate_probability(0.5, bands, rows) == pytest.approx(at_half, abs=5e-4)
    assert candidate_probability(0.8, bands, rows) == pytest.approx(at_eight_tenths, abs=5e-4)


@pytest.mark.parametrize(
    "values",
    [{"ngram": 0}, {"bands": 0}, {"rows": -1}, {"seed": 1 << 32}, {"verify": 0.0}, {"verify": 1.5}],
)
def test_parameters_that_mean_nothing_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"dedup.minhash.{next(iter(values))} is"):
        MinHashParams(**values)


def buckets_of(texts: pa.LargeStringArray, params: MinHashParams) -> Buckets:
    """The buckets of two and more members."""
    found, counts = signatures(texts, params)
    signed = np.flatnonzero(counts)
    hashes = band_hashes(found[signed], params.bands, params.rows)
    return find_buckets(hashes.ravel(), np.repeat(signed, params.bands))


def pairs_in(buckets: Buckets) -> set[tuple[int, int]]:
    groups = np.split(buckets.members, buckets.starts[1:-1])
    return {(a, b) for group in groups for a in group.tolist() for b in group.tolist() if a < b}


@cache
def near_duplicates() -> tuple[pa.LargeStringArray, list[tuple[int, int, float]]]:
    """Texts of real pages and pairs of them with Jaccard by another word splitter."""
    with gzip.open(NEAR_DUPLICATES, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    wanted = {pair[side] for pair in pairs for side in "ab"}
    texts = {}
    for name in ("web/text_trafilatura.jsonl.zst", "text/text-000.jsonl.zst"):
        with (SHARED / name).open("rb") as file:
            stream = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                row = json.loads(line)
                if row["id"] in wanted:
                    texts[row["id"]] = row["text"]
    number = {name: i for i, name in enumerate(texts)}
    numbered = [(number[pair["a"]], number[pair["b"]], pair["jaccard"]) for pair in pairs]
    return column(list(texts.values())), numbered


@needs_shared
@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (20, 13), (26, 11)])
def test_real_pairs_become_candidates_as_often_as_the_curve_says(bands: int, rows: int) -> None:
    texts, pairs = near_duplicates()
    offsets, hashes = shingle_sets(texts, 5)
    sets = [hashes[a:b] for a, b in pairwise(offsets)]
    found = pairs_in(buckets_of(texts, MinHashParams(bands=bands, rows=rows)))
    for low, high in ((0.5, 0.7), (0.7, 0.8), (0.8, 1.01)):
        chances, hits = [], 0
        for a, b, _ in pairs:
            similarity = float(jaccard(sets[a], sets[b]))
            if low <= similarity < high:
                chances.append(candidate_probability(similarity, bands, rows))
                hits += (min(a, b), max(a, b)) in found
        spread = sum(p * (1 - p) for p in chances) ** 0.5
        assert abs(hits - sum(chances)) <= 3 * spread + 1


@needs_shared
def test_real_removals_are_all_verified_and_few_duplicates_are_left() -> None:
    texts, pairs = near_duplicates()
    params = MinHashParams()
    lengths = pc.binary_length(texts).to_numpy()
    texts = texts.take(np.argsort(-lengths, kind="stable"))
    number = np.argsort(np.argsort(-lengths, kind="stable"))
    offsets, hashes = shingle_sets(texts, params.ngram)
    found = resolve_minhash(buckets_of(texts, params), (offsets, hashes), Rule(params.verify))
    sets = [set(hashes[a:b].tolist()) for a, b in pairwise(offsets)]
    gone = set(found.removed.tolist())
    assert not gone & set(found.kept.tolist())
    assert (found.kept < found.removed).all()
    for removed, kept, similarity in zip(*(c.tolist() for c in found[:3]), strict=True):
        true = len(sets[removed] & sets[kept]) / len(sets[removed] | sets[kept])
        assert similarity == true >= params.verify
    ranked = [(number[a], number[b], j) for a, b, j in pairs]
    left = [j for a, b, j in ranked if j >= 0.9 and a not in gone and b not in gone]
    assert len(left) <= 0.02 * sum(j >= 0.9 for _, _, j in pairs)
