"""Run `cuvee dedup eval` on labelled duplicates of four kinds.

    python benchmarks/labelled_duplicates.py FOLDER --out build/labelled [--set bands=20]

FOLDER holds, as gathered from public sources:

- `dedup/near_dup_exact_jaccard.jsonl.gz`: all pairs of the documents of `web/` and `text/` with an
  exact Jaccard similarity of at least 0.2, of sets of 5 tokens: runs of letters and digits in lower
  case, Chinese, Japanese, Korean and Thai characters one by one. Ours differ: accents are folded
  away, and a run of digits is a 0. So both similarities are shown side by side, and a pair counts
  as a duplicate by the file's.
- `dedup/plagiarism_articles_1000.jsonl.gz`: 1,000 articles in which 10 pairs are planted.
- `dedup/webis_pairs_gov2.jsonl.gz`: pairs of pages that people judged, 0 (different) to 3 (the
  same); from 1 on its authors count a duplicate. Many are the same page with another number in it.
- `dedup/onestopenglish_3_levels.jsonl.gz`: articles rewritten for three levels of readers:
  paraphrases, so no duplicates.

It writes each as documents and judged pairs into --out, which is what the command takes.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from cuvee.configs.deduplication import MinHash
from cuvee.corpus.paths import SourceFile
from cuvee.corpus.streams import chunks
from cuvee.filters.dedup import jaccard
from cuvee.flows.dedup_commands import parameters
from cuvee.flows.dedup_evaluation import hash_documents

DUPLICATE = 0.8  # the file's similarity from which a pair is one
Pair = tuple[str, str, bool]


def rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    lines = chunks(SourceFile(str(path), path.name, path.stat().st_size))
    return [json.loads(line) for line in b"".join(lines).splitlines()]


def exact_jaccard(folder: Path) -> tuple[dict[str, str], list[Pair]]:
    """Return web pages and texts, and the pairs of the file."""
    files = [
        *(folder / "web").glob("text_*.jsonl.zst"),
        *(folder / "text").glob("text-*.jsonl.zst"),
    ]
    texts = {row["id"]: row["text"] for path in sorted(files) for row in rows(path)}
    known = rows(folder / "dedup" / "near_dup_exact_jaccard.jsonl.gz")
    return texts, [(row["a"], row["b"], row["jaccard"] >= DUPLICATE) for row in known]


def planted(folder: Path) -> tuple[dict[str, str], list[Pair]]:
    """Return the articles, and the pairs planted in them."""
    found = rows(folder / "dedup" / "plagiarism_articles_1000.jsonl.gz")
    twins = {
        tuple(sorted((row["id"], other))) for row in found for other in row["duplicate_of"] or ()
    }
    return {row["id"]: row["text"] for row in found}, [(*pair, True) for pair in sorted(twins)]


def judged(folder: Path) -> tuple[dict[str, str], list[Pair]]:
    """Return the pages and the pairs that people judged."""
    found = rows(folder / "dedup" / "webis_pairs_gov2.jsonl.gz")
    texts = {row[side]: row[f"text_{side}"] for row in found for side in ("a", "b")}
    return texts, [(row["a"], row["b"], row["label"] >= 1) for row in found]


def levels(folder: Path) -> tuple[dict[str, str], list[Pair]]:
    """Return the articles, and each one's levels as pairs that are no duplicates."""
    found = rows(folder / "dedup" / "onestopenglish_3_levels.jsonl.gz")
    articles: dict[str, list[str]] = {}
    for row in found:
        articles.setdefault(row["article"], []).append(row["id"])
    pairs = [(*pair, False) for ids in articles.values() for pair in combinations(ids, 2)]
    return {row["id"]: row["text"] for row in found}, pairs


SETS = {
    "exact Jaccard": exact_jaccard,
    "planted pairs": planted,
    "judged by people": judged,
    "paraphrases": levels,
}


def write(folder: Path, texts: Mapping[str, str], pairs: Iterable[Pair]) -> tuple[Path, Path]:
    """Write documents and pairs as the command takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    documents, judgements = folder / "documents.jsonl", folder / "pairs.jsonl"
    lines = [json.dumps({"id": name, "text": text}) for name, text in texts.items()]
    documents.write_text("\n".join(lines) + "\n")
    named = [json.dumps({"a": a, "b": b, "duplicate": says}) for a, b, says in pairs]
    judgements.write_text("\n".join(named) + "\n")
    return documents, judgements


def side_by_side(folder: Path, near: MinHash) -> None:
    """Print how the file's similarities and ours differ."""
    texts, _ = exact_jaccard(folder)
    hashed, ranks = hash_documents(list(texts.values()), near)
    rank = dict(zip(texts, ranks.tolist(), strict=True))
    moved: Counter[tuple[float, float]] = Counter()
    for row in rows(folder / "dedup" / "near_dup_exact_jaccard.jsonl.gz"):
        ours = float(jaccard(hashed.set_of(rank[row["a"]]), hashed.set_of(rank[row["b"]])))
        moved[int(row["jaccard"] * 10) / 10, int(ours * 10) / 10] += 1
    print("\npairs of the file by both similarities: theirs, ours, pairs")
    for (theirs, ours), pairs in sorted(moved.items()):
        print(f"  {theirs:.1f}  {ours:.1f}  {pairs:>5,}")


def main() -> None:
    """Write and evaluate every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/labelled"))
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    given = parser.parse_args()
    settings = [part for override in given.overrides for part in ("--set", override)]
    for name, read in SETS.items():
        print(f"\n# {name}", flush=True)
        documents, pairs = write(given.out / name.replace(" ", "_"), *read(given.folder))
        command = ["dedup", "eval", str(documents), "--pairs", str(pairs), *settings]
        subprocess.run([sys.executable, "-m", "cuvee.flows", *command], check=True)
    side_by_side(given.folder, parameters(given.overrides))


if __name__ == "__main__":
    main()
