"""The step `token_kl`: how far each document's tokens are from the corpus' distribution.

Llama 3 dropped documents by it (Grattafiori et al. 2024, section 3.1.1: "token-distribution
Kullback-Leibler divergence to filter out documents containing excessive numbers of outlier tokens
compared to the training corpus distribution"). The corpus are the edited texts of all sources,
before anything is dropped. Each text is encoded once, by `token_counts`; what is new when another
part changes is made of its counts alone. It drops nothing: `judge` does.
"""

import shutil

from cuvee.configs.recipe import Curate
from cuvee.corpus.fingerprint import file_fingerprint
from cuvee.corpus.paths import local_file
from cuvee.flows.divergence_parts import (
    compare_part,
    count_part,
    load_tokenizer,
    sum_parts,
    tokenizer_of,
)
from cuvee.flows.engine import Engine, Prints, Step, Unit
from cuvee.flows.job import Documents
from cuvee.tokenize.tokenizer import Tokenizer

TABLES = ("token_counts", "token_sums", "token_kl")


def diverge(engine: Engine, documents: Documents) -> Prints | None:
    """Compare every document's tokens with the corpus'; None where the recipe does not ask."""
    job = engine.job
    if job.recipe.curate.token_kl is None:
        for table in TABLES:  # of an earlier recipe
            shutil.rmtree(job.run / "tables" / table, ignore_errors=True)
        return None
    counted = _count(engine, documents)
    corpus = job.run / "models" / "token_counts.parquet"
    sums = [job.table("token_sums", part) for part in documents.parts]
    unit = Unit("all", tuple(counted), sum_parts, (sums, corpus), (corpus,))
    (summed,) = engine.run(Step("token_sums", 1), [unit])
    units = []
    for part, print_ in zip(documents.parts, counted, strict=True):
        target = job.table("token_kl", part)
        arguments = (job.table("token_counts", part), corpus, target)
        units.append(Unit(str(part), (print_, summed), compare_part, arguments, (target,)))
    return engine.run(Step("token_kl", 1), units)


def _count(engine: Engine, documents: Documents) -> Prints:
    """Count the tokens of every document."""
    job, spec = engine.job, tokenizer_of(engine.job.recipe)

    def units(tokenizer: Tokenizer | None) -> list[Unit]:
        made = []
        for part, print_ in zip(documents.parts, documents.prints, strict=True):
            outputs = (job.table("token_counts", part), job.table("token_sums", part))
            arguments = (job.table("documents", part), *outputs, tokenizer)
            made.append(Unit(str(part), (print_,), count_part, arguments, outputs))
        return made

    identity = [file_fingerprint(local_file(str(spec.path), job.base)), spec.eos, spec.pretokenizer]
    step = Step("token_counts", 1, identity)
    if all(engine.is_finished(step, unit) for unit in units(None)):
        return engine.run(step, units(None))
    return engine.run(step, units(load_tokenizer(spec, job.base)))


def same_divergence(old: Curate, new: Curate) -> bool:
    """Say whether what was measured for one recipe is enough to judge by another."""
    judged = {"max", "sources"}
    if new.token_kl is None:
        return True
    had = old.token_kl
    return had is not None and had.model_dump(exclude=judged) == new.token_kl.model_dump(
        exclude=judged
    )
