"""What each command does, once it is asked for; the words and numbers that a user sees."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.syntax import Syntax

from cuvee.configs.errors import RequestError
from cuvee.configs.load import shipped
from cuvee.flows.advances import open_folders
from cuvee.flows.bindings import with_bindings
from cuvee.flows.job import folders, load_job, require
from cuvee.flows.screen import make_console


@dataclass(frozen=True)
class Request:
    """What every command that works on a recipe is asked for."""

    recipe: Path
    out: Path
    overrides: tuple[str, ...]
    bindings: tuple[str, ...]
    scale: float
    workers: int
    update: bool


def run(request: Request) -> None:
    """Curate, build, verify, read back, report; then say what to look at next."""
    _flows(request, ("curate", "build"))
    verify(request.out)
    _read_back(request.out)
    report(request.out, None)
    _summary(request.out, ("funnel", "stages"))
    _next_steps(request.out)


def curate(request: Request) -> None:
    """Run the curate flow and show the funnel."""
    _flows(request, ("curate",))
    _summary(request.out, ("funnel",))


def plan(request: Request) -> None:
    """Run the build flow up to the plan; `cuvee.flows.plan_commands` shows it."""
    _flows(request, ("plan",))


def build(request: Request) -> None:
    """Run the build flow and show the stages."""
    _flows(request, ("build",))
    verify(request.out)
    _summary(request.out, ("stages",))


ON_RECIPE: dict[str, Callable[[Request], None]] = {
    "run": run,
    "curate": curate,
    "build": build,
}


def sql(run: Path, query: str, output: str) -> None:
    """Print the answer to a query over the run's views."""
    from cuvee.corpus import catalog

    formats: dict[str, catalog.Format] = {"table": "table", "csv": "csv", "json": "json"}
    if output not in formats:
        raise RequestError(f"--format is {output!r}.", f"It is one of {', '.join(formats)}.")
    print(catalog.query(run, query, formats[output]))


def explain(run: Path, doc: str | None, stage: str | None, position: int | None) -> None:
    """Print where a sequence comes from, or where a document goes."""
    from cuvee.corpus import lineage, tables

    if (doc is None) == (stage is None or position is None):
        raise RequestError(
            "Nothing says what to explain.", "Give --doc ID, or --stage NAME --position N."
        )
    load_job(run)
    if doc is not None:
        found: Any = lineage.explain_document(run, doc)
    else:
        found = lineage.explain_position(run, str(stage), int(position or 0), _decoder(run))
    make_console().print(tables.render(found))


def retune(run: Path, overrides: list[str]) -> None:
    """Show what changes when the documents of a run are judged with overrides applied."""
    from cuvee.flows import change_tables
    from cuvee.flows import retune as retuning

    if not overrides:
        raise RequestError(
            "Nothing is to change.", do="Give limits, like --set curate.language.min_score=0.5."
        )
    console = make_console()
    for table in change_tables.render(retuning.retune(run, overrides)):
        console.print(table, "", sep="\n")


def verify(run: Path) -> None:
    """Check every stage, and print what was checked."""
    from cuvee.handoff import verify_stage

    console = make_console()
    for name in open_folders(load_job(run)):
        folder = run / "shards" / name
        require(folder, f"Stage {name}", f"cuvee build RECIPE --out {run}")
        found = verify_stage(folder)
        for problem in found.problems:
            console.print(f"  [red]✗[/] {name:<18} {problem.got}")
        found.raise_first()
        held = {check.unit: check.counted for check in found.checks}
        console.print(
            f"  [green]✓[/] {name:<18} {len(found.checks)} checks hold: "
            f"{held['files']:,} files, {held['rows']:,} sequences, "
            f"the quota at {held['prefixes']:,} prefixes"
        )


def report(run: Path, out: Path | None) -> None:
    """Write the page about a run."""
    from cuvee.corpus import report as pages
    from cuvee.corpus.clusters import cluster_table

    load_job(run)
    target = out or run / "report.html"
    pages.write(run, target)
    copies = cluster_table(run)
    if copies is not None:
        make_console().print("", copies, "", sep="\n")
    make_console().print(f"  [green]✓[/] report             {target}")


