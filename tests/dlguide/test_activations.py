"""dlguide.functional.activations and layers.activations against torch: values, both kinds of gradients, bad input."""

import math
from functools import partial

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional as F

from dlguide.functional import activations as A
from dlguide.layers.activations import PReLU

X = torch.tensor([-1e4, -745.2, -50, -20, -3, -1, -0.5, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1, 3, 20, 20.5, 50, 745.2, 1e4],
                 dtype=torch.float64)
CASES = [
    ("sigmoid", torch.sigmoid, {}), ("tanh", torch.tanh, {}), ("relu", F.relu, {}), ("selu", F.selu, {}),
    ("silu", F.silu, {}), ("mish", F.mish, {}),
    *(("leaky_relu", F.leaky_relu, o) for o in ({}, {"negative_slope": 0.3}, {"negative_slope": 0.0},
                                                {"negative_slope": -0.5}, {"negative_slope": 2.0})),
    *(("elu", F.elu, o) for o in ({}, {"alpha": 0.5}, {"alpha": 2.5}, {"alpha": 0.0})),
    *(("gelu", F.gelu, o) for o in ({}, {"approximate": "none"}, {"approximate": "tanh"})),
    *(("softplus", F.softplus, o) for o in ({}, {"beta": 2.5}, {"beta": 0.1, "threshold": 3}, {"threshold": 0},
                                            {"beta": -1.0}, {"beta": 3, "threshold": 100})),
]
IDS = [f"{name}-{options}" for name, _, options in CASES]


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradients(f, *inputs, by=None):
    """What autograd says about sum(by * f(inputs))."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    out = f(*leaves)
    return torch.autograd.grad(out, leaves, torch.ones_like(out) if by is None else by)


def near(ours, theirs, rtol=1e-10, atol=1e-13):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)


def check(ours, derivative, theirs, x, **tolerance):
    near(ours(x), theirs(x), **tolerance)
    slope = gradients(theirs, x)[0]
    near(derivative(x), slope, **tolerance)
    near(gradients(ours, x)[0], slope, **tolerance)


@pytest.mark.parametrize(("name", "theirs", "options"), CASES, ids=IDS)
def test_equals_torch(name, theirs, options):
    ours, derivative, theirs = (partial(f, **options) for f in (getattr(A, name), getattr(A, f"{name}_derivative"),
                                                                theirs))
    for x in (X, randn(5, 3, 2) * 4, randn(0, 3), randn(1), randn(()), X[:10].flip(0)[::2]):
        check(ours, derivative, theirs, x)
    for dtype, rtol in ((torch.float32, 2e-5), (torch.bfloat16, 0.05)):
        x = (randn(40) * 4).to(dtype)
        check(ours, derivative, theirs, x, rtol=rtol, atol=rtol)
    before = X.clone()
    ours(X), derivative(X)
    assert torch.equal(X, before)


@pytest.mark.parametrize(("name", "theirs", "options"), CASES, ids=IDS)
def test_slope_at_0_whatever_that_of_clamp_is(name, theirs, options, monkeypatch):
    """At its bound the slope of clamp is 0 or 1, by the version of PyTorch; here it is a half."""
    zero = torch.zeros(1, dtype=torch.float64)
    want = gradients(partial(theirs, **options), zero)[0]

    def clamp(x, min=-math.inf, max=math.inf):
        return torch.minimum(torch.maximum(x, x.new_tensor(min)), x.new_tensor(max))

    monkeypatch.setattr(torch.Tensor, "clamp", clamp)
    near(gradients(partial(getattr(A, name), **options), zero)[0], want)


@pytest.mark.parametrize(("name", "theirs", "options"), CASES, ids=IDS)
def test_infinite_and_nan(name, theirs, options):
    """Where torch gives a number, so do we; nan stays nan."""
    x = torch.tensor([math.inf, -math.inf, math.nan], dtype=torch.float64)
    ours, theirs = getattr(A, name)(x, **options), theirs(x, **options)
    for i in range(3):
        assert theirs[i].isnan() or torch.equal(ours[i], theirs[i]), (x[i], ours[i], theirs[i])
    assert ours[2].isnan()


@pytest.mark.parametrize(("name", "theirs", "options"), CASES, ids=IDS)
def test_differentiable_twice(name, theirs, options):
    x = torch.tensor([-2.3, -0.4, 0.6, 1.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(partial(getattr(A, name), **options), x)
    assert torch.autograd.gradgradcheck(partial(getattr(A, name), **options), x)
    assert torch.autograd.gradcheck(partial(getattr(A, f"{name}_derivative"), **options), x)


def test_all_digits_far_out():
    """1 - sigmoid and 1 - tanh**2 would be 0 here."""
    x = torch.tensor([50.0, -50.0], dtype=torch.float64)
    near(A.sigmoid_derivative(x), torch.full((2,), math.exp(-50), dtype=torch.float64), atol=0)
    near(A.tanh_derivative(x), torch.full((2,), 4 * math.exp(-100), dtype=torch.float64), atol=0)
    near(A.tanh(x * 1e-12), x * 1e-12, atol=0)
    near(A.elu(x * 1e-14), x * 1e-14, atol=0)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-60, 60), min_size=1, max_size=8))
def test_identities(numbers):
    x = torch.tensor(numbers, dtype=torch.float64)
    near(A.sigmoid(x) + A.sigmoid(-x), torch.ones_like(x))
    near(A.tanh(x), 2 * A.sigmoid(2 * x) - 1)
    near(A.relu(x) - A.relu(-x), x)
    near(A.leaky_relu(x, 0.2), A.relu(x) - 0.2 * A.relu(-x))
    near(A.silu(x) - A.silu(-x), x)
    near(A.gelu(x) - A.gelu(-x), x)
    near(A.softplus(x, threshold=1e3) - A.softplus(-x, threshold=1e3), x)
    assert (A.sigmoid_derivative(x) <= 0.25).all()


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5), (0, 3), (1, 3, 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_prelu(shape, count):
    x, w, g = randn(*shape) * 3, randn(count, seed=1), randn(*shape, seed=2)
    if x.numel():
        x.flatten()[0] = 0.0
    near(A.prelu(x, w), F.prelu(x, w))
    dx, dw = gradients(F.prelu, x, w, by=g)
    for ours in (A.prelu_backward(g, x, w), gradients(A.prelu, x, w, by=g)):
        near(ours[0], dx)
        near(ours[1], dw)
    near(A.prelu_derivative(x, w) * g, dx)


def test_prelu_of_a_vector_and_of_a_number():
    for x in (randn(5), randn(())):
        for w in (torch.tensor([0.3], dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)):
            near(A.prelu(x, w), F.prelu(x, w))
            ours, theirs = A.prelu_backward(torch.ones_like(x), x, w), gradients(F.prelu, x, w)
            for a, b in zip(ours, theirs, strict=True):
                near(a, b)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, dim):
    ours, theirs = partial(getattr(A, name), dim=dim), partial(getattr(F, name), dim=dim)
    backward = partial(getattr(A, f"{name}_backward"), dim=dim)
    inf = math.inf
    rows = torch.tensor([[1000.0, 0, -1000], [-inf, 0, 1], [-1e4, 1e4, 1e4], [0, 0, 0]], dtype=torch.float64)
    for x in (randn(2, 3, 4) * 5, rows.reshape(1, 4, 3), rows.T.reshape(1, 3, 4), rows.reshape(4, 3, 1), randn(2, 0, 3),
              randn(1, 1, 1)):
        g = randn(*x.shape, seed=3)
        near(ours(x), theirs(x))
        want = gradients(theirs, x, by=g)[0]
        (by_hand,) = backward(g, x)
        near(by_hand, want)
        near(gradients(ours, x, by=g)[0], want)
    near(ours(rows.reshape(1, 4, 3).float()), theirs(rows.reshape(1, 4, 3).float()), rtol=1e-5)
    assert torch.autograd.gradcheck(ours, randn(2, 2, 2).requires_grad_())
    assert torch.autograd.gradgradcheck(ours, randn(2, 2, 2).requires_grad_())


def test_softmax_where_torch_gives_nan():
    for x in ([-math.inf, -math.inf], [math.inf, 1.0], [math.nan, 1.0]):
        t = torch.tensor(x)
        near(A.softmax(t, 0), F.softmax(t, 0))
        near(A.log_softmax(t, 0), F.log_softmax(t, 0))
    near(A.softmax(torch.tensor(3.0), 0), torch.tensor(1.0))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6), st.floats(-100, 100))
def test_softmax_properties(numbers, shift):
    x = torch.tensor(numbers, dtype=torch.float64)
    p = A.softmax(x, 0)
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    near(A.softmax(x + shift, 0), p, rtol=1e-9, atol=1e-12)
    near(A.log_softmax(x, 0).exp(), p)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_glu(dim):
    for shape in ((2, 4), (6, 2, 3), (0, 2), (4, 10)):
        if shape[dim] % 2:
            continue
        x = randn(*shape) * 3
        out = F.glu(x, dim)
        g = randn(*out.shape, seed=4)
        near(A.glu(x, dim), out)
        want = gradients(partial(F.glu, dim=dim), x, by=g)[0]
        near(A.glu_backward(g, x, dim)[0], want)
        near(gradients(partial(A.glu, dim=dim), x, by=g)[0], want)
    near(A.glu(X[1:]), F.glu(X[1:]))
    near(A.glu_backward(torch.ones(9).double(), X[1:])[0], gradients(F.glu, X[1:])[0])


def test_swiglu():
    def theirs(gate, value):
        return F.silu(gate) * value

    for shape in ((3, 4), (0, 2), (2, 3, 5)):
        gate, value, g = randn(*shape) * 5, randn(*shape, seed=1), randn(*shape, seed=2)
        near(A.swiglu(gate, value), theirs(gate, value))
        want = gradients(theirs, gate, value, by=g)
        for ours in (A.swiglu_backward(g, gate, value), gradients(A.swiglu, gate, value, by=g)):
            for a, b in zip(ours, want, strict=True):
                near(a, b)


BAD = [
    ("gelu", (X,), {"approximate": "erf"}, F.gelu, r'"none" or "tanh", got \'erf\''),
    ("gelu_derivative", (X,), {"approximate": "erf"}, F.gelu, "choose one"),
    ("prelu", (randn(2, 3), randn(2)), {}, F.prelu, r"each of the 3 channels .* got weight of shape \(2,\)"),
    ("prelu", (randn(2, 3), randn(3, 1)), {}, F.prelu, "one slope"),
    ("prelu", (randn(3), randn(3)), {}, F.prelu, "each of the 1 channels"),
    ("softmax", (randn(2, 3), 2), {}, F.softmax, "dim from -2 to 1"),
    ("log_softmax", (randn(2, 3), -3), {}, F.log_softmax, "got -3"),
    ("glu", (randn(2, 3),), {}, F.glu, "even size along dimension -1 .* got 3"),
    ("glu", (randn(()),), {}, F.glu, "a single number"),
    ("glu", (randn(2, 4), 5), {}, F.glu, "Dimension out of range"),
]


@pytest.mark.parametrize(("name", "arguments", "options", "theirs", "said"), BAD)
def test_bad_input(name, arguments, options, theirs, said):
    with pytest.raises((RuntimeError, IndexError)) as their_error:
        theirs(*arguments, **options)
    with pytest.raises(their_error.type, match=said):
        getattr(A, name)(*arguments, **options)


def test_bad_input_of_backward():
    with pytest.raises(RuntimeError, match="one slope"):
        A.prelu_backward(randn(2, 3), randn(2, 3), randn(2))
    with pytest.raises(IndexError, match="dim from"):
        A.softmax_backward(randn(2), randn(2), 3)
    with pytest.raises(RuntimeError, match="even size"):
        A.glu_backward(randn(1), randn(3))
    with pytest.raises(RuntimeError, match=r"one shape, got \(2,\) and \(3,\)"):
        A.swiglu(randn(2), randn(3))


@pytest.fixture(scope="module")
def samples():
    """PyTorch's own test inputs, by the name of the operation."""
    from torch.testing._internal.common_methods_invocations import op_db

    ops = {op.name: op for op in op_db}
    return lambda name: list(ops[name].sample_inputs("cpu", torch.float64))


