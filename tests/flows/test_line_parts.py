"""Lines over several parts: what is cut, by the units alone, against plain Python."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.corpus.schemas import DOCUMENTS, VERDICTS
from cuvee.corpus.whole import write_part
from cuvee.filters.cuts import apply
from cuvee.filters.known_ngrams import NgramRule
from cuvee.flows import line_parts as work
from cuvee.flows.line_parts import LinePart
from cuvee.flows.ngram_steps import NgramPart, cut_ngrams_of

Corpus = list[list[tuple[str, bool]]]  # parts of texts and whether each is kept
EDGES = [0, 2**62, 2**63, 2**64]  # ranges of keys


def write_corpus(folder: Path, corpus: Corpus) -> list[tuple[Path, Path]]:
    """Write documents and verdicts of parts of one source."""
    found = []
    for number, rows in enumerate(corpus):
        ids = [(number * 1000 + n).to_bytes(16, "big") for n in range(len(rows))]
        paths = []
        for name, schema, columns in (
            ("documents", DOCUMENTS, {"text": [text for text, _ in rows]}),
            ("survivors", VERDICTS, {"kept": [kept for _, kept in rows]}),
        ):
            values: dict[str, Any] = {column: [None] * len(rows) for column in schema.names}
            sizes = [len(text) for text, _ in rows]
            table = pa.table(values | {"doc_id": ids, "n_bytes": sizes} | columns, schema)
            paths.append(folder / name / "web" / f"{number:05d}.parquet")
            write_part(paths[-1], schema, table.to_batches())
        found.append((paths[0], paths[1]))
    return found


def parts_of(folder: Path, corpus: Corpus, per: int, exact: bool) -> list[LinePart]:
    first = np.cumsum([0, *(sum(kept for _, kept in rows) for rows in corpus)]).tolist()
    paths = write_corpus(folder, corpus)
    return [
        LinePart(documents, verdicts, start, per, 0, exact)
        for (documents, verdicts), start in zip(paths, first, strict=False)
    ]


def left(target: Path, rows: list[tuple[str, bool]]) -> list[str]:
    """Return the texts of ASCII of a part after the cuts of a table; those not kept as they are."""
    texts = [text for text, _ in rows]
    cuts = pq.read_table(target)
    return [str(text) for text in apply(pa.array(texts, pa.large_string()), cuts)]


def plain_lines(corpus: Corpus, most: int, per: int) -> list[list[str]]:
    """Cut lines that occur more than `most` times in a bucket of survivors."""
    kept = [text for rows in corpus for text, stays in rows if stays]
    counts = [Counter[str]() for _ in range(len(kept) // per + 1)]
    for n, text in enumerate(kept):
        counts[n // per].update(line for line in text.split("\n") if line.strip())
    number, found = 0, []
    for rows in corpus:
        texts = []
        for text, stays in rows:
            lines = text.split("\n")
            texts.append(text)
            if stays:
                count = counts[number // per]
                texts[-1] = "\n".join(line for line in lines if count[line] <= most)
                number += 1
        found.append(texts)
    return found


def plain_paragraphs(corpus: Corpus) -> list[list[str]]:
    """Cut paragraphs that stood before."""
    seen: set[str] = set()
    found = []
    for rows in corpus:
        texts = []
        for text, stays in rows:
            lines = []
            for line in text.split("\n"):
                if not stays or line not in seen or not line.strip():
                    lines.append(line)
                if stays:
                    seen.add(line)
            texts.append("\n".join(lines))
        found.append(texts)
    return found


def random_corpus(seed: int) -> Corpus:
    """Make five parts, one of them empty, of texts of a few lines that repeat."""
    chance = random.Random(seed)
    lines = ["a", "b b", "c.", "d", "e", "f", ""]

    def text() -> str:
        return "\n".join(chance.choices(lines, k=chance.randint(0, 5)))

    sizes = [4, 0, 1, 9, 5]
    return [[(text(), chance.random() < 0.7) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize(("seed", "most", "per"), [(1, 0, 3), (2, 1, 5), (3, 3, 7), (4, 4, 100)])
def test_lines_are_cut_by_bucket_as_the_plain_ones_are(
    tmp_path: Path, seed: int, most: int, per: int
) -> None:
    folder, corpus = tmp_path, random_corpus(seed)
    parts = parts_of(folder, corpus, per, exact=False)
    buckets = range(sum(stays for rows in corpus for _, stays in rows) // per + 1)
    spills: list[dict[int, Path]] = []
    for n, part in enumerate(parts):
        spills.append({bucket: folder / f"{bucket}" / f"{n}.npy" for bucket in buckets})
        work.spill_part(part, spills[-1])
    repeated: dict[int, list[Path]] = {}
    for bucket in buckets:
        for n, (start, end) in enumerate(pairwise(EDGES)):
            repeated.setdefault(bucket, []).append(folder / f"{bucket}" / f"repeated{n}.npy")
            files = [own[bucket] for own in spills]
            work.count_lines(files, (start, end - 1), most, repeated[bucket][-1])
    found = []
    for n, part in enumerate(parts):
        target = folder / f"{n}.parquet"
        work.cut_lines_of(part, spills[n], repeated, target)
        found.append(left(target, corpus[n]))
    assert found == plain_lines(corpus, most, per)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_first_of_equal_paragraphs_stays_in_the_order_of_the_recipe(
    tmp_path: Path, seed: int
) -> None:
    folder, corpus = tmp_path, random_corpus(seed)
    parts = parts_of(folder, corpus, 2**62, exact=True)
    spills = [folder / f"{n}.npy" for n in range(len(parts))]
    for part, spill in zip(parts, spills, strict=True):
        work.spill_part(part, {0: spill})
    earlier = [folder / f"earlier{n}.npy" for n in range(len(EDGES) - 1)]
    for file, (start, end) in zip(earlier, pairwise(EDGES), strict=True):
        work.count_paragraphs(spills, (start, end - 1), file)
    found = []
    for n, part in enumerate(parts):
        target = folder / f"{n}.parquet"
        work.cut_paragraphs_of(part, spills[n], n, earlier, target)
        found.append(left(target, corpus[n]))
    assert found == plain_paragraphs(corpus)


def test_ngrams_are_known_across_parts_and_the_filter_says_how_full_it_is(tmp_path: Path) -> None:
    old, new = (" ".join(f"{word}{n}" for n in range(30)) for word in ("old", "new"))
    corpus: Corpus = [[(old, True), (new, False)], [(f"{new}\n{old}", True), (old, True)]]
    parts = [
        NgramPart(documents, verdicts, tmp_path / f"{n}.parquet")
        for n, (documents, verdicts) in enumerate(write_corpus(tmp_path, corpus))
    ]
    counts = cut_ngrams_of(parts, NgramRule(13, 13, 0.8), 2**12)
    assert left(parts[0].target, corpus[0]) == [old, new]
    assert left(parts[1].target, corpus[1]) == [new, ""]
    assert (counts["docs"], counts["cut"], counts["emptied"]) == (3, 1, 1)
    assert (counts["ngrams"], counts["known"], counts["put"]) == (18 * 4, 18 * 2, 18 * 2)
    assert 0 < counts["fill_ppm"] <= 1 + 36 * counts["hashes"] / 2**15 * 10**6
    assert counts["false_positives_ppm"] < 10
