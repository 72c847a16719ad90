"""The steps of the build flow that plan: pools, what they suffice for, packs, and the plan itself.

Stages are planned in the order of their lineage. What identifies a stage's plan is the head of its
hash chain, so a stage that reads what it read before is not written again, however it was planned.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.configs.errors import MixInfeasible
from cuvee.configs.stages import Stage as Asked
from cuvee.corpus.whole import whole
from cuvee.flows import pack_parts as work
from cuvee.flows.advances import advances
from cuvee.flows.chains import stored_plan
from cuvee.flows.consumed import keep_consumed, refuse_changed, stops_of
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.exclusions import exclude_documents, read_excluded
from cuvee.flows.job import Job, Part
from cuvee.flows.plan_parts import plan_stage
from cuvee.flows.plan_places import (
    drawn_from,
    excluded_table,
    packs_table,
    plan_files,
    pool_table,
    statistics_of,
)
from cuvee.flows.plan_tables import write_tables
from cuvee.flows.stages import settle
from cuvee.flows.views import PoolFile, rows_of, write_pools
from cuvee.mixers.fits import Fit
from cuvee.mixers.measured import MeasuredSupply
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
from cuvee.mixers.settled import Settled


@dataclass(frozen=True)
class TokenStore:
    """The parts of the token store by source, in order, with their fingerprints."""

    parts: dict[str, list[Part]]
    prints: dict[str, list[str]]


@dataclass(frozen=True)
class StagePlans:
    """The stages as planned, over which pools, and the head of each one's hash chain."""

    stages: list[Stage]
    pools: list[Pool]
    heads: dict[str, str]


def plan(engine: Engine, store: TokenStore) -> StagePlans:
    """Settle that the sources suffice, pack them stage by stage, and write the plan.

    What training has read (`cuvee advance`) is kept first, and the new plan refused with
    RunMismatch where it would change that.
    """
    job = engine.job
    made = advances(job.run)
    keep_consumed(job.run, job.recipe, made)
    identities = _pools(engine, store)
    supplies = [_supply(job, store, name) for name in job.recipe.sources]
    settled = _settled(engine, supplies)
    packs = _pack(engine, settled, store, identities)
    _remove_stale(job, settled)
    units = []
    for stage in settled.stages:
        files = plan_files(job, stage.name)
        drawn = drawn_from(stage, settled.pools)
        paths = {pool.name: packs_table(job, stage.name, pool.name) for pool in drawn}
        reads = (*(packs[pool.source] for pool in drawn), repr(_shape(stage)))
        outputs = (files.plan, files.chain, files.certificate)
        units.append(Unit(stage.name, reads, plan_stage, (stage, paths, files), outputs))
    engine.run(Step("plan", 2), units)
    refuse_changed(job.run, job.recipe, made)
    write_tables(job, settled.stages, settled.pools)
    heads = {s.name: str(stored_plan(job.run, s.name).read()["head"]) for s in settled.stages}
    _add_version(job, settled.stages, heads)
    return StagePlans(settled.stages, settled.pools, heads)


def _settled(engine: Engine, supplies: list[MeasuredSupply]) -> Settled:
    """Return the plan of the recipe; nothing is packed that cannot be given."""
    job = engine.job
    try:
        settled = settle(job.recipe, job.base, supplies, stops_of(job.run, job.recipe))
    except MixInfeasible as error:
        again = "Then give the command again with --update: what is curated stays."
        raise MixInfeasible(error.got, error.allowed, f"{error.do} {again}") from error
    for warning in settled.warnings:
        engine.screen.say(warning)
    return settled


def _pools(engine: Engine, store: TokenStore) -> dict[str, tuple[str, ...]]:
    """Settle which documents each pool has and each stage passes over.

    Returns what identifies that, for each source.
    """
    job, recipe = engine.job, engine.job.recipe
    asked = {s.name: s.exclude for s in recipe.stages if s.exclude is not None}
    excluded, pools = list[Unit](), list[Unit]()
    for name, source in recipe.sources.items():
        tokens = tuple(job.tokens(part) for part in store.parts[name])
        if asked:
            target = excluded_table(job, name)
            reads = (*store.prints[name], repr(sorted(asked.items())))
            arguments = (job.run, name, list(tokens), asked, target)
            excluded.append(Unit(name, reads, exclude_documents, arguments, (target,)))
        views = {view: about for view, about in recipe.views.items() if about.of == name}
        files = pool_files(job, name)
        targets = {pool: file.path for pool, file in files.items() if file.path is not None}
        if targets:
            key = repr([recipe.seed, source.sample, sorted(views.items())])
            held = (job.run, (name, source), views, tokens, recipe.seed, targets)
            outputs = tuple(targets.values())
            pools.append(Unit(name, (*store.prints[name], key), write_pools, held, outputs))
    prints: dict[str, tuple[str, ...]] = dict.fromkeys(recipe.sources, ())
    for step, units in ((Step("exclude", 1), excluded), (Step("pools", 1), pools)):
        for unit, print_ in zip(units, engine.run(step, units) if units else [], strict=True):
            prints[unit.name] += (print_,)
    return prints


def pool_files(job: Job, name: str) -> dict[str, PoolFile]:
    """Return where the rows of a source and its views are."""
    recipe, source = job.recipe, job.recipe.sources[name]
    whole_ = PoolFile(None if source.sample is None else pool_table(job, name), whole=True)
    return {name: whole_} | {
        view: PoolFile(pool_table(job, view), False, about.max_epochs)
        for view, about in recipe.views.items()
        if about.of == name
    }