def test_torchs_own_samples(samples):
    names = ["sigmoid", "tanh", *(f"nn.functional.{n}" for n in (
        "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "glu"))]
    for name in names:
        theirs, ours = torch, getattr(A, name.rsplit(".")[-1])
        for part in name.split("."):
            theirs = getattr(theirs, part)
        for sample in samples(name):
            options = {k: v for k, v in sample.kwargs.items() if k != "inplace"}
            out = theirs(sample.input, *sample.args, **options)
            torch.testing.assert_close(ours(sample.input, *sample.args, **options), out, rtol=1e-10, atol=1e-12)
    for name in ("softmax", "log_softmax"):
        for sample in samples(name):
            if "dtype" in sample.kwargs:
                continue
            dim = sample.args[0] if sample.args else sample.kwargs["dim"]
            torch.testing.assert_close(getattr(A, name)(sample.input, dim), getattr(torch, name)(sample.input, dim))


@pytest.mark.parametrize("options", [{}, {"num_parameters": 3}, {"init": 0.1}, {"num_parameters": 3, "init": -1.0}])
def test_prelu_layer(options):
    theirs = nn.PReLU(**options, dtype=torch.float64)
    ours = PReLU(**options, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    assert torch.equal(ours.weight, theirs.weight)
    theirs.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    ours = PReLU.load_from_torch(theirs)
    x = randn(4, 3)
    near(ours(x), theirs(x))
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    near(ours.weight.grad, theirs.weight.grad)
    theirs.load_state_dict(ours.state_dict())
