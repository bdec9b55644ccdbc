"""CIFAR-10, fast: SpeedyNet with narrow stages, flips and shifts, batches of 256, in bfloat16."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from recipe import channels_last, learned_from, run, timed, warm_up_then_linear
from torch.utils.data import TensorDataset

from dlguide.data import Compose, RandomFlip, RandomShift, TensorBatches, load
from dlguide.models import build
from dlguide.train import Trainer

BATCH = 256


def train(seed: int, limit: int, epochs: float) -> dict[str, float]:
    data = load("cifar10", standardize=True)
    x, y = learned_from(data, limit).tensors
    torch.manual_seed(seed)
    model = build("speedynet", data, widths=(16, 64, 128)).to(memory_format=torch.channels_last)
    steps = round(epochs * -(-len(y) // BATCH))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.02, fused=True)
    trainer = Trainer(
        model, optimizer, loss=partial(F.cross_entropy, label_smoothing=0.1), device="cpu",
        scheduler=warm_up_then_linear(optimizer, steps), precision="bf16",
    )  # fmt: skip
    augment = Compose(RandomFlip(), RandomShift(2))
    batches = TensorBatches(TensorDataset(channels_last(x), y), BATCH, shuffle=True, seed=seed, augment=augment)
    return timed(trainer, batches, TensorBatches(data.test, 1000), steps)


if __name__ == "__main__":
    run(train, 50_000, epochs=2)