def recipes(action: str | None, name: str | None) -> None:
    """List the shipped recipes, or print one."""
    console, known = make_console(), shipped()
    if action is None:
        for title, folder in (("recipes", "configs"), ("published systems", "systems")):
            mine = [name for name, path in known.items() if path.parent.name == folder]
            console.print(f"[bold]{title}[/]")
            for recipe in mine:
                first = next((ln for ln in known[recipe].read_text().splitlines() if ln), "")
                line = f"  [cyan]{recipe:<16}[/]  {first.lstrip('# ')}"
                console.print(line, no_wrap=True, overflow="ellipsis")
        return
    if action != "show" or name not in known:
        raise RequestError(
            f"There is no recipe {name!r}." if action == "show" else f"No action {action!r}.",
            f"Shipped: {', '.join(known)}.",
            "Print one with `cuvee recipes show NAME`.",
        )
    console.print(Syntax(known[name].read_text(), "yaml", background_color="default"))


def _flows(request: Request, names: tuple[str, ...]) -> None:
    """Run flows one after the other on one Prefect API, then refresh the catalogue."""
    from cuvee.configs.load import base_of, load
    from cuvee.flows.checks import begin
    from cuvee.flows.job import open_job
    from cuvee.flows.server import api

    path, out = recipe_file(request.recipe), request.out
    overrides = with_bindings(path, request.overrides, request.bindings)
    job = open_job(load(path, overrides, request.scale), out, base_of(path), request.update)
    if "curate" not in names:
        made_by = f"cuvee curate {path} --out {out}"
        require(out / "curated.json", "The curation of this run", made_by)
    begin(job)
    with api(out / "logs" / "prefect.log"):
        from prefect.task_runners import ThreadPoolTaskRunner

        from cuvee.corpus import catalog
        from cuvee.flows.build import build as build_flow
        from cuvee.flows.curate import curate as curate_flow

        logging.getLogger("prefect").setLevel(logging.CRITICAL)
        runner: Any = ThreadPoolTaskRunner(max_workers=request.workers)
        arguments = (str(path), str(out), overrides, request.scale, request.workers)
        for name in names:
            if name == "curate":
                curate_flow.with_options(task_runner=runner)(*arguments)
            else:
                plan_only = name == "plan"
                build_flow.with_options(task_runner=runner)(*arguments, plan_only=plan_only)
            catalog.build(out)


def recipe_file(recipe: Path) -> Path:
    """Return the file of a recipe given by path, or by the name of a shipped one."""
    named = shipped().get(str(recipe))
    return named if named is not None and not recipe.exists() else recipe


def _decoder(run: Path) -> Any:
    """Return the function that turns a run's token ids back into text."""
    from cuvee.corpus.paths import local_file
    from cuvee.tokenize import tokenizer

    job = load_job(run)
    spec = job.recipe.tokenizer
    path = run / "models" / "tokenizer.json"
    if spec.path is not None:
        path = local_file(spec.path, job.base)
    return tokenizer.load(path, spec.eos, spec.pretokenizer).decode


def _read_back(run: Path) -> None:
    """Read every stage through the loader that a trainer uses, and count what comes out."""
    from cuvee.handoff import StageLoader

    console = make_console()
    for name in open_folders(load_job(run)):
        batches = tokens = 0
        for batch in StageLoader(run / "shards" / name):
            batches += 1
            tokens += int(batch.tokens.size)
        console.print(
            f"  [green]✓[/] {name:<18} read back {tokens:,} tokens in {batches:,} batches"
        )


def _summary(run: Path, tables: tuple[str, ...]) -> None:
    """Print the funnel and the stages."""
    from cuvee.corpus import tables as shown

    console = make_console()
    if "funnel" in tables:
        console.print("", shown.funnel_table(run), sep="\n")
    if "stages" in tables:
        console.print("", shown.stage_table(run), "", sep="\n")


def _next_steps(run: Path) -> None:
    """Say what to look at next."""
    first = folders(load_job(run))[0]
    make_console().print(
        f"""Look at it:
  cuvee sql {run} "SELECT * FROM mixture"
  cuvee explain {run} --stage {first} --position 0
  open {run / "report.html"}
Train on it:
  from cuvee.handoff import StageLoader
  for batch in StageLoader("{run / "shards" / first}", micro_batch=4): ..."""
    )
