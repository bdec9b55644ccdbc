r"""Several processes that train one model: the same script, started once or by torchrun.

`processes` joins the group that `torchrun` describes in the environment, and does nothing in a script that was started
by hand. `Processes.spread` hands the model to PyTorch's own engines, `DistributedDataParallel` or `fully_shard`. What
follows below them is what the trainer asks: sums over all processes, and when gradients are exchanged. One process
alone gets the answers without any communication.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from dlguide.train.devices import choose_device


@dataclass(frozen=True)
class Processes:
    """The processes that train together, seen from one of them.

    Args:
        rank: number of this process, in `[0, world_size)`; the process 0 writes files and shows progress.
        world_size: number of processes, on all machines together.
        device: what this process computes on.

    Example:
        ```python
        from dlguide.models import MLP
        from dlguide.train import processes

        with processes(device="cpu") as group:
            model = group.spread(MLP(64))
            print(group.rank, group.world_size, len(group.gather(model)))
        ```

        ``` {.text .output}
        0 1 4
        ```

    References:
        - [DistributedDataParallel](https://docs.pytorch.org/docs/stable/notes/ddp.html)
        - [fully_shard](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html)
    """

    rank: int
    world_size: int
    device: torch.device

    def spread(self, model: nn.Module, how: str = "ddp") -> nn.Module:
        """Move a model to the device and let its gradients be averaged; make the optimizer from what is returned.

        All processes begin with the weights of the process 0. One process alone gets the model as it is.

        Args:
            model: any model. It knows nothing of the processes.
            how: `"ddp"`: each process has the whole model (DistributedDataParallel). `"fsdp"`: each process has one
                part of each parameter, and whole ones only while it computes with them (`fully_shard`): for each block
                of the model's `ModuleList`, if it has one, by itself.

        Returns:
            The model for `Trainer`: wrapped for `"ddp"`, the same object for `"fsdp"`.

        Raises:
            ValueError: another name.
        """
        if how not in ("ddp", "fsdp"):
            raise ValueError(f"expected the way to spread a model to be 'ddp' or 'fsdp', got {how!r}")
        model = model.to(self.device)
        if not is_distributed():
            return model
        if how == "ddp":
            gpu = [self.device] if self.device.type == "cuda" else None
            return DistributedDataParallel(model, device_ids=gpu, gradient_as_bucket_view=True)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        for tensor in model.state_dict().values():  # DDP does this by itself
            dist.broadcast(tensor, 0)
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        for stack in reversed([module for module in model.modules() if isinstance(module, nn.ModuleList)]):
            for block in stack:
                fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh, reshard_after_forward=True)  # changes the model itself
        return model

    def gather(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the state of a model as whole tensors on the CPU, for a file that needs no processes.

        Every process must call it, also those that do nothing with the answer.

        Args:
            model: what `spread` returned.
        """
        state = plain(model).state_dict()
        return {name: (t.full_tensor() if is_sharded(t) else t).detach().cpu().clone() for name, t in state.items()}


@contextlib.contextmanager
def processes(device: str | torch.device = "auto", timeout: float = 600.0) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone, do nothing.

    With GPUs each process of a machine takes the one of its `LOCAL_RANK`, and NCCL carries the tensors; gloo carries
    what lies on the CPU. A group that is there already is used and left as it is.

    Args:
        device: `"auto"` (CUDA, else CPU) or `"cpu"` or `"cuda"`; without torchrun what `choose_device` takes.
        timeout: seconds after which a process that waits for another gives up with an error, above 0.

    Yields:
        What this process knows of the others.

    Raises:
        ValueError: a device that is not there, or fewer GPUs than processes on this machine.

    Example:
        ```python
        from dlguide.train import processes

        with processes(device="cpu") as group:  # torchrun --nproc-per-node 4 script.py: 4 times, ranks 0 to 3
            print(f"process {group.rank} of {group.world_size} on {group.device}")
        ```

        ``` {.text .output}
        process 0 of 1 on cpu
        ```

    References:
        - [torchrun](https://docs.pytorch.org/docs/stable/elastic/run.html)
        - [Process groups and backends](https://docs.pytorch.org/docs/stable/distributed.html)
    """
    started = is_distributed()
    if not started and not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield Processes(0, 1, choose_device(device))
        return
    chosen = _device_of_process(device)
    if not started:
        gpu, patience = chosen.type == "cuda", timedelta(seconds=timeout)
        store, number, count = next(rendezvous("env://", timeout=patience))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=_of_this_life(store, number, count, timeout), rank=number, world_size=count,
            timeout=patience, device_id=chosen if gpu else None,
        )  # fmt: skip
    try:
        yield Processes(rank(), world_size(), chosen)
    except BaseException:
        # NCCL would wait here for the processes that wait for this one; the end of the process frees them
        started = started or chosen.type == "cuda"
        raise
    finally:
        if not started:
            _let_go_of_tensors()
            dist.destroy_process_group()


def _let_go_of_tensors() -> None:
    """Give the threads of gloo time to drop the tensors of their last work.

    They do it a moment after they have said that the work is done, and need Python for it. A model that is still there
    keeps them alive, and when Python ends first, they abort the process (pytorch#190489).
    """
    time.sleep(0.1)  # Python is theirs meanwhile


def _of_this_life(store: dist.Store, number: int, count: int, timeout: float) -> dist.Store:
    """Agree on a place in the store that no earlier life of these processes has written to.

    The agent's store outlives the workers that it starts again. An address that a dead process left there would be
    taken for that of the new one, and the connection refused.
    """
    me = uuid.uuid4().hex
    store.set(f"dlguide/{number}", me)
    if number > 0:
        place = store.get(f"dlguide/answer to {me}").decode()  # waits; nobody has answered this name before
        store.set(f"{place}/{number}", "")
        return dist.PrefixStore(place, store)
    end = time.monotonic() + timeout
    for other in range(1, count):
        while not store.check([f"{me}/{other}"]):
            if store.check([f"dlguide/{other}"]):  # perhaps the name of a dead one, then the new one follows
                store.set(f"dlguide/answer to {store.get(f'dlguide/{other}').decode()}", me)
            if time.monotonic() > end:
                raise TimeoutError(f"expected {count} processes, waited {timeout:g} s for process {other}")
            time.sleep(0.01)
    return dist.PrefixStore(me, store)


def _device_of_process(name: str | torch.device) -> torch.device:
    """The GPU of this process, one for each process of a machine, or the CPU."""
    device = choose_device(name)
    if device.type == "mps" and str(name) == "auto":
        device = torch.device("cpu")  # no backend exchanges tensors between MPS devices
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"expected the device 'cpu' or 'cuda' for several processes, got {str(device)!r}")
    if device.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
        if local >= gpus:
            raise ValueError(
                f"expected a GPU for each process of this machine, got {gpus} for process {local}:"
                f" torchrun --nproc-per-node {gpus}, or processes(device='cpu')"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


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


def is_sharded(value: object) -> bool:
    """Whether this is a tensor of which each process has one part."""
    return hasattr(value, "full_tensor")  # torch's DTensor, whose import takes a second


def total(count: int, flag: bool, device: torch.device) -> tuple[int, bool]:
    """Return the sum of a count over all processes, and whether the flag is set in any of them."""
    if not is_distributed():
        return count, flag
    talks = "cpu" if "cpu:" in dist.get_backend_config() else device  # by the CPU, so that a GPU need not be waited for
    both = torch.tensor([count, int(flag)], device=talks)
    dist.all_reduce(both)
    return int(both[0]), bool(both[1])


def add_up(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    if is_distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


def gathered(value: Any) -> list[Any]:
    """Return a plain value of each process, in the order of their ranks."""
    values = [value] * world_size()
    if is_distributed():
        dist.all_gather_object(values, value)
    return values


def share_buffers(model: nn.Module) -> None:
    """Give all processes the buffers of the process 0: each BatchNorm has averaged over the examples that it saw."""
    if is_distributed():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


@contextlib.contextmanager
def without_exchange(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Let gradients add up in each process; they are exchanged by the last backward pass of a step."""
    if wanted and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        exchange: Any = getattr(model, "set_requires_gradient_sync", None)  # of FSDP2
        if exchange is not None:
            exchange(not wanted)
        yield


def weights(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of the model and of the optimizer."""
    return plain(model).state_dict(), optimizer.state_dict()


def load_weights(model: nn.Module, optimizer: Optimizer, saved: dict[str, Any], moments: dict[str, Any]) -> None:
    """Put states back that `weights` returned."""
    plain(model).load_state_dict(saved)
    optimizer.load_state_dict(moments)
