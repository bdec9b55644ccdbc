"""Memory on a GPU: what training holds is known by a formula, does not grow, and is given back at the end.

`Meter` asks PyTorch's allocator. Its double for the CPU, in tests/dlguide/test_gpu_memory.py, adds up the storages that
live, so that the same bodies run without a GPU.
"""

import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dlguide.data import TensorBatches, load
from dlguide.models import CNN, MLP, RNNClassifier
from dlguide.train import EMA, Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
WIDTH, DEPTH, BATCH = 128, 8, 4096
# The allocator hands out multiples of 512 bytes, and a few small tensors (loss, sums, counters) come on top.
SLACK = 512 * 200


class Meter:
    """Bytes that live tensors on the GPU hold, and the most since `reset`."""

    def now(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "MLP": lambda: MLP(64), "CNN": CNN, "LSTM": lambda: RNNClassifier("LSTM"),
}  # fmt: skip


def train_and_forget(name: str, device: str, precision: str) -> None:
    """A whole run with validation and averaged weights, of which nothing is kept."""
    data = load("digits", layout="rows" if name == "LSTM" else "pictures")
    model = MODELS[name]()
    trainer = Trainer(model, torch.optim.Adam(model.parameters()), device=device, precision=precision,
                      callbacks=[EMA(0.9)], clip=1.0)  # fmt: skip
    train, validation = (TensorBatches(part, 128, device=device) for part in (data.train, data.validation))
    trainer.fit(train, validation, epochs=1)


def held_after_training(name: str, device: str, precision: str, meter: Any) -> int:
    """Bytes more after a run than before it; a first run lets libraries take the workspace that they keep."""
    train_and_forget(name, device, precision)
    gc.collect()
    before = meter.now()
    train_and_forget(name, device, precision)
    gc.collect()
    return meter.now() - before


def held_in_each_step(device: str, meter: Any, keep_losses: bool = False) -> list[int]:
    """Bytes after each of ten steps; the losses that are kept are, or are not, cut off from their graph."""
    torch.manual_seed(0)
    model, kept, held = MLP(64).to(device), [], []
    optimizer = torch.optim.Adam(model.parameters())
    x, y = (t.to(device) for t in load("digits").train.tensors)
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward(retain_graph=keep_losses)
        optimizer.step()
        kept.append(loss if keep_losses else loss.item())
        del loss
        held.append(meter.now())
    return held


class Tower(nn.Module):
    """DEPTH layers of one width with GELU, with or without checkpoints."""

    def __init__(self, checkpoints: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        self.checkpoints = checkpoints

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            step = nn.Sequential(layer, nn.GELU())
            x = checkpoint(step, x, use_reentrant=False) if self.checkpoints else step(x)
        return x


def weights_bytes() -> int:
    return 4 * DEPTH * (WIDTH * WIDTH + WIDTH)


def one_step(device: str, meter: Any, checkpoints: bool = False, gradient: bool = True) -> tuple[int, int]:
    """The most bytes in the third step, and what is held after it, both beyond what was held at the start."""
    start = meter.now()
    torch.manual_seed(0)
    model = Tower(checkpoints).to(device)
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    x = torch.randn(BATCH, WIDTH, device=device)
    for step in range(3):
        if step == 2:
            meter.reset()
        with torch.set_grad_enabled(gradient):
            loss = model(x).square().mean()
        if gradient:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        del loss
    return meter.peak() - start, meter.now() - start


def predicted(checkpoints: bool, gradient: bool) -> tuple[int, int]:
    """Least and most bytes of that step.

    W are the bytes of the weights; Adam keeps two moments, and a gradient comes and goes: 3 W to 4 W. A are the bytes
    of one activation, BATCH times WIDTH numbers. For the backward pass each layer keeps what goes into its linear part
    and what goes into GELU, and the last one its result: (2 DEPTH + 1) A. With checkpoints each layer keeps its input
    only, and one layer at a time has the rest. A few more activations live while a layer is computed.
    """
    w, a = weights_bytes(), 4 * BATCH * WIDTH
    if not gradient:
        return w + a, w + 4 * a
    saved = DEPTH + 1 if checkpoints else 2 * DEPTH + 1
    return 3 * w + saved * a, 4 * w + (saved + 4 + 2 * checkpoints) * a


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("name", MODELS)
def test_training_gives_everything_back(name, precision):
    assert held_after_training(name, "cuda", precision, Meter()) == 0


def test_memory_does_not_grow_from_step_to_step():
    held = held_in_each_step("cuda", Meter())
    assert len(set(held[1:])) == 1


def test_losses_with_their_graph_fill_the_memory():
    held = held_in_each_step("cuda", Meter(), keep_losses=True)
    assert all(b > a for a, b in itertools.pairwise(held[1:]))


@pytest.mark.parametrize(("checkpoints", "gradient"), [(False, True), (True, True), (False, False)])
def test_the_peak_of_a_step_is_what_the_formula_says(checkpoints, gradient):
    one_step("cuda", Meter())  # cuBLAS takes its workspace and keeps it
    peak, held = one_step("cuda", Meter(), checkpoints, gradient)
    least, most = predicted(checkpoints, gradient)
    assert least <= peak <= most + SLACK
    assert held <= (3 if gradient else 1) * weights_bytes() + 4 * BATCH * WIDTH + SLACK
