"""dlguide.optim.clip against torch.nn.utils: norms of every order, in place, edge cases, errors, faults."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import utils

from dlguide.optim import clip

ORDERS = [2.0, 1, 3.5, 0.5, math.inf, -math.inf, 0, "inf", -1.0]
F64 = torch.float64


def parameters(*gradients):
    made = [nn.Parameter(torch.zeros(())) if g is None else nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for w, g in zip(made, gradients, strict=True):
        w.grad = None if g is None else g.clone()
    return made


def some(dtype=F64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (), (1,), (5,), (2, 1, 3)]
    return [torch.randn(s, generator=generator, dtype=F64).to(dtype) for s in shapes] + [None]


def both(call, gradients):
    """The results of ours and PyTorch's, and the gradients after."""
    results = []
    for module in (clip, utils):
        w = parameters(*gradients)
        results.append((call(module, w), [p.grad for p in w if p.grad is not None]))
    return results


def equal(call, gradients, rtol=1e-10):
    (a, left), (b, right) = both(call, gradients)
    torch.testing.assert_close(a, b, rtol=rtol, atol=1e-13, equal_nan=True)
    torch.testing.assert_close(left, right, rtol=rtol, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("p", ORDERS)
def test_norm_of_every_order(p):
    for limit in (0, 1e-3, 1.0, 1e3, math.inf):
        equal(lambda m, w, limit=limit: m.clip_grad_norm_(w, limit, p), some())
        if p != 0:  # here PyTorch loses the imaginary part, and says so
            equal(lambda m, w, limit=limit: m.clip_grad_norm_(w, limit, norm_type=p), some(torch.complex128))
    equal(lambda m, w: m.get_total_norm([v.grad for v in w if v.grad is not None], p), some())


def test_direction_stays_and_the_norm_is_the_limit():
    w = parameters(*some())
    before = torch.cat([p.grad.flatten() for p in w if p.grad is not None])
    returned = clip.clip_grad_norm_(w, 0.5)
    after = torch.cat([p.grad.flatten() for p in w if p.grad is not None])
    assert returned.item() == pytest.approx(before.norm().item(), rel=1e-12)
    assert after.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert torch.cosine_similarity(before, after, dim=0).item() == pytest.approx(1)
    same_object = w[0].grad
    clip.clip_grad_norm_(w, 100.0)
    assert w[0].grad is same_object
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in w if p.grad is not None]), after, rtol=0, atol=0)


def test_other_dtypes_and_mixtures():
    equal(lambda m, w: m.clip_grad_norm_(w, 0.5), some(torch.float32), rtol=1e-5)
    for dtype in (torch.float16, torch.bfloat16):
        equal(lambda m, w: m.clip_grad_norm_(w, 0.5), some(dtype), rtol=2e-2)
    big = torch.full((3,), 1000.0, dtype=torch.float16)  # its squares are infinite in float16
    assert clip.get_total_norm([big]).item() == pytest.approx(1732, rel=1e-3)
    equal(lambda m, w: m.clip_grad_norm_(w, 0.5), [torch.ones(2, dtype=F64), torch.ones(3)], rtol=1e-6)


@pytest.mark.parametrize("p", [2, 1, math.inf])
def test_not_finite(p):
    for bad in (math.inf, -math.inf, math.nan):
        gradients = [torch.tensor([1.0, bad]), torch.tensor([2.0])]
        equal(lambda m, w: m.clip_grad_norm_(w, 1.0, p), gradients)
        for module, said in ((clip, "expected gradients with a finite norm"), (utils, "non-finite")):
            w = parameters(*gradients)
            with pytest.raises(RuntimeError, match=said):
                module.clip_grad_norm_(w, 1.0, p, error_if_nonfinite=True)
            torch.testing.assert_close(w[1].grad, torch.tensor([2.0]))  # nothing has been changed
            with pytest.raises(RuntimeError, match=said):
                module.get_total_norm(list(gradients), p, error_if_nonfinite=True)


