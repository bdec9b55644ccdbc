"""A device that is the CPU in disguise: it computes like the CPU and refuses tensors that were left on the CPU.

A machine without a GPU can so find out whether code takes its tensors to the device of its inputs. PyTorch has a device
"meta" without numbers; here its tensors carry numbers. Inside `pretend()`, `device="meta"` makes such tensors, an
operation that mixes them with CPU tensors raises (a CPU tensor of one number is allowed, as on a GPU), and a result
is on "meta" if and only if it would be on the GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "meta"
CPU_ALLOWED = (  # what takes indices or lengths from the CPU on a GPU too
    torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten._pack_padded_sequence.default,
    torch.ops.aten._pack_padded_sequence_backward.default,
)  # fmt: skip


class Away(Tensor):
    """A tensor that says it is on the device, around a CPU tensor with its numbers."""

    @staticmethod
    def __new__(cls, real: Tensor) -> Away:
        made: Away = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, real.shape, strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype,
            device=DEVICE,
        )  # fmt: skip
        return made

    def __init__(self, real: Tensor) -> None:
        self.real_numbers = real

    def item(self) -> Any:
        """PyTorch refuses this for its own device "meta", which has no numbers."""
        return self.real_numbers.item()

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(func, args, kwargs or {})


class Pretend(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Numbers(TorchFunctionMode):
    """`torch.tensor(..., device="meta")` drops its numbers before any operation runs: make it elsewhere and move it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation on the numbers, its result where a GPU would leave it."""
    given = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    away = [t for t in given if isinstance(t, Away)]
    wanted = kwargs.get("device")
    moves = func is torch.ops.aten.copy_.default  # the one that may read from another device
    left = [t for t in given if not isinstance(t, Away) and t.dim() > 0]
    if away and left and not moves and func not in CPU_ALLOWED:
        raise RuntimeError(f"{func} mixes tensors on the device with a CPU tensor of shape {list(left[0].shape)}")
    goes = torch.device(wanted).type == DEVICE if wanted is not None else bool(away)
    if moves:
        goes = isinstance(args[0], Away)
    plain = tree_map(lambda t: t.real_numbers if isinstance(t, Away) else t, (args, kwargs))
    if wanted is not None:
        plain[1]["device"] = torch.device("cpu")
    out = func(*plain[0], **plain[1])
    wrapped = tree_map(lambda t: Away(t) if isinstance(t, Tensor) and goes else t, out)
    if func is torch.ops.aten._pack_padded_sequence.default:
        return wrapped[0], out[1]  # the batch sizes stay on the CPU
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if away and goes else wrapped


@contextlib.contextmanager
def pretend() -> Iterator[str]:
    """Give the name of the device."""
    was = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # or a weight under two names would become two
    try:
        with Pretend(), Numbers():
            yield DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(was)
