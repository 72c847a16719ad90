"""What `cuvee index add` and `cuvee index show` do.

A document is added when deduplication kept it: the rules kept it, and no copy took its place. What
later steps do (benchmark items, texts that cuts empty) makes no difference: an index says what was
seen, and what a later crawl would bring again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text
from xxhash import xxh3_128

from cuvee.configs.errors import RequestError, RunMismatch
from cuvee.corpus import figures
from cuvee.corpus.dedup_entry import Origin, add_entry
from cuvee.corpus.dedup_index import read_entries
from cuvee.corpus.fingerprint import fingerprint
from cuvee.corpus.records import read_record
from cuvee.corpus.terminal import house_table
from cuvee.flows.index_keys import identity_of, key_bits, parameters_of, texts_print
from cuvee.flows.job import Job, Part, alone, load_job, require
from cuvee.flows.partfiles import column, row_groups
from cuvee.flows.screen import make_console

KINDS = ("url", "exact", "minhash")  # the steps that deduplicate documents, as verdicts name them


@dataclass(frozen=True)
class Finished:
    """A finished curation: its job, its parts in order, and the steps after deduplication."""

    job: Job
    parts: list[Part]
    later: list[str]


def add(run: Path, index: Path, name: str | None) -> None:
    """Add what a finished curation kept, and show the index."""
    job, console = load_job(run), make_console()
    with alone(run):
        found = _finished(job)
        entry, is_new = add_entry(index, _origin(found, name), _kept(found))
    done = "was added" if is_new else "was there already"
    console.print(
        f"  [green]✓[/] entry {entry.number} ({entry.name}) of {entry.docs:,} documents {done}",
        soft_wrap=True,
    )
    _show(console, index)


def show(index: Path) -> None:
    """Show the entries of an index and the parameters of its keys."""
    _show(make_console(), index)


def _show(console: Console, index: Path) -> None:
    """Print the entries, all of them together, and the parameters."""
    entries = read_entries(index)
    table = house_table("entry", max_width=36)
    for head in ("documents", "bytes"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for entry in entries:
        counts = (figures.count(entry.docs), figures.size(entry.n_bytes))
        table.add_row(f"{entry.number} {entry.name}", *counts, Text(entry.run, "dim"))
    docs, n_bytes = sum(e.docs for e in entries), sum(e.n_bytes for e in entries)
    table.add_row("all", Text(figures.count(docs), "bold"), figures.size(n_bytes))
    console.print("", table, "", sep="\n")
    if entries:
        settings = house_table("parameter", max_width=36)
        settings.add_column("value")
        for parameter, value in entries[0].parameters.items():
            settings.add_row(parameter, str(value))
        console.print(settings, "", sep="\n")


def _finished(job: Job) -> Finished:
    """Return what a run's curation left; refuse one that is not done or compares nothing."""
    run = job.run
    require(run / "curated.json", "The curation of this run", f"cuvee curate RECIPE --out {run}")
    curated: dict[str, list[str]] = json.loads((run / "curated.json").read_text())
    parts = [Part(source, n) for source, prints in curated.items() for n in range(len(prints))]
    steps: list[str] = json.loads((run / "steps.json").read_text())
    ours = [number for number, step in enumerate(steps) if step in KINDS]
    if not ours:
        raise RequestError(
            f"The recipe of {run} deduplicates no documents, so it has no keys to keep.",
            f"Its steps are {', '.join(steps)}.",
            "Give it curate.dedup.exact or curate.dedup.minhash.",
        )
    return Finished(job, parts, steps[max(ours) + 1 :])


def _origin(found: Finished, name: str | None) -> Origin:
    """Say what an entry of a run is made of."""
    run, dedup = found.job.run, found.job.recipe.curate.dedup
    names = [str(part) for part in found.parts]
    signed = [read_record(run, "sign", part) for part in names]
    digest = xxh3_128()
    for part in found.parts:
        verdicts = _verdicts(found, part)
        kept = column(verdicts.filter(verdicts.column("held")), "doc_id")
        digest.update(b"".join(cast("list[bytes]", kept.to_pylist())))
    return Origin(
        name=name or run.resolve().name,
        run=run,
        identity=identity_of(run, names),
        contents=fingerprint([digest.hexdigest(), [s and s.fingerprint for s in signed]]),
        parameters=parameters_of(dedup),
        parts=[(part, texts_print(run, part)) for part in names],
        key_bits=key_bits(dedup),
    )


def _kept(found: Finished) -> Iterator[pa.Table]:
    """Yield the documents that deduplication kept, with their keys, a row group at a time."""
    kinds = list(key_bits(found.job.recipe.curate.dedup))
    for number, part in enumerate(found.parts):
        path, row = found.job.table("signatures", part), 0
        verdicts = _verdicts(found, part)
        counted = ["n_shingles"] if "n_shingles" in pq.read_schema(path).names else []
        for signed in row_groups(path, ["doc_id", *counted, *kinds]):
            rows, here = signed.num_rows, verdicts.slice(row, signed.num_rows)
            if not here.column("doc_id").equals(signed.column("doc_id")):
                raise _out_of_step(path)
            columns: dict[str, Any] = {
                "part": pa.array(np.full(rows, number, np.int32)),
                "row": pa.array(np.arange(row, row + rows)),
                "n_bytes": here.column("n_bytes"),
                "n_shingles": pa.nulls(rows, pa.int32()),
            }
            columns |= {name: signed.column(name) for name in signed.column_names}
            yield pa.table(columns).filter(here.column("held"))
            row += rows
        if row != verdicts.num_rows:
            raise _out_of_step(path)


def _verdicts(found: Finished, part: Part) -> pa.Table:
    """Return doc_id, n_bytes and whether deduplication kept it (`held`), for each document."""
    path = found.job.table("verdicts", part)
    table = pq.read_table(path, columns=["doc_id", "n_bytes", "kept", "step"], use_threads=False)
    later = pc.is_in(table.column("step"), value_set=pa.array(found.later, pa.string()))
    return table.append_column("held", pc.or_(table.column("kept"), later)).combine_chunks()


def _out_of_step(path: Path) -> RunMismatch:
    """Say that the tables of a run are not of one curation."""
    return RunMismatch(
        f"{path} and the verdicts of the same part are not about the same documents.",
        do="Finish the curation first: `cuvee curate RECIPE --out RUN`.",
    )
