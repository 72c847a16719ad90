"""The steps of the build flow: tokenizer, token store, plan and shards."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cuvee.configs.errors import MixInfeasible
from cuvee.corpus.paths import local_file
from cuvee.flows import build_parts as work
from cuvee.flows import build_shards as shards
from cuvee.flows.engine import Engine, Prints, Step, Unit
from cuvee.flows.exclusions import exclude_documents
from cuvee.flows.job import Job, Part, require
from cuvee.flows.plan_tables import write_manifest_of, write_tables
from cuvee.flows.stages import mixtures_of, settle, unsummed
from cuvee.handoff.shards import row_bytes, rows_per_file, shard_name
from cuvee.mixers.cursor import Cursor
from cuvee.mixers.feasible import check
from cuvee.mixers.plan import Stage
from cuvee.mixers.supply import Supply
from cuvee.tokenize import tokenizer as tokenizers

SAMPLE_TEXTS = 32  # per source, on which the fast encoder is checked against the reference
SAMPLE_CHARACTERS = 20_000  # of each: the reference takes 100 times the memory of a long document


@dataclass(frozen=True)
class TokenStore:
    """The parts of the token store by source, in order, with their fingerprints."""

    parts: dict[str, list[Part]]
    prints: dict[str, list[str]]


@dataclass(frozen=True)
class StagePlans:
    """The stages as planned, and the fingerprint of each one's plan and packs."""

    stages: list[Stage]
    prints: dict[str, str]


def tokenizer(engine: Engine) -> tokenizers.Tokenizer:
    """Load the recipe's tokenizer, trained first where it says so, and check its fast encoder."""
    job, spec = engine.job, engine.job.recipe.tokenizer
    if spec.train is None:
        path = local_file(str(spec.path), job.base)
    else:
        path = job.run / "models" / "tokenizer.json"
        sources = [[_kept(job, part) for part in parts] for parts in curated(job)[0].values()]
        reads = [print_ for prints in curated(job)[1].values() for print_ in prints]
        arguments = (sources, spec.train.vocab_size, spec.train.sample_bytes, spec.eos, path)
        unit = Unit("all", tuple(reads), work.train_tokenizer, arguments, (path,))
        parameters = [spec.train.vocab_size, spec.train.sample_bytes, spec.eos]
        engine.run(Step("train_tokenizer", 1, parameters), [unit])
    loaded = tokenizers.verify(
        tokenizers.load(path, spec.eos, spec.pretokenizer), list(_sample(job))
    )
    if loaded.fallback_reason is not None:
        engine.screen.say(f"tokenizer: encoding with {loaded.backend}: {loaded.fallback_reason}")
    return loaded


def tokenise(engine: Engine, tokenizer: tokenizers.Tokenizer) -> TokenStore:
    """Encode every kept document once."""
    job = engine.job
    parts, prints = curated(job)
    units = []
    for source, numbers in parts.items():
        for part, print_ in zip(numbers, prints[source], strict=True):
            target = job.tokens(part)
            arguments = (_kept(job, part), target, tokenizer)
            units.append(Unit(str(part), (print_,), work.tokenise_part, arguments, (target,)))
    identity = [tokenizer.sha256, tokenizer.eos_id, tokenizer.vocab_size]
    done = iter(engine.run(Step("tokenise", 1, identity), units))
    return TokenStore(parts, {source: [next(done) for _ in parts[source]] for source in parts})


