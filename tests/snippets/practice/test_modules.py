"""Proofs of the formulas of practice/modules, and its exercises."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

PAGE = "practice/modules"
F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.proves("count")
def test_count(formula):
    for widths in ([64, 32, 10], [7, 5], [3, 4, 6, 2]):
        net = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
        a = torch.tensor(widths, dtype=F64)
        formula("count").holds({"n": count(net), "a": a, "k": len(widths) - 1}, first=0)


@pytest.mark.proves("conv-count")
def test_conv_count(formula):
    for s, c, m in ((5, 3, 6), (3, 7, 4), (2, 1, 9)):
        formula("conv-count").holds({"n": count(nn.Conv2d(c, m, s)), "s": s, "c": c, "m": m})


@pytest.mark.proves("shared-gradient")
def test_shared_gradient(formula):
    w = numbers(6, 3).requires_grad_()
    first, second = (w.detach().clone().requires_grad_() for _ in range(2))
    ids = torch.tensor([1, 4, 4])

    def loss(table, out):
        return F.linear(F.embedding(ids, table), out).sigmoid().square().sum()

    [g] = torch.autograd.grad(loss(w, w), w)
    g1, g2 = torch.autograd.grad(loss(first, second), (first, second))
    formula("shared-gradient").holds({r"\frac{\partial L}{\partial W}": g, "g_1": g1, "g_2": g2})


@pytest.mark.proves("residual")
def test_residual(formula, page):
    torch.manual_seed(0)
    block = page(PAGE)["BasicBlock"](4, 4).double()
    x = numbers(2, 4, 3, 3)
    formula("residual").holds({"y": block(x).detach(), "F": lambda v: block.branch(v).detach(), "x": x})
    assert torch.equal(page(PAGE)["block"](x.new_ones(1, 8, 2, 2).float()), torch.ones(1, 8, 2, 2))


def test_lenet_has_62006_parameters(page):
    assert sum(page(PAGE)["layers"].values()) == 62_006
    assert page(PAGE)["products"][:2] == [450 * 784, 2400 * 100]
    assert sum(page(PAGE)["products"][:2]) > 9 * sum(page(PAGE)["products"][2:])  # nearly all the work
    assert sum(list(page(PAGE)["layers"].values())[2:]) > 0.9 * 62_006  # nearly all parameters


def test_only_what_is_registered_is_saved_and_moved(page):
    names = page(PAGE)
    layer = names["layer"]
    x = numbers(50, 3, seed=1)
    other = names["Standardize"](x)
    torch.testing.assert_close(other.double()(x), (x - x.mean(0)) / x.std(0))
    assert layer.note.dtype == torch.float32
    assert layer.mean.dtype == F64
    assert list(layer.state_dict()) == ["scale", "mean"]


def test_zero_branches_keep_the_spread_and_others_double_it(page):
    names = page(PAGE)
    grown = []
    for zero in (False, True):
        for seed in range(3):
            torch.manual_seed(seed)
            deep = names["ResNet"](32, zero_branches=zero)
            h = deep.stem(torch.randn(4, 3, 8, 8))
            grown.append((deep.blocks[:5](h).std() / h.std()).item())
    assert min(grown[:3]) > 2
    assert grown[3:] == [1, 1, 1]


def test_old_features_help_with_few_examples_and_no_more_with_ten(page):
    curves = page(PAGE)["curves"]
    for name in ("frozen features", "fine-tuned"):
        for i in (0, 1):  # one and three examples
            assert curves[name][i] > curves["from scratch"][i] + 0.01
        assert curves[name][2] < curves["from scratch"][2] + 0.005
    assert all(p.grad is None for name, p in page(PAGE)["frozen"].named_parameters() if not name.startswith("6"))


def test_momentum_stays_behind_when_a_model_changes_its_type():
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    weight = net.weight
    net.double()
    assert net.weight is weight
    assert optimizer.state[weight]["momentum_buffer"].dtype == torch.float32


def test_no_grad_does_not_stop_dropout_and_eval_does_not_stop_gradients():
    model = nn.Sequential(nn.Linear(50, 50), nn.Dropout(0.5))
    x = torch.ones(1, 50)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
    assert model.eval()(x).requires_grad


def test_loading_a_pickle_without_weights_only_would_have_called_the_function(page):
    assert page(PAGE)["Trap"]().__reduce__()[0].__name__ == "getenv"


def check_census(census):
    tied, batch, frozen = nn.Linear(4, 4, bias=False), nn.BatchNorm1d(3), nn.Linear(2, 3).requires_grad_(False)
    double = nn.Sequential(tied, nn.Linear(4, 4, bias=False))
    double[1].weight = tied.weight
    cases = [(nn.Linear(4, 2), (10, 0, 0)), (batch, (6, 0, 7)), (frozen, (0, 9, 0)), (double, (16, 0, 0)),
             (nn.Sequential(frozen, batch), (6, 9, 7))]  # fmt: skip
    return all(tuple(census(model)) == answer for model, answer in cases)


def test_exercise_census(page):
    assert check_census(page(PAGE)["census"])

    def layer_by_layer(model):
        learning = frozen = 0
        for module in model.modules():
            for p in module.parameters(recurse=False):
                learning, frozen = (learning + p.numel(), frozen) if p.requires_grad else (learning, frozen + p.numel())
        return learning, frozen, sum(b.numel() for b in model.buffers())

    def by_the_state(model):
        saved = sum(value.numel() for value in model.state_dict().values())
        return saved, 0, 0

    assert not check_census(layer_by_layer)
    assert not check_census(by_the_state)


def check_stack(stack_class):
    stack, x = stack_class(5, 7), numbers(3, 5).float()
    if not torch.equal(stack(x), x) or count(stack) != 7 * (25 + 5):
        return False
    stack(x).square().sum().backward()
    if any(p.grad is None or p.grad.abs().sum() == 0 for p in stack.parameters()):
        return False
    for p in stack.parameters():
        p.data.copy_(0.1 * numbers(*p.shape, seed=p.dim()))
    y = x
    weights = list(stack.parameters())
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        y = y + y @ w.T + b
    return torch.allclose(stack(x), y, atol=1e-5)


def test_exercise_stack(page):
    stack = page(PAGE)["Stack"]
    assert check_stack(stack)

    def in_a_list(width, depth):
        wrong = stack(width, depth)
        kept = list(wrong.layers)
        del wrong.layers
        wrong.layers = kept
        return wrong

    def one_layer(width, depth):
        wrong = stack(width, 1)
        wrong.layers = nn.ModuleList([wrong.layers[0]] * depth)
        return wrong

    def not_added(width, depth):
        return nn.Sequential(*stack(width, depth).layers)

    for wrong in (in_a_list, one_layer, not_added):
        assert not check_stack(wrong)
