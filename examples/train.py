"""Train a small language model on a run: what a trainer has to do with Cuvée, in one file.

    python examples/train.py runs/quickstart --out runs/model
    torchrun --nproc-per-node 2 examples/train.py runs/quickstart --out runs/model --resume

It needs torch besides what the loader needs, and trains in float32 on CPUs; ranks are processes
that talk by gloo. Sequence length, global batch and RoPE base are each stage's own. A *run step* is
an optimizer step, counted over all stages. `log.jsonl` gets a line for each (`Line`), and
`checkpoint.pt` holds all that is needed to go on, on any number of ranks. See docs/training.md.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  (the name that all of torch's users give it)
from model import Shape, Transformer
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from cuvee.configs.errors import CuveeError
from cuvee.handoff import Batch, RunLoader, StageStart, read_manifest

DEFAULT_THETA = 10_000.0  # where a stage's metadata names no `rope_theta`: RoFormer's own
HIGHEST_RATE, LAST_RATE = 5e-3, 5e-4
WARMUP_SHARE = 0.05  # of the run steps
CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"


class Line(TypedDict):
    """What is logged of a step.

    tokens: targets trained on, over all ranks. loss: mean over them, in nats; by_source: the same
    for each source that gave targets. sequences: rows of each source. seconds: of the step, by the
    clock; waited: those among them in which rank 0 waited for data.
    """

    stage: str
    step: int
    run_step: int
    ranks: int
    tokens: int
    loss: float
    by_source: dict[str, float]
    sequences: dict[str, int]
    lr: float
    seconds: float
    waited: float


@dataclass
class Training:
    """The state of training on one rank.

    planned: steps to train of each stage, in order. every: one slot in so many bears loss.
    """

    model: Transformer
    optimizer: torch.optim.Optimizer
    loader: RunLoader
    planned: dict[str, int]
    every: int
    rank: int
    ranks: int
    run_step: int = 0


def main() -> None:
    """Train, from the start or from a checkpoint."""
    options = parse_options()
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:  # torchrun started us
        dist.init_process_group("gloo")
    try:
        train(start(options, rank, ranks), options)
    except CuveeError as error:  # it says what is wrong and what to do; a traceback would hide that
        raise SystemExit(f"{error}") from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a small language model on a run of Cuvée.")
    add = parser.add_argument
    add("run", type=Path, help="a run's directory, RUN of RUN/shards/STAGE")
    add("--out", type=Path, required=True, help="where log and checkpoint go")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--until", help="the stage to end with, where a run has several ends")
    add("--max-steps", type=int, default=14, help="of each stage (%(default)s); 0: all")
    add("--target-every", type=int, default=8, help="one slot in so many bears loss (%(default)s)")
    add("--stop-after", type=int, help="save and stop after so many run steps")
    add("--checkpoint-every", type=int, default=20, help="run steps (%(default)s)")
    add("--micro-tokens", type=int, default=4096, help="tokens of a micro-batch (%(default)s)")
    return parser.parse_args()


def start(options: argparse.Namespace, rank: int, ranks: int) -> Training:
    """Make the model that the run asks for, and go where the checkpoint says."""
    micro, until = options.micro_tokens, options.until
    loader = RunLoader(options.run, rank, ranks, micro_tokens=micro, until=until)
    stages = {name: read_manifest(options.run / "shards" / name) for name in loader.path}
    planned = {name: min(m.steps, options.max_steps or m.steps) for name, m in stages.items()}
    torch.manual_seed(0)  # the same weights on every rank
    model = Transformer(Shape(max(manifest.vocabulary_size for manifest in stages.values())))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    training = Training(model, optimizer, loader, planned, options.target_every, rank, ranks)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.resume:
        load(training, options.out)
    elif rank == 0:
        (options.out / LOG).unlink(missing_ok=True)
    return training


def train(training: Training, options: argparse.Namespace) -> None:
    """Train to the end or to where it is to stop; save there, and now and then before."""
    last = options.stop_after or sum(training.planned.values())
    for line in steps(training):
        if training.rank == 0:
            write(line, options.out)
            if training.run_step == last or training.run_step % options.checkpoint_every == 0:
                save(training, options.out)
        if training.run_step == last:
            return


def write(line: Line, out: Path) -> None:
    """Log a step, and show it."""
    with (out / LOG).open("a") as log:
        print(json.dumps(line), file=log)
    by_source = "  ".join(f"{name} {loss:.3f}" for name, loss in line["by_source"].items())
    shown = f"{line['stage']} {line['step']}: loss {line['loss']:.3f} ({by_source})"
    print(f"{shown} in {line['seconds']:.1f} s", flush=True)


def steps(training: Training) -> Iterator[Line]:
    """Train, one optimizer step at a time; yield what is to be logged of each."""
    began, waited = time.perf_counter(), 0.0
    for event in planned_events(training.loader, training.planned):
        if isinstance(event, StageStart):
            stage = event
            announce(stage, training)
            sums = torch.zeros(3, len(stage.sources), dtype=torch.float64)
            continue
        sums += add_gradients(training, event, stage)
        waited += event.waited
        if event.closes_step:
            rate = step_optimizer(training, sums)
            training.run_step += 1
            losses, targets, rows = sums.tolist()
            by_source = zip(stage.sources, losses, targets, strict=True)
            yield Line(
                stage=stage.stage,
                step=event.step,
                run_step=training.run_step,
                ranks=training.ranks,
                tokens=int(sum(targets)),
                loss=sum(losses) / max(1, sum(targets)),
                by_source={name: loss / count for name, loss, count in by_source if count},
                sequences=dict(zip(stage.sources, map(int, rows), strict=True)),
                lr=rate,
                seconds=time.perf_counter() - began,
                waited=waited,
            )
            sums.zero_()
            began, waited = time.perf_counter(), 0.0


def planned_events(loader: RunLoader, planned: dict[str, int]) -> Iterator[StageStart | Batch]:
    """Yield the events of a run, but leave each stage after its planned steps."""
    for event in loader:
        if isinstance(event, StageStart):
            stage, done = event.stage, event.step
        else:
            done = event.step + event.closes_step
        if isinstance(event, Batch) or done < planned[stage]:
            yield event
        if done == planned[stage]:
            if stage == loader.path[-1]:
                return
            loader.seek(loader.path[loader.path.index(stage) + 1], 0)


def announce(stage: StageStart, training: Training) -> None:
    """Say what begins, and how much of it is trained on."""
    if training.rank == 0:
        print(
            f"{stage.stage}: steps {stage.step} to {training.planned[stage.stage] - 1} of its "
            f"{stage.steps}, each of {stage.global_batch} rows of {stage.seq_len} tokens, on "
            f"{training.ranks} {'ranks' if training.ranks > 1 else 'rank'}"
        )


def add_gradients(training: Training, batch: Batch, stage: StageStart) -> Tensor:
    """Add a micro-batch's gradients, of the sum of its losses, to those of the step.

    Returns float64 [3, sources]: sum of the losses, number of targets, and rows, by source.
    """
    arrays = batch.tokens, batch.labels, batch.loss_mask, batch.position_ids, batch.source_ids
    tokens, labels, wanted, position_ids, source_ids = map(torch.from_numpy, arrays)
    # Logits of every slot would be nine tenths of a small model's work on a CPU. Which slots bear
    # loss depends on the row's place in the stage, so it is the same on any number of ranks.
    slots = torch.arange(tokens.shape[1]) + torch.from_numpy(batch.positions)[:, None]
    wanted &= slots % training.every == 0
    theta = float(stage.meta.get("rope_theta", DEFAULT_THETA))
    bounds = bounds_of(batch)
    hidden = training.model(tokens.flatten(), position_ids.flatten(), bounds, theta)
    logits = training.model.logits(hidden[wanted.flatten()])
    losses = F.cross_entropy(logits, labels[wanted], reduction="none")
    losses.sum().backward()
    by_row = torch.zeros(3, len(tokens), dtype=torch.float64)
    by_row[0].index_add_(0, wanted.nonzero()[:, 0], losses.detach().double())
    by_row[1], by_row[2] = wanted.sum(1), 1
    return torch.zeros(3, len(stage.sources), dtype=torch.float64).index_add_(1, source_ids, by_row)


def bounds_of(batch: Batch) -> list[int]:
    """Return where documents begin and end, with the micro-batch's rows put behind each other."""
    seq_len = batch.tokens.shape[1]
    bounds = [0]
    for row, ends in enumerate(batch.cu_seqlens):
        bounds += [row * seq_len + int(end) for end in ends[1:]]
        if ends[-1] < seq_len:  # the padding, which nothing else attends to
            bounds.append((row + 1) * seq_len)
    return bounds