def plan(engine: Engine, store: TokenStore) -> StagePlans:
    """Settle that the sources suffice, pack them stage by stage, and write the plan."""
    job, recipe = engine.job, engine.job.recipe
    supplies = [
        Supply(name, _lengths(job, store.parts[name]), source.max_epochs)
        for name, source in recipe.sources.items()
    ]
    sizes = {supply.source: supply.unique_tokens for supply in supplies}
    mixtures = mixtures_of(recipe, job.base, sizes)
    stages = settle(recipe, mixtures, sizes)
    for name, total in unsummed(recipe, mixtures):
        engine.screen.say(f"stage {name}: the weights sum to {total:g} and were divided by it")
    try:
        check(recipe.seed, stages, supplies)
    except MixInfeasible as error:
        again = "Then give the command again with --update: what is curated stays."
        raise MixInfeasible(error.got, error.allowed, f"{error.do} {again}") from error
    packs = _pack(engine, stages, store)
    shape = {
        s.name: [s.seq_len, s.batch_sequences, *(a.tolist() for a in s.targets)] for s in stages
    }
    units = []
    for stage in stages:
        paths = {name: packs_table(job, stage.name, name) for name in drawn_from(job, stage)}
        target = plan_table(job, stage.name)
        reads = (*packs.values(), repr(shape[stage.name]))
        units.append(Unit(stage.name, reads, work.plan_stage, (stage, paths, target), (target,)))
    prints = engine.run(Step("plan", 1), units)
    write_tables(job, stages, sizes)
    return StagePlans(stages, {s.name: p for s, p in zip(stages, prints, strict=True)})


def _pack(engine: Engine, stages: list[Stage], store: TokenStore) -> dict[str, str]:
    """Pack every source that some stage draws from; return the fingerprint of each."""
    job, recipe, units = engine.job, engine.job.recipe, list[Unit]()
    excluded = _exclude(engine, store)
    of = {folder: stage for stage in recipe.stages for folder in stage.folders}
    for number, (name, source) in enumerate(recipe.sources.items()):
        needs = [
            work.StageNeed(
                s.name,
                of[s.name].name,
                s.seq_len,
                int(s.counts[number]),
                packs_table(job, s.name, name),
                None if of[s.name].exclude is None else excluded_table(job, name),
            )
            for s in stages
        ]
        statistics = statistics_of(job, name)
        tokens = [job.tokens(part) for part in store.parts[name]]
        shape = [[need.name, need.seq_len, need.sequences] for need in needs]
        reads = (*store.prints[name], str(recipe.seed), repr(source.max_epochs), repr(shape))
        arguments = (tokens, Cursor(recipe.seed, name), source.max_epochs, needs, statistics)
        outputs = (statistics, *(need.target for need in needs))
        reads = (*reads, *excluded.get(name, []))
        units.append(Unit(name, reads, work.pack_source, arguments, outputs))
    prints = engine.run(Step("pack", 1), units)
    return {unit.name: print_ for unit, print_ in zip(units, prints, strict=True)}


def _exclude(engine: Engine, store: TokenStore) -> dict[str, Prints]:
    """Settle which documents stages pass over; the fingerprint for each source, if any does."""
    job, units = engine.job, list[Unit]()
    asked = {s.name: s.exclude for s in job.recipe.stages if s.exclude is not None}
    if not asked:
        return {}
    for name in job.recipe.sources:
        tokens = [job.tokens(part) for part in store.parts[name]]
        target = excluded_table(job, name)
        arguments = (job.run, name, tokens, asked, target)
        reads = (*store.prints[name], repr(sorted(asked.items())))
        units.append(Unit(name, reads, exclude_documents, arguments, (target,)))
    prints = engine.run(Step("exclude", 1), units)
    return {unit.name: [print_] for unit, print_ in zip(units, prints, strict=True)}


def assemble(
    engine: Engine, tokenizer: tokenizers.Tokenizer, store: TokenStore, plan: StagePlans
) -> None:
    """Write each stage's shards and, last, its manifest."""
    job = engine.job
    for stage in plan.stages:
        reads = (plan.prints[stage.name], *(p for prints in store.prints.values() for p in prints))
        target = job.run / "shards" / stage.name / "manifest.json"
        arguments = (job, stage, tokenizer, plan.prints[stage.name])
        manifest = Unit(stage.name, reads, write_manifest_of, arguments, (target,))
        last = Step("manifest", 2)
        if not engine.is_finished(last, manifest):
            _write_shards(engine, stage, tokenizer, store, reads)
        engine.run(last, [manifest])
    shutil.rmtree(job.run / "scratch", ignore_errors=True)