def _supply(job: Job, store: TokenStore, name: str) -> MeasuredSupply:
    """Return what a source can give, measured."""
    files = pool_files(job, name)
    return MeasuredSupply(
        name,
        job.recipe.sources[name].max_epochs,
        _lengths(job, store.parts[name]),
        {pool: rows_of(file) for pool, file in files.items()},
        {
            folder: Fit(shape.seq_len, stage.packing, _excluded(job, stage, name))
            for stage in job.recipe.stages
            for folder, shape in zip(stage.folders, stage.shapes, strict=True)
        },
    )


def _excluded(job: Job, stage: Asked, source: str) -> NDArray[np.bool_] | None:
    """Return which documents of a source a stage passes over; None where it excludes none."""
    if stage.exclude is None:
        return None
    return read_excluded(excluded_table(job, source), stage.name)


def _lengths(job: Job, parts: list[Part]) -> NDArray[np.int32]:
    """Return the tokens of every document of a source: int32[n]."""
    columns = [
        pq.read_table(job.tokens(part), columns=["n_tokens"]).column("n_tokens").to_numpy()
        for part in parts
    ]
    return np.concatenate(columns)


def _pack(
    engine: Engine, settled: Settled, store: TokenStore, pooled: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Pack every source that some stage draws from; return the fingerprint of each."""
    job, recipe, units = engine.job, engine.job.recipe, list[Unit]()
    parents = {stage.name: stage.parents for stage in settled.stages}
    for name, source in recipe.sources.items():
        needs = _needs(job, settled, name)
        if not needs:
            continue
        replayed = {
            pool.name: pool
            for pool in settled.pools
            if pool.source == name and pool.replay is not None
        }
        tokens = tuple(job.tokens(part) for part in store.parts[name])
        cap = settled.caps.get(name, source.max_epochs)
        held = work.SourceStore(name, tokens, cap, pool_files(job, name), replayed)
        files = sorted((n, f.whole, f.max_epochs) for n, f in held.pools.items())
        shape = [_shape_of_need(need) for need in needs]
        rules = [cap, files, sorted(replayed.items()), sorted(parents.items()), shape]
        reads = (*store.prints[name], *pooled[name], str(recipe.seed), repr(rules))
        outputs = (statistics_of(job, name), *(p.target for need in needs for p in need.pools))
        arguments = (held, parents, needs, outputs[0])
        units.append(Unit(name, reads, work.pack_source, arguments, outputs))
    prints = engine.run(Step("pack", 2), units)
    return {unit.name: print_ for unit, print_ in zip(units, prints, strict=True)}


def _needs(job: Job, settled: Settled, source: str) -> list[work.StageNeed]:
    """Return what the stages take from a source, parents first."""
    of = {folder: stage for stage in job.recipe.stages for folder in stage.folders}
    needs = []
    for stage in settled.stages:
        asked, numbers = of[stage.name], stage.drawn.tolist()
        pools = tuple(
            work.PoolNeed(pool.name, number, packs_table(job, stage.name, pool.name))
            for number, pool in zip(numbers, drawn_from(stage, settled.pools), strict=True)
            if pool.source == source
        )
        if pools:
            excluded = None if asked.exclude is None else excluded_table(job, source)
            needs.append(work.StageNeed(stage, asked.packing, excluded, pools))
    return needs


def _shape(stage: Stage) -> list[object]:
    """Return what decides which pool each position reads."""
    ramp = [values.tolist() for values in stage.ramp]
    return [stage.tokens, stage.stop_steps, stage.seq_len, stage.batch_sequences, *ramp]


def _shape_of_need(need: work.StageNeed) -> list[object]:
    """Return what decides how a source is packed for a stage.

    Where a stage has several pools of a source, their order in the schedule does, too.
    """
    stage = need.stage
    pools = [[pool.pool, int(stage.counts[pool.number])] for pool in need.pools]
    schedule = _shape(stage) if len(pools) > 1 else []
    about = [stage.name, stage.of, stage.seed, stage.seq_len, repr(need.packing)]
    return [*about, pools, schedule, [pool.number for pool in need.pools] if schedule else []]


def _remove_stale(job: Job, settled: Settled) -> None:
    """Remove packs and plans of stages and pools that the plan no longer has."""
    wanted = {
        packs_table(job, stage.name, pool.name)
        for stage in settled.stages
        for pool in drawn_from(stage, settled.pools)
    }
    for path in (job.run / "packs").glob("*/*.parquet"):
        if path not in wanted:
            path.unlink()
    names = {stage.name for stage in settled.stages}
    for path in (job.run / "plan").glob("*"):
        stem = path.name.removesuffix(".json").removesuffix(".chain").removesuffix(".certificate")
        stem = stem.removesuffix(".parquet")
        if path.is_file() and stem not in {*names, "stages", "mixture", "versions.jsonl"}:
            path.unlink()
    for folder in (job.run / "packs").glob("*/"):
        if folder.is_dir() and folder.name not in names:
            shutil.rmtree(folder)


def _add_version(job: Job, stages: list[Stage], heads: Mapping[str, str]) -> None:
    """Add a line to plan/versions.jsonl, where the plan is another than that of the last line."""
    path = job.run / "plan" / "versions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    held = [{"stage": s.name, "steps": s.steps, "chain": heads[s.name]} for s in stages]
    if lines and json.loads(lines[-1])["stages"] == held:
        return
    version = {"version": len(lines) + 1, "recipe": job.fingerprint, "stages": held}
    with whole(path) as temporary:
        temporary.write_text("\n".join([*lines, json.dumps(version)]) + "\n", encoding="utf-8")
