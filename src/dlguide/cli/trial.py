"""What is tried before a run begins, because it would fail only at the end of the first epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.config import ConfigError
from dlguide.data import BatchOrder, Splits


def check_last_batch(model: nn.Module, train: TensorDataset, batch_size: int, world_size: int) -> None:
    """Refuse batches that leave a process with one example, if this model cannot learn from a single one.

    BatchNorm subtracts the mean of the batch, and over one example of 1 x 1 pixels that leaves 0. A copy of the model
    tries it, so that no running mean changes and no random number is used up.
    """
    n = len(train)
    if smallest_share(n, batch_size, world_size) > 1:
        return
    tried = copy.deepcopy(model).train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            tried(*(t[:1] for t in train.tensors[:-1]))
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel"):
            raise
        sizes = (size for size in range(batch_size + 1, n + 1) if smallest_share(n, size, world_size) > 1)
        if (fits := next(sizes, None)) is None:
            processes = f"each of {world_size} processes" if world_size > 1 else "a batch"
            raise ConfigError(f"data: expected more than one of the {n:,} examples for {processes}") from error
        raise ConfigError(
            f"batch_size: expected a number such as {fits}, got {batch_size}: of {n:,} examples it leaves one for the"
            " last batch, and BatchNorm finds no variance in a single one"
        ) from error


def check_classes(options: Mapping[str, Any], splits: Splits) -> None:
    """Refuse another number of classes than that of the data: what predicts would have no name for an answer."""
    count = len(splits.classes)
    if options.get("num_classes", count) != count:
        raise ConfigError(
            f"options: expected num_classes of {count}, as the data have, got {options['num_classes']!r}: leave it out"
        )


def check_parts(splits: Splits, world_size: int) -> None:
    """Refuse parts of which a process would have nothing to measure."""
    for name, part in (("validation", splits.validation), ("test", splits.test)):
        if len(part) < world_size:
            raise ConfigError(
                f"{name}: expected a part of at least {world_size} examples, one for each process, got {len(part)}:"
                " take a larger share, or fewer processes"
            )


def smallest_share(n: int, batch_size: int, world_size: int) -> int:
    """How many examples a process has at least in a batch of an epoch of n examples."""
    full = len(BatchOrder(n, batch_size, world_size=world_size)) - 1
    return min(batch_size if full else n, n - full * batch_size) // world_size
