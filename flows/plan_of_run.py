"""The account of the plan that a run holds, from its tables: measured sizes, positions as drawn."""

from collections.abc import Mapping

from cuvee.configs.mixtures import Ramp
from cuvee.corpus.accounts import StageAccount, realised_shares, stages_of
from cuvee.corpus.catalog import connect
from cuvee.corpus.plan_accounts import PlanAccount, Window
from cuvee.flows.job import Job, require
from cuvee.flows.plan_ledger import Drawn, Sizes, account, gate_of
from cuvee.mixers.pools import Pool

_SIZES = "SELECT source, sum(n_tokens)::BIGINT FROM tokens GROUP BY source"


def account_of_run(job: Job) -> PlanAccount:
    """Return the account of the plan in a run directory; RequestError where none is there yet."""
    table = job.run / "plan" / "stages.parquet"
    require(table, "The plan of this run", f"cuvee plan RECIPE --out {job.run}")
    recipe = job.recipe
    of = {folder: stage for stage in recipe.stages for folder in stage.folders}
    with connect(job.run) as connection:
        drawn = []
        for stage in stages_of(connection):
            made = of.get(stage.stage)
            if made is None:
                continue  # planned before the recipe was changed
            if isinstance(made.mixture, Ramp):
                windows = _windows(stage, realised_shares(connection, stage))
            else:
                windows = (_whole(stage),)
            tokens = {source.source: source.realised_tokens for source in stage.sources}
            shape = (stage.seq_len, stage.batch, stage.steps)
            notes = tuple(gate_of(made, stage.stage))
            epochs = {source.source: source.epochs for source in stage.sources}
            part = Drawn(stage.stage, made.name, *shape, tokens, windows, notes, epochs=epochs)
            drawn.append(part)
        stored: dict[str, int] = dict(connection.execute(_SIZES).fetchall())
    samples = {name: source.sample for name, source in recipe.sources.items()}
    sizes = {name: min(size, samples.get(name) or size) for name, size in stored.items()}
    pools = {name: pool_called(job, name) for part in drawn for name in part.tokens}
    return account(recipe, drawn, pools.values(), Sizes(sizes, measured=True))


def pool_called(job: Job, name: str) -> Pool:
    """Return the pool of a name: a source, a view, or what a stage drew or left of a source."""
    if name in job.recipe.sources:
        return Pool(name, name)
    if name in job.recipe.views:
        return Pool(name, job.recipe.views[name].of)
    source, _, stage = name.partition("@")
    unseen = stage.startswith("not_") and stage not in {s.name for s in job.recipe.stages}
    return Pool(name, source, stage.removeprefix("not_") if unseen else stage, not unseen)


def _whole(stage: StageAccount) -> Window:
    """Return a stage whose mixture stays as one window."""
    shares = {source.source: source.planned_tokens / stage.tokens for source in stage.sources}
    return Window(stage.tokens, shares)


def _windows(stage: StageAccount, shares: Mapping[str, list[float]]) -> tuple[Window, ...]:
    """Return the windows of a stage in which shares were drawn."""
    count = len(next(iter(shares.values())))
    bounds = [stage.tokens * n // count for n in range(count + 1)]
    return tuple(
        Window(bounds[n + 1] - bounds[n], {name: held[n] for name, held in shares.items()})
        for n in range(count)
    )
