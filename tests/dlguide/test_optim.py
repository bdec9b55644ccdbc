"""dlguide.optim against torch.optim: 100 steps in float64, state, groups, closures, errors, and planted mistakes."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlguide import optim

OPTIONS: dict[str, list[dict[str, object]]] = {
    "SGD": [
        {"lr": 1e-3},
        {"lr": 1e-3, "momentum": 0.9},
        {"lr": 1e-3, "momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
        {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": torch.tensor(1e-3, dtype=torch.float64), "weight_decay": 0.1},
    ],
    "RMSprop": [
        {},
        {"lr": 1e-3, "alpha": 0.9, "eps": 1e-4},
        {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1},
        {"alpha": 0, "weight_decay": 0.01},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1},
        {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ],
    "Adam": [
        {},
        {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1},
        {"lr": 0.05, "betas": (0.0, 0.0), "eps": 1e-3},
        {"lr": torch.tensor([0.01], dtype=torch.float64)},
    ],
    "AdamW": [
        {},
        {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3},
        {"lr": 0.05, "weight_decay": 0},
    ],
}
GRID = [(name, options) for name, choices in OPTIONS.items() for options in choices]
NAMES = list(OPTIONS)


def quadratic() -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor]]:
    a = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    return [torch.tensor([2.0, -1.5], dtype=torch.float64)], lambda w: 0.5 * w[0] @ a @ w[0]


def rosenbrock() -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor]]:
    def loss(w: list[Tensor]) -> Tensor:
        x, y = w
        return (1 - x) ** 2 + 100 * (y - x * x) ** 2

    return [torch.tensor(v, dtype=torch.float64) for v in (-0.5, 0.7)], loss


def network() -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 5), (8,), (3, 8), (3,)]
    start = [0.5 * torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    x = torch.randn(16, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (16,), generator=generator)
    return start, lambda w: F.cross_entropy(torch.tanh(x @ w[0].T + w[1]) @ w[2].T + w[3], y)


TASKS = [quadratic, rosenbrock, network]


def parameters(start: list[Tensor]) -> list[Tensor]:
    return [w.clone().requires_grad_() for w in start]


def steps(optimizer: torch.optim.Optimizer, w: list[Tensor], loss: Callable[[list[Tensor]], Tensor], n: int) -> None:
    for _ in range(n):
        optimizer.zero_grad()
        loss(w).backward()
        optimizer.step()


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "options"), GRID)
def test_one_hundred_steps_equal_torch(name, options, task):
    start, loss = task()
    ours, theirs = parameters(start), parameters(start)
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    for _ in range(100):
        steps(a, ours, loss, 1)
        steps(b, theirs, loss, 1)
        assert distance(ours, theirs) < 1e-10
    assert distance(ours, start) > 1e-3  # they did move


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_torch(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    for argument, parameter in ours.items():
        assert parameter.default == theirs[argument].default, argument
    assert list(ours) == [n for n in theirs if n in ours]  # the same order, so positions mean the same
    missing = set(theirs) - set(ours)
    assert missing <= {
        "maximize", "foreach", "differentiable", "fused", "capturable", "amsgrad", "centered", "decoupled_weight_decay",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "options"), GRID)
@pytest.mark.parametrize("from_torch", [True, False])
def test_state_moves_to_and_from_torch_in_the_middle(name, options, from_torch):
    start, loss = network()
    first, second = (torch.optim, optim) if from_torch else (optim, torch.optim)
    w, straight = parameters(start), parameters(start)
    one = getattr(first, name)(w, **options)
    steps(one, w, loss, 20)
    two = getattr(second, name)(w, lr=77.0)  # the loaded groups must replace this
    two.load_state_dict(one.state_dict())
    steps(two, w, loss, 20)
    steps(getattr(torch.optim, name)(straight, **options), straight, loss, 40)
    assert distance(w, straight) < 1e-10


@pytest.mark.parametrize(("name", "options"), GRID)
def test_state_has_the_entries_of_torch(name, options):
    start, loss = network()
    ours, theirs = parameters(start), parameters(start)
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    steps(a, ours, loss, 3)
    steps(b, theirs, loss, 3)
    x, y = a.state_dict()["state"], b.state_dict()["state"]
    assert x.keys() == y.keys()
    for i in x:
        assert x[i].keys() == y[i].keys()
        for key in x[i]:
            torch.testing.assert_close(x[i][key], y[i][key], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_without_gradient_is_left_alone(name):
    w = parameters([torch.ones(2), torch.ones(3)])
    optimizer = getattr(optim, name)(w, lr=0.1, weight_decay=0.5)
    w[0].grad = torch.ones(2)
    optimizer.step()
    assert not torch.equal(w[0], torch.ones(2))
    assert torch.equal(w[1], torch.ones(3))
    w[1].grad = torch.ones(3)  # its first gradient comes later, as its first step
    optimizer.step()
    assert not torch.equal(w[1], torch.ones(3))


@pytest.mark.parametrize("name", NAMES)
def test_groups_have_their_own_options(name):
    start, loss = network()
    results = []
    for module in (optim, torch.optim):
        w = parameters(start)
        optimizer = getattr(module, name)([{"params": w[:2], "lr": 0.05}, {"params": w[2:3]}], lr=0.01)
        optimizer.add_param_group({"params": w[3:], "weight_decay": 0.1})
        for _ in range(10):
            optimizer.zero_grad()
            loss(w).backward()
            optimizer.step()
        assert [g["lr"] for g in optimizer.param_groups] == [0.05, 0.01, 0.01]
        results.append(w)
    assert distance(*results) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_closure_runs_with_gradients_and_its_loss_comes_back(name):
    w = torch.tensor([1.0], requires_grad=True)
    optimizer = getattr(optim, name)([w], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert w.item() < 1.0
    assert optimizer.step() is None


@pytest.mark.parametrize("name", NAMES)
def test_named_parameters_schedulers_and_hooks_work(name):
    layer = nn.Linear(2, 1)
    optimizer = getattr(optim, name)(layer.named_parameters(), lr=0.5)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.5  # a step changes no lr
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert seen == [1]


BAD: list[tuple[str, dict[str, object]]] = [
    ("SGD", {"lr": -1.0}),
    ("SGD", {"momentum": -0.1}),
    ("SGD", {"weight_decay": -0.1}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"lr": torch.ones(2)}),
    ("RMSprop", {"lr": -1.0}),
    ("RMSprop", {"alpha": -0.1}),
    ("RMSprop", {"eps": -1e-8}),
    ("RMSprop", {"momentum": -0.1}),
    ("RMSprop", {"weight_decay": -0.1}),
    ("Adagrad", {"lr": float("nan")}),
    ("Adagrad", {"lr_decay": -0.1}),
    ("Adagrad", {"initial_accumulator_value": -1}),
    ("Adagrad", {"eps": -1}),
    ("Adagrad", {"weight_decay": -1}),
    ("Adam", {"lr": -1}),
    ("Adam", {"betas": (1.0, 0.9)}),
    ("Adam", {"betas": (0.9, 1.0)}),
    ("Adam", {"eps": -1}),
    ("AdamW", {"weight_decay": -1}),
    ("AdamW", {"betas": (-0.1, 0.9)}),
]


@pytest.mark.parametrize(("name", "options"), BAD)
def test_torch_refuses_the_same_options(name, options):
    w = parameters([torch.ones(2)])
    with pytest.raises(ValueError):  # noqa: PT011  torch's own sentence is not ours to fix
        getattr(torch.optim, name)(w, **options)
    with pytest.raises(ValueError, match=r"expected .*, got .*: "):
        getattr(optim, name)(w, **options)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_checked(name):
    cls = getattr(optim, name)
    with pytest.raises(ValueError, match="got none: pass model"):
        cls([])
    with pytest.raises(TypeError, match="got a module: pass model"):
        cls(nn.Linear(1, 1))
    with pytest.raises(TypeError):
        cls(torch.ones(2, requires_grad=True))
    used = iter(parameters([torch.ones(1)]))
    cls(used)
    with pytest.raises(ValueError, match="it can be read only once"):
        cls(used)


def test_sparse_and_complex_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="got a sparse one"):
        optim.Adam(table.parameters()).step()
    z = torch.ones(1, dtype=torch.complex64, requires_grad=True)
    z.grad = torch.ones_like(z)
    with pytest.raises(RuntimeError, match="got a complex one"):
        optim.Adam([z]).step()


def test_a_copy_goes_on_and_foreign_options_are_refused():
    w = parameters([torch.ones(2)])
    original = optim.SGD(w, lr=0.1, momentum=0.9)
    w[0].grad = torch.ones(2)
    original.step()
    twin = copy.deepcopy(original)
    twin.step()
    assert twin.param_groups[0]["params"][0][0].item() == pytest.approx(0.9 - 0.19)
    assert w[0][0].item() == pytest.approx(0.9)
    theirs = torch.optim.Adam(w, amsgrad=True)
    with pytest.raises(ValueError, match="expected a state without amsgrad"):
        optim.Adam(w).load_state_dict(theirs.state_dict())


def test_public_names():
    assert sorted(optim.__all__) == sorted(NAMES)


def written_out(w, g, s, t, correct=True, root=True, eps_inside=False, sign=-1):
    """Adam with lr = 0.01, and with the mistakes that one meets in print."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    m, v = (s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)) if correct else (s["m"], s["v"])
    size = (v + 1e-8).sqrt() if eps_inside else (v.sqrt() if root else v) + 1e-8
    w += sign * 0.01 * m / size


