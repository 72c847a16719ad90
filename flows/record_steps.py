"""How a source's records become documents, and its documents tokens: chosen from its recipe.

Each choice is the work of a unit and what identifies it; a source whose recipe says nothing has
none, and its units are those of plain text.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from cuvee.configs.errors import RecipeError, TokenizerError
from cuvee.configs.records import Chat, Join, Media
from cuvee.corpus.fingerprint import files_print
from cuvee.corpus.ingest import Made
from cuvee.corpus.paths import local_file, resolve
from cuvee.corpus.readers import Making
from cuvee.flows import record_parts as work
from cuvee.flows.engine import Engine, Prints, Step, Unit
from cuvee.flows.job import Job, Part
from cuvee.flows.teacher_parts import Teaching, taught_table, teach_part
from cuvee.flows.tokenise_parts import Kept, tokenise_part
from cuvee.handoff.shards import PLAIN, Columns
from cuvee.tokenize import fim
from cuvee.tokenize.chat import CHATML, ChatMaker, compiled
from cuvee.tokenize.media import MediaMaker
from cuvee.tokenize.tokenizer import Tokenizer

# Of the units of a kind of source alone: each rises when its work writes other bytes.
CHAT, MEDIA, RECORDS, FIM, JOIN, BESIDE = 1, 1, 1, 1, 1, 1


@dataclass(frozen=True)
class Records:
    """How one source's records are made documents, and what identifies that."""

    making: Making
    identity: str

    def made(self, job: Job, part: Part) -> Made:
        """Return what makes the documents of a part."""
        return Made(self.making, spans_table(job, part))


def spans_table(job: Job, part: Part) -> Path:
    """Return where the spans of a part's documents are, if its records have any."""
    return job.table("spans", part)


def records_of(job: Job, name: str) -> Records | None:
    """Return how a source's records become documents; None where they have a text."""
    source = job.recipe.sources[name]
    if source.chat is not None:
        chat, template = source.chat, _template(source.chat, name, job.base)
        eos = job.recipe.tokenizer.eos
        maker = ChatMaker(template, tuple(chat.mask), tuple(chat.allow), chat.bos, eos)
        fields = (chat.messages,) if chat.tools is None else (chat.messages, chat.tools)
        return Records(Making(fields, maker), repr(["chat", CHAT, fields, maker]))
    if source.media is not None:
        fields = (source.media.content,)
        return Records(Making(fields, MediaMaker()), repr(["media", MEDIA, fields]))
    return None


def _template(chat: Chat, name: str, base: Path) -> str:
    """Return the source of a chat template. RecipeError where it is none."""
    if chat.template is None:
        return CHATML
    inline = "{{" in chat.template or "{%" in chat.template
    text = chat.template if inline else local_file(chat.template, base).read_text("utf-8")
    try:
        compiled(text)
    except TemplateError as error:
        raise RecipeError(
            f"sources.{name}.chat.template is no Jinja template: {error}.",
            "It is a model's chat_template, in the recipe or in a file.",
        ) from error
    return text


def token_unit(job: Job, part: Part, print_: str, tokenizer: Tokenizer) -> Unit:
    """Return the unit that encodes a part's kept documents, as its source asks."""
    source = job.recipe.sources[part.source]
    kept = Kept(job.table("documents", part), job.table("verdicts", part))
    target, name = job.tokens(part), str(part)
    if source.chat is not None or source.media is not None:
        filler = _placeholder(source.media, part.source, tokenizer)
        spans = work.SpannedPart(kept, spans_table(job, part), filler)
        reads = (print_, repr(["records", RECORDS, filler]))
        return Unit(name, reads, work.tokenise_records, (spans, target, tokenizer), (target,))
    if source.fim is not None:
        asked = source.fim
        odds = fim.Odds(asked.share, asked.spm, job.recipe.seed)
        ids = fim.sentinels(tokenizer, asked.prefix, asked.middle, asked.suffix)
        reads = (print_, repr(["fim", FIM, odds, ids]))
        arguments: tuple[Any, ...] = (kept, target, tokenizer, (odds, ids))
        return Unit(name, reads, work.tokenise_fim, arguments, (target,))
    if source.join is not None:
        members = job.table("members", part)
        arguments = (kept, _joining(source.join), (target, members), tokenizer)
        reads = (print_, repr(["join", JOIN, source.join]))
        return Unit(name, reads, work.tokenise_joined, arguments, (target, members))
    job.table("members", part).unlink(missing_ok=True)  # of an earlier recipe that joined
    return Unit(name, (print_,), tokenise_part, (kept, target, tokenizer), (target,))


