"""dlguide.init against torch.nn.init: the same numbers where the algorithm is the same, else the distribution."""

import inspect
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn import init as theirs

from dlguide import init as ours

SHAPES = [(3, 5), (5, 3), (4, 4), (1, 7), (6, 2, 3), (2, 3, 4, 5), (7, 1)]


def draw(module, name, shape, dtype=torch.float64, seed=0, **options):
    tensor = torch.empty(shape, dtype=dtype)
    out = getattr(module, name)(tensor, **options, generator=torch.Generator().manual_seed(seed))
    assert out is tensor
    return tensor


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), [
    *((f"xavier_{d}_", o) for d in ("uniform", "normal") for o in ({}, {"gain": 0.3})),
    *((f"kaiming_{d}_", o) for d in ("uniform", "normal") for o in (
        {}, {"mode": "fan_out"}, {"nonlinearity": "relu"}, {"a": math.sqrt(5)}, {"a": 0.2, "mode": "FAN_OUT"},
        {"nonlinearity": "tanh"}, {"nonlinearity": "selu"}, {"nonlinearity": "linear"})),
])
def test_same_numbers_as_torch(name, options, shape, dtype):
    assert torch.equal(draw(ours, name, shape, dtype, **options), draw(theirs, name, shape, dtype, **options))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1, 0.3, math.sqrt(2)])
def test_orthogonal(shape, gain, dtype):
    mine = draw(ours, "orthogonal_", shape, dtype, gain=gain)
    exact = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(mine, draw(theirs, "orthogonal_", shape, dtype, gain=gain), **exact)
    matrix = mine.reshape(shape[0], -1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    identity = torch.eye(len(gram), dtype=dtype)
    torch.testing.assert_close(gram, gain**2 * identity, rtol=exact["rtol"], atol=10 * exact["atol"])


def test_orthogonal_favors_no_direction():
    """Without the signs of R, the first entry would be negative every time."""
    signs = [draw(ours, "orthogonal_", (3, 3), seed=s)[0, 0].sign().item() for s in range(100)]
    assert 30 < signs.count(1.0) < 70


@pytest.mark.parametrize("module", [ours, theirs])
@pytest.mark.parametrize(("mean", "std", "a", "b"), [
    (0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, -1, 1.5), (0, 1, 1, 3), (0, 1, -0.1, 0.1), (0, 1, 2, 2.5)])
def test_trunc_normal_distribution(module, mean, std, a, b):
    """Mean and variance of a normal variable between two bounds, by the textbook formulas; and the median."""
    x = draw(module, "trunc_normal_", (200_000,), mean=mean, std=std, a=a, b=b)
    assert a <= x.min()
    assert x.max() <= b
    normal = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    low, high = (torch.tensor((end - mean) / std, dtype=torch.float64) for end in (a, b))
    z = normal.cdf(high) - normal.cdf(low)
    density = [normal.log_prob(end).exp() for end in (low, high)]
    first = (density[0] - density[1]) / z
    second = 1 + (low * density[0] - high * density[1]) / z - first**2
    deviation = std * second.sqrt()
    assert abs(x.mean() - (mean + std * first)) < 5 * deviation / math.sqrt(len(x))
    assert x.var().item() == pytest.approx((std**2 * second).item(), rel=0.02)
    median = mean + std * normal.icdf((normal.cdf(low) + normal.cdf(high)) / 2)
    assert (x < median).double().mean().item() == pytest.approx(0.5, abs=0.006)


def test_trunc_normal_far_out_and_float32():
    x = draw(ours, "trunc_normal_", (10_000,), torch.float32, a=5.0, b=6.0)
    assert x.min() >= 5
    assert x.max() <= 6
    assert x.mean().item() == pytest.approx(5.186, abs=0.01)  # 5 + 1/5 - ...: the tail beyond 5, cut at 6


GAINS = [("linear", None), ("conv1d", None), ("conv2d", None), ("conv3d", None), ("conv_transpose1d", None),
         ("conv_transpose2d", None), ("conv_transpose3d", None), ("sigmoid", None), ("tanh", None), ("relu", None),
         ("leaky_relu", None), ("leaky_relu", 0.2), ("leaky_relu", 1), ("leaky_relu", math.sqrt(5)), ("selu", None)]


@pytest.mark.parametrize(("name", "param"), GAINS)
def test_gain(name, param):
    assert ours.calculate_gain(name, param) == theirs.calculate_gain(name, param)


def test_signatures_are_torchs():
    for name in ours.__all__:
        mine, other = (inspect.signature(getattr(m, name)).parameters for m in (ours, theirs))
        assert list(mine) == list(other), name
        assert [p.default for p in mine.values()] == [p.default for p in other.values()], name


@pytest.mark.parametrize(("name", "arguments", "options", "said"), [
    ("calculate_gain", ("gelu",), {}, "unknown nonlinearity 'gelu'"),
    ("calculate_gain", ("leaky_relu", "steep"), {}, "a number as the slope"),
    ("calculate_gain", ("leaky_relu", True), {}, "a number as the slope"),
    *((name, (torch.empty(3),), {}, r"2 or more dimensions, got shape \(3,\)") for name in (
        "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_")),
    ("kaiming_normal_", (torch.empty(3, 2),), {"mode": "fan"}, "expected mode fan_in or fan_out, got 'fan'"),
    ("kaiming_uniform_", (torch.empty(3, 2),), {"nonlinearity": "swish"}, "unknown nonlinearity"),
])
def test_bad_input(name, arguments, options, said):
    with pytest.raises(ValueError):  # noqa: PT011
        getattr(theirs, name)(*arguments, **options)
    with pytest.raises(ValueError, match=said):
        getattr(ours, name)(*arguments, **options)


@pytest.mark.parametrize("options", [{"std": 0.0}, {"std": -1.0}, {"a": 2.0, "b": -2.0}, {"a": 1.0, "b": 1.0},
                                     {"a": 50.0, "b": 60.0}])
def test_trunc_normal_bad_input(options):
    with pytest.raises(ValueError, match=r"expected std > 0 and a < b|no probability"):
        ours.trunc_normal_(torch.empty(3), **options)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_nothing_to_fill(name):
    for module in (ours, theirs):
        with pytest.warns(UserWarning, match="nothing to initialize|no-op"):
            assert getattr(module, name)(torch.empty(0, 3)).shape == (0, 3)


def test_nothing_to_fill_silently():
    for name in ("xavier_uniform_", "xavier_normal_", "orthogonal_"):
        assert getattr(ours, name)(torch.empty(0, 3)).shape == (0, 3)
    assert ours.trunc_normal_(torch.empty(0)).shape == (0,)


def test_outside_of_autograd():
    for name in set(ours.__all__) - {"calculate_gain"}:
        weight = torch.nn.Parameter(torch.zeros(3, 2))
        getattr(ours, name)(weight)
        assert weight.grad_fn is None
        assert weight.requires_grad
        assert weight.abs().sum() > 0


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["fan_in", "fan_out"]))
def test_variance(m, n, mode):
    """Var(w) = gain^2 / fan, whatever the distribution."""
    draws = torch.cat([draw(ours, f"kaiming_{kind}_", (m, n), seed=s, mode=mode).flatten()
                       for kind in ("uniform", "normal") for s in range(1 + 4000 // (m * n))])
    fan = n if mode == "fan_in" else m
    assert draws.var().item() * fan == pytest.approx(2, rel=0.15)
