"""What a recipe may say of duplicates: schemes for thresholds, forms of `url`, scopes."""

from typing import Any

import pytest
from datasketch import MinHashLSH

from cuvee.configs.deduplication import Dedup, MinHash, UrlCopies
from cuvee.configs.errors import RecipeError
from cuvee.configs.load import parse

RECIPE: dict[str, Any] = {
    "name": "copies",
    "sources": {"web": {"format": "text", "paths": ["web"]}},
    "tokenizer": {"train": {}},
    "stages": [
        {
            "name": "core",
            "tokens": 1,
            "seq_len": 1,
            "batch": {"sequences": 1},
            "mixture": {"web": 1},
        }
    ],
}


@pytest.mark.parametrize("threshold", [0.5, 0.8])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.9)])
def test_bands_and_rows_for_a_threshold_are_datasketchs(
    threshold: float, weights: tuple[float, float]
) -> None:
    found = MinHash(threshold=threshold, permutations=64, weights=weights)
    theirs = MinHashLSH(threshold=threshold, num_perm=64, weights=weights)
    assert (found.bands, found.rows) == (theirs.b, theirs.r)
    assert MinHash.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("url", "kept"), [(True, "newest"), ("longest", "longest"), ({"keep": "first"}, "first")]
)
def test_url_may_be_written_short(url: Any, kept: str) -> None:
    assert Dedup(url=url).url == UrlCopies.model_validate({"keep": kept})
    assert Dedup(url=False).url is None  # type: ignore[arg-type]  # as a recipe may say it


@pytest.mark.parametrize(
    ("dedup", "why"),
    [
        ({"minhash": {"threshold": 0.8, "bands": 3}}, "needs 17 bands of 15 rows"),
        ({"minhash": {"weights": [0.2, 0.8]}}, "weights is for a threshold"),
        ({"minhash": {"threshold": 0.8, "weights": [0.5, 0.6]}}, "must sum to 1"),
        ({"minhash": {"threshold": 1.5}}, "less than 1"),
        ({"scope": [["web"], ["web"]]}, "more than once"),
        ({"priority": ["web", "web"]}, "more than once"),
        ({"scope": "language"}, "language is not given"),
        ({"url": "oldest"}, "newest"),
    ],
)
def test_what_means_nothing_is_refused_with_its_reason(dedup: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        parse(RECIPE | {"curate": {"dedup": dedup}})
