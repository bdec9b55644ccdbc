"""What the fast programs share: all the training examples, a schedule, and a clock around `Trainer.fit`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import TensorDataset

from dlguide.data import Splits
from dlguide.train import Trainer
from dlguide.train._batches import Batches


def learned_from(data: Splits, limit: int) -> TensorDataset:
    """The training and the validation part together, as the usual scripts use them: nothing is chosen by them here."""
    pairs: list[tuple[Tensor, ...]] = list(zip(data.train.tensors, data.validation.tensors, strict=True))
    if data.vocabulary is not None:  # each part of texts is padded to the longest of its own
        longest = max(ids.shape[1] for ids in pairs[0])
        pairs[0] = tuple(F.pad(ids, (0, longest - ids.shape[1])) for ids in pairs[0])
    return TensorDataset(*(torch.cat(pair)[:limit] for pair in pairs))


def warm_up_then_linear(optimizer: torch.optim.Optimizer, steps: int, share: float = 0.2) -> LambdaLR:
    """Raise the learning rate in a straight line over the first share of the steps, then lower it to 0 in another."""
    top = max(1, round(share * steps))
    return LambdaLR(optimizer, lambda step: min((step + 1) / top, (steps - step) / max(1, steps - top)))


class SimilarLength:
    """Batches of texts of similar length, cut to the longest of each, so that little is padded.

    Each epoch draws an order, cuts it into pieces of 50 batches, sorts each piece by length, and draws the order of the
    batches.
    """

    def __init__(self, examples: TensorDataset, batch: int, seed: int) -> None:
        self.ids, self.lengths, self.y = examples.tensors
        self.batch, self.generator = batch, torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(len(self.y), generator=self.generator)
        pieces = (rows[self.lengths[rows].argsort()] for rows in order.split(50 * self.batch))
        batches = [rows for piece in pieces for rows in piece.split(self.batch)]
        for i in torch.randperm(len(batches), generator=self.generator).tolist():
            rows = batches[i]
            lengths = self.lengths[rows]
            yield self.ids[rows, : int(lengths.max())], lengths, self.y[rows]


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def timed(trainer: Trainer, train: Batches, test: Batches, steps: int) -> dict[str, float]:
    """Train, then look at the test part once."""
    start = time.perf_counter()
    trainer.fit(train, steps=steps)
    seconds = time.perf_counter() - start
    return {"accuracy": trainer.evaluate(test)["accuracy"], "seconds": seconds}


def run(train: Callable[[int, int, float], dict[str, Any]], examples: int, epochs: float) -> None:
    """Read the seed from the command line and print the result as the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=examples, help="use only so many examples")
    parser.add_argument("--epochs", type=float, default=epochs)
    options = parser.parse_args()
    print(json.dumps(train(options.seed, options.limit, options.epochs)))
