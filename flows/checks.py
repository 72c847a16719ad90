"""Refuse a recipe that cannot run, before any work starts and in the user's own words."""

import difflib
from collections.abc import Sequence

from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Curate, Recipe
from cuvee.corpus.paths import local_file, resolve
from cuvee.filters import classifier, language
from cuvee.filters.edits import known_edit
from cuvee.filters.rules import RuleUse, limits_of
from cuvee.flows.benchmarks import read_items
from cuvee.flows.job import Job, start, started
from cuvee.flows.list_files import check_lists
from cuvee.flows.stages import settle
from cuvee.tokenize import tokenizer


def begin(job: Job) -> None:
    """Enter the run directory; a recipe is checked before it is written there, and only then."""
    if not started(job):
        check(job)
        start(job)


def check(job: Job) -> None:
    """Raise the RequestError of the first thing that is not there or does not fit."""
    recipe = job.recipe
    check_names(recipe)
    settle(recipe, job.base, dict.fromkeys(recipe.sources, 1))
    for source in recipe.sources.values():
        resolve(source.paths, source.exclude, job.base)
    curate = recipe.curate
    if curate.language is not None:
        language.load(local_file(curate.language.model, job.base))
    check_lists(curate, job.base)
    for model in curate.classifiers:
        if model.model is not None:
            classifier.load(local_file(model.model, job.base), model.label)
    if curate.decontaminate is not None:
        spec = curate.decontaminate
        read_items(resolve(spec.benchmarks, [], job.base), spec.fields)
    if recipe.tokenizer.path is not None:
        path = local_file(recipe.tokenizer.path, job.base)
        tokenizer.load(path, recipe.tokenizer.eos, recipe.tokenizer.pretokenizer)


def step_names(recipe: Recipe) -> list[str]:
    """Return the steps that may drop a document, in the order in which they are asked."""
    curate = recipe.curate
    names = ["text"]
    names += ["urls"] if curate.urls is not None else []
    names += ["language"] if curate.language is not None else []
    names += [rule.use for rule in curate.rules]
    names += ["bad_words"] if curate.bad_words is not None else []
    names += ["pii"] if curate.pii is not None and curate.pii.max is not None else []
    names += [score.name for score in curate.scored if score.keep is not None]
    names += ["exact"] if curate.dedup.exact else []
    names += ["minhash"] if curate.dedup.minhash is not None else []
    names += ["decontaminate"] if curate.decontaminate is not None else []
    return list(dict.fromkeys(names))


def check_names(recipe: Recipe) -> None:
    """Refuse a rule or classifier for sources, rule sets or limits that do not exist."""
    curate = recipe.curate
    named = [(f"curate.rules.{rule.use}.sources", rule.sources) for rule in curate.rules]
    named += [(f"curate.edits.{edit.use}.sources", edit.sources) for edit in curate.edits]
    if curate.language is not None:
        named.append(("curate.language.sources", curate.language.sources))
    for model in curate.classifiers:
        key = f"curate.classifiers.{model.name}"
        named.append((f"{key}.sources", model.sources))
        if model.train is not None:
            named.append((f"{key}.train.positive", model.train.positive))
            named.append((f"{key}.train.negative", model.train.negative))
    named += [(f"curate.ensembles.{e.name}.sources", e.sources) for e in curate.ensembles]
    for step in ("urls", "bad_words", "pii"):
        rule_ = getattr(curate, step)
        named.append((f"curate.{step}.sources", rule_ and rule_.sources))
    for key, names in named:
        for name in names or ():
            _known(key, name, list(recipe.sources))
    _check_scores(curate)
    for edit in curate.edits:
        known_edit(edit.use)
    for rule in curate.rules:
        limits_of(RuleUse(rule.use, rule.limits))


def _check_scores(curate: Curate) -> None:
    """Refuse an ensemble or a condition of a score that nothing gives."""
    models = [model.name for model in curate.classifiers]
    names = [score.name for score in curate.scored]
    for ensemble in curate.ensembles:
        for name in ensemble.of:
            _known(f"curate.ensembles.{ensemble.name}.of", name, models)
    conditions = [(f"curate.rules.{rule.use}", rule.only_if) for rule in curate.rules]
    conditions += [(f"curate.{score.name}", score.only_if) for score in curate.scored]
    for key, only_if in conditions:
        if only_if is not None:
            _known(f"{key}.only_if.score", only_if.score, names)


def _known(key: str, name: str, known: Sequence[str]) -> None:
    """Refuse a name that is not among `known`, with the nearest that is."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise RecipeError(
            f"{key} names {name!r}, which is not there.",
            f"Known: {', '.join(known)}.",
            f"Did you mean {near[0]!r}?" if near else "",
        )
