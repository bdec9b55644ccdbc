"""MNIST, fast: a small network on halved pictures, 90,000 shifted digits in batches of 192, in bfloat16, by Muon."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from muon import FilterMuon, Together
from recipe import channels_last, learned_from, run, timed, warm_up_then_linear
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.data import RandomShift, TensorBatches, load
from dlguide.train import Trainer

BATCH = 192


def network() -> nn.Sequential:
    def block(before: int, after: int, padding: int, *pool: nn.Module) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, 3, padding=padding, bias=False)
        return [convolution, *pool, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]  # pooled early: less to normalize

    return nn.Sequential(
        nn.PixelUnshuffle(2),  # [N, 1, 28, 28] -> [N, 4, 14, 14]: four neighbours become four channels
        *block(4, 16, 1), *block(16, 32, 0, nn.MaxPool2d(2)),  # [N, 32, 6, 6]
        *block(32, 64, 1), *block(64, 128, 0),  # [N, 128, 4, 4]
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def train(seed: int, limit: int, epochs: float) -> dict[str, float]:
    data = load("mnist", standardize=True)
    x, y = learned_from(data, limit).tensors
    torch.manual_seed(seed)
    model = network().to(memory_format=torch.channels_last)
    steps = round(epochs * len(y) / BATCH)
    filters = [p for p in model.parameters() if p.dim() == 4]
    others = [p for p in model.parameters() if p.dim() != 4]
    optimizer = Together(
        FilterMuon(filters, lr=0.08, momentum=0.9),
        torch.optim.AdamW(others, lr=0.01, weight_decay=0.01, fused=True),
    )
    trainer = Trainer(
        model, optimizer, loss=partial(F.cross_entropy, label_smoothing=0.1), device="cpu",
        scheduler=warm_up_then_linear(optimizer, steps), precision="bf16",
    )  # fmt: skip
    batches = TensorBatches(TensorDataset(channels_last(x), y), BATCH, shuffle=True, seed=seed, augment=RandomShift(2))
    return timed(trainer, batches, TensorBatches(data.test, 1000), steps)


if __name__ == "__main__":
    run(train, 60_000, epochs=1.5)
