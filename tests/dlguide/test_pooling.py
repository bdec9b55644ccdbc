"""Pooling against PyTorch: values, places and gradients in float64, ties, errors, PyTorch's own samples."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlguide.functional import (
    _adaptive,
    _pool,
    adaptive_average_pooling,
    adaptive_max_pooling,
    average_pooling,
    lp_pooling,
    max_pooling,
)

MODULES = (max_pooling, average_pooling, lp_pooling, adaptive_average_pooling, adaptive_max_pooling)
OURS = {name: getattr(module, name) for module in MODULES for name in vars(module) if "pool" in name}
NAMES = [f"{kind}_pool{dims}d" for kind in ("max", "avg", "lp", "adaptive_avg", "adaptive_max") for dims in (1, 2)]
ADAPTIVE = [name for name in NAMES if "adaptive" in name]


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=dtype)


def close(a, b, case, rtol=1e-10, atol=1e-12):
    assert a.shape == b.shape, f"{case}: {tuple(a.shape)} is not {tuple(b.shape)}"
    assert a.dtype == b.dtype, f"{case}: {a.dtype} is not {b.dtype}"
    assert torch.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True), f"{case}: {(a - b).abs().max()} apart"


def agree(name, x, args, options, rtol=1e-10, atol=1e-12):
    """Value, hand-written backward, autograd through our forward, and places, each against PyTorch's."""
    case = f"{name} {tuple(x.shape)} {args} {options}"
    leaf = x.clone().requires_grad_()
    theirs, ours = (function(leaf, *args, **options) for function in (getattr(F, name), OURS[name]))
    close(ours, theirs, case, rtol, atol)
    g = numbers(*theirs.shape, seed=9, dtype=x.dtype)
    truth = torch.autograd.grad(theirs, leaf, g)[0]
    close(torch.autograd.grad(ours, leaf, g)[0], truth, f"{case}: autograd", rtol, atol)
    close(OURS[f"{name}_backward"](g, x, *args, **options), truth, f"{case}: by hand", rtol, atol)
    if "max" in name:
        values, places = OURS[name](x, *args, **options, return_indices=True)
        _, true = getattr(F, name)(x, *args, **options, return_indices=True)
        assert torch.equal(places, true), f"{case}: places"
        assert torch.equal(values, ours), case


def picture(name, n=7, batch=(2,), seed=0):
    """Positive for LP, whose root of a negative sum is no number."""
    x = numbers(*batch, 3, n, seed=seed) if "1d" in name else numbers(*batch, 3, n, n + 1, seed=seed)
    return x.abs() if name.startswith("lp") else x


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d"])
def test_max_pooling_equals_torch(name):
    for k, stride, padding, dilation, ceil in itertools.product((1, 2, 3), (None, 1, 3), (0, 1), (1, 2), (False, True)):
        if 2 * padding <= k:
            options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil}
            agree(name, picture(name), (k,), options)


@pytest.mark.parametrize("name", ["avg_pool1d", "avg_pool2d"])
def test_average_pooling_equals_torch(name):
    for k, stride, padding, ceil, count in itertools.product((1, 2, 3), (None, 1, 3), (0, 1), (False, True), (0, 1)):
        if 2 * padding <= k:
            options = {"stride": stride, "padding": padding, "ceil_mode": ceil, "count_include_pad": bool(count)}
            agree(name, picture(name), (k,), options)
            if "2d" in name:
                agree(name, picture(name), (k,), {**options, "divisor_override": 3})
                agree(name, picture(name), (k,), {**options, "divisor_override": -2})


@pytest.mark.parametrize("name", ["lp_pool1d", "lp_pool2d"])
def test_lp_pooling_equals_torch(name):
    for p, k, stride, ceil in itertools.product((1, 2, 3.5, -1), (1, 3), (None, 2), (False, True)):
        agree(name, picture(name), (p, k), {"stride": stride, "ceil_mode": ceil})
    signed = numbers(*picture(name).shape)
    agree(name, signed, (2, 2), {})  # squares need no absolute value
    agree(name, signed, (1, 2), {})
    agree(name, signed, (3, 2), {})  # a negative sum: not a number, in both
    zero = picture(name)
    zero[:, :, :4] = 0  # after ReLU whole windows are 0: the gradient is 0, not NaN
    agree(name, zero, (2, 2), {})
    agree(name, torch.zeros_like(zero), (3, 2), {})


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_pooling_equals_torch(name):
    for n, out in itertools.product((1, 2, 5, 7, 12), (1, 2, 3, 5, 8)):
        agree(name, picture(name, n), (out,), {})
    if "2d" in name:
        for pair in ((1, 3), (None, 2), [4, None], (None, None)):
            agree(name, picture(name), (pair,), {})


