"""Run the shipped web recipe over texts in many languages: what share of each is kept, and why not.

    python benchmarks/languages.py books.jsonl.zst web.jsonl.zst --parallel udhr-articles

Every line of the files (JSON lines, zstd) has `text` and `lang`, its language; a line that has
`lang_sure` false is left out. So are texts of less than `--least-bytes`: a sentence is too short a
page in any language. Documents of a `--parallel` source, the same text in many languages, are
joined where their `path` is the same up to a `#`, and counted by script. The tables go to standard
output, as Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import zstandard

LETTERS = 1000  # characters of a text that say which script it has
REASONS = 3  # shown of each group


class Page(NamedTuple):
    """A text, the table that it counts in, and its row there: a language or a script."""

    table: str
    group: str
    text: str


def script(text: str) -> str:
    """Return the script of most letters, as Unicode's names begin with it."""
    names = (unicodedata.name(letter, "") for letter in text[:LETTERS] if letter.isalpha())
    counted = Counter(name.split()[0] for name in names if name)
    return counted.most_common(1)[0][0].capitalize() if counted else "none"


def records(path: Path) -> Iterator[dict[str, str]]:
    """Yield the lines whose language is sure."""
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            if one.get("lang_sure", True):
                yield one


def pages(files: list[Path], parallel: list[str], least_bytes: int) -> list[Page]:
    """Return all texts to run on."""
    found, joined = list[Page](), defaultdict[str, list[str]](list)
    for path in files:
        for one in records(path):
            if one.get("source") in parallel:
                joined[one["path"].partition("#")[0]].append(one["text"])
            elif len(one["text"].encode()) >= least_bytes:
                found.append(Page("language", one["lang"], one["text"]))
    whole = ("\n\n".join(texts) for texts in joined.values())
    return found + [Page("script", script(text), text) for text in whole]


def curate(texts: list[str], folder: Path) -> pl.DataFrame:
    """Curate the texts with the shipped recipe; row i says what became of text i."""
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    (folder / "pages.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = folder / "run"
    command = [sys.executable, "-m", "cuvee.flows", "curate", "web", "--out", str(run)]
    subprocess.run([*command, "--set", f"sources.web.paths=[{folder}/pages.jsonl]"], check=True)
    documents = pl.read_parquet(run / "tables/documents/web/*.parquet", columns=["doc_id", "row"])
    verdicts = pl.read_parquet(run / "tables/verdicts/web/*.parquet")
    return documents.join(verdicts, on="doc_id").sort("row")


def table(pages: list[Page], verdicts: pl.DataFrame, name: str, least: int) -> None:
    """Print the rows of one table with at least so many documents, the largest first."""
    counts, kept, reasons = Counter[str](), Counter[str](), defaultdict[str, Counter[str]](Counter)
    for page, is_kept, step, reason in zip(
        pages, *(verdicts[key] for key in ("kept", "step", "reason")), strict=True
    ):
        if page.table == name:
            counts[page.group] += 1
            kept[page.group] += is_kept
            if not is_kept:
                reasons[page.group][step if reason == "duplicate" else reason] += 1
    print(f"\n| {name} | documents | kept | most dropped for |\n|---|---|---|---|")
    for group, number in counts.most_common():
        if number >= least:
            most = reasons[group].most_common(REASONS)
            why = ", ".join(f"`{reason}` {times}" for reason, times in most)
            print(f"| {group} | {number} | {kept[group] / number:.0%} | {why} |")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON lines")
    parser.add_argument("--parallel", nargs="*", default=[], metavar="SOURCE")
    parser.add_argument("--least-bytes", type=int, default=1000)
    parser.add_argument("--least-docs", type=int, default=5, help="of a language that is shown")
    asked = parser.parse_args()
    found = pages(asked.files, asked.parallel, asked.least_bytes)
    with tempfile.TemporaryDirectory() as folder:
        verdicts = curate([page.text for page in found], Path(folder))
    if len(verdicts) != len(found):
        sys.exit(f"{len(found)} texts were written and {len(verdicts)} judged")
    table(found, verdicts, "language", asked.least_docs)
    table(found, verdicts, "script", 1)


if __name__ == "__main__":
    main()
