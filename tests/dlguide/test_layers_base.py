"""What the layers share: load_from_torch."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dlguide.functional
import dlguide.layers
from dlguide.layers._base import Layer
from dlguide.layers.activations import PReLU
from dlguide.layers.linear import Linear


def test_copies_options_weights_mode_and_dtype():
    theirs = nn.Linear(3, 2, dtype=torch.float64).eval()
    ours = Linear.load_from_torch(theirs)
    assert type(ours) is Linear
    assert not ours.training
    assert ours.weight.dtype == torch.float64
    assert torch.equal(ours.weight, theirs.weight)
    with torch.no_grad():
        ours.weight.zero_()
    assert theirs.weight.abs().sum() > 0, "the weights are a copy"
    assert Linear.load_from_torch(nn.Linear(3, 2).train()).training


def test_bias_is_an_option_not_a_tensor():
    assert Linear.load_from_torch(nn.Linear(3, 2, bias=False)).bias is None
    assert Linear.load_from_torch(nn.Linear(3, 2)).bias is not None


def test_other_device():
    ours = PReLU.load_from_torch(nn.PReLU(2, device="meta"))
    assert ours.weight.device.type == "meta"


def test_leaves_the_random_numbers_alone_or_not_but_draws_the_same():
    theirs = nn.Linear(3, 2)
    first, second = Linear.load_from_torch(theirs), Linear.load_from_torch(theirs)
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize("wrong", [nn.PReLU(), nn.Bilinear(1, 1, 1), nn.Linear, 3.0, None])
def test_rejects_another_class(wrong):
    name = "torch.nn." + type(wrong).__name__ if isinstance(wrong, nn.Module) else type(wrong).__name__
    with pytest.raises(TypeError, match=f"expected a torch.nn.Linear to load from, got {name}"):
        Linear.load_from_torch(wrong)


def test_rejects_a_subclass():
    class Own(nn.Linear):
        pass

    with pytest.raises(TypeError, match=r"got torch\.nn\.Own"):
        Linear.load_from_torch(Own(2, 2))


class BatchNorm1d(Layer):
    """A layer whose state is not all floating, and whose first tensor may be missing."""

    def __init__(self, num_features, affine=True):
        super().__init__()
        if affine:
            self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))


@pytest.mark.parametrize("affine", [True, False])
def test_state_with_integers(affine):
    ours = BatchNorm1d.load_from_torch(nn.BatchNorm1d(4, affine=affine, dtype=torch.float64))
    assert ours.running_mean.dtype == torch.float64
    assert ours.num_batches_tracked.dtype == torch.int64


class ReLU(Layer):
    """A layer without state."""


def test_no_state():
    assert isinstance(ReLU.load_from_torch(nn.ReLU()), ReLU)


def pairs() -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """Each public layer and function that has the name of one in torch.nn, with that one."""
    for package, library in ((dlguide.layers, nn), (dlguide.functional, F)):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, mine in vars(importlib.import_module(found.name)).items():
                own = getattr(mine, "__module__", "").startswith(package.__name__)
                if own and not name.startswith("_") and hasattr(library, name):
                    yield name, mine, getattr(library, name)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except ValueError:  # written in C++: Python knows nothing of its arguments
        return {}


def test_defaults_are_torchs():
    """But for the dimension of a softmax, which theirs guesses with a warning, and the 0 of a padding, there None."""
    compared, others = 0, set()
    for name, mine, theirs in pairs():
        want = parameters(theirs)
        for argument, given in parameters(mine).items():
            if argument in want:
                compared += 1
                if given.default != want[argument].default:
                    others.add(f"{name}({argument})")
    assert others == {"softmax(dim)", "log_softmax(dim)", "pad(value)"}
    assert compared > 150
