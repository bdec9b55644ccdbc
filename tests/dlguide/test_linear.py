"""dlguide.functional.linear and layers.linear against torch."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlguide.functional.linear import linear, linear_backward
from dlguide.layers.linear import Linear


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(ours, theirs, rtol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (1,), (5,), (0,), (2, 3), (2, 0, 4)])
@pytest.mark.parametrize(("m", "n"), [(3, 4), (1, 1), (2, 0), (0, 3)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_torch(lead, m, n, with_bias):
    x, W, b = randn(*lead, n).requires_grad_(), randn(m, n, seed=1).requires_grad_(), randn(m, seed=2).requires_grad_()
    out = F.linear(x, W, b if with_bias else None)
    g = randn(*out.shape, seed=3)
    ours = linear(x, W, b if with_bias else None)
    near(ours, out)
    inputs = [x, W, b] if with_bias else [x, W]
    want = torch.autograd.grad(out, inputs, g)
    for got in (torch.autograd.grad(ours, inputs, g), linear_backward(g, x.detach(), W.detach())[: len(inputs)]):
        for a, c in zip(got, want, strict=True):
            near(a, c)


def test_gradcheck_and_float32():
    args = [randn(2, 3, 4).requires_grad_(), randn(5, 4).requires_grad_(), randn(5).requires_grad_()]
    assert torch.autograd.gradcheck(linear, args)
    near(linear(*(a.float() for a in args)), F.linear(*(a.float() for a in args)), rtol=1e-5)


@pytest.mark.parametrize(("shapes", "said"), [
    (((2, 3), (4, 5), None), r"expected input of shape \(..., 5\) .* got \(2, 3\)"),
    (((), (4, 5), None), "the last dimension"),
    (((2, 3), (4, 3), (3,)), r"one bias for each of the 4 neurons, got shape \(3,\)"),
    (((2, 3), (1, 4, 3), None), r"expected weight of shape \(m, n\)"),
])
def test_bad_shapes(shapes, said):
    tensors = [None if s is None else randn(s) for s in shapes]
    with pytest.raises(RuntimeError):
        F.linear(*tensors)
    with pytest.raises(RuntimeError, match=said):
        linear(*tensors)


def test_bad_gradient_and_dtype():
    with pytest.raises(RuntimeError, match=r"grad_output in the shape \(2, 4\) of the output, got \(2, 3\)"):
        linear_backward(randn(2, 3), randn(2, 3), randn(4, 3))
    with pytest.raises(RuntimeError, match="dtype"):
        linear(randn(2, 3), randn(4, 3).float())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layer(bias, dtype):
    theirs = nn.Linear(5, 3, bias=bias, dtype=dtype)
    ours = Linear.load_from_torch(theirs)
    x = randn(4, 5).to(dtype)
    assert repr(ours) == repr(theirs)
    assert ours.weight.dtype == dtype
    near(ours(x), theirs(x), rtol=1e-5 if dtype == torch.float32 else 1e-10)
    assert ours.weight.data_ptr() != theirs.weight.data_ptr()
    theirs.load_state_dict(Linear(5, 3, bias=bias, dtype=dtype).state_dict())


@pytest.mark.parametrize("bias", [True, False])
def test_same_start_as_torch(bias):
    """The same seed gives the same numbers: the default is the same rule, drawn in the same order."""
    layers = []
    for kind in (Linear, nn.Linear):
        torch.manual_seed(0)
        layers.append(kind(7, 300, bias=bias))
    for a, b in zip(*(layer.parameters() for layer in layers), strict=True):
        assert torch.equal(a, b)
        assert a.abs().max() <= 1 / math.sqrt(7)


def test_layer_without_inputs():
    layer = Linear(0, 3)
    assert torch.equal(layer(torch.zeros(2, 0)), torch.zeros(2, 3))
