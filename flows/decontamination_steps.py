"""The step of decontamination: its units, what they read, what identifies them."""

from cuvee.corpus.fingerprint import files_print
from cuvee.corpus.paths import resolve
from cuvee.filters.contamination import MIN_WORDS, build_index
from cuvee.flows import curate_parts as work
from cuvee.flows.benchmarks import read_items
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents


def decontaminate(engine: Engine, documents: Documents) -> Prints | None:
    """Record every hit of a benchmark item; None where the recipe names no benchmarks."""
    job, spec = engine.job, engine.job.recipe.curate.decontaminate
    if spec is None:
        return None
    files = resolve(spec.benchmarks, [], job.base)
    index = build_index(read_items(files, spec.fields), spec.ngram, min(MIN_WORDS, spec.ngram))
    if index.unmatched:
        engine.screen.say(
            f"decontaminate: {index.unmatched:,} of {len(index.n_ngrams):,} items are shorter than "
            f"{MIN_WORDS} words and match nothing"
        )
    reads, units = files_print(files), []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("contamination", part)
        arguments = (job.table("documents", part), target, index)
        units.append(Unit(str(part), (print_, reads), work.find_part, arguments, (target,)))
    parameters = [UNICODE, spec.ngram, sorted(spec.fields.items())]
    return engine.run(Step("decontaminate", 1, parameters), units)
