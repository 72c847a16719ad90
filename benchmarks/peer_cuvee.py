"""The tasks as Cuvée does them, on one thread, in batches as the engine takes them."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import polars as pl
import pyarrow as pa
from driver import Outcomes, Prepare, drive

from cuvee.filters import language
from cuvee.filters.minhash import MinHashParams, signatures
from cuvee.filters.models import FastText
from cuvee.filters.rules import RuleUse, judge
from cuvee.filters.signals import measure

BATCH_DOCS = 4096
LEAST_SCORE = 0.65  # datatrove's LanguageFilter
QUALITY, REPETITION = "gopher_quality@datatrove", "gopher_repetition@datatrove"
C4, FINEWEB = "c4@datatrove", "fineweb"

load_model = cache(language.load)


def batches(texts: Sequence[str]) -> list[pa.LargeStringArray]:
    """Put the texts into Arrow arrays, as the engine reads them from Parquet."""
    starts = range(0, len(texts), BATCH_DOCS)
    return [pa.array(texts[start : start + BATCH_DOCS], pa.large_string()) for start in starts]


def rules(sets: Sequence[str], texts: Sequence[str], _: str) -> Callable[[], Outcomes]:
    """Measure and judge by rule sets."""
    ready, uses = batches(texts), [RuleUse(name) for name in sets]

    def work() -> Outcomes:
        reasons: Outcomes = []
        for batch in ready:
            signals = pl.DataFrame(pl.from_arrow(measure(batch, sets)))
            reasons += judge(signals, uses)["reason"].to_list()
        return reasons

    return work


def languages(texts: Sequence[str], model: str) -> Callable[[], Outcomes]:
    """Identify languages."""
    ready = batches(texts)
    loaded: FastText = load_model(Path(model))

    def work() -> Outcomes:
        outcomes: Outcomes = []
        for batch in ready:
            found = language.identify(loaded, batch)
            for label, score in zip(found.language.to_pylist(), found.score.tolist(), strict=True):
                outcomes.append(label if score > LEAST_SCORE else "unsure")
        return outcomes

    return work


def minhash(texts: Sequence[str], _: str) -> Callable[[], Outcomes]:
    """Compute signatures; nothing is decided."""
    ready, params = batches(texts), MinHashParams()

    def work() -> Outcomes:
        for batch in ready:
            signatures(batch, params)
        return [None] * len(texts)

    return work


TASKS: dict[str, Prepare] = {
    "gopher quality": partial(rules, (QUALITY,)),
    "gopher repetition": partial(rules, (REPETITION,)),
    "gopher": partial(rules, (QUALITY, REPETITION)),
    "c4": partial(rules, (C4,)),
    "fineweb": partial(rules, (FINEWEB,)),
    "all rule sets": partial(rules, (QUALITY, REPETITION, C4, FINEWEB)),
    "language": languages,
    "minhash": minhash,
}

if __name__ == "__main__":
    drive(TASKS)
