"""The last steps of curation: cut repeated text out of what stays, and mask personal data.

A recipe asks for them with `curate.dedup.lines`, `paragraphs` or `ngrams`, with `curate.pii.mask`,
or with a policy of `curate.decontaminate` that cuts; without any of these nothing is written. Every
step that cuts reads the edited text and leaves a table of cuts; `finish` makes all of them at once,
and what builds reads the finished text. `survivors` has the verdicts so far.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cuvee.filters.pii import KINDS
from cuvee.flows import curate_parts
from cuvee.flows.decided import Decided
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.finish_parts import Cutter, finish_part
from cuvee.flows.job import Documents, Job, Part
from cuvee.flows.line_steps import cut_lines, cut_paragraphs, cuts_table
from cuvee.flows.ngram_steps import cut_ngrams


def finish(engine: Engine, documents: Documents, decided: Decided) -> Prints | None:
    """Cut and mask the texts of what stays; None where the recipe asks for neither."""
    job = engine.job
    dedup, decontaminate = job.recipe.curate.dedup, job.recipe.curate.decontaminate
    asked = {
        "line_cuts": dedup.lines is not None,
        "paragraph_cuts": dedup.paragraphs is not None,
        "ngram_cuts": dedup.ngrams is not None,
    }
    tainted = decided.hits if decontaminate is not None and decontaminate.cuts else None
    everything = any(asked.values()) or tainted is not None or _masks(job)
    asked |= dict.fromkeys(("survivors", "finished", "finish_edits"), everything)
    for name in (name for name, wanted in asked.items() if not wanted):  # by an earlier recipe
        shutil.rmtree(job.run / "tables" / name, ignore_errors=True)
    if not everything:
        return None
    kept = Documents(documents.parts, _survivors(engine, documents, decided))
    cut: dict[str, Prints] = {}
    if tainted is not None:
        cut["decontaminate"] = tainted
    if dedup.lines is not None:
        cut["lines"] = cut_lines(engine, kept, dedup.lines)
    if dedup.paragraphs is not None:
        cut["paragraphs"] = cut_paragraphs(engine, kept, dedup.paragraphs)
    if dedup.ngrams is not None:
        cut["ngrams"] = cut_ngrams(engine, kept, dedup.ngrams)
    return _finish(engine, kept, cut)


def _survivors(engine: Engine, documents: Documents, decided: Decided) -> Prints:
    """Write the verdicts so far; their fingerprints stand for the documents, too."""
    job, units = engine.job, list[Unit]()
    for n, part in enumerate(documents.parts):
        target, removals = job.table("survivors", part), decided.removals(job, part)
        arguments = (job.table("judged", part), job.table("documents", part), removals, target)
        reads = decided.reads(documents, n)
        units.append(Unit(str(part), reads, curate_parts.conclude_part, arguments, (target,)))
    return engine.run(Step("survivors", 1), units)


def _masks(job: Job) -> bool:
    """Say whether the recipe masks personal data."""
    pii = job.recipe.curate.pii
    return pii is not None and pii.mask


def _kinds(job: Job, part: Part) -> Sequence[str]:
    """Return the kinds of personal data that are masked in a part."""
    pii = job.recipe.curate.pii
    if pii is None or not pii.mask or (pii.sources is not None and part.source not in pii.sources):
        return ()
    return KINDS if pii.kinds is None else [kind for kind in KINDS if kind in pii.kinds]


def _finish(engine: Engine, kept: Documents, cut: dict[str, Prints]) -> Prints:
    """Make all cuts of every part."""
    job, units = engine.job, list[Unit]()
    for n, part in enumerate(kept.parts):
        cutters = [
            Cutter(step, _cuts_of(job, step, part), _min_left(job, step))
            for step, prints in cut.items()
            if prints[n]
        ]
        kinds = _kinds(job, part)
        least = [(cutter.step, cutter.min_left) for cutter in cutters]
        reads = (kept.prints[n], *(prints[n] for prints in cut.values()), repr((least, kinds)))
        outputs = (job.table("finished", part), job.table("finish_edits", part))
        arguments = (job.table("documents", part), job.table("survivors", part), cutters, kinds)
        units.append(Unit(str(part), reads, finish_part, (*arguments, outputs), outputs))
    return engine.run(Step("finish", 1, UNICODE), units)


def _cuts_of(job: Job, step: str, part: Part) -> Path:
    """Return the table of a step's cuts of a part."""
    return job.table("contamination_cuts" if step == "decontaminate" else cuts_table(step), part)


def _min_left(job: Job, step: str) -> int:
    """Return the words that a step must leave in a document it cuts."""
    spec = getattr(job.recipe.curate.dedup, step, None)
    return 0 if spec is None else int(spec.min_left)
