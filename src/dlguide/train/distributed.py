"""Several processes that train one model, started by torchrun; one process alone needs none of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer


def is_distributed() -> bool:
    """Whether a process group was started."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Return the number of this process, from 0; the process 0 writes files and shows progress."""
    return dist.get_rank() if is_distributed() else 0


def plain(model: nn.Module) -> nn.Module:
    """Return the model without the wrapper that exchanges its gradients."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def total(count: int, flag: bool, device: torch.device) -> tuple[int, bool]:
    """Return the sum of a count over all processes, and whether the flag is set in any of them."""
    if not is_distributed():
        return count, flag
    both = torch.tensor([count, int(flag)], device=device)
    dist.all_reduce(both)
    return int(both[0]), bool(both[1])


def add_up(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    if is_distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


@contextlib.contextmanager
def without_exchange(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Let gradients add up in each process; they are exchanged by the last backward pass of a step."""
    if wanted and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif hasattr(model, "set_requires_gradient_sync"):  # FSDP2
        model.set_requires_gradient_sync(not wanted)
        yield
    else:
        yield


def weights(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of the model and of the optimizer."""
    return plain(model).state_dict(), optimizer.state_dict()


def load_weights(model: nn.Module, optimizer: Optimizer, saved: dict[str, Any], moments: dict[str, Any]) -> None:
    """Put states back that `weights` returned."""
    plain(model).load_state_dict(saved)
    optimizer.load_state_dict(moments)
