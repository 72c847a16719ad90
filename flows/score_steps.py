"""The steps of the curate flow that make scores: classifiers trained, buckets, least scores.

Each asks a question about all documents at once, and what judges a part is made of its answer.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cuvee.configs.scores import Classifier, ClassifierTraining, Ensemble
from cuvee.filters.classifier import Training
from cuvee.filters.keep import ScoreRule
from cuvee.flows.classifier_training import Class, train_classifier
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.job import Documents, Part
from cuvee.flows.judging import Ranks, rank_part
from cuvee.flows.thresholds import ALL, Ranking, Table, bucket_edges, top_thresholds

Thresholds = Mapping[str, Mapping[str, float]]  # by name of the score, then by group
Prints = list[str]


def train_classifiers(engine: Engine, documents: Documents) -> dict[str, str]:
    """Train the classifiers that the recipe describes; return the fingerprint of each by name."""
    job, units = engine.job, list[Unit]()
    for model in job.recipe.curate.classifiers:
        if model.train is None:
            continue
        classes = tuple(
            Class(
                tuple(job.table("documents", documents.parts[n]) for n in documents.of(sources)),
                tuple(documents.prints[n] for n in documents.of(sources)),
            )
            for sources in (model.train.positive, model.train.negative)
        )
        path = job.run / "models" / f"{model.name}.bin"
        units.append(
            Unit(
                model.name,
                (repr([class_.prints for class_ in classes]), model.label, str(model.train)),
                train_classifier,
                (classes, model.label, model.train.documents, _training(model.train), path),
                (path, path.with_suffix(".json")),
            )
        )
    if not units:
        return {}
    prints = engine.run(Step("train_classifiers", 2, asdict(Training()), in_processes=True), units)
    return {unit.name: print_ for unit, print_ in zip(units, prints, strict=True)}


def _training(asked: ClassifierTraining) -> Training:
    """Return how a classifier of the recipe is trained."""
    return Training(asked.lr, asked.epochs, asked.dim, asked.word_ngrams)


def rank(engine: Engine, documents: Documents, scores: Prints) -> Prints | None:
    """Write the buckets of every ensemble; None where the recipe has none."""
    job, ensembles = engine.job, engine.job.recipe.curate.ensembles
    if not ensembles:  # what an earlier recipe's left would be shown beside the scores
        shutil.rmtree(job.run / "tables" / "ensembles", ignore_errors=True)
        return None
    numbers: dict[str, list[int]] = {}
    for name, n in sorted({(name, e.buckets) for e in ensembles for name in e.of}):
        numbers.setdefault(name, []).append(n)
    target = job.run / "models" / "edges.json"
    arguments = (job.run / "tables", numbers, tuple(job.recipe.sources), target)
    unit = Unit("all", (*scores, repr(arguments[1:3])), bucket_edges, arguments, (target,))
    (print_,) = engine.run(Step("bucket_edges", 1), [unit])
    edges = json.loads(target.read_text())
    ranks = tuple(
        Ranks(e.name, {name: tuple(edges[name][str(e.buckets)]) for name in e.of})
        for e in ensembles
    )
    asked, units = repr([(e.name, e.of, e.buckets) for e in ensembles]), list[Unit]()
    for n, part in enumerate(documents.parts):
        target = job.table("ensembles", part)
        work = (job.table("scores", part), target, ranks)
        units.append(Unit(str(part), (scores[n], print_, asked), rank_part, work, (target,)))
    return engine.run(Step("ensembles", 1), units)


def thresholds(engine: Engine, scores: Prints, ranks: Prints | None) -> Thresholds:
    """Return the scores that part the top share from the rest, where the recipe asks for one."""
    job, sources, tops = engine.job, tuple(engine.job.recipe.sources), dict[str, Any]()
    for score in job.recipe.curate.scored:
        if score.keep is not None and score.keep.top is not None:
            table: Table = "ensembles" if isinstance(score, Ensemble) else "scores"
            of = tuple(score.sources or sources)
            ranking = Ranking(table, f"score_{score.name}", of, score.keep.by)
            tops[score.name] = (ranking, score.keep.top)
    if not tops:
        return {}
    target = job.run / "models" / "thresholds.json"
    reads = (*scores, *(ranks or ()), repr(tops))
    unit = Unit("all", reads, top_thresholds, (job.run / "tables", tops, target), (target,))
    engine.run(Step("thresholds", 2), [unit])
    found: Thresholds = json.loads(target.read_text())
    return found


def score_rule(
    engine: Engine, score: Classifier | Ensemble, tops: Thresholds, part: Part
) -> ScoreRule:
    """Return what is asked of one score of a part's documents."""
    keep, seed = score.keep, engine.job.recipe.seed
    assert keep is not None
    if keep.pareto is not None:
        return ScoreRule(score.name, pareto=keep.pareto, seed=seed)
    if keep.top is None:
        return ScoreRule(score.name, keep.min)
    least = tops[score.name]
    if keep.by == "language":
        return ScoreRule(score.name, least)
    # A source without any score has no least one; its documents are dropped as unmeasured.
    return ScoreRule(score.name, least.get(part.source if keep.by == "source" else ALL, 0.0))
