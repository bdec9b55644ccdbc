"""`dlguide bench`: how fast this machine feeds and trains a model."""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dlguide.cli import options

if TYPE_CHECKING:
    import torch


@click.command("bench", short_help="Measure how fast this machine feeds and trains a model.")
@options.model_argument(required=False)
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Take the median of so many.")
@options.setting_options("data", "options", "size", "batch_size", "device", "precision", "compile", "channels_last")
@options.json_option
def command(model: str | None, runs: int, as_json: bool, **flags: Any) -> None:
    r"""Measure examples per second of a DataLoader and of tensors in memory, and the time of a step of MODEL (cnn).

    Each number is the median of several runs, with the lowest and the highest one: other programs disturb it.

    \b
    Examples:
      dlguide bench
      dlguide bench resnet --data cifar10 --batch-size 256 --channels-last
    """
    config = options.configure({"model": model or "cnn"}, options.given(flags))
    import torch
    from torch.utils.data import DataLoader

    from dlguide.cli.run import Run, read_data
    from dlguide.data import BatchOrder, TensorBatches
    from dlguide.train import Processes, choose_device

    run = Run(config)
    run.group = Processes(0, 1, choose_device(config.device))
    run.splits = read_data(config)[1]
    trainer = run.make_trainer(callbacks=[])
    train = run.splits.train
    loader = DataLoader(train, batch_sampler=BatchOrder(len(train), config.batch_size))
    tensors = TensorBatches(train, config.batch_size, shuffle=True, device=trainer.device)
    batches = [[t.to(trainer.device) for t in batch] for batch in itertools.islice(tensors, 20)]
    groups = [(batch[:-1], batch[-1]) for batch in batches]
    trainer.model.train()

    def steps() -> None:
        for inputs, y in groups:
            trainer.optimizer.zero_grad()
            with torch.autocast(trainer.device.type, trainer.dtype, enabled=trainer.dtype is not None):
                loss = trainer.loss(trainer.model(*inputs), y)
            loss.backward()
            trainer.optimizer.step()

    steps()  # the first steps compile, choose kernels and get memory
    examples = sum(len(y) for _, y in groups)
    wait = functools.partial(_wait, trainer.device)
    wait()
    seconds = {
        "DataLoader": _times(lambda: _first(loader, 50), runs, wait),
        "tensors": _times(lambda: _first(tensors, len(tensors)), runs, wait),
        "training": _times(steps, runs, wait),
    }
    counts = {"DataLoader": min(50 * config.batch_size, len(train)), "tensors": len(train), "training": examples}
    rates = {name: _summary([counts[name] / s for s in times]) for name, times in seconds.items()}
    step = _summary([1000 * s / len(groups) for s in seconds["training"]])
    facts = {
        "model": config.model, "data": config.data, "batch_size": config.batch_size, "runs": runs,
        "device": str(trainer.device), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "examples_per_second": rates, "step_milliseconds": step,
    }  # fmt: skip
    rows = [["", "median", "lowest", "highest", ""]]
    rows += [[name, *(f"{r[key]:,.0f}" for key in _KEYS), "examples/s"] for name, r in rates.items()]
    rows.append(["one step", *(f"{step[key]:.2f}" for key in _KEYS), "ms"])
    head = f"{config.model} on {config.data}, batch {config.batch_size}, {trainer.device}, {facts['threads']} threads"
    options.print_facts(facts, as_json, f"{head}, {runs} runs\n\n{options.table(rows)}")


_KEYS = ("median", "lowest", "highest")


def _first(batches: Any, count: int) -> None:
    """Read the first batches, as a loop of training does."""
    for _ in itertools.islice(batches, count):
        pass


def _wait(device: torch.device) -> None:
    """A GPU works behind the program: wait until it has done what it was told."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _times(work: Callable[[], None], runs: int, wait: Callable[[], None]) -> list[float]:
    """Seconds of each run."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - began)
    return found


def _summary(values: list[float]) -> dict[str, float]:
    return dict(zip(_KEYS, (statistics.median(values), min(values), max(values)), strict=True))
