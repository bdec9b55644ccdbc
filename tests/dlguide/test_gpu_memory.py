"""The bodies of tests/gpu/test_memory.py without a GPU: a meter that adds up the storages of the CPU's tensors."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.gpu import test_memory as gpu


class StorageMeter(TorchDispatchMode):
    """Follow each storage that an operation makes until it dies."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.total = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.follow(tensor.untyped_storage())
        return out

    def follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            self.total += storage.nbytes()
            self.most = max(self.most, self.total)
            weakref.finalize(storage, self.forget, key)

    def forget(self, key: int) -> None:
        self.total -= self.alive.pop(key)

    def now(self) -> int:
        return self.total

    def reset(self) -> None:
        self.most = self.total

    def peak(self) -> int:
        return self.most


@contextlib.contextmanager
def metered() -> Iterator[StorageMeter]:
    meter = StorageMeter()
    with meter:
        yield meter


def test_the_meter_counts_bytes():
    with metered() as meter:
        a = torch.zeros(1000)
        b, view = a * 2, a[:10]
        assert meter.now() == 8000
        del a
        assert meter.now() == 8000  # the view holds it
        del b, view
        assert meter.now() == 0
        assert meter.peak() == 8000


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", gpu.MODELS)
def test_training_gives_everything_back(name, precision):
    with metered() as meter:
        assert gpu.held_after_training(name, "cpu", precision, meter) == 0


def test_memory_does_not_grow_from_step_to_step():
    with metered() as meter:
        held = gpu.held_in_each_step("cpu", meter)
    assert held[0] > 0
    assert len(set(held[1:])) == 1


def test_losses_with_their_graph_fill_the_memory():
    with metered() as meter:
        held = gpu.held_in_each_step("cpu", meter, keep_losses=True)
    assert all(b > a for a, b in itertools.pairwise(held[1:]))


@pytest.mark.parametrize(("checkpoints", "gradient"), [(False, True), (True, True), (False, False)])
def test_the_peak_of_a_step_is_what_the_formula_says(checkpoints, gradient):
    with metered() as meter:
        peak, held = gpu.one_step("cpu", meter, checkpoints, gradient)
    least, most = gpu.predicted(checkpoints, gradient)
    assert least <= peak <= most
    assert held <= (3 if gradient else 1) * gpu.weights_bytes() + 4 * gpu.BATCH * gpu.WIDTH + gpu.SLACK


def test_checkpoints_and_no_grad_save_memory():
    peaks = []
    for checkpoints, gradient in ((False, True), (True, True), (False, False)):
        with metered() as meter:
            peaks.append(gpu.one_step("cpu", meter, checkpoints, gradient)[0])
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 1.3 * peaks[1] > 2.6 * peaks[2]
