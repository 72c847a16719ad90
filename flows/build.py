"""The build flow: verdicts in, token store, plan, and each stage's verified shards out."""

from prefect import flow

from cuvee.flows import build_steps as steps
from cuvee.flows import plan_steps
from cuvee.flows.session import session


@flow(name="build", flow_run_name="build {out}")
def build(
    recipe: str,
    out: str,
    overrides: tuple[str, ...] = (),
    scale: float = 1.0,
    workers: int = 2,
    update: bool = False,
    plan_only: bool = False,
) -> None:
    """Tokenise what was kept, plan every stage and write its shards."""
    with session(recipe, out, overrides, scale, update, workers) as engine:
        tokenizer = steps.tokenizer(engine)
        store = steps.tokenise(engine, tokenizer)
        plan = plan_steps.plan(engine, store)
        if not plan_only:
            steps.assemble(engine, tokenizer, store, plan)
