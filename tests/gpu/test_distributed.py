"""One process with the tools of many: nccl, DDP and FSDP2 with a world of one give what a plain model gives."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from dlguide.data import TensorBatches, load
from dlguide.models import MLP
from dlguide.train import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
KINDS = ("DDP", "FSDP2")


@contextlib.contextmanager
def one_process(device: str, folder: Path) -> Iterator[None]:
    """A process group of this process alone, which meets itself through a file."""
    backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
    there = torch.device("cuda", 0) if backend == "nccl" else None
    store = dist.FileStore(str(folder / "store"), 1)
    dist.init_process_group(backend, store=store, rank=0, world_size=1, device_id=there)
    try:
        yield
    finally:
        dist.destroy_process_group()


def collectives(device: str, folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """What each exchange gives, and what it gives among one."""
    x = torch.arange(6.0, device=device).view(2, 3)
    with one_process(device, folder):
        results = {"all_reduce": x.clone(), "broadcast": x.clone(), "reduce_scatter": torch.zeros_like(x),
                   "all_gather": torch.zeros_like(x)}  # fmt: skip
        dist.all_reduce(results["all_reduce"])
        dist.broadcast(results["broadcast"], src=0)
        dist.all_gather_into_tensor(results["all_gather"], x)
        dist.reduce_scatter_tensor(results["reduce_scatter"], x)
        dist.barrier()
    assert not dist.is_initialized()
    return {name: (value.cpu(), x.cpu()) for name, value in results.items()}


def trained(kind: str, device: str, folder: Path) -> tuple[list[Tensor], dict[str, float]]:
    """Weights and validation after twelve steps of a plain model, or of one that a tool has wrapped."""
    torch.manual_seed(0)
    model: nn.Module = MLP(64, hidden=(32, 32)).to(device)
    data = load("digits")
    with one_process(device, folder) if kind != "plain" else contextlib.nullcontext():
        if kind == "DDP":
            model = DistributedDataParallel(model)
        if kind == "FSDP2":
            mesh = dist.init_device_mesh(torch.device(device).type, (1,))
            for layer in model.layers:  # type: ignore[union-attr]
                if isinstance(layer, nn.Linear):
                    fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        trainer = Trainer(model, optimizer, device=device, accumulate=2, clip=1.0)
        trainer.fit(TensorBatches(data.train, 64, shuffle=True, device=device), steps=12)
        measured = trainer.evaluate(TensorBatches(data.validation, 512, device=device))
        weights = [p.full_tensor() if kind == "FSDP2" else p for p in model.parameters()]  # type: ignore[attr-defined]
    return [w.detach().cpu() for w in weights], measured


@pytest.mark.parametrize("name", ["all_reduce", "broadcast", "all_gather", "reduce_scatter"])
def test_an_exchange_among_one_changes_nothing(name, tmp_path):
    given, expected = collectives("cuda", tmp_path)[name]
    assert torch.equal(given, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_world_of_one_trains_like_a_plain_model(kind, tmp_path):
    weights, measured = trained(kind, "cuda", tmp_path)
    plain, expected = trained("plain", "cuda", tmp_path)
    for a, b in zip(weights, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert measured == pytest.approx(expected, rel=1e-4)
