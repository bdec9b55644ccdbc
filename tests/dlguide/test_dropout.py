"""Dropout draws the very masks of PyTorch; its values, gradients and refusals are PyTorch's."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dlguide.functional import alpha_dropout as alpha
from dlguide.functional import dropout as drop

ANY = {"dropout": drop.dropout, "alpha_dropout": alpha.alpha_dropout}
CHANNELS = {"dropout1d": drop.dropout1d, "dropout2d": drop.dropout2d,
            "feature_alpha_dropout": alpha.feature_alpha_dropout}
ALL: dict[str, Any] = {**ANY, **CHANNELS}
SHAPES: dict[str, Any] = {
    "dropout1d": [(2, 3, 5), (3, 5), (0, 3, 5)], "dropout2d": [(2, 3, 4, 5), (0, 3, 2, 2), (1, 1, 1, 1)],
    "feature_alpha_dropout": [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2)],
}


def numbers(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def both(name, x, *options):
    """The results of both libraries after the same seed, and the next draw of each."""
    results = []
    for function in (ALL[name], getattr(F, name)):
        torch.manual_seed(11)
        leaf = x.clone().requires_grad_()
        y = function(leaf, *options)
        grad = torch.autograd.grad(y, leaf, torch.ones_like(y) * 3)[0]
        results.append((y.detach(), grad, torch.rand(1)))
    return results


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("name", ALL)
def test_same_draws_values_and_gradients(name, p, dtype):
    for shape in SHAPES.get(name, [(), (1,), (100,), (3, 4, 5), (0, 2)]):
        for training in (True, False):
            ours, theirs = both(name, numbers(*shape, dtype=dtype), p, training)
            close = {"rtol": 1e-12, "atol": 1e-15} if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-6}
            torch.testing.assert_close(ours, theirs, **close, msg=f"{shape}, training={training}")


@pytest.mark.parametrize("name", ALL)
def test_defaults(name):
    x = numbers(*SHAPES.get(name, [(50,)])[0])
    ours, theirs = both(name, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)


def test_layouts_draw_as_torch():
    x = numbers(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for other in (x, x.transpose(1, 2), x[:, ::2]):
        ours, theirs = both("dropout", other, 0.5)
        torch.testing.assert_close(ours, theirs)


def test_evaluation_is_the_identity():
    x = numbers(2, 3, 4, 5)
    for name, function in ALL.items():
        if name != "dropout1d":
            assert function(x, 0.7, False) is x


def test_backward_by_hand():
    for shape, channels in (((4, 5), False), ((2, 3, 4), True)):
        for p in (0.0, 0.25, 0.9, 1.0):
            x, g = numbers(*shape).requires_grad_(), numbers(*shape) + 1
            torch.manual_seed(3)
            mask = drop.dropout_mask(x.detach(), p, channels)
            torch.manual_seed(3)
            y = F.dropout1d(x, p) if channels else F.dropout(x, p)
            torch.testing.assert_close(drop.dropout_backward(g, mask, p), torch.autograd.grad(y, x, g)[0])


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_two_values_and_the_mean(p, seed):
    torch.manual_seed(seed)
    x = torch.ones(20_000, dtype=torch.float64)
    y = drop.dropout(x, p)
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / (1 - p))
    assert (y.mean() - 1).abs() < 6 * (p / (1 - p) / 20_000) ** 0.5
    assert (kept.double().mean() - (1 - p)).abs() < 6 * (p * (1 - p) / 20_000) ** 0.5


def test_channels_go_as_a_whole():
    torch.manual_seed(0)
    y = drop.dropout2d(torch.ones(50, 8, 3, 3), 0.5)
    assert {tuple(sorted(set(channel.tolist()))) for channel in y.flatten(2).flatten(0, 1)} == {(0.0,), (2.0,)}


def test_alpha_dropout_keeps_mean_and_variance():
    torch.manual_seed(0)
    x = torch.randn(400_000, dtype=torch.float64)
    for p in (0.1, 0.5, 0.8):
        y = alpha.alpha_dropout(x, p, training=True)
        assert abs(y.mean().item()) < 0.01
        assert abs(y.var().item() - 1) < 0.02
        assert abs(drop.dropout(x, p).var().item() * (1 - p) - 1) < 0.02  # plain dropout: 1 / (1 - p)


def test_samples_of_torch():
    from torch.testing._internal.common_methods_invocations import op_db

    seen = set()
    for info in op_db:
        name = info.name.removeprefix("nn.functional.")
        if name not in ALL:
            continue
        for sample in info.sample_inputs("cpu", torch.float64):
            results = []
            options = {k: v for k, v in sample.kwargs.items() if k != "inplace"}
            for function in (ALL[name], getattr(F, name)):
                torch.manual_seed(4)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # dropout2d of three dimensions
                    results.append(function(sample.input.clone(), *sample.args, **options))
            torch.testing.assert_close(*results, rtol=1e-12, atol=1e-15)
            seen.add(name)
    assert seen >= {"dropout", "dropout2d", "alpha_dropout", "feature_alpha_dropout"}


def test_gradcheck():
    def seeded(x):
        torch.manual_seed(0)
        return drop.dropout(x, 0.4) + alpha.alpha_dropout(x, 0.4, training=True)

    assert torch.autograd.gradcheck(seeded, (numbers(3, 4).requires_grad_(),))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("p", [-0.1, 1.1, float("inf")])
def test_refused_probability(name, p):
    x = torch.ones(SHAPES.get(name, [(2, 3)])[0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(F, name)(x, p)
    with pytest.raises(ValueError, match=r"expected p, the probability of zero, in \[0, 1\], got"):
        ALL[name](x, p)


def test_refused_shapes_and_types():
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        drop.dropout_backward(torch.ones(2), torch.ones(2), 2.0)
    for name, x, said in (
        ("dropout1d", torch.ones(2), r"\[N, C, L\] or \[C, L\], got \[2\]"),
        ("dropout1d", torch.ones(1, 2, 3, 4), "got"),
        ("feature_alpha_dropout", torch.ones(2), r"\[N, C, \.\.\.\]"),
        ("dropout", torch.ones(2).long(), "input.float()"),
    ):
        with pytest.raises(RuntimeError):
            getattr(F, name)(x, 0.5, True)
        with pytest.raises(RuntimeError, match=said):
            ALL[name](x, 0.5, True)
    for shape in ((2, 3, 4), (2, 3)):
        with pytest.warns(UserWarning, match=r"expected an input of shape \[N, C, H, W\]"):
            drop.dropout2d(torch.ones(shape))
