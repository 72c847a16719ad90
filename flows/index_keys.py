"""What a run is to an index of earlier documents: what it read, and how its keys are made."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from cuvee.configs.deduplication import Dedup
from cuvee.corpus.dedup_index import Parameters
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.records import read_record
from cuvee.filters.minhash import MinHashParams


def parameters_of(dedup: Dedup) -> Parameters:
    """Return all that decides the keys which a recipe compares documents by.

    The names of ways to fold a text or a URL change when the ways do.
    """
    found: dict[str, int | str] = {"unicode": unicodedata.unidata_version}
    if dedup.url is not None:
        found["url"] = "xxh3-128, canonical 1"
    if dedup.exact:
        found["exact"] = "xxh3-128, white space folded"
    near = dedup.minhash
    if near is not None:
        params = MinHashParams(near.ngram, near.bands, near.rows)
        found |= {
            "minhash.words": "folded 1",
            "minhash.scheme": "affine32",
            "minhash.ngram": params.ngram,
            "minhash.bands": params.bands,
            "minhash.rows": params.rows,
            "minhash.seed": params.seed,
        }
    return found


def key_bits(dedup: Dedup) -> dict[str, int]:
    """Return the columns of signatures that a recipe compares documents by, and their bits."""
    kinds = {"exact": 128} if dedup.exact else {}
    kinds |= {"url": 128} if dedup.url is not None else {}
    bands = 0 if dedup.minhash is None else dedup.minhash.bands
    return kinds | {f"band_{band:02d}": 64 for band in range(bands)}


def identity_of(run: Path, parts: Sequence[str]) -> str:
    """Identify the documents that a run read, by its parts (`<source>/<00000>`), in any order.

    Rules and edits, and where the run lies, make no difference.
    """
    return fingerprint([[part, _print(run, "ingest", part)] for part in sorted(parts)])


def texts_print(run: Path, part: str) -> str:
    """Identify the texts of a part as deduplication reads them, edited where they are."""
    edited = (run / "tables" / "edited" / f"{part}.parquet").exists()
    return _print(run, "edit" if edited else "ingest", part)


def _print(run: Path, step: str, part: str) -> str:
    """Return the fingerprint of what a step wrote; empty when it did not."""
    record = read_record(run, step, part)
    return "" if record is None else record.fingerprint
