"""The step `edit`: change texts by the recipe's edits, beside the originals, and record it.

Every later step reads the edited text (`partfiles.py`), so its fingerprint stands for the
documents from here on.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cuvee.corpus.schemas import EDITED, EDITS
from cuvee.corpus.whole import part_writer
from cuvee.filters import edits
from cuvee.flows.curate_parts import Counts
from cuvee.flows.engine import UNICODE, Engine, Step, Unit
from cuvee.flows.job import Documents, Job, Part
from cuvee.flows.partfiles import column, row_groups, texts_of


def edit(engine: Engine, documents: Documents) -> Documents:
    """Apply the recipe's edits; return the documents as later steps read them."""
    job, prints, units = engine.job, list(documents.prints), dict[int, Unit]()
    for n, part in enumerate(documents.parts):
        names = _edits_of(job, part)
        outputs = (job.table("edited", part), job.table("edits", part))
        if not names:
            for left in outputs:  # by an earlier recipe
                left.unlink(missing_ok=True)
            continue
        arguments = (job.table("documents", part), *outputs, names)
        units[n] = Unit(str(part), (prints[n], repr(names)), edit_part, arguments, outputs)
    if units:
        done = engine.run(Step("edit", 1, UNICODE), list(units.values()))
        for n, print_ in zip(units, done, strict=True):
            prints[n] = print_
    return Documents(documents.parts, prints)


def _edits_of(job: Job, part: Part) -> list[str]:
    """Return the names of the edits of a part, in order."""
    asked = job.recipe.curate.edits
    return [use.use for use in asked if use.sources is None or part.source in use.sources]


def edit_part(documents: Path, edited: Path, records: Path, names: list[str]) -> Counts:
    """Write the edited text of every document that changes, and what was taken out of it."""
    counts = {"docs": 0, "edited": 0}
    nothing = edits.edit(pa.array([], pa.large_string()), names).signals
    schema = pa.schema([*EDITED, *nothing.schema])
    with part_writer(edited, schema) as texts_out, part_writer(records, EDITS) as records_out:
        for table in row_groups(documents, ["doc_id", "text"]):
            doc_ids, texts = column(table, "doc_id"), texts_of(table)
            found = edits.edit(texts, names)
            changed = pc.not_equal(found.texts, texts)
            new = pc.if_else(changed, found.texts, pa.scalar(None, pa.large_string()))
            signals = [found.signals.column(name).combine_chunks() for name in nothing.schema.names]
            for batch in pa.table([doc_ids, new, *signals], schema=schema).to_batches():
                texts_out.write(batch)
            texts_out.flush()  # row groups end where those of the documents end
            rows = found.records.column("row").combine_chunks()
            named = found.records.drop_columns(["row"]).add_column(0, "doc_id", doc_ids.take(rows))
            for batch in named.cast(EDITS).combine_chunks().to_batches():
                records_out.write(batch)
            counts["docs"] += table.num_rows
            counts["edited"] += table.num_rows - new.null_count
    return counts
