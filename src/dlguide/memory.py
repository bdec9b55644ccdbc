r"""Count the bytes that training needs: weights, gradients and optimizer state, saved activations, and the peak.

`training_bytes` counts what stays from step to step, `saved_bytes` what a forward pass keeps for its backward pass, and
`MemoryMeter` follows all tensors that are made inside its block. They count on every device, also on the CPU, where
PyTorch has no counter of its own, and on `"meta"`, where a model that does not fit has shapes and no memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef  # names a storage, also one without an address
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["MemoryMeter", "TrainingBytes", "saved_bytes", "training_bytes"]


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind these tensors, each counted once: views share theirs."""
    storages = {StorageWeakRef(t.untyped_storage()): t.untyped_storage() for t in tensors}
    return sum(storage.nbytes() for storage in storages.values())


# --8<-- [start:saved-rule]
class _Kept:
    """A tensor that a graph keeps; this object lives as long as the graph keeps it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _listing(kept: weakref.WeakSet[_Kept]) -> saved_tensors_hooks:
    """In this context all that is kept for a backward pass comes into the set, and leaves it when it is freed."""

    def pack(tensor: Tensor) -> _Kept:
        held = _Kept(tensor)
        kept.add(held)
        return held

    def unpack(held: _Kept) -> Tensor:
        return held.tensor

    return saved_tensors_hooks(pack, unpack)
# --8<-- [end:saved-rule]


def saved_bytes(function: Callable[..., Any], *inputs: Any) -> int:
    r"""Bytes that `function(*inputs)` keeps for its backward pass, without the parameters and buffers of a model.

    With the set $\mathcal S$ of the storages that the graph of the result holds and the set $\mathcal P$ of those of
    the parameters and buffers, the result is $\sum_{s \in \mathcal S \setminus \mathcal P} \operatorname{bytes}(s)$.
    A storage that several operations keep counts once. It counts whole: a slice of a data set keeps the data set.

    Args:
        function: a model or any function of tensors; it is called once, and its result is thrown away.
        inputs: what it is called with, on any device.

    Returns:
        Bytes, at least 0; 0 under `torch.no_grad()`.

    Example:
        ```python
        import torch
        from torch import nn
        from dlguide.memory import saved_bytes

        net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        print(saved_bytes(net, torch.randn(32, 64)), 4 * 32 * (64 + 128))
        ```

        ``` {.text .output}
        24576 24576
        ```

    References:
        - [torch.autograd.graph.saved_tensors_hooks](https://docs.pytorch.org/docs/stable/autograd.html#saved-tensors)
        - docs/en/scale/memory.md
    """
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()
    with _listing(kept):
        result = function(*inputs)  # its graph holds what was packed
    own = [*function.parameters(), *function.buffers()] if isinstance(function, nn.Module) else []
    known = {StorageWeakRef(t.untyped_storage()) for t in own}
    total = _bytes(held.tensor for held in kept if StorageWeakRef(held.tensor.untyped_storage()) not in known)
    del result
    return total


class TrainingBytes(NamedTuple):
    """The result of `training_bytes`, in bytes.

    Args:
        parameters: the weights and biases.
        gradients: their `.grad`, 0 where it is `None`.
        optimizer: the tensors in the optimizer's state, 0 before its first step.
        buffers: what a model keeps besides its parameters, such as the averages of BatchNorm.

    Example:
        ```python
        from dlguide.memory import TrainingBytes

        print(sum(TrainingBytes(parameters=40, gradients=40, optimizer=80, buffers=0)))
        ```

        ``` {.text .output}
        160
        ```
    """

    parameters: int
    gradients: int
    optimizer: int
    buffers: int


def training_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingBytes:
    r"""Count the bytes that stay in memory from step to step, whatever the batch.

    For $P$ parameters in float32, after a step of Adam, $4P + 4P + 8P = 16P$, and 4 bytes for the step count of each
    tensor. Parameters that only the optimizer has (a float32 copy of half-precision weights) count as its state.

    Args:
        model: its parameters, their gradients and its buffers are counted as they are now.
        optimizer: its state is counted as it is now, so call this after a step.

    Returns:
        The four parts in bytes, each at least 0; `sum` adds them up.

    Example:
        ```python
        import torch
        from torch import nn
        from dlguide.memory import training_bytes

        model = nn.Linear(100, 10, bias=False)  # 1000 parameters
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(5, 100)).sum().backward()
        optimizer.step()
        print(training_bytes(model, optimizer))
        ```

        ``` {.text .output}
        TrainingBytes(parameters=4000, gradients=4000, optimizer=8004, buffers=0)
        ```

    References:
        - Rajbhandari et al., [ZeRO](https://arxiv.org/abs/1910.02054), section 3.1.
        - docs/en/scale/memory.md
    """
    parameters = list(model.parameters())
    theirs = {id(p) for p in parameters}
    copies = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in theirs]
    state = [*copies, *(p.grad for p in copies if p.grad is not None)]
    for values in optimizer.state.values():
        state += [value for value in values.values() if isinstance(value, Tensor)]
    return TrainingBytes(_bytes(parameters), _bytes(p.grad for p in parameters if p.grad is not None),
                         _bytes(state), _bytes(model.buffers()))


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value and in the lists, tuples and dictionaries inside it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


class MemoryMeter(TorchDispatchMode):
    r"""Follow the tensors that are made in a `with` block, and remember the most bytes that were alive at once.

    If $b_t$ is the number of bytes of all storages that operation number $t$ or one before it has made and that are
    still alive after it, then `now` is the last $b_t$ and `peak` is $\max_t b_t$. What was there before the block does
    not count, nor does what a kernel needs inside while it runs. On a GPU, `torch.cuda.max_memory_allocated()` sees
    that too.

    Example:
        ```python
        import torch
        from dlguide.memory import MemoryMeter

        with MemoryMeter() as meter:
            x = torch.zeros(1000)  # 4000 bytes
            y = (x + 1).exp()  # the sum is gone when exp is done
        print(meter.now, meter.peak)
        ```

        ``` {.text .output}
        8000 12000
        ```

    References:
        - [torch.utils._python_dispatch](https://docs.pytorch.org/docs/stable/notes/extending.html#extending-all-torch-api-with-modes)
        - docs/en/scale/memory.md
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and follow the storages that it has made.

        Args:
            func: the operation.
            types: the classes of its tensors, not used.
            args: its arguments.
            kwargs: its arguments that are given by name.
        """
        output = func(*args, **(kwargs or {}))
        made = {StorageWeakRef(t.untyped_storage()): t.untyped_storage() for t in _tensors(output)}
        if func is not torch.ops.aten.lift_fresh.default:  # torch.tensor: its memory is new, though it is given
            for tensor in _tensors([args, kwargs]):  # a view, or a result in place, lies in memory that was there
                made.pop(StorageWeakRef(tensor.untyped_storage()), None)
        for storage in made.values():
            self.now += storage.nbytes()
            weakref.finalize(storage, self._freed, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return output

    def _freed(self, size: int) -> None:
        self.now -= size
