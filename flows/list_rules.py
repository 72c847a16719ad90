"""The step `lists`: look up every document's URL and words, and count its personal data.

It runs where the recipe has `curate.urls`, `curate.bad_words` or `curate.pii`, reads each text once
for all of them, and drops nothing: `judge` does.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cuvee.configs.recipe import Curate
from cuvee.corpus.fingerprint import file_fingerprint
from cuvee.corpus.paths import local_file
from cuvee.filters.pii import KINDS
from cuvee.filters.urls import url_lists
from cuvee.flows.engine import UNICODE, Engine, Prints, Step, Unit
from cuvee.flows.job import Documents
from cuvee.flows.list_files import read_list
from cuvee.flows.list_parts import Lists, look_up_part


def look_up(engine: Engine, documents: Documents, scores: Prints) -> Prints | None:
    """Look every document up in the recipe's lists; None where the recipe has none."""
    job, curate = engine.job, engine.job.recipe.curate
    if curate.urls is None and curate.bad_words is None and curate.pii is None:
        shutil.rmtree(job.run / "tables" / "lists", ignore_errors=True)  # of an earlier recipe
        return None
    by_language = curate.bad_words is not None and curate.language is not None

    def units(lists: Lists) -> list[Unit]:
        made = []
        for n, part in enumerate(documents.parts):
            reads = (documents.prints[n], *([scores[n]] if by_language else []))
            target = job.table("lists", part)
            languages = job.table("scores", part) if by_language else None
            arguments = (job.table("documents", part), languages, target, lists)
            made.append(Unit(str(part), reads, look_up_part, arguments, (target,)))
        return made

    step = Step("lists", 1, [UNICODE, _identity(curate, job.base)])
    # Lists may have millions of entries: they are read only when a part is still to be done.
    if all(engine.is_finished(step, unit) for unit in units(Lists())):
        return engine.run(step, units(Lists()))
    return engine.run(step, units(_read(curate, job.base)))


def same_look_ups(old: Curate, new: Curate) -> bool:
    """Say whether what was looked up for one recipe is enough to judge by another."""
    judged = {"max", "sources"}  # what `judge` reads of the rules; the rest is looked up
    if new.bad_words is not None and (old.language is None) != (new.language is None):
        return False  # other lists would be asked
    return all(
        asked is None
        or (had is not None and had.model_dump(exclude=judged) == asked.model_dump(exclude=judged))
        for had, asked in (
            (old.urls, new.urls),
            (old.bad_words, new.bad_words),
            (old.pii, new.pii),
        )
    )


def _read(curate: Curate, base: Path) -> Lists:
    """Read the lists that the recipe names."""
    urls, words = None, curate.bad_words
    if curate.urls is not None:
        entries = {
            name: [entry for file in files for entry in read_list(file, base)]
            for name, files in curate.urls.lists.items()
        }
        urls = url_lists(**entries)
    return Lists(
        urls,
        {} if words is None else {name: read_list(f, base) for name, f in words.lists.items()},
        () if words is None else tuple(words.anywhere),
        0.0 if words is None else words.keep_fraction,
        _pii_kinds(curate),
    )


def _pii_kinds(curate: Curate) -> tuple[str, ...]:
    """Return the kinds of personal data to count, in the order of their columns."""
    if curate.pii is None:
        return ()
    kinds = curate.pii.kinds
    return KINDS if kinds is None else tuple(kind for kind in KINDS if kind in kinds)


def _identity(curate: Curate, base: Path) -> dict[str, object]:
    """Say what decides the columns: the contents of the lists, and how they are looked up."""

    def prints(files: Sequence[str]) -> Prints:
        return [file_fingerprint(local_file(file, base)) for file in files]

    found: dict[str, object] = {"pii": list(_pii_kinds(curate))}
    if curate.urls is not None:
        found["urls"] = {name: prints(files) for name, files in curate.urls.lists.items()}
    words = curate.bad_words
    if words is not None:
        lists = dict(zip(words.lists, prints(list(words.lists.values())), strict=True))
        anywhere = sorted(set(words.anywhere) & set(words.lists))
        found["bad_words"] = [lists, anywhere, words.keep_fraction]
    return found
