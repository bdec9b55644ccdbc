"""Every trick of the page scale/speed alone, and all together: how many times faster a step is with it.

Each trick is two jobs that get the same examples through the same network. They run in turn, and what is kept is the
ratio of their times, as median and quartiles over the runs. Near 1 a trick does not pay here; below 1 it costs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

sys.path += [str(Path(__file__).parent / folder) for folder in ("fast", "usual")]

from mnist import network
from pictures import Pictures
from recipe import channels_last

from dlguide.data import TensorBatches
from dlguide.models import MLP

Job = Callable[[], None]
RUNS, EXAMPLES = 9, 6144


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the size of MNIST: what they show does not change how long they take."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n)


def loader(n: int, workers: int = 0) -> DataLoader[Any]:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    pixels, labels = digits(n)
    return DataLoader(Pictures(pixels, labels, transform), batch_size=64, shuffle=True, num_workers=workers)


def tensors(n: int, batch: int, last: bool = False) -> TensorBatches:
    pixels, labels = digits(n)
    x = ((torch.from_numpy(pixels) / 255 - 0.1307) / 0.3081)[:, None]
    return TensorBatches(TensorDataset(channels_last(x) if last else x, torch.from_numpy(labels)), batch, shuffle=True)


def epoch(
    model: nn.Module, batches: Iterable[Any], *, bf16: bool = False, to_none: bool = True, read_loss: bool = False,
    **options: Any,
) -> Job:  # fmt: skip
    """Make a job: one epoch of training with AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), **({"foreach": False} | options))

    def job() -> None:
        total: float | Tensor = 0.0
        for x, y in batches:
            optimizer.zero_grad(set_to_none=to_none)
            with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() if read_loss else loss.detach()

    return job


def compiled(model: nn.Module) -> nn.Module:
    torch.compiler.config.force_disable_caches = True  # nothing from an earlier run
    model.compile()
    return model


def cnn(last: bool = False) -> nn.Module:
    model: nn.Module = network()
    return model.to(memory_format=torch.channels_last) if last else model


def lookups(model: nn.Module, x: Tensor, mode: Callable[[], Any]) -> Job:
    def job() -> None:
        with mode():
            for part in x.split(64):
                model(part)

    return job


def recurrent(flush: bool) -> Job:
    """Forward and backward pass of an LSTM over 256 steps, from its last state."""
    lstm, x = nn.LSTM(64, 64, batch_first=True), torch.randn(32, 256, 64)

    def job() -> None:
        torch.set_flush_denormal(flush)
        lstm(x)[1][0].sum().backward()
        torch.set_flush_denormal(False)

    return job


def packed(pack: bool) -> Job:
    """Forward and backward pass of an RNN over sequences of one length, packed or not."""
    rnn, x, lengths = nn.RNN(64, 64, batch_first=True), torch.randn(64, 64, 64), torch.full((64,), 64)

    def job() -> None:
        rnn(pack_padded_sequence(x, lengths, batch_first=True) if pack else x)[1].sum().backward()

    return job


def jobs(n: int) -> Iterator[tuple[str, str, Job, Job]]:
    """Name of the trick, what it is measured on, the job without and the job with it."""
    small = partial(MLP, 784, (128,), 10)
    net, narrow = "CNN", "MLP"
    yield "tensors", net, epoch(cnn(), loader(n)), epoch(cnn(), tensors(n, 64))
    yield "tensors", narrow, epoch(small(), loader(n)), epoch(small(), tensors(n, 64))
    yield "workers", net, epoch(cnn(), loader(n)), epoch(cnn(), loader(n, 2))
    yield "batch", net, epoch(cnn(), tensors(n, 64)), epoch(cnn(), tensors(n, 512))
    yield "batch", narrow, epoch(small(), tensors(n, 64)), epoch(small(), tensors(n, 512))
    yield "channels_last", net, epoch(cnn(), tensors(n, 192)), epoch(cnn(True), tensors(n, 192, True))
    yield "bf16", net, epoch(cnn(True), tensors(n, 192, True)), epoch(cnn(True), tensors(n, 192, True), bf16=True)
    yield "bf16", narrow, epoch(small(), tensors(n, 192)), epoch(small(), tensors(n, 192), bf16=True)
    for name, model in ((net, cnn), (narrow, small)):
        yield "compile", name, epoch(model(), tensors(n, 192)), epoch(compiled(model()), tensors(n, 192))
    yield "set_to_none", narrow, epoch(small(), tensors(n, 64), to_none=False), epoch(small(), tensors(n, 64))
    yield "foreach", narrow, epoch(small(), tensors(n, 64)), epoch(small(), tensors(n, 64), foreach=True)
    yield "fused", narrow, epoch(small(), tensors(n, 64)), epoch(small(), tensors(n, 64), foreach=None, fused=True)
    yield "fused", net, epoch(cnn(), tensors(n, 192)), epoch(cnn(), tensors(n, 192), foreach=None, fused=True)
    yield "no item", narrow, epoch(small(), tensors(n, 64), read_loss=True), epoch(small(), tensors(n, 64))
    for name, model, pictures in ((net, cnn(), torch.rand(n, 1, 28, 28)), (narrow, small(), torch.rand(n, 784))):
        model.eval()
        yield "no_grad", name, lookups(model, pictures, torch.enable_grad), lookups(model, pictures, torch.no_grad)
        yield (
            "inference_mode", name, lookups(model, pictures, torch.no_grad),
            lookups(model, pictures, torch.inference_mode),
        )  # fmt: skip
    yield "flush denormals", "LSTM", recurrent(False), recurrent(True)
    yield "not packed", "RNN", packed(True), packed(False)
    usual = epoch(cnn(), loader(n), to_none=False, read_loss=True)
    best = epoch(cnn(True), tensors(n, 192, True), bf16=True, foreach=None, fused=True)
    yield "together", net, usual, best


def seconds(job: Job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def measured(quick: bool) -> dict[str, Any]:
    """Run all jobs in turn and return the rows of docs/results/tricks.json."""
    runs, rows = (2, []) if quick else (RUNS, [])
    for name, task, without, with_it in jobs(384 if quick else EXAMPLES):
        torch.manual_seed(0)
        first = seconds(with_it)  # the first epoch compiles and allocates
        seconds(without)
        ratios = [seconds(without) / seconds(with_it) for _ in range(runs)]
        low, middle, high = (float(f"{value:.3g}") for value in statistics.quantiles(ratios, n=4))
        rows.append({"name": name, "task": task, "ratio": middle, "low": low, "high": high})
        if name == "compile":
            rows[-1]["first"] = round(first, 1)
        print(rows[-1], flush=True)
    claim = "time without the trick divided by the time with it, the same examples and network; median and quartiles"
    return {"claim": claim, "runs": runs, "seed": 0, "examples": EXAMPLES, "rows": rows}
