"""Proofs of the formulas of concepts/computation-graph, and its exercises."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dlguide.graph import trace

PAGE = "concepts/computation-graph"


def leaf(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@pytest.mark.proves("line")
def test_line(formula):
    w, b, x = leaf(2.0), leaf(1.0), torch.tensor(3.0, dtype=torch.float64)
    (w * x + b).backward()
    slopes = {r"\frac{\partial y}{\partial w}": w.grad, r"\frac{\partial y}{\partial b}": b.grad}
    formula("line").holds({**slopes, "x": x})


@pytest.mark.proves("loop")
@pytest.mark.parametrize(("start", "turns"), [(7.0, 0), (3.0, 1), (1.5, 2), (1.25, 3), (1.01, 8)])
def test_loop(page, formula, start, turns):
    x = leaf(start)
    y, n = page(PAGE)["square_up"](x)
    assert n == turns
    (slope,) = torch.autograd.grad(y, x)
    formula("loop").holds({"y": y, r"\frac{dy}{dx}": slope, "x": x, "n": n})


@pytest.mark.proves("kept-bytes")
@pytest.mark.parametrize(("n", "d", "h", "k"), [(100, 64, 32, 10), (1, 3, 5, 2), (7, 4, 9, 1)])
def test_kept_bytes(formula, n, d, h, k):
    model = nn.Sequential(nn.Linear(d, h), nn.ReLU(), nn.Linear(h, k))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = nn.functional.mse_loss(model(torch.rand(n, d)), torch.rand(n, k))
    assert loss.requires_grad
    kept = sum(size for place, size in sizes.items() if place not in own)
    formula("kept-bytes").holds({r"\text{bytes}": kept, "N": n, "d": d, "h": h, "k": k})


def check_share(solution: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = leaf(0.7), leaf(-1.3)
    result = solution(a, b)
    assert len(trace(result).operations) == 3
    expected = (a * b).sin() + a * b
    assert torch.allclose(result, expected)
    for mine, theirs in zip(torch.autograd.grad(result, (a, b)), torch.autograd.grad(expected, (a, b)), strict=True):
        assert torch.allclose(mine, theirs)


def test_exercise_share(page):
    check_share(page(PAGE)["share"])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: (a * b).sin() + a * b,  # four operations
        lambda a, b: (a * b).sin() + a,  # another value
        lambda a, b: (a * b).detach().sin() + a * b,  # another gradient, and another graph
    ],
)
def test_exercise_share_rejects(wrong):
    with pytest.raises(AssertionError):
        check_share(wrong)


def check_count_leaves(solution: Callable[[Tensor], int]) -> None:
    a, b = leaf(0.5), leaf(2.0)
    assert solution(a * b + a) == 2
    assert solution(a * 2 + torch.tensor(1.0)) == 1
    y = a
    for _ in range(3000):
        y = y + y
    assert solution(y) == 1


def test_exercise_count(page):
    check_count_leaves(page(PAGE)["count_leaves"])


def counts_uses(result: Tensor) -> int:
    waiting, leaves = [result.grad_fn], 0
    while waiting:
        function = waiting.pop()
        if function is not None:
            leaves += function.name() == "torch::autograd::AccumulateGrad"
            waiting += [target for target, _ in function.next_functions]
    return leaves


def counts_every_node(result: Tensor) -> int:
    return len(trace(result).nodes)


@pytest.mark.parametrize("wrong", [counts_uses, counts_every_node])
def test_exercise_count_rejects(wrong):
    with pytest.raises(AssertionError):
        check_count_leaves(wrong)


def check_rewrite(solution: nn.Module) -> None:
    ones = torch.ones(3)
    program = torch.export.export(solution, (ones,))
    assert torch.equal(program.module()(ones), ones)
    assert torch.equal(program.module()(-ones), -0.5 * ones)
    mixed = torch.tensor([-1.0, 0.5, 1.5])
    assert torch.equal(program.module()(mixed), mixed)


def test_exercise_rewrite(page):
    check_rewrite(page(PAGE)["Rectified"]())


class Elementwise(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, 0.5 * x)


class Always(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize("wrong", [Elementwise, Always])
def test_exercise_rewrite_rejects(wrong):
    with pytest.raises(AssertionError):
        check_rewrite(wrong())