def step_optimizer(training: Training, sums: Tensor) -> float:
    """Join what the ranks have, in place in `sums`, and step; return the learning rate.

    The gradient is that of the mean over the step's targets, whichever rank had them: the same at
    any world size but for the order in which float32 is added.
    """
    gradients = [weights.grad for weights in training.model.parameters()]
    flat = parameters_to_vector(gradients)
    if training.ranks > 1:
        dist.all_reduce(flat)
        dist.all_reduce(sums)
    vector_to_parameters(flat / sums[1].sum().clamp(min=1), gradients)
    clip_grad_norm_(training.model.parameters(), 1.0)
    rate = rate_at(training.run_step, sum(training.planned.values()))
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.optimizer.step()
    training.optimizer.zero_grad()
    return rate


def rate_at(step: int, total: int) -> float:
    """Return the learning rate of a run step: up in a line, then down a cosine."""
    warmup = math.ceil(total * WARMUP_SHARE)
    if step < warmup:
        return HIGHEST_RATE * (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    return LAST_RATE + (HIGHEST_RATE - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def save(training: Training, out: Path) -> None:
    """Write the checkpoint whole or not at all; the loader's state is the same on every rank."""
    beside = out / f"{CHECKPOINT}.tmp"
    held = {
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "loader": training.loader.state_dict(),
        "planned": training.planned,
        "every": training.every,
        "run_step": training.run_step,
    }
    torch.save(held, beside)
    os.replace(beside, out / CHECKPOINT)


def load(training: Training, out: Path) -> None:
    """Go to the checkpoint, and forget what was logged after it.

    What was planned then stays; stages that are new, because a gate opened, are added to it.
    """
    held = torch.load(out / CHECKPOINT)
    training.model.load_state_dict(held["model"])
    training.optimizer.load_state_dict(held["optimizer"])
    training.loader.load_state_dict(held["loader"])
    training.planned |= held["planned"]
    training.every, training.run_step = held["every"], held["run_step"]
    if training.rank == 0:
        lines = (out / LOG).read_text().splitlines(keepends=True)
        (out / LOG).write_text("".join(lines[: training.run_step]))


if __name__ == "__main__":
    main()
