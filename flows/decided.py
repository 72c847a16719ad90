"""What was decided of whole documents, before any text is cut out of those that stay."""

from pathlib import Path
from typing import NamedTuple

from cuvee.flows.dedup_steps import duplicates_table
from cuvee.flows.engine import Prints
from cuvee.flows.job import Documents, Job, Part


class Decided(NamedTuple):
    """The fingerprints of what decided: judged by part, copies by kind, benchmark hits by part."""

    judged: Prints
    copies: dict[str, str]
    hits: Prints | None  # None where the recipe names no benchmarks

    def reads(self, documents: Documents, n: int) -> tuple[str, ...]:
        """Return what decides on the documents of part number `n`, themselves included."""
        hits = [] if self.hits is None else [self.hits[n]]
        return (documents.prints[n], self.judged[n], *self.copies.values(), *hits)

    def removals(self, job: Job, part: Part) -> list[tuple[str, str, Path]]:
        """Return (step, reason, table with doc_ids) of what drops judged documents, in order."""
        found = [(kind, "duplicate", duplicates_table(job, kind)) for kind in self.copies]
        if self.hits is not None:
            found.append(("decontaminate", "benchmark", job.table("contamination", part)))
        return found
