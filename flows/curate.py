"""The curate flow: raw documents in, one verdict with a reason for every document out."""

from prefect import flow

from cuvee.flows import curate_steps as steps
from cuvee.flows.decided import Decided
from cuvee.flows.decontamination_steps import decontaminate
from cuvee.flows.dedup_steps import deduplicate, sign
from cuvee.flows.divergence_steps import diverge
from cuvee.flows.edit_steps import edit
from cuvee.flows.finish_steps import finish
from cuvee.flows.list_rules import look_up
from cuvee.flows.session import session


@flow(name="curate", flow_run_name="curate {out}")
def curate(
    recipe: str,
    out: str,
    overrides: tuple[str, ...] = (),
    scale: float = 1.0,
    workers: int = 2,
    update: bool = False,
) -> None:
    """Edit, measure, judge, deduplicate, decontaminate, cut; finished parts are not done again."""
    with session(recipe, out, overrides, scale, update, workers) as engine:
        documents = edit(engine, steps.ingest(engine))
        signals = steps.measure(engine, documents)
        scores = steps.score(engine, documents)
        others = {"lists": look_up(engine, documents, scores)}
        others["token_kl"] = diverge(engine, documents)
        signatures = sign(engine, documents)
        judged = steps.judge(engine, documents, signals, scores, others)
        copies = deduplicate(engine, documents, signatures, judged)
        hits = decontaminate(engine, documents)
        decided = Decided(judged, copies, hits)
        finished = finish(engine, documents, decided)
        steps.conclude(engine, documents, decided, finished)
