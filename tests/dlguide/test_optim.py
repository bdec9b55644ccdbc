"""dlguide.optim against torch.optim: 100 steps in float64 on three problems, and faults that must be seen."""

from __future__ import annotations

import inspect
import sys

import pytest
import torch
from torch import nn

from dlguide import optim
from dlguide.optim import _line_search
from tests.dlguide.optim_tasks import (
    GRID,
    NAMES,
    PRODUCTS,
    TASKS,
    build,
    distance,
    parameters,
    quadratic,
    rosenbrock,
    steps,
)  # fmt: skip


def worst(name, options, task, n=100):
    """The largest distance between the two runs after each of n steps, and how far they came."""
    start, loss = task()
    ours, theirs = parameters(start, name), parameters(start, name)
    a, b = build(optim, name, ours, **options), build(torch.optim, name, theirs, **options)
    largest = 0.0
    for _ in range(n):
        steps(a, ours, loss, 1)
        steps(b, theirs, loss, 1)
        apart = distance(ours, theirs)
        largest = max(largest, apart if apart == apart else float("inf"))
    return largest, distance(theirs, start)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "options"), GRID)
def test_one_hundred_steps_equal_torch(name, options, task):
    largest, path = worst(name, options, task)
    assert largest < 1e-10
    assert path > 1e-3  # they did move


@pytest.mark.parametrize("name", NAMES)
def test_all_combinations_of_options(name):
    for options in PRODUCTS[name]:
        assert worst(name, options, quadratic, n=50)[0] < 1e-10, options


