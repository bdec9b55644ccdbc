"""Batches on a GPU: the same examples in the same order as on the CPU, and the same pictures from the same draws."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, TensorDataset

from dlguide.data import BatchOrder, Compose, Cutout, RandomFlip, RandomShift, TensorBatches, load
from dlguide.data.batches import Augment

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

AUGMENTS: dict[str, Augment] = {
    "flip": RandomFlip(),
    "shift": RandomShift(2),
    "cutout": Cutout(3),
    "all": Compose(RandomFlip(0.3), RandomShift(1), Cutout(2)),
}


class DrawnOnTheCpu(TorchFunctionMode):
    """Draw random numbers by a generator on the CPU, then move them: what follows can be compared between devices."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randint) and kwargs.get("generator") is not None:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs.get("device"))
        return func(*args, **kwargs)


def pictures(n: int = 64) -> Tensor:
    return load("digits").train.tensors[0][:n].expand(-1, 3, -1, -1) + torch.arange(3.0).view(3, 1, 1)


def augmented(name: str, device: str) -> Tensor:
    """Pictures that were changed on the device, by numbers that were drawn on the CPU."""
    with DrawnOnTheCpu():
        changed = AUGMENTS[name](pictures().to(device), torch.Generator().manual_seed(0))
    assert changed.device.type == torch.device(device).type
    return changed.cpu()


def drawn_there(name: str, device: str) -> list[Tensor]:
    """Three rounds of pictures with a generator of the device: twice from one seed, then from another."""
    x = pictures().to(device)
    return [AUGMENTS[name](x, torch.Generator(device).manual_seed(seed)).cpu() for seed in (0, 0, 1)]


def batches(device: str) -> list[list[tuple[Tensor, ...]]]:
    """Two epochs three ways: on the device, on the CPU, and by a DataLoader that copies to the device."""
    dataset = TensorDataset(*(t[:100] for t in load("digits").train.tensors))
    order = BatchOrder(100, 32, seed=3)
    loader: DataLoader[Any] = DataLoader(dataset, batch_sampler=order, pin_memory=torch.device(device).type == "cuda")
    ways: list[tuple[Any, BatchOrder | None]] = [
        (TensorBatches(dataset, 32, shuffle=True, seed=3, device=device), None),
        (TensorBatches(dataset, 32, shuffle=True, seed=3), None),
        (loader, order),
    ]
    given = []
    for way, its_order in ways:
        epochs = []
        for epoch in range(2):
            (its_order or way.order).set_epoch(epoch)
            for batch in way:
                assert way is not ways[0][0] or {t.device.type for t in batch} == {torch.device(device).type}
                epochs.append(tuple(t.to(device, non_blocking=True) for t in batch))
        given.append([tuple(t.cpu() for t in batch) for batch in epochs])
    return given


@pytest.mark.parametrize("name", AUGMENTS)
def test_augmentation_equals_the_cpus(name):
    assert torch.equal(augmented(name, "cuda"), augmented(name, "cpu"))


@pytest.mark.parametrize("name", AUGMENTS)
def test_augmentation_follows_the_seed(name):
    first, again, other = drawn_there(name, "cuda")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_three_ways_give_the_same_batches():
    first, *others = batches("cuda")
    assert len(first) == 8
    for other in others:
        assert all(torch.equal(a, b) for ours, theirs in zip(first, other, strict=True)
                   for a, b in zip(ours, theirs, strict=True))  # fmt: skip
