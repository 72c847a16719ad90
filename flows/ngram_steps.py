"""The step `ngrams`: cut paragraphs whose n-grams stood before, as DCLM's BFF does.

One unit reads all parts, one after the other in the recipe's order, since what is cut depends on
what came before: it is not parallel, and an interrupted one starts again. Memory: the filter and a
row group; 65 MB/s of text on one core of an AMD EPYC, of which a fresh GiB of filter takes 2 s.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.text_dedup import NgramDedup
from cuvee.corpus import figures
from cuvee.corpus.schemas import CUTS
from cuvee.corpus.whole import part_writer
from cuvee.filters import bloom
from cuvee.filters.bloom import Bloom
from cuvee.filters.known_ngrams import Known, NgramRule, cut_known
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents
from cuvee.flows.line_steps import asked_parts, clear, cuts_table, whole_print
from cuvee.flows.partfiles import document_groups, texts_of

BYTES_PER_WORD = 5  # of English web pages, marks counted as words; 4.9 measured
WANTED_RATE = 0.01  # of false positives; DCLM's (dedup/bff/README.md)


class NgramPart(NamedTuple):
    """A part whose paragraphs are looked at, and where its cuts go."""

    documents: Path
    verdicts: Path  # what is kept so far
    target: Path


def cut_ngrams(engine: Engine, kept: Documents, spec: NgramDedup) -> Prints:
    """Cut the paragraphs of known n-grams; "" for a part that is not asked."""
    job, numbers = engine.job, asked_parts(kept, spec.sources)
    clear(job, "ngrams", kept, numbers)
    parts = [
        NgramPart(
            job.table("documents", kept.parts[n]),
            job.table("survivors", kept.parts[n]),
            job.table(cuts_table("ngrams"), kept.parts[n]),
        )
        for n in numbers
    ]
    step = Step("ngrams", 1, [UNICODE, spec.model_dump(exclude={"min_left", "sources"})])
    rule = NgramRule(spec.ngram, spec.min_ngram, spec.share)
    outputs = tuple(part.target for part in parts)
    arguments = (parts, rule, spec.memory)
    unit = Unit("all", (whole_print(kept, numbers),), cut_ngrams_of, arguments, outputs)
    if not engine.is_finished(step, unit):
        _warn(engine, parts, spec.memory)
    (print_,) = engine.run(step, [unit])
    return [print_ if n in numbers else "" for n in range(len(kept.parts))]


def _warn(engine: Engine, parts: Sequence[NgramPart], memory: int) -> None:
    """Say where the filter is too small for the text."""
    ngrams = expected_ngrams(parts)
    rate = bloom.expected_rate(memory, ngrams, bloom.best_hashes(memory, ngrams))
    if rate > WANTED_RATE:
        engine.screen.say(
            f"ngrams: about {ngrams:,} n-grams in {figures.size(memory)} give false positives in "
            f"{rate:.1%}; {figures.size(ngrams * 5 // 4)} of curate.dedup.ngrams.memory give 1 %"
        )


def expected_ngrams(parts: Sequence[NgramPart]) -> int:
    """Return about how many n-grams the survivors of some parts have."""
    n_bytes = 0
    for part in parts:
        table = pq.read_table(part.verdicts, columns=["kept", "n_bytes"])
        sizes = table.filter(table.column("kept")).column("n_bytes").to_numpy()
        n_bytes += int(sizes.sum())
    return max(1, n_bytes // BYTES_PER_WORD)


def cut_ngrams_of(parts: Sequence[NgramPart], rule: NgramRule, memory: int) -> Mapping[str, int]:
    """Write the cuts of all parts, in order, by one filter; counts are of n-grams and the filter.

    `fill_ppm` is the share of its bits that are set at the end, and `false_positives_ppm` the rate
    at which it then takes an n-gram that it does not have for a known one, in millionths.
    """
    seen = bloom.empty(memory, bloom.best_hashes(memory, expected_ngrams(parts)))
    counts = {"docs": 0, "cut": 0, "emptied": 0, "ngrams": 0, "known": 0, "put": 0}
    for part in parts:
        _cut_part(part, rule, seen, counts)
    return counts | {
        "hashes": seen.hashes,
        "fill_ppm": round(bloom.fill(seen) * 10**6),
        "false_positives_ppm": round(bloom.rate(seen) * 10**6),
    }


def _cut_part(part: NgramPart, rule: NgramRule, seen: Bloom, counts: dict[str, int]) -> None:
    """Write the cuts of a part, and add to the counts."""
    kept = pq.read_table(part.verdicts, columns=["kept"]).column("kept").to_numpy()
    start = 0
    with part_writer(part.target, CUTS) as writer:
        for table in document_groups(part.documents, ["doc_id", "text"]):
            rows = np.flatnonzero(kept[start : start + table.num_rows])
            known = cut_known(texts_of(table).take(rows), seen, rule)
            writer.write(_cuts(start + rows[known.doc], known))
            start += table.num_rows
            counts["docs"] += len(rows)
            counts["cut"] += int((~known.whole).sum())
            counts["emptied"] += int(known.whole.sum())
            for name in ("ngrams", "known", "put"):
                counts[name] += getattr(known, name)


def _cuts(rows: NDArray[np.int64], known: Known) -> pa.RecordBatch:
    """Return what is known as rows of a table of cuts."""
    reasons = np.where(known.whole, "known_document", "known_paragraph")
    columns: list[pa.Array[Any]] = [
        pa.array(rows),
        pa.array(known.start),
        pa.array(known.end),
        pa.repeat(pa.scalar("ngrams"), len(rows)),
        pa.array(reasons, pa.string()),
        pa.nulls(len(rows), pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CUTS)