@pytest.mark.parametrize("name", NAMES)
def test_edge_cases_equal_torch(name):
    size = (2,) if not name.startswith("lp") else (2, 2)
    for batch in ((), (1,), (0,)):
        if batch != (0,) or name != "max_pool1d":
            agree(name, picture(name, batch=batch), size, {})
    if name not in ADAPTIVE:
        whole = (*size[:-1], 7)
        agree(name, picture(name), whole, {})  # kernel = input
        agree(name, picture(name), size, {"stride": 5})
    agree(name, picture(name).float(), size, {}, rtol=1e-5, atol=1e-5)
    agree(name, 1e4 * picture(name), size, {}, atol=1e-6)
    x = picture(name)
    x[0, 0, 3] = float("inf")
    close(OURS[name](x, *size), getattr(F, name)(x, *size), f"{name} inf")
    if "2d" in name and name not in ADAPTIVE:
        pair = (*size[:-1], (2, 3))
        agree(name, picture(name), pair, {"stride": (3, 1)})
        agree(name, picture(name).mT, pair, {})


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"])
def test_ties_go_to_the_first(name):
    x = torch.zeros_like(picture(name))
    agree(name, x, (3,), {})
    agree(name, x - float("inf"), (3,), {})
    agree(name, picture(name).round(), (3,), {})
    if "adaptive" not in name:
        for flat in (x, x - float("inf"), x - 1):  # the padding never wins
            agree(name, flat, (3,), {"padding": 1, "stride": 1})
            agree(name, flat, (2,), {"padding": 1, "ceil_mode": True, "dilation": 2})
        assert OURS[name](torch.arange(6).reshape(1, 1, 6) if "1d" in name else torch.arange(6).reshape(1, 2, 3),
                          2).dtype == torch.int64  # whole numbers, too
    nan = picture(name)
    nan[0, 0, 2] = float("nan")
    close(OURS[name](nan, 3), getattr(F, name)(nan, 3), f"{name} NaN")


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    x = picture(name, 4, (1,)).requires_grad_()
    size = (2,) if not name.startswith("lp") else (3, 2)
    options = {} if name in ADAPTIVE else {"stride": 1, "ceil_mode": True}
    assert torch.autograd.gradcheck(lambda x: OURS[name](x, *size, **options), x)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("lp")])
def test_samples_of_torch(name):
    from torch.testing._internal.common_methods_invocations import op_db

    [op] = [op for op in op_db if op.name == f"nn.functional.{name}"]
    seen = 0
    for sample in op.sample_inputs("cpu", torch.float64):
        options = {k: v for k, v in sample.kwargs.items() if k != "return_indices"}
        positional = sample.args[0] if name in ADAPTIVE and sample.args else options.get("output_size", 1)
        if positional != 0 and 0 not in (positional if isinstance(positional, tuple) else ()):
            agree(name, sample.input.detach(), sample.args[:1] if name in ADAPTIVE else sample.args, options)
            seen += 1
    assert seen > 3


@settings(deadline=None, max_examples=25, derandomize=True)
@given(n=st.integers(1, 30), out=st.integers(1, 30))
def test_adaptive_windows(n, out):
    """They cover everything, begin and end in order, and differ in size by one at most when they share."""
    seen, own = _adaptive.adaptive_places(n, out, torch.device("cpu"))
    windows = [set(seen[:, i][own[:, i]].tolist()) for i in range(out)]
    assert set.union(*windows) == set(range(n))
    assert max(map(len, windows)) - min(map(len, windows)) <= 1
    assert all(min(a) <= min(b) and max(a) <= max(b) for a, b in itertools.pairwise(windows))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(n=st.integers(3, 20), k=st.integers(1, 3), s=st.integers(1, 4), seed=st.integers(0, 99))
