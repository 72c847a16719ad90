"""Remember which parts of which steps are done.

A *record* is the JSON at RUN/records/<step>/<part>.json, written after all of a part's outputs. A
part is *finished* when its record bears the fingerprint that would be computed now and all of its
outputs are there; only then is it not computed again.

The outputs' contents are not read here: `cuvee.handoff` verifies what leaves a run.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cuvee.corpus.whole import write_json


@dataclass(frozen=True)
class Record:
    """What one step did to one part.

    `counts` are numbers of documents or bytes by name, `seconds` is wall-clock time, `outputs` are
    paths relative to the run.
    """

    fingerprint: str
    step: str
    counts: dict[str, int]
    seconds: float
    outputs: list[str]


def record_path(run: Path, step: str, part: str) -> Path:
    """Say where the record of a part lies; `part` is `<source>/<00000>` or any other name."""
    return run / "records" / step / f"{part}.json"


def read_record(run: Path, step: str, part: str) -> Record | None:
    """Give the record of a part; None where there is none, or none that can be understood."""
    try:
        return Record(**json.loads(record_path(run, step, part).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def finished(run: Path, step: str, part: str, fingerprint: str) -> Record | None:
    """Give the record of a part that is finished under this fingerprint, else None.

    A record that cannot be understood counts as none: the part is computed again.
    """
    record = read_record(run, step, part)
    if record is None or record.fingerprint != fingerprint or record.step != step:
        return None
    return record if all((run / output).exists() for output in record.outputs) else None


def finish(run: Path, step: str, part: str, record: Record) -> None:
    """Write a part's record, whole; call it after its outputs are in place."""
    write_json(record_path(run, step, part), asdict(record))
