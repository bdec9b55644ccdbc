"""Where the trainer's batches come from: any iterable with a length, from the place where a stopped run left off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from dlguide.data.batches import BatchOrder

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class Batches(Protocol):
    """`TensorBatches`, a `DataLoader`, a list of tuples: an iterable with a length."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


def read(batches: Batches, trainer: Trainer) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Give the inputs and the target of each batch that is left in this epoch, on the trainer's device.

    A loader that shuffles by the global generator draws its order when the epoch begins. To get the same order again,
    the generator is put back to where it was then; what is used up is left out; and it goes on from where it is now.
    What workers of a `DataLoader` draw is repeated too, unless `persistent_workers` lets them live on over epochs.
    """
    random, start = trainer.random, trainer.batch
    now = random.state()
    if start:
        random.set(random.at_epoch)
    else:
        random.at_epoch = now
    skip = _go_to(batches, trainer.epoch, start)
    iterator = iter(batches)
    for _ in range(skip):
        next(iterator)
    if start:
        random.set(now)
    for *inputs, y in iterator:
        yield [x.to(trainer.device, non_blocking=True) for x in inputs], y.to(trainer.device, non_blocking=True)


def _go_to(batches: Batches, epoch: int, start: int) -> int:
    """Tell the order of the batches where to begin, and return how many batches must be read and left out."""
    places = [getattr(batches, name, None) for name in ("order", "batch_sampler", "sampler")]
    order = next((place for place in places if hasattr(place, "set_epoch")), None)
    if isinstance(order, BatchOrder):  # leaves out what is used up by itself
        order.set_epoch(epoch, start)
        return 0
    if order is not None:  # torch's DistributedSampler
        order.set_epoch(epoch)
    return start
