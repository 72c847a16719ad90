"""The probe: score a data set by what a short training on it gains.

A share of the candidate and the rest of a stage's mixture are read on a fixed budget, beside a
*baseline* that reads the same budget without the candidate: Llama 3 (arXiv 2407.21783, section
3.1.3) gives 30 % of 40B tokens to the candidate. Both come after the same stage, in its shape.
"""

from typing import Any

from pydantic import ValidationError

from cuvee.configs.forms import Name, Part, PoolName, PositiveCount, Share


class Probe(Part):
    """A candidate to be scored; makes the stages NAME and NAME_baseline."""

    name: Name
    of: Name  # the stage after which both come, whose shape and last mixture they have
    candidate: PoolName
    share: Share = 0.3
    tokens: PositiveCount


def with_probes(document: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's keys with `probes` made into stages; raises ValueError for a wrong one."""
    given = document.get("probes")
    if not isinstance(given, list) or not isinstance(document.get("stages"), list):
        return document
    stages = [*document["stages"]]
    shapes = {stage["name"]: _last_shape(stage) for stage in stages if _is_stage(stage)}
    for held in given:
        probe = _probe(held)
        if probe.of not in shapes:
            raise ValueError(f"probe {probe.name!r} is of {probe.of!r}, which is no stage")
        both = {"after": probe.of, "tokens": probe.tokens, **shapes[probe.of]}
        rest = {"share": 1 - probe.share, "like": probe.of}
        mixture = {probe.candidate: probe.share, "rest": rest}
        stages.append({"name": probe.name, "mixture": mixture, **both})
        stages.append({"name": f"{probe.name}_baseline", "mixture": {"inherit": probe.of}, **both})
    return {key: value for key, value in document.items() if key != "probes"} | {"stages": stages}


def _probe(held: Any) -> Probe:
    """Return one probe as it is written."""
    try:
        return Probe.model_validate(held)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"a probe's {key}: {first['msg']}") from error


def _is_stage(stage: Any) -> bool:
    """Say whether something written as a stage can have a shape."""
    return isinstance(stage, dict) and "name" in stage


def _last_shape(stage: dict[str, Any]) -> dict[str, Any]:
    """Return the shape in which a stage ends."""
    phases = stage.get("phases")
    last = phases[-1] if isinstance(phases, list) and phases else stage
    return {
        key: last[key] for key in ("seq_len", "batch") if isinstance(last, dict) and key in last
    }
