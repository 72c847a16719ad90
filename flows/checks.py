"""Refuse a recipe that cannot run, before any work starts and in the user's own words."""

import difflib
from collections.abc import Sequence

from cuvee.configs.deduplication import BestScore
from cuvee.configs.errors import RecipeError
from cuvee.configs.recipe import Curate, Recipe
from cuvee.corpus.paths import local_file, resolve
from cuvee.filters import classifier, language
from cuvee.filters.edits import known_edit
from cuvee.filters.rules import RuleUse, limits_of, rule_set
from cuvee.flows.benchmarks import benchmark_items
from cuvee.flows.dedup_steps import kinds
from cuvee.flows.divergence_parts import load_tokenizer, tokenizer_of
from cuvee.flows.job import Job, start, started
from cuvee.flows.list_files import check_lists
from cuvee.flows.stages import settle
from cuvee.tokenize import tokenizer

TEXT_DEDUP = ("lines", "paragraphs", "ngrams")  # steps that cut text, in their order


def begin(job: Job) -> None:
    """Enter the run directory; a recipe is checked before it is written there, and only then."""
    if not started(job):
        check(job)
        start(job)


def check(job: Job) -> None:
    """Raise the RequestError of the first thing that is not there or does not fit."""
    recipe = job.recipe
    check_names(recipe)
    check_bound(recipe)
    settle(recipe, job.base)
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
        benchmark_items(spec, resolve(spec.benchmarks, [], job.base))
    if curate.token_kl is not None and curate.token_kl.tokenizer is not None:
        load_tokenizer(tokenizer_of(recipe), job.base)
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
    names += ["token_kl"] if curate.token_kl and curate.token_kl.max is not None else []
    names += [score.name for score in curate.scored if score.keep is not None]
    names += kinds(recipe)
    names += ["decontaminate"] if curate.decontaminate is not None else []
    names += [name for name in TEXT_DEDUP if getattr(curate.dedup, name) is not None]
    return list(dict.fromkeys(names))


def check_bound(recipe: Recipe) -> None:
    """Refuse to run with sources that nobody has said the files of."""
    unbound = [name for name, source in recipe.sources.items() if not source.paths]
    if unbound:
        raise RecipeError(
            f"No files are bound to {', '.join(unbound)}.",
            "Without files a recipe can be planned, as far as it declares sizes: cuvee plan.",
            f"Bind them: --bind {unbound[0]}=PATH, or --bind '*=PATH' for all.",
        )


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
    for step in ("urls", "bad_words", "pii", "token_kl"):
        rule_ = getattr(curate, step)
        named.append((f"curate.{step}.sources", rule_ and rule_.sources))
    for step in TEXT_DEDUP:
        spec_ = getattr(curate.dedup, step)
        named.append((f"curate.dedup.{step}.sources", spec_ and spec_.sources))
    dedup = curate.dedup
    named += [("curate.dedup.scope", group) for group in dedup.groups]
    named.append(("curate.dedup.priority", dedup.priority))
    for key, names in named:
        for name in names or ():
            _known(key, name, list(recipe.sources))
    _check_scores(curate)
    for edit in curate.edits:
        known_edit(edit.use)
    for rule in curate.rules:
        limits_of(RuleUse(rule.use, rule.limits))
        _check_edited(recipe, rule.use, rule.sources)
    if curate.token_kl is not None:
        tokenizer_of(recipe)


def _check_edited(recipe: Recipe, use: str, sources: Sequence[str] | None) -> None:
    """Refuse a rule over what an edit measures for a source that is not edited."""
    edit = rule_set(use).edit
    if edit is None:
        return
    edits = [one for one in recipe.curate.edits if one.use == edit]
    missing = [
        name
        for name in sources or recipe.sources
        if not any(one.sources is None or name in one.sources for one in edits)
    ]
    if missing:
        raise RecipeError(
            f"curate.rules has {use} for {', '.join(missing)}, whose texts are not edited.",
            f"It judges by what the edit {edit} takes out.",
            f"Add {edit} to curate.edits for these sources, or name others in the rule's sources.",
        )


def _check_scores(curate: Curate) -> None:
    """Refuse an ensemble, a condition or a choice by a score that nothing gives."""
    models = [model.name for model in curate.classifiers]
    names = [score.name for score in curate.scored]
    for ensemble in curate.ensembles:
        for name in ensemble.of:
            _known(f"curate.ensembles.{ensemble.name}.of", name, models)
    near = curate.dedup.minhash
    if near is not None and isinstance(near.keep, BestScore):
        columns = [f"score_{name}" for name in names]
        columns += ["language_score"] if curate.language is not None else []
        _known("curate.dedup.minhash.keep.best", near.keep.best, columns)
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
            f"Known: {', '.join(known) or 'none'}.",
            f"Did you mean {near[0]!r}?" if near else "",
        )