def test_gradients_are_neither_lost_nor_made(n, k, s, seed):
    """Max routes and mean spreads: both keep the sum."""
    x = numbers(1, 2, n, seed=seed)
    for name in ("max_pool1d", "avg_pool1d"):
        g = numbers(*OURS[name](x, k, s).shape, seed=seed + 1)
        assert torch.isclose(OURS[f"{name}_backward"](g, x, k, s).sum(), g.sum(), rtol=1e-10, atol=1e-12)


BAD = [  # name, shape, arguments, what the sentence says
    ("max_pool2d", (4, 4), (2,), r"\(N, C, H, W\)"), ("max_pool1d", (4,), (2,), r"\(N, C, L\)"),
    ("avg_pool2d", (1, 1, 1, 4, 4), (2,), "unsqueeze"), ("max_pool2d", (1, 1, 4, 0), (2,), "channels and pixels"),
    ("max_pool2d", (1, 1, 4, 4), (5,), "fits into"), ("avg_pool1d", (1, 1, 4), (5,), "fits into"),
    ("max_pool2d", (1, 1, 4, 4), (2, 0), "stride of at least 1"), ("avg_pool2d", (1, 1, 4, 4), (0,), "at least 1"),
    ("max_pool2d", (1, 1, 4, 4), (2, 1, 2), "half of the kernel"),
    ("avg_pool2d", (1, 1, 4, 4), (2, 1, 2), "half of the kernel"),
    ("max_pool1d", (1, 1, 4), (2, 1, -1), "at least 0"), ("max_pool2d", (1, 1, 4, 4), ((1, 2, 3),), "one number or 2"),
    ("avg_pool2d", (1, 1, 4, 4), (2.5,), "whole number"),
    ("avg_pool2d", (1, 1, 4, 4), (2, 2, 0, False, True, 0), "divisor_override"),
    ("lp_pool2d", (1, 1, 4, 4), (0, 2), "norm_type"), ("lp_pool1d", (1, 1, 4), (2, 5), "fits into"),
    ("adaptive_avg_pool2d", (4, 4), (2,), r"\(N, C, H, W\)"), ("adaptive_max_pool1d", (4,), (2,), r"\(N, C, L\)"),
    ("adaptive_avg_pool1d", (1, 1, 4), ((2, 2),), "1 numbers"),
    ("adaptive_avg_pool2d", (1, 1, 4, 4), (-1,), "at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "args", "says"), BAD)
def test_bad_input_raises_as_torch(name, shape, args, says):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        getattr(F, name)(numbers(*shape), *args)
    with pytest.raises(theirs.type, match=says) as ours:
        OURS[name](numbers(*shape), *args)
    assert str(ours.value).startswith("expected ")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("lp")])
def test_a_gradient_of_another_shape_is_refused(name):
    x = picture(name, 6)
    with pytest.raises(RuntimeError, match="shape of the output"):
        OURS[f"{name}_backward"](torch.ones_like(x), x, 2)


def test_pooling_layers_of_torch_have_no_parameters():
    for kind in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)):
        assert list(kind.parameters()) == []


FAULTS = [
    (max_pooling, "largest_backward", "max_pool2d", lambda right: lambda g, *rest: 2 * right(g, *rest)),
    (max_pooling, "largest", "max_pool1d", lambda right: lambda x, flat: right(-x, flat)),
    (_pool, "take", "max_pool1d", lambda right: lambda x, flat: right(x, flat).flip(-2)),  # the last of equal entries
    (average_pooling, "average_backward", "avg_pool2d", lambda right: lambda g, *rest: -right(g, *rest)),
    (_pool, "add_windows", "avg_pool1d", lambda right: lambda v, size, s: right(v, size, s).roll(1, -1)),
    (lp_pooling, "prod", "lp_pool2d", lambda right: lambda kernel: 1),
    (adaptive_average_pooling, "mean_backward", "adaptive_avg_pool2d", lambda right: lambda *a: right(*a) / 2),
]  # fmt: skip


@pytest.mark.parametrize(("module", "part", "name", "fault"), FAULTS)
def test_a_planted_fault_is_seen(monkeypatch, module, part, name, fault):
    x, args = picture(name).round(), (2, 2) if name.startswith("lp") else (2,)
    agree(name, x, args, {})
    monkeypatch.setattr(module, part, fault(getattr(module, part)))
    with pytest.raises(AssertionError):
        agree(name, x, args, {})
