"""The steps of the build flow around the plan: tokenizer and token store, then the shards."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise

import pyarrow.parquet as pq

from cuvee.corpus.paths import local_file
from cuvee.flows import build_shards as shards
from cuvee.flows.advances import advances, closed
from cuvee.flows.engine import Engine, Step, Unit
from cuvee.flows.job import Job, Part, require
from cuvee.flows.plan_places import drawn_from, packs_table, plan_table
from cuvee.flows.plan_steps import StagePlans, TokenStore
from cuvee.flows.plan_tables import manifest_identity, write_index, write_manifest_of
from cuvee.flows.record_steps import Beside, beside, teach, token_unit
from cuvee.flows.tokenise_parts import Kept, train_tokenizer
from cuvee.handoff.shards import row_bytes, rows_per_file, shard_name
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
from cuvee.tokenize import tokenizer as tokenizers

SAMPLE_TEXTS = 32  # per source, on which the fast encoder is checked against the reference
SAMPLE_CHARACTERS = 20_000  # of each: the reference takes 100 times the memory of a long document


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
        unit = Unit("all", tuple(reads), train_tokenizer, arguments, (path,))
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
            units.append(token_unit(job, part, print_, tokenizer))
    identity = [tokenizer.sha256, tokenizer.eos_id, tokenizer.vocab_size]
    done = iter(engine.run(Step("tokenise", 1, identity), units))
    return TokenStore(parts, {source: [next(done) for _ in parts[source]] for source in parts})


def assemble(
    engine: Engine, tokenizer: tokenizers.Tokenizer, store: TokenStore, plan: StagePlans
) -> None:
    """Write each stage's shards and, last, its manifest; then the index of all.

    A stage behind a gate that nobody has advanced is planned and not written.
    """
    job = engine.job
    waiting = closed(job.recipe, advances(job.run))
    taught = teach(engine, store.parts, store.prints, tokenizer.dtype.itemsize)
    for stage in plan.stages:
        if stage.of in waiting:
            gates = " and ".join(waiting[stage.of])
            engine.screen.say(
                f"stage {stage.name}: planned, not written: {gates} has a gate; open it with "
                f"`cuvee advance {job.run} {waiting[stage.of][0]}`"
            )
            continue
        drawn = drawn_from(stage, plan.pools)
        sources = dict.fromkeys(pool.source for pool in drawn)
        tokens = (print_ for source in sources for print_ in store.prints[source])
        told = beside(job, stage.of, [*sources], (plan.heads[stage.name], *tokens), taught)
        target = job.run / "shards" / stage.name / "manifest.json"
        arguments = (job, stage, plan.pools, tokenizer, plan.heads[stage.name])
        reads = (*told.reads, manifest_identity(job, stage))
        manifest = Unit(stage.name, reads, write_manifest_of, arguments, (target,))
        last = Step("manifest", 3)
        if not engine.is_finished(last, manifest):
            _write_shards(engine, stage, plan.pools, tokenizer, store, told)
        engine.run(last, [manifest])
    shutil.rmtree(job.run / "scratch", ignore_errors=True)
    write_index(job, plan.stages)


def _write_shards(
    engine: Engine,
    stage: Stage,
    pools: list[Pool],
    tokenizer: tokenizers.Tokenizer,
    store: TokenStore,
    told: Beside,
) -> None:
    """Scatter the token store into the stage's buffer, then encode the buffer file by file."""
    job, dtype = engine.job, tokenizer.dtype.name
    scratch = job.run / "scratch" / stage.name
    plan = plan_table(job, stage.name)
    shape = (stage.sequences, stage.seq_len, dtype)
    buffer = shards.StageBuffer(scratch / "rows.bin", *shape, told.columns, told.masked)
    padded = (buffer, tokenizer.pad_id)
    fill = Unit(stage.name, told.reads, shards.fill_buffer, padded, (buffer.path,))
    filled = engine.run(Step("fill", 1), [fill])
    units, packs = list[Unit](), list[shards.SourcePack]()
    for pool in drawn_from(stage, pools):
        pack, first_row = shards.SourcePack(pool.name, packs_table(job, stage.name, pool.name)), 0
        packs.append(pack)
        for part in store.parts[pool.source]:
            path = job.tokens(part)
            arguments = (path, first_row, pack, plan, buffer)
            name = f"{stage.name}/{pool.name}/{part.number:05d}"
            units.append(Unit(name, tuple(filled), shards.scatter_part, arguments, (buffer.path,)))
            first_row += pq.ParquetFile(path).metadata.num_rows
    scattered = engine.run(Step("scatter", 1), units)
    files = []
    for number, span in enumerate(_spans(stage, dtype, told.columns.teacher_k)):
        target = job.run / "shards" / stage.name / shard_name(number)
        outputs = (target, shards.description(target))
        encoded = (buffer, plan, packs, span, target)
        name = f"{stage.name}/{number:06d}"
        files.append(Unit(name, tuple(scattered), shards.write_stage_file, encoded, outputs))
    engine.run(Step("shards", 1), files)


def _spans(stage: Stage, dtype: str, teacher_k: int) -> Iterator[tuple[int, int]]:
    """Yield the first and one-past-last position of every shard."""
    rows = rows_per_file(stage.batch_sequences, row_bytes(stage.seq_len, dtype, teacher_k))
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


def _kept(job: Job, part: Part) -> Kept:
    """Return the kept documents of a part."""
    return Kept(job.table("documents", part), job.table("verdicts", part))


def _sample(job: Job) -> Iterator[str]:
    """Yield some kept texts of every source."""
    for parts in curated(job)[0].values():
        for part in parts[:1]:
            for _, texts in _kept(job, part).texts():
                yield from (str(text)[:SAMPLE_CHARACTERS] for text in texts.slice(0, SAMPLE_TEXTS))
                break