def test_nothing_little_and_zero():
    equal(lambda m, w: m.clip_grad_norm_(w, 1.0), [torch.zeros(3)])
    equal(lambda m, w: m.clip_grad_norm_(w, 1.0), [None, None])
    equal(lambda m, w: m.clip_grad_norm_(w, 1.0), [torch.zeros(0), torch.ones(2)])
    equal(lambda m, w: m.clip_grad_norm_(w[0], 1.0), [torch.ones(2)])
    equal(lambda m, w: m.clip_grad_norm_((p for p in w), 1.0), [torch.ones(2)])
    equal(lambda m, w: m.clip_grad_value_(w[0], 0.5), [torch.ones(2)])
    clip.clip_grad_value_(parameters(None), 0.5)  # here PyTorch 2.15 fails with a sentence about its inside
    equal(lambda m, w: m.get_total_norm(w[0].grad), [torch.ones(2)])
    equal(lambda m, w: m.get_total_norm([]), [None])
    for module in (clip, utils):
        with pytest.warns(UserWarning, match="empty"):
            module.clip_grad_norm_((p for p in list[nn.Parameter]()), 1.0)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-1e4, 1e4, allow_subnormal=False), min_size=1, max_size=6), st.floats(0, 100))
def test_any_numbers(numbers, limit):
    gradients = [torch.tensor(numbers, dtype=F64), torch.tensor(numbers[0], dtype=F64)]
    equal(lambda m, w: m.clip_grad_norm_(w, limit), gradients)
    equal(lambda m, w: m.clip_grad_value_(w, limit), gradients)
    w = parameters(*gradients)
    clip.clip_grad_norm_(w, limit)
    assert clip.get_total_norm([p.grad for p in w]) <= limit * (1 + 1e-12)


def test_values_are_cut():
    for limit in (0, 0.5, math.inf):
        equal(lambda m, w, limit=limit: m.clip_grad_value_(w, limit), some())
    equal(lambda m, w: m.clip_grad_value_(w, 1), [torch.tensor([math.inf, -math.inf, math.nan, 0.3])])


def test_arguments():
    for name in ("clip_grad_norm_", "clip_grad_value_", "get_total_norm"):
        a, b = (inspect.signature(getattr(module, name)).parameters for module in (clip, utils))
        assert [(k, v.default) for k, v in a.items()] == [(k, v.default) for k, v in b.items() if k != "foreach"]
    layer = nn.Linear(1, 1)
    for call in (clip.clip_grad_norm_, clip.clip_grad_value_):
        with pytest.raises(TypeError, match="got a module: pass"):
            call(layer, 1.0)
        with pytest.raises(TypeError):
            call(layer.parameters(), 1.0, foreach=True)  # type: ignore[call-arg]
        for wrong in (-1.0, math.nan):
            with pytest.raises(ValueError, match=r"expected .* at least 0, got .*: choose"):
                call(layer.parameters(), wrong)


@pytest.mark.parametrize(("function", "old", "new"), [
    ("_norm", "pow(1 / p)", "pow(p)"), ("_norm", "x.max() if p > 0", "x.min() if p > 0"),
    ("_norm", "x = x.abs()", "pass"),
    ("clip_grad_norm_", ".clamp(max=1)", ""), ("clip_grad_norm_", "1e-6", "1e-3"),
    ("clip_grad_norm_", "max_norm / (total", "1 / (total"), ("clip_grad_value_", "-clip_value, clip", "0, clip"),
])  # fmt: skip
def test_a_fault_is_seen(function, old, new, monkeypatch):
    source = inspect.getsource(inspect.unwrap(getattr(clip, function)))
    assert old in source
    namespace = dict(vars(clip))
    exec(source.replace(old, new), namespace)
    monkeypatch.setattr(clip, function, namespace[function])

    def all_tests():
        for p in (2.0, 3.0, math.inf):
            test_norm_of_every_order(p)
        test_values_are_cut()

    with pytest.raises((AssertionError, NotImplementedError)):
        all_tests()
