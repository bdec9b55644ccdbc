r"""Batches in two ways and one order: a tensor that is indexed, or PyTorch's `DataLoader`.

`BatchOrder` decides which examples make up which batch. `TensorBatches` takes them out of tensors that lie in memory,
by one indexing for a whole batch. `DataLoader(dataset, batch_sampler=BatchOrder(...))` reads them one by one, in worker
processes if you like, and gives the same batches. With several processes each one gets its share of every batch, so
that together they see what one process alone would see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler, TensorDataset

Augment = Callable[[Tensor, torch.Generator], Tensor]


class BatchOrder(Sampler[list[int]]):
    r"""The row numbers of each batch of an epoch, decided by a seed and the epoch alone.

    In epoch $e$ the order is the permutation number $e + 1$ that a generator with this seed draws. Batch $b$ of size
    $B$ holds its places $bB, \ldots, (b+1)B - 1$. Of these, process $r$ of $W$ gets every $W$-th, from place $r$ on.
    So that each process has an example in each batch, a last batch of fewer than $W$ examples joins the one before it.
    Once it was read to its end, the next reading is that of epoch $e + 1$; `set_epoch` goes to any other.

    Args:
        n: number of examples, at least `world_size`.
        batch_size: examples in a batch, all processes together, at least `world_size`; the last batch may be smaller.
        shuffle: draw a new order for each epoch; without it the order is 0, 1, 2, ...
        seed: decides the orders.
        rank: number of this process, in `[0, world_size)`.
        world_size: number of processes.

    Raises:
        ValueError: sizes or ranks that do not fit.

    Example:
        ```python
        from dlguide.data import BatchOrder

        order = BatchOrder(7, batch_size=3, shuffle=False)
        print(list(order))
        halves = [BatchOrder(7, batch_size=4, shuffle=False, rank=r, world_size=2) for r in (0, 1)]
        print([list(half) for half in halves])
        ```

        ``` {.text .output}
        [[0, 1, 2], [3, 4, 5], [6]]
        [[[0, 2], [4, 6]], [[1, 3], [5]]]
        ```

    References:
        - [torch.utils.data.Sampler](https://docs.pytorch.org/docs/stable/data.html#data-loading-order-and-sampler)
    """

    def __init__(
        self, n: int, batch_size: int, *, shuffle: bool = True, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if not 0 <= rank < world_size or min(n, batch_size) < world_size:
            raise ValueError(
                f"expected at least {world_size} examples, a batch of at least {world_size} and a rank in"
                f" [0, {world_size}) for {world_size} process(es), got n={n}, rank={rank}, batch_size={batch_size}"
            )
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.start = 0, 0
        self._generator, self._drawn = torch.Generator(), -1

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Go to an epoch.

        Args:
            epoch: counted from 0.
            start: first batch of that epoch to give; the ones before it are left out, once.
        """
        self.epoch, self.start = epoch, start

    def rows(self) -> Iterator[Tensor]:
        """Give the rows of each batch of this epoch as a tensor, int64, for this process."""
        epoch, start, self.start = self.epoch, self.start, 0
        sizes = [self.batch_size] * (len(self) - 1)
        for rows in self._order().split([*sizes, self.n - sum(sizes)])[start:]:
            yield rows[self.rank :: self.world_size]
        if self.epoch == epoch:  # nobody has called set_epoch meanwhile
            self.epoch += 1

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in self.rows())

    def __len__(self) -> int:
        full, rest = divmod(self.n, self.batch_size)
        return full + (rest >= self.world_size or full == 0)

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.n)
        if self._drawn >= self.epoch or self._drawn < 0:  # backwards, or for the first time: from the seed on
            self._generator.manual_seed(self.seed)
            self._drawn = -1
        while self._drawn < self.epoch:
            order = torch.randperm(self.n, generator=self._generator)
            self._drawn += 1
        return order


class TensorBatches:
    r"""Batches from tensors in memory: one indexing for a batch instead of one call for an example.

    A `DataLoader` calls the dataset once for each example and puts the results together again. For examples that lie in
    a tensor already, `x[rows]` does the same at once. On a GPU the tensors are moved there once, so that a batch needs
    no copy either.

    Args:
        dataset: `TensorDataset(x, ..., y)`; each tensor is `[N, ...]`.
        batch_size: see `BatchOrder`.
        shuffle: see `BatchOrder`.
        seed: decides the orders, and what `augment` draws.
        device: where the tensors go; they stay where they are if not given.
        augment: called as `augment(x, generator)` with the first tensor of each batch, its result takes the place of x.
        rank: see `BatchOrder`.
        world_size: see `BatchOrder`.

    Example:
        ```python
        import torch
        from torch.utils.data import TensorDataset
        from dlguide.data import TensorBatches

        dataset = TensorDataset(torch.arange(5.0), torch.arange(5))
        for x, y in TensorBatches(dataset, batch_size=2):
            print(x, y)
        ```

        ``` {.text .output}
        tensor([0., 1.]) tensor([0, 1])
        tensor([2., 3.]) tensor([2, 3])
        tensor([4.]) tensor([4])
        ```

    References:
        - [torch.utils.data.TensorDataset](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.TensorDataset)
    """

    def __init__(
        self,
        dataset: TensorDataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        device: str | torch.device | None = None,
        augment: Augment | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.tensors = tuple(t if device is None else t.to(device) for t in dataset.tensors)
        order = BatchOrder(len(dataset), batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size)
        self.order, self.augment = order, augment

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        device = self.tensors[0].device
        epoch, start = self.order.epoch, self.order.start
        for batch, rows in enumerate(self.order.rows(), start):
            x, *others = (t[rows.to(t.device)] for t in self.tensors)
            if self.augment is not None:  # what a batch draws follows from the seed and its number: it can be resumed
                number = (epoch * len(self) + batch) * self.order.world_size + self.order.rank
                x = self.augment(x, torch.Generator(device).manual_seed(((self.order.seed << 32) + number) % 2**63))
            yield (x, *others)
