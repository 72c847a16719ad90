"""Where each stage of a recipe comes from: the plan is a directed graph without cycles.

A stage's *parents* are those that it comes after; the *root* stages have none. Its *ancestors* are
its parents, theirs, and so on.
"""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from cuvee.configs.stages import Stage


def parents(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Return each stage's parents, by name; the one before it where the recipe does not say."""
    found: dict[str, list[str]] = {}
    for number, stage in enumerate(stages):
        if stage.after is None:
            found[stage.name] = [stages[number - 1].name] if number else []
        else:
            found[stage.name] = [stage.after] if isinstance(stage.after, str) else stage.after
    return found


def ordered(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages such that each comes behind its parents, else as the recipe lists them.

    Raises ValueError for a parent that is no stage, and for a cycle.
    """
    graph, by_name = parents(stages), {stage.name: stage for stage in stages}
    for name, above in graph.items():
        for parent in above:
            if parent not in by_name:
                raise ValueError(
                    f"stage {name!r} comes after {parent!r}, which is no stage; "
                    f"stages: {', '.join(by_name)}"
                )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise ValueError(
            f"the stages go in a circle: {circle}; let one of them come after another stage, or "
            "after none (`after: []`)"
        ) from error
    done: dict[str, Stage] = {}
    while len(done) < len(stages):
        ready = (s for s in stages if s.name not in done and done.keys() >= set(graph[s.name]))
        stage = next(ready)
        done[stage.name] = stage
    return list(done.values())


def ancestors(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Return the ancestors of each stage, in the order of `ordered`."""
    graph, found = parents(stages), dict[str, list[str]]()
    for stage in ordered(stages):
        above = {older for parent in graph[stage.name] for older in [*found[parent], parent]}
        found[stage.name] = [name for name in found if name in above]
    return found