def _joining(join: Join) -> work.Joining:
    """Return what the work of joining takes of the recipe."""
    return work.Joining(join.by, join.pattern, join.separator, join.max_tokens)


def _placeholder(media: Media | None, name: str, tokenizer: Tokenizer) -> int:
    """Return the id that fills the slots of media."""
    if media is None or media.placeholder is None:
        return tokenizer.pad_id
    if media.placeholder not in tokenizer.control_tokens:
        raise TokenizerError(
            f"{tokenizer.name} has no control token {media.placeholder!r}.",
            f"Its control tokens: {', '.join(list(tokenizer.control_tokens)[:20])}.",
            f"Set sources.{name}.media.placeholder to one, or leave it out: then it is the pad.",
        )
    return tokenizer.control_tokens[media.placeholder]


def teach(
    engine: Engine, parts: Mapping[str, list[Part]], prints: Mapping[str, Prints], width: int
) -> dict[str, Prints]:
    """Lay what teachers say beside the token store; the fingerprints of each taught source.

    Only where some stage takes it. `width` is that of an id in bytes.
    """
    job, taught = engine.job, dict[str, Prints]()
    if not any(stage.teacher for stage in job.recipe.stages):
        return taught
    for name, source in job.recipe.sources.items():
        if source.teacher is None:  # an earlier recipe's must not be taken for its own
            shutil.rmtree(job.run / "teacher" / name, ignore_errors=True)
            continue
        files = resolve(source.teacher.paths, [], job.base)
        k, units, said = source.teacher.k, list[Unit](), files_print(files)
        for part, print_ in zip(parts[name], prints[name], strict=True):
            tokens = job.tokens(part)
            teaching = Teaching(tuple(Path(file.url) for file in files), k, width)
            outputs = (taught_table(tokens),)
            arguments = (tokens, teaching, *outputs)
            units.append(Unit(str(part), (print_, said), teach_part, arguments, outputs))
        taught[name] = engine.run(Step("teach", 1, [k, width]), units)
    return taught


@dataclass(frozen=True)
class Beside:
    """What a stage's rows have beside tokens, and the fingerprints of all that they are made of.

    masked: whether the stage takes the loss masks of records.
    """

    columns: Columns
    masked: bool
    reads: tuple[str, ...]


def beside(
    job: Job, of: str, sources: Sequence[str], reads: tuple[str, ...], taught: Mapping[str, Prints]
) -> Beside:
    """Return what the rows of stage `of` of the recipe have, which draws from `sources`."""
    columns, masked = columns_of(job, of, sources)
    if columns.teacher_k:
        reads += tuple(print_ for source in sources for print_ in taught.get(source, []))
    if columns != PLAIN:
        reads += (repr(["beside", BESIDE, columns, masked]),)
    return Beside(columns, masked, reads)


def columns_of(job: Job, of: str, sources: Sequence[str]) -> tuple[Columns, bool]:
    """Return what the rows of a stage have beside tokens, and whether it takes loss masks.

    RecipeError where the teachers of its sources differ, since a stage has one shape, and where
    packing would cut media.
    """
    stage = next(one for one in job.recipe.stages if one.name == of)
    drawn = {name: job.recipe.sources[name] for name in sources}
    media = any(source.media for source in drawn.values())
    if media and stage.packing.policy == "concat":
        raise RecipeError(
            f"Stage {of!r} draws media with the packing policy concat, which cuts anywhere.",
            "A medium stands in one sequence as a whole.",
            f"Set stages.{of}.packing to {{policy: best_fit, long: skip}}.",
        )
    masked = stage.loss_mask and any(source.chat for source in drawn.values())
    asked = {name: source.teacher.k for name, source in drawn.items() if source.teacher}
    if stage.teacher and len(set(asked.values())) > 1:
        told = ", ".join(f"sources.{name}.teacher.k is {k}" for name, k in asked.items())
        raise RecipeError(
            f"Stage {of!r} draws from teachers that differ: {told}.",
            "A stage carries as many ids a token of each of its sources.",
            "Give them one k.",
        )
    k = next(iter(asked.values()), 0) if stage.teacher else 0
    return Columns(masked or media, k, media), masked
