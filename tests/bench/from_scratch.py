"""Measure each from-scratch piece of the package against PyTorch's own, side by side on one CPU core.

`make bench` writes docs/results/from-scratch.json, which the page about/benchmarks shows. A run times both in turn,
forward and backward: the hand-written backward pass of ours, autograd of theirs. What is kept is the ratio of the two
times of each run, as median and quartiles.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dlguide.layers
import dlguide.optim
from dlguide.functional import activations as ours

ROOT = Path(__file__).parents[2]
SEED = 0
RUNS = 21
LEAST = 0.01  # seconds that one timing takes at least

Job = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One piece: what ours and theirs do, forward, and forward with backward."""

    group: str
    name: str
    shape: str
    forward: tuple[Job, Job]
    both: tuple[Job, Job] | None


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape)


def by_autograd(function: Callable[..., Tensor], inputs: list[Tensor], grad: Tensor | None) -> Job:
    """PyTorch's own forward and backward pass."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    return lambda: torch.autograd.grad(function(*leaves), leaves, grad)


def in_turn(first: Job, second: Job) -> Job:
    return lambda: (first(), second())


def elementwise() -> Iterator[Case]:
    x, grad, shape = rand(256, 1024), rand(256, 1024), "256×1024"
    for name in ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh"):
        mine, slope = getattr(ours, name), getattr(ours, f"{name}_derivative")
        theirs = getattr(torch, name, None) or getattr(F, name)
        forward, backward = partial(mine, x), partial(chained, grad, slope, x)
        yield Case("activations", name, shape, (forward, partial(theirs, x)),
                   (in_turn(forward, backward), by_autograd(theirs, [x], grad)))
    for name in ("softmax", "log_softmax"):
        mine, back, theirs = getattr(ours, name), getattr(ours, f"{name}_backward"), getattr(torch, name)
        forward, backward = partial(mine, x, -1), partial(back, grad, x, -1)
        yield Case("activations", name, shape, (forward, partial(theirs, x, -1)),
                   (in_turn(forward, backward), by_autograd(partial(theirs, dim=-1), [x], grad)))


def chained(grad: Tensor, slope: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return grad * slope(x)


def losses() -> Iterator[Case]:
    mine = importlib.import_module("dlguide.functional.losses")
    z, t, p = rand(4096, 10), rand(4096, 10), torch.rand(4096, 10)
    classes = torch.randint(0, 10, (4096,))
    for name, target in [("mse_loss", t), ("l1_loss", t), ("huber_loss", t), ("smooth_l1_loss", t),
                         ("binary_cross_entropy_with_logits", p), ("cross_entropy", classes)]:
        forward = partial(getattr(mine, name), z, target)
        backward = partial(getattr(mine, f"{name}_gradient"), z, target)
        theirs = partial(getattr(F, name), target=target)
        yield Case("losses", name, "4096×10", (forward, partial(theirs, z)),
                   (in_turn(forward, backward), by_autograd(theirs, [z], None)))


def layered(group: str, module: str, name: str, inputs: list[Tensor], shape: str,
            backward: Callable[[Any, Tensor], Any] | None = None, **options: Any) -> Case:
    """A function of dlguide.functional beside the one of torch.nn.functional."""
    found = importlib.import_module(f"dlguide.functional.{module}")
    mine, back, theirs = getattr(found, name), getattr(found, f"{name}_backward"), partial(getattr(F, name), **options)
    grad = torch.randn_like(theirs(*inputs))
    ours_forward = partial(mine, *inputs, **options)
    ours_backward = partial(backward, back, grad) if backward else partial(back, grad, *inputs[:2], **options)
    return Case(group, name, shape, (ours_forward, partial(theirs, *inputs)),
                (in_turn(ours_forward, ours_backward), by_autograd(theirs, inputs, grad)))


def layers() -> Iterator[Case]:
    yield layered("layers", "linear", "linear", [rand(256, 512), rand(512, 512), rand(512)], "256×512 → 512")
    image, bias, shape = rand(16, 16, 28, 28), rand(32), "16×16×28×28"
    yield layered("layers", "convolution", "conv2d", [image, rand(32, 16, 3, 3), bias],
                  f"{shape}, 32 of 3×3", padding=1)
    yield layered("layers", "transposed_convolution", "conv_transpose2d", [image, rand(16, 32, 3, 3), bias],
                  f"{shape}, 32 of 3×3", padding=1)
    yield layered("layers", "convolution", "conv1d", [rand(16, 16, 256), rand(32, 16, 5), bias], "16×16×256, 32 of 5")
    for module, name in [("max_pooling", "max_pool2d"), ("average_pooling", "avg_pool2d")]:
        yield layered("layers", module, name, [image], f"{shape}, 2×2", lambda back, grad: back(grad, image, 2),
                      kernel_size=2)
    norms = {"LayerNorm": nn.LayerNorm(512), "RMSNorm": nn.RMSNorm(512), "BatchNorm1d": nn.BatchNorm1d(512)}
    for name, theirs in norms.items():
        yield module_case("normalization", name, theirs, [rand(256, 512)], "256×512")
    yield module_case("normalization", "BatchNorm2d", nn.BatchNorm2d(16), [image], shape)
    yield module_case("normalization", "GroupNorm", nn.GroupNorm(4, 16), [image], shape)
    for name in ("RNN", "LSTM", "GRU"):
        yield module_case("recurrence", name, getattr(nn, name)(64, 64), [rand(32, 16, 64)], "32 steps of 16×64")


def module_case(group: str, name: str, theirs: nn.Module, inputs: list[Tensor], shape: str) -> Case:
    """A layer beside that of torch.nn, both differentiated by autograd."""
    mine = load(name, theirs)

    def first(out: Any) -> Tensor:
        return out[0] if isinstance(out, tuple) else out

    grad = torch.randn_like(first(theirs(*inputs)))

    def step(layer: nn.Module) -> Job:
        leaves = [x.clone().requires_grad_() for x in inputs]
        return lambda: torch.autograd.grad(first(layer(*leaves)), [*leaves, *layer.parameters()], grad)

    return Case(group, name, shape, (lambda: mine(*inputs), lambda: theirs(*inputs)), (step(mine), step(theirs)))


def load(name: str, layer: nn.Module) -> nn.Module:
    """The from-scratch layer of that name with the same weights."""
    for path in sorted((ROOT / "src/dlguide/layers").glob("[a-z]*.py")):
        module = importlib.import_module(f"dlguide.layers.{path.stem}")
        if hasattr(module, name):
            return getattr(module, name).load_from_torch(layer)
    raise LookupError(f"dlguide.layers has no {name}")


def attention() -> Iterator[Case]:
    q, k, v = (rand(8, 4, 64, 32) for _ in range(3))
    yield layered("attention", "attention", "scaled_dot_product_attention", [q, k, v], "8×4×64×32",
                  lambda back, grad: back(grad, q, k, v))


def optimizers() -> Iterator[Case]:
    for name in sorted(set(torch.optim.__all__) & set(dlguide.optim.__all__) - {"Optimizer"}):
        if name in ("LBFGS", "SparseAdam"):  # a step of these is many, or needs sparse gradients
            continue
        both = [stepper(library, name) for library in (dlguide.optim, torch.optim)]
        yield Case("optimizers", name, "MLP 784–128–10", (both[0], both[1]), None)


def stepper(library: Any, name: str) -> Job:
    """The step of an optimizer on parameters whose gradients are there."""
    generator = torch.Generator().manual_seed(SEED)
    matrices = [(128, 784), (10, 128)]
    shapes: list[tuple[int, ...]] = [*matrices] if name == "Muon" else [*matrices, (128,), (10,)]
    params = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    loop = {"foreach": False} if library is torch.optim and name != "Muon" else {}
    step: Job = getattr(library, name)(params, **loop).step
    return step


def per_call(job: Job, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def compared(pair: tuple[Job, Job], runs: int, least: float) -> dict[str, float]:
    """Time both in turn; the ratio of ours to theirs over the runs, and the median time of theirs."""
    for job in pair:
        job()
    once = max(per_call(pair[0], 2), per_call(pair[1], 2))
    calls = max(1, int(least / once) + 1)
    times = [(per_call(pair[0], calls), per_call(pair[1], calls)) for _ in range(runs)]
    ratios = sorted(a / b for a, b in times)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"ratio": round(middle, 2), "low": round(low, 2), "high": round(high, 2),
            "torch": round(statistics.median(b for _, b in times) * 1e6, 1)}


def cases() -> Iterator[Case]:
    for make in (elementwise, losses, layers, attention, optimizers):
        torch.manual_seed(SEED)
        yield from make()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="a part of the names to measure; nothing is written then")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in cases():
        if options.only in case.name:
            row: dict[str, Any] = {"group": case.group, "name": case.name, "shape": case.shape,
                                   "forward": compared(case.forward, options.runs, LEAST)}
            if case.both:
                row["both"] = compared(case.both, options.runs, LEAST)
            rows.append(row)
            print(case.name, row["forward"], row.get("both", ""), flush=True)
    if options.only:
        return
    result = {
        "claim": "time of the from-scratch piece divided by that of PyTorch's own; median and quartiles of the runs",
        "date": date.today().isoformat(), "device": "CPU, one core", "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(), "torch": torch.__version__.split("+")[0], "dtype": "float32", "seed": SEED,
        "runs": options.runs, "rows": rows,
    }
    path = ROOT / "docs/results/from-scratch.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