@pytest.mark.parametrize("mistake", [{}, {"correct": False}, {"root": False}, {"eps_inside": True}, {"sign": 1}])
def test_the_comparison_would_see_a_mistake(mistake):
    start, loss = network()
    ours, theirs = parameters(start), parameters(start)
    steps(torch.optim.Adam(theirs, lr=0.01), theirs, loss, 100)
    states: list[dict[str, Tensor]] = [{} for _ in ours]
    for t in range(1, 101):
        gradients = torch.autograd.grad(loss(ours), ours)
        with torch.no_grad():
            for w, g, state in zip(ours, gradients, states, strict=True):
                written_out(w, g, state, t, **mistake)
    assert (distance(ours, theirs) < 1e-10) == (not mistake)


def test_two_optimizers_of_one_kind_share_nothing():
    start, loss = quadratic()
    for name in NAMES:
        alone, beside, other = (parameters(start) for _ in range(3))
        steps(getattr(optim, name)(alone, lr=0.01), alone, loss, 5)
        a, b = getattr(optim, name)(beside, lr=0.01), getattr(optim, name)(other, lr=0.5)
        for _ in range(5):
            steps(a, beside, loss, 1)
            steps(b, other, loss, 1)
        assert torch.equal(alone[0], beside[0])
        assert not any(p is q for p, q in itertools.product(a.state, b.state))
