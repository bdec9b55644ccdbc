"""Small runs that the tests of the trainer share: data that can be learned, a net that draws numbers."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.data import TensorBatches
from dlguide.train import Trainer


def points(n=50, features=6, classes=3, seed=0, dtype=torch.float32):
    """Examples whose class is the largest of their first numbers."""
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return TensorDataset(x, x[:, :classes].argmax(1))


def batches(n=50, size=8, seed=0, **options):
    return TensorBatches(points(n), size, **({"shuffle": True, "seed": seed} | options))


def net(seed=0, p=0.3, dtype=torch.float32):
    """BatchNorm has buffers, dropout draws random numbers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p), nn.Linear(8, 3)
    ).to(dtype)


class Own(nn.Module):
    """A forward of its own around another module: before PyTorch 2.14, compile() passes over those of nn in silence."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def trainer(*callbacks, lr=0.05, scheduler=True, seed=0, p=0.3, **options):
    """Adam with a scheduler: both have a memory of their own."""
    model = net(seed, p)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60) if scheduler else None
    return Trainer(model, optimizer, scheduler=cosine, callbacks=callbacks, device="cpu", seed=seed, **options)


def bits(model):
    """Everything in a model, ready to be compared bit for bit."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    """Whether two states hold the same bits."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
