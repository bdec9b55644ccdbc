"""Where the trainer's batches come from: any iterable with a length, from the place where a stopped run left off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from dlguide.data.batches import BatchOrder
from dlguide.train.interrupts import Interrupts, children_without_ctrl_c

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer

Batch = tuple[list[Tensor], Tensor]  # inputs and target


class Batches(Protocol):
    """`TensorBatches`, a `DataLoader`, a list of tuples: an iterable with a length."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


def read(batches: Batches, trainer: Trainer) -> Iterator[Batch]:
    """Give the inputs and the target of each batch that is left in this epoch, on the trainer's device.

    A loader that shuffles draws its order when the epoch begins, from the global generator, or from one that it or its
    sampler was given. To get the same order again, the generators are put back to where they were then; what is used up
    is left out; and the global one goes on from where it is now.
    What workers of a `DataLoader` draw is repeated too, unless `persistent_workers` lets them live on over epochs.
    """
    random, start = trainer.random, trainer.batch
    now = random.state()
    if start:
        random.set(random.at_epoch)
    else:
        random.at_epoch = now
    try:
        skip = go_to(batches, trainer.epoch, start)
        iterator = begin(batches)
        for _ in range(skip):
            next(iterator)
    finally:
        if start:  # the generators of the loader are where its reading has left them
            random.set({name: state for name, state in now.items() if name != "loader"})
    for *inputs, y in iterator:
        yield [x.to(trainer.device, non_blocking=True) for x in inputs], y.to(trainer.device, non_blocking=True)


def take(batches: Iterator[Batch], trainer: Trainer, interrupts: Interrupts) -> list[Batch]:
    """Take the batches of a step; if SIGTERM has ended the workers, too, the run stops after the step before."""
    if interrupts.stop:  # since validation, or since the start
        interrupts.end(trainer)
    try:
        return list(islice(batches, trainer.accumulate))
    except Exception as error:
        if not interrupts.stop:
            raise
        if trainer.batch == 0:
            trainer.random.set(trainer.random.at_epoch)  # as if the epoch had not begun
        interrupts.end(trainer, error)


def begin(batches: Batches) -> Iterator[Any]:
    """Begin to read; workers of a `DataLoader` start here, and Ctrl-C does not end them."""
    with children_without_ctrl_c() if getattr(batches, "num_workers", 0) else contextlib.nullcontext():
        return iter(batches)


def go_to(batches: Batches, epoch: int, start: int) -> int:
    """Tell the order of the batches where to begin, and return how many batches must be read and left out."""
    places = [getattr(batches, name, None) for name in ("order", "batch_sampler", "sampler")]
    order = next((place for place in places if hasattr(place, "set_epoch")), None)
    if isinstance(order, BatchOrder) and not getattr(batches, "num_workers", 0):
        order.set_epoch(epoch, start)  # leaves out what is used up by itself
        return 0
    if order is not None:  # torch's DistributedSampler, or workers: what they draw depends on what they have read
        order.set_epoch(epoch)
    return start