FAULTS = [
    ("SGD", "_sgd", "g = g + weight_decay * w", "g = g + 2 * weight_decay * w", {"weight_decay": 0.1}),
    ("SGD", "_sgd", "b.copy_(momentum * b +", "b.copy_(b +", {"momentum": 0.9}),
    ("SGD", "_sgd", "w -= lr * g", "w += lr * g", {}),
    ("SGD", "_sgd", "(1 - dampening) * g", "g", {"momentum": 0.9, "dampening": 0.5}),
    ("SGD", "_sgd", "g = g + momentum * b if", "g = momentum * b if", {"momentum": 0.9, "nesterov": True}),
    ("SGD", "_sgd", "= g.clone()", "= (1 - momentum) * g", {"momentum": 0.9}),
    ("Adagrad", "_adagrad", "s += g * g", "s += (1 - 0.9) * g * g", {}),
    ("Adagrad", "_adagrad", "(s.sqrt() + eps)", "(s + eps).sqrt()", {"eps": 1e-3}),
    ("Adagrad", "_adagrad", "item() - 1)", "item())", {"lr_decay": 0.1}),
    ("Adadelta", "_adadelta", "(v + eps).sqrt()", "(v.sqrt() + eps)", {}),
    ("Adadelta", "_adadelta", "* delta * delta", "* g * g", {}),
    ("RMSprop", "_rmsprop", "(v.sqrt() + eps)", "(v + eps).sqrt()", {"lr": 1e-3}),
    ("RMSprop", "_rmsprop", "v - m * m", "v - m", {"lr": 1e-3, "centered": True}),
    ("RMSprop", "_rmsprop", "momentum * b + g", "momentum * b + (1 - momentum) * g", {"momentum": 0.9}),
    ("Adam", "_adam", "m / (1 - betas[0] ** t)", "m", {}),
    ("Adam", "_adam", "v / (1 - betas[1] ** t)", "v", {}),
    ("Adam", "_adam", "(v_hat.sqrt() + eps)", "(v_hat + eps).sqrt()", {"eps": 1e-3}),
    ("Adam", "_adam", "v_hat.sqrt()", "v_hat", {}),
    ("Adam", "_adam", "torch.maximum(", "torch.minimum(", {"amsgrad": True}),
    ("AdamW", "_adamw", "1 - lr * weight_decay", "1 - weight_decay", {}),
    ("Adamax", "_adamax", "g.abs() + eps", "g.abs()", {"eps": 1e-3}),
    ("Adamax", "_adamax", " / (1 - betas[0] ** t)", "", {}),
    ("NAdam", "_nadam", "(t + 1) * momentum_decay", "t * momentum_decay", {}),
    ("NAdam", "_nadam", "(v / (1 - betas[1] ** t)).sqrt()", "v.sqrt()", {}),
    ("NAdam", "_nadam", "w *= 1 - lr * weight_decay", "pass",
     {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", "_radam", "r**0.5", "r", {"lr": 1e-4}),
    ("RAdam", "_radam", "m_hat * c**0.5 / (v.sqrt() + eps)", "m_hat / ((v / c).sqrt() + eps)", {"eps": 1e-3}),
    ("RAdam", "_radam", "rho > 5", "rho > 4", {"lr": 1e-4}),
    ("Adafactor", "_adafactor", " / r.mean(-2, keepdim=True).clamp(min=small)", "", {}),
    ("Adafactor", "_adafactor", "max(eps[1], _rms(w)) * ", "", {}),
    ("Adafactor", "_adafactor", "share = t**beta2_decay", "share = 0.001", {}),
    ("ASGD", "_asgd", "1 - lambd * eta", "1", {"lr": 1e-3, "lambd": 0.1}),
    ("ASGD", "_asgd", "** alpha", "", {"lr": 1e-3, "lambd": 1.0}),
    ("Rprop", "_rprop", "torch.where(agree < 0, 0, g)", "g", {}),
    ("Rprop", "_rprop", ".clamp(*step_sizes)", "", {"step_sizes": (1e-3, 0.02)}),
    ("SparseAdam", "_sparse_adam", "c2**0.5 / c1", "1 / c1", {}),
    ("SparseAdam", "_sparse_adam", "c2**0.5 / c1 * m / (v.sqrt() + eps)", "m / c1 / ((v / c2).sqrt() + eps)", {}),
    ("Muon", "_muon", "+ (1 - momentum) * g)", "+ g)", {}),
    ("Muon", "_muon", "max(1, n / m) ** 0.5", "1", {}),
    ("Muon", "_orthogonal", "beta=b, alpha=c", "beta=c, alpha=b", {}),
    ("LBFGS", "_direction", "reversed(kept)", "kept", {"line_search_fn": "strong_wolfe"}),
    ("LBFGS", "_remember", 'state["H_diag"] = ys / y.dot(y)', "pass", {"line_search_fn": "strong_wolfe"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "old", "new", "options"), FAULTS)
def test_a_fault_in_a_rule_is_seen(name, function, old, new, options, monkeypatch):
    cls = getattr(optim, name)
    module = sys.modules[cls.__module__]
    right = getattr(module, function)
    source = inspect.getsource(right)
    assert source.count(old) >= 1
    namespace = dict(vars(module))
    exec(source.replace(old, new), namespace)
    monkeypatch.setattr(module, function, namespace[function])
    if getattr(cls, "_rule", None) is right:
        monkeypatch.setattr(cls, "_rule", staticmethod(namespace[function]))
    assert worst(name, options, quadratic, n=25)[0] > 1e-9


SEARCH_FAULTS = [  # with a first length that is too short or too long
    ("_lowest", "2 * b", "b", 0.001), ("_lowest", "3 *", "2 *", 0.001), ("Wolfe", "0.9", "0.1", 0.001),
    ("Wolfe", "self.c1 * p.t", "p.t", 5.0), ("_bracket", "10 * p.t", "2 * p.t", 0.001),
    ("_zoom", "ends[1 - low] = p", "ends[low] = p", 5.0), ("_zoom", "ends[1 - low] = ends[low]", "pass", 5.0),
]  # fmt: skip


@pytest.mark.parametrize(("function", "old", "new", "lr"), SEARCH_FAULTS)
def test_a_fault_in_the_line_search_is_seen(function, old, new, lr, monkeypatch):
    source = inspect.getsource(getattr(_line_search, function))
    assert old in source
    namespace = dict(vars(_line_search))
    exec(source.replace(old, new), namespace)
    monkeypatch.setattr(_line_search, function, namespace[function])
    assert worst("LBFGS", {"line_search_fn": "strong_wolfe", "lr": lr}, rosenbrock, n=3)[0] > 1e-9


def embedding_run(module, name, options, n=30):
    table = nn.Embedding.from_pretrained(torch.linspace(-1, 1, 15).double().view(5, 3), freeze=False, sparse=True)
    optimizer = getattr(module, name)(table.parameters(), **options)
    for i in range(n):
        optimizer.zero_grad()
        rows = torch.tensor([i % 5, (i * i) % 5, 1])  # some twice, some not at all
        ((table(rows) - 0.3) ** 2).sum().backward()
        optimizer.step()
    return table.weight.detach(), optimizer


@pytest.mark.parametrize(("name", "options"), [
    ("SparseAdam", {"lr": 0.05}), ("SparseAdam", {"lr": 0.05, "maximize": True}), ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}), ("LBFGS", {}),
])  # fmt: skip
def test_sparse_gradients_of_an_embedding(name, options):
    if name == "LBFGS":  # it fills the zeros in
        table = nn.Embedding(4, 2, sparse=True, dtype=torch.float64)
        start = table.weight.detach().clone()
        results = []
        for module in (optim, torch.optim):
            with torch.no_grad():
                table.weight.copy_(start)
            optimizer = getattr(module, name)(table.parameters(), **options)

            def closure(optimizer=optimizer):
                optimizer.zero_grad()
                loss = ((table(torch.tensor([1, 2])) - 1) ** 4).sum()
                loss.backward()
                return loss.detach()

            optimizer.step(closure)
            results.append(table.weight.detach().clone())
        assert distance([results[0]], [results[1]]) < 1e-10
        assert distance([results[0]], [start]) > 1e-3
        return
    with torch.sparse.check_sparse_tensor_invariants(True):
        (ours, _), (theirs, _) = embedding_run(optim, name, options), embedding_run(torch.optim, name, options)
    assert distance([ours], [theirs]) < 1e-10


def test_sparse_adam_leaves_the_other_rows_alone():
    weight, optimizer = embedding_run(optim, "SparseAdam", {"lr": 0.1}, n=1)
    state = optimizer.state[optimizer.param_groups[0]["params"][0]]
    assert weight[2:].equal(torch.linspace(-1, 1, 15).double().view(5, 3)[2:])
    assert not state["exp_avg"][2:].any()
    assert state["exp_avg"][:2].all()
