"""Whether each process has its own share of the data: a mistake here raises no error by itself."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from dlguide.train.distributed import gathered, rank, world_size


def check_shares(batches: Any) -> None:
    """Check that no other process has the same examples, and that all have equally many batches."""
    if world_size() == 1:
        return
    here = rank(), world_size()
    places = [getattr(batches, name, None) for name in ("order", "batch_sampler", "sampler")]
    shares = [
        # of a BatchOrder, or of a DistributedSampler
        (place.rank, getattr(place, "world_size", getattr(place, "num_replicas", None)))
        for place in places
        if place is not None and hasattr(place, "rank")
    ]
    alike = isinstance(batches, DataLoader) and not shares and not isinstance(batches.dataset, IterableDataset)
    if alike or shares not in ([], [here]):
        got = "the whole" if alike or shares[0][1] == 1 else f"share {shares[0][0]} of {shares[0][1]}"
        raise ValueError(
            f"expected share {here[0]} of {here[1]} of the training data in this process, got {got}:"
            " TensorBatches(..., rank=group.rank, world_size=group.world_size), or"
            " DataLoader(batch_sampler=BatchOrder(...))"
        )
    lengths = gathered(len(batches))
    if len(set(lengths)) > 1:
        raise ValueError(f"expected equally many batches in each process, got {lengths}: the others would wait forever")
