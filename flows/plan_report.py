"""The account of a recipe's plan from declared sizes alone, without a schedule of positions.

What each phase reads of each pool is what is due to it in whole sequences, which is what a schedule
draws, to one sequence.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from cuvee.configs.errors import MixInfeasible
from cuvee.configs.load import base_of, load
from cuvee.configs.marks import read
from cuvee.configs.recipe import Recipe
from cuvee.corpus.plan_accounts import PlanAccount, Window
from cuvee.flows.plan_ledger import Drawn, Sizes, account, gate_of
from cuvee.flows.plan_marks import Marks
from cuvee.flows.stages import declared_supplies, request_of
from cuvee.mixers.feasible import check
from cuvee.mixers.plan import Stage
from cuvee.mixers.pools import Pool
from cuvee.mixers.settled import Settled, lay

MAX_WINDOWS: Final = 64  # of a phase whose mixture changes


def account_of_recipe(path: Path, overrides: Sequence[str], scale: float) -> PlanAccount:
    """Return the account of a recipe's plan from the sizes that it declares.

    Where the sources cannot give what is asked, the account says so in its verdict. Raises
    RecipeError for everything else that cannot be planned.
    """
    recipe, marks = load(path, overrides, scale), Marks(read(path), overrides)
    supplies = declared_supplies(recipe)
    request = request_of(recipe, base_of(path), supplies, {})
    settled, refusal = lay(request, supplies), ""
    sizes = {name: size for supply in supplies for name, size in supply.sizes.items()}
    drawn = _drawn(recipe, settled, marks)
    try:
        if _sources(settled) <= sizes.keys():
            check(request, settled, supplies)
    except MixInfeasible as error:
        said = (f"MixInfeasible: {error.got}", error.allowed, error.do)
        refusal = "\n    ".join(part for part in said if part)
    made = account(recipe, drawn, settled.pools, Sizes(sizes, settled.caps), refusal)
    return replace(
        made,
        warnings=tuple(settled.warnings),
        assumed=tuple(marks.assumed()),
        marks=marks.counts(),
    )


def _sources(settled: Settled) -> set[str]:
    """Return the sources that some stage draws from."""
    return {settled.pools[n].source for stage in settled.stages for n in stage.drawn.tolist()}


def _drawn(recipe: Recipe, settled: Settled, marks: Marks) -> list[Drawn]:
    """Return what every phase reads."""
    by_name, found = {stage.name: stage for stage in recipe.stages}, list[Drawn]()
    for stage in settled.stages:
        made = by_name[stage.of]
        phase = made.folders.index(stage.name)
        notes = gate_of(made, stage.name)
        if stage.seed != recipe.seed and phase == 0:
            notes.append(f"draws in an order of its own (seed {stage.seed})")
        if stage.stop_steps is not None:
            notes.append(f"stopped; its budget is {stage.horizon_steps:,} steps")
        counts = stage.quota_counts
        found.append(
            Drawn(
                stage.name,
                stage.of,
                stage.seq_len,
                stage.batch_sequences,
                stage.steps,
                {
                    settled.pools[n].name: int(counts[n]) * stage.seq_len
                    for n in stage.drawn.tolist()
                },
                windows_of(stage, settled.pools),
                tuple(notes),
                marks.budget(stage.of, phase if made.phases else None),
            )
        )
    return found


def windows_of(stage: Stage, pools: Sequence[Pool]) -> tuple[Window, ...]:
    """Return the windows of a stage: one where its mixture stays."""
    lengths, weights = stage.targets.lengths.astype(float), stage.targets.weights
    ends, due = np.cumsum(lengths), np.cumsum(lengths[:, None] * weights, axis=0)
    bounds = np.linspace(0, ends[-1], 2 if len(ends) == 1 else MAX_WINDOWS + 1)
    reached = [np.interp(bounds, [0, *ends], [0, *column]) for column in due.T]
    parts = np.diff(np.array(reached), axis=1)
    each = np.diff(np.round(bounds).astype(np.int64)) * stage.seq_len
    return tuple(
        Window(
            int(tokens),
            {pool.name: float(s) for pool, s in zip(pools, column, strict=True) if s > 0},
        )
        for tokens, column in zip(each, (parts / parts.sum(axis=0)).T, strict=True)
    )
