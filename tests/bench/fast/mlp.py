"""One epoch of the same MLP on MNIST, from tensors: how many pictures a second get through for a batch size."""

from __future__ import annotations

import argparse
import json
import time

import torch
from recipe import learned_from

from dlguide.data import TensorBatches, load
from dlguide.models import MLP
from dlguide.train import Trainer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=60_000, help="use only so many examples")
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    examples = learned_from(load("mnist", standardize=True), options.limit)
    torch.manual_seed(options.seed)
    model = MLP(784, (128,), 10)
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1, fused=True), device="cpu")
    batches = TensorBatches(examples, options.batch, shuffle=True, seed=options.seed)
    start = time.perf_counter()
    trainer.fit(batches, epochs=1)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rate": len(examples) / seconds}))


if __name__ == "__main__":
    main()
