"""The steps of the curate flow: which units each has, what they read, what identifies them.

Every function runs one step over all parts and returns the fingerprints of what it wrote, one per
part in the order of `documents.parts`, or one for all where the step must see all parts at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cuvee.configs.recipe import RuleUse as RecipeRule
from cuvee.corpus.fingerprint import file_fingerprint, files_print
from cuvee.corpus.ingest import assign_parts, ingest_part
from cuvee.corpus.paths import local_file, resolve
from cuvee.corpus.whole import write_json
from cuvee.filters.rules import RuleUse, rule_set
from cuvee.flows import curate_parts as work
from cuvee.flows import score_steps
from cuvee.flows.checks import step_names
from cuvee.flows.decided import Decided
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents, Job, Part
from cuvee.flows.judging import Asks, Judgement, judge_part
from cuvee.flows.list_parts import list_rules_of
from cuvee.flows.record_steps import records_of


def ingest(engine: Engine) -> Documents:
    """Read every source into parts; what cannot be read goes to quarantine."""
    job, parts, units = engine.job, list[Part](), list[Unit]()
    write_json(job.run / "steps.json", step_names(job.recipe))
    for name, source in job.recipe.sources.items():
        files = resolve(source.paths, source.exclude, job.base)
        records = records_of(job, name)
        for number, group in enumerate(assign_parts(files, job.recipe.part_bytes)):
            part = Part(name, number)
            outputs: tuple[Path, ...] = (
                job.table("documents", part),
                job.table("quarantine", part),
            )
            fields = source.fields.model_dump(exclude_none=True)
            reads: tuple[str, ...] = (
                files_print(group),
                str(source.format),
                repr(sorted(fields.items())),
            )
            arguments: tuple[Any, ...] = (name, group, source.format, fields, *outputs)
            if records is not None:
                made = records.made(job, part)
                reads, arguments = (*reads, records.identity), (*arguments, made)
                outputs = (*outputs, made.spans)
            parts.append(part)
            units.append(Unit(str(part), reads, ingest_part, arguments, outputs))
    _remove_other_parts(job, parts)
    return Documents(parts, engine.run(Step("ingest", 1, in_processes=True), units))


def _remove_other_parts(job: Job, parts: Sequence[Part]) -> None:
    """Remove what an earlier run wrote for parts that the sources no longer have."""
    names = {str(part) for part in parts}
    for file in (job.run / "tables").glob("*/*/*.parquet"):
        if f"{file.parent.name}/{file.stem}" not in names:
            file.unlink()
    for file in (job.run / "tokens").glob("*/*.parquet"):
        if f"{file.parent.name}/{file.stem}" not in names:
            file.unlink()


def measure(engine: Engine, documents: Documents) -> Prints:
    """Measure the signals of all rule sets in one pass over the text."""
    job = engine.job
    rule_sets = sorted({rule.use for rule in job.recipe.curate.rules})
    units = []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("signals", part)
        arguments = (job.table("documents", part), target, rule_sets)
        units.append(Unit(str(part), (print_,), work.measure_part, arguments, (target,)))
    return engine.run(Step("measure", 2, [UNICODE, *rule_sets]), units)


def score(engine: Engine, documents: Documents) -> Prints:
    """Identify languages and apply the classifiers, trained first where the recipe says so."""
    job, curate = engine.job, engine.job.recipe.curate
    trained = score_steps.train_classifiers(engine, documents)
    lid = None if curate.language is None else local_file(curate.language.model, job.base)
    models, reads = [], [] if lid is None else [file_fingerprint(lid)]
    for model in curate.classifiers:
        path = job.run / "models" / f"{model.name}.bin"
        if model.model is not None:
            path = local_file(model.model, job.base)
        models.append(work.ScoreModel(model.name, path, model.label))
        reads.append(trained.get(model.name) or file_fingerprint(path))
    paragraphs = curate.language is not None and curate.language.paragraphs
    shared, units = work.ScoreModels(lid, models, paragraphs), []
    for part, print_ in zip(documents.parts, documents.prints, strict=True):
        target = job.table("scores", part)
        arguments = (job.table("documents", part), target, shared)
        units.append(Unit(str(part), (print_, *reads), work.score_part, arguments, (target,)))
    asked = [paragraphs, *([model.name, model.label] for model in models)]
    return engine.run(Step("score", 3, asked), units)


def judge(
    engine: Engine,
    documents: Documents,
    signals: Prints,
    scores: Prints,
    others: Mapping[str, Prints | None],
) -> Prints:
    """Evaluate rules, language and what is asked of scores over what was measured.

    `others` are the tables beside the scores by name, `lists` and `token_kl`; None is not there.
    """
    job, curate = engine.job, engine.job.recipe.curate
    ranks = score_steps.rank(engine, documents, scores)
    tops = score_steps.thresholds(engine, scores, ranks)
    read = [("scores", scores), ("ensembles", ranks), *others.items()]
    units = []
    for n, part in enumerate(documents.parts):
        asked = [s for s in curate.scored if s.keep and _applies(s.sources, part)]
        language, token_kl = curate.language, curate.token_kl
        spec = Judgement(
            tuple(
                (RuleUse(rule.use, rule.limits), _asks(rule))
                for rule in curate.rules
                if _applies(rule.sources, part)
            ),
            language if language and _applies(language.sources, part) else None,
            tuple((score_steps.score_rule(engine, s, tops, part), s.only_if) for s in asked),
            list_rules_of(curate, part.source),
            token_kl.max if token_kl and _applies(token_kl.sources, part) else None,
        )
        target = job.table("judged", part)
        tables = tuple(job.table(name, part) for name, prints in read if prints)
        measured = [job.table("signals", part)]
        if any(rule_set(use.rules).edit for use, _ in spec.rules):
            measured.append(job.table("edited", part))  # its fingerprint is in the documents'
        arguments = (tuple(measured), tables, target, spec)
        reads = (signals[n], *(prints[n] for _, prints in read if prints), repr(spec))
        units.append(Unit(str(part), reads, judge_part, arguments, (target,)))
    return engine.run(Step("judge", 2), units)


def conclude(
    engine: Engine, documents: Documents, decided: Decided, finished: Prints | None
) -> Prints:
    """Write one verdict per document: kept, or the first step that dropped it and its reason."""
    job, units = engine.job, list[Unit]()
    for n, part in enumerate(documents.parts):
        reads, removals = decided.reads(documents, n), decided.removals(job, part)
        target, texts = job.table("verdicts", part), None
        if finished is not None:
            reads, texts = (*reads, finished[n]), job.table("finished", part)
        tables = (job.table("judged", part), job.table("documents", part))
        arguments = (*tables, removals, target, texts)
        units.append(Unit(str(part), reads, work.conclude_part, arguments, (target,)))
    prints = engine.run(Step("conclude", 1), units)
    curated: dict[str, Prints] = {source: [] for source in job.recipe.sources}
    for part, print_ in zip(documents.parts, prints, strict=True):
        curated[part.source].append(print_)
    write_json(job.run / "curated.json", curated)
    return prints


def _asks(rule: RecipeRule) -> Asks:
    """Return of which documents a rule of the recipe is asked."""
    languages = None if rule.languages is None else tuple(rule.languages)
    return Asks(rule.only_if, languages, tuple(rule.except_languages or ()))


def _applies(sources: Sequence[str] | None, part: Part) -> bool:
    """Say whether a rule for `sources` (None: all) is asked about a part."""
    return sources is None or part.source in sources