def _write_shards(
    engine: Engine,
    stage: Stage,
    tokenizer: tokenizers.Tokenizer,
    store: TokenStore,
    reads: tuple[str, ...],
) -> None:
    """Scatter the token store into the stage's buffer, then encode the buffer file by file."""
    job, dtype = engine.job, tokenizer.dtype.name
    scratch = job.run / "scratch" / stage.name
    plan = plan_table(job, stage.name)
    buffer = shards.StageBuffer(scratch / "rows.bin", stage.sequences, stage.seq_len, dtype)
    fill = Unit(stage.name, reads, shards.fill_buffer, (buffer, tokenizer.pad_id), (buffer.path,))
    filled = engine.run(Step("fill", 1), [fill])
    units = []
    for source in drawn_from(job, stage):
        pack, first_row = shards.SourcePack(source, packs_table(job, stage.name, source)), 0
        for part in store.parts[source]:
            path = job.tokens(part)
            arguments = (path, first_row, pack, plan, buffer)
            name = f"{stage.name}/{part}"
            units.append(Unit(name, tuple(filled), shards.scatter_part, arguments, (buffer.path,)))
            first_row += pq.ParquetFile(path).metadata.num_rows
    scattered = engine.run(Step("scatter", 1), units)
    packs = [
        shards.SourcePack(source, packs_table(job, stage.name, source))
        for source in drawn_from(job, stage)
    ]
    files = []
    for number, span in enumerate(_spans(stage, dtype)):
        target = job.run / "shards" / stage.name / shard_name(number)
        outputs = (target, shards.description(target))
        encoded = (buffer, plan, packs, span, target)
        name = f"{stage.name}/{number:06d}"
        files.append(Unit(name, tuple(scattered), shards.write_stage_file, encoded, outputs))
    engine.run(Step("shards", 1), files)


def _spans(stage: Stage, dtype: str) -> Iterator[tuple[int, int]]:
    """Yield the first and one-past-last position of every shard."""
    rows = rows_per_file(stage.batch_sequences, row_bytes(stage.seq_len, dtype))
    return pairwise([*range(0, stage.sequences, rows), stage.sequences])


def curated(job: Job) -> tuple[dict[str, list[Part]], dict[str, list[str]]]:
    """Return the parts that the curate flow finished, and their verdicts' fingerprints."""
    path = job.run / "curated.json"
    require(path, "The curation of this run", f"cuvee curate RECIPE --out {job.run}")
    verdicts: dict[str, list[str]] = json.loads(path.read_text())
    parts = {
        source: [Part(source, n) for n in range(len(found))] for source, found in verdicts.items()
    }
    return parts, verdicts


def drawn_from(job: Job, stage: Stage) -> list[str]:
    """Return the sources that a stage gives a weight, in the recipe's order."""
    names = list(job.recipe.sources)
    return [names[i] for i in stage.drawn]


def plan_table(job: Job, stage: str) -> Path:
    """Return where a stage's plan is."""
    return job.run / "plan" / f"{stage}.parquet"


def packs_table(job: Job, stage: str, source: str) -> Path:
    """Return where a stage's packs of one source are."""
    return job.run / "packs" / stage / f"{source}.parquet"


def excluded_table(job: Job, source: str) -> Path:
    """Return where it is said which documents of a source stages pass over."""
    return job.run / "packs" / f"{source}.excluded.parquet"


def statistics_of(job: Job, source: str) -> Path:
    """Return where the packing statistics of one source are."""
    return job.run / "packs" / f"{source}.json"


def _kept(job: Job, part: Part) -> work.Kept:
    """Return the kept documents of a part."""
    return work.Kept(job.table("documents", part), job.table("verdicts", part))


def _lengths(job: Job, parts: list[Part]) -> np.ndarray:
    """Return the tokens of every document of a source: int32[n]."""
    columns = [
        pq.read_table(job.tokens(part), columns=["n_tokens"]).column("n_tokens").to_numpy()
        for part in parts
    ]
    return np.concatenate(columns)


def _sample(job: Job) -> Iterator[str]:
    """Yield some kept texts of every source."""
    for parts in curated(job)[0].values():
        for part in parts[:1]:
            for _, texts in _kept(job, part).texts():
                yield from (str(text)[:SAMPLE_CHARACTERS] for text in texts.slice(0, SAMPLE_TEXTS))
                break
