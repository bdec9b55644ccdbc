"""dlguide.optim in the place of torch.optim: arguments, state, groups, closures, copies, errors."""

from __future__ import annotations

import copy
import inspect
import io
import itertools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlguide import optim
from tests.dlguide.optim_tasks import (
    GRID,
    NAMES,
    OPTIONS,
    build,
    digits,
    distance,
    parameters,
    quadratic,
    steps,
)  # fmt: skip

NOT_OFFERED = {"foreach", "fused", "capturable", "differentiable"}
ANY_SHAPE = [name for name in NAMES if name not in ("LBFGS", "Muon", "SparseAdam")]
COMPLEX = [name for name in NAMES if name not in ("Adafactor", "Muon", "SparseAdam")]
CLIPPING = {"clip_grad_norm_", "clip_grad_value_", "get_total_norm"}


def give(name: str, w: Tensor, gradient: Tensor) -> None:
    """Set a gradient, sparse for SparseAdam."""
    w.grad = gradient.to_sparse(1) if name == "SparseAdam" else gradient.clone()


def step(optimizer: torch.optim.Optimizer, loss: float = 1.0) -> Any:
    """One step with the gradients that are there."""
    closure: Any = lambda: torch.tensor(loss)  # noqa: E731
    return optimizer.step(closure)


def test_every_optimizer_of_torch_is_here():
    classes = {name for name in torch.optim.__all__ if inspect.isclass(getattr(torch.optim, name))} - {"Optimizer"}
    assert set(optim.__all__) - CLIPPING == classes == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_torch(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert set(theirs) - set(ours) <= NOT_OFFERED
    for argument, parameter in ours.items():
        assert parameter.default == theirs[argument].default, argument
    by_place = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_place == list(theirs)[: len(by_place)]  # a value in the same place means the same
    for option in NOT_OFFERED & set(theirs):
        with pytest.raises(TypeError, match=option):
            build(optim, name, parameters(quadratic()[0]), **{option: True})
        with pytest.raises(ValueError, match=f"without {option}, got {option}=True: leave it out"):
            getattr(optim, name)([{"params": parameters(quadratic()[0]), option: True}])


@pytest.mark.parametrize(("name", "options"), GRID)
@pytest.mark.parametrize("first", [torch.optim, optim])
def test_state_moves_to_and_from_torch_in_the_middle(name, options, first):
    start, loss = digits()
    w = parameters(start, name)
    one = build(first, name, w, **options)
    steps(one, w, loss, 12)
    state = one.state_dict()
    ends = []
    for second in (torch.optim, optim):
        go_on = parameters([p.detach() for p in w], name)
        two = build(second, name, go_on, lr=77.0)  # the loaded groups must replace this
        two.load_state_dict(copy.deepcopy(state))
        steps(two, go_on, loss, 12)
        ends.append(go_on)
    steps(one, w, loss, 12)
    assert distance(*ends) < 1e-10
    assert distance(ends[0], w) < 1e-5  # PyTorch loads a few numbers of NAdam and ASGD as float64 that were float32
    assert distance(ends[0], start) > 1e-4


@pytest.mark.parametrize(("name", "options"), GRID)
def test_state_has_the_entries_of_torch(name, options):
    start, loss = digits()
    saved = []
    for module in (optim, torch.optim):
        w = parameters(start, name)
        optimizer = build(module, name, w, **options)
        steps(optimizer, w, loss, 3)
        saved.append(optimizer.state_dict())
    ours, theirs = saved
    for a, b in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert set(b) - set(a) <= NOT_OFFERED | {"decoupled_weight_decay"}
        assert {k: v for k, v in a.items() if b[k] != v} == {}
    assert ours["state"].keys() == theirs["state"].keys()
    for i, entries in theirs["state"].items():
        entries.pop("al", None)  # scratch space of PyTorch's LBFGS
        assert ours["state"][i].keys() == entries.keys()
        for key, value in entries.items():
            torch.testing.assert_close(
                ours["state"][i][key], value, rtol=1e-10, atol=1e-12, check_dtype=isinstance(value, Tensor), msg=key
            ) if key != "t" else pytest.approx(float(value)) == ours["state"][i][key]


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_without_gradient_is_left_alone(name):
    w = parameters([torch.ones(2, 2), torch.ones(3, 2)])
    optimizer = build(optim, name, w, lr=0.1)
    give(name, w[0], torch.ones(2, 2))
    step(optimizer)
    assert not torch.equal(w[0], torch.ones(2, 2))
    assert torch.equal(w[1], torch.ones(3, 2))
    give(name, w[1], torch.ones(3, 2))  # its first gradient comes later, as its first step
    step(optimizer)
    assert not torch.equal(w[1], torch.ones(3, 2))


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradients(name):
    results = []
    for module in (optim, torch.optim):
        w = torch.full((2, 2), 0.5, dtype=torch.float64, requires_grad=True)
        optimizer = build(module, name, [w])
        for value in (0.0, 0.0, 1.0, 0.0, 0.0):
            give(name, w, torch.full_like(w, value))
            step(optimizer)
        results.append(w.detach())
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12, equal_nan=True)
    assert torch.isfinite(results[0]).all()


@pytest.mark.parametrize("name", ANY_SHAPE)
def test_shapes_and_dtypes(name):
    for shape in [(), (1,), (0,), (2, 0), (1, 1), (2, 3, 4)]:
        results = []
        for module in (optim, torch.optim):
            w = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
            optimizer = build(module, name, [w])
            for _ in range(3):
                w.grad = torch.full_like(w, 0.3)
                if not (name == "Adafactor" and w.numel() == 0 and module is torch.optim):  # it divides by 0 there
                    step(optimizer)
            assert w.shape == shape
            results.append(w.detach())
        torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12, msg=f"{shape}")
    for dtype in (torch.float32, torch.bfloat16):
        ours, theirs = (torch.linspace(-1, 1, 6, dtype=dtype).view(2, 3).requires_grad_() for _ in range(2))
        a, b = build(optim, name, [ours]), build(torch.optim, name, [theirs])
        for i in range(20 if dtype == torch.float32 else 1):
            ours.grad = theirs.grad = torch.linspace(-2 + i % 3, 1, 6, dtype=dtype).view(2, 3)
            step(a)
            step(b)
        torch.testing.assert_close(ours, theirs)


def test_empty_parameters_of_the_others():
    empty = torch.zeros(0, 3, requires_grad=True)
    for name in ("LBFGS", "Muon", "SparseAdam"):
        give(name, empty, torch.zeros(0, 3))
        step(build(optim, name, [empty]))
    assert optim.LBFGS([{"params": []}]).step(lambda: torch.tensor(3.0)).item() == 3


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_parameters_are_pairs_of_real_ones(name):
    z = torch.tensor([[1 + 2j, -0.5j], [0.3 + 0j, -1 + 1j]], dtype=torch.complex128)
    for options in OPTIONS[name]:
        ends, saved = [], []
        for module in (optim, torch.optim):
            w = parameters([z])
            optimizer = build(module, name, w, **{**options, "lr": 0.01})
            steps(optimizer, w, lambda w: ((w[0] * (2 + 1j) - (1 - 1j)).abs() ** 2).sum(), 20)
            ends.append(torch.view_as_real(w[0].detach()))
            saved.append(optimizer.state_dict()["state"].get(0, {}))
        assert distance([ends[0]], [ends[1]]) < 1e-10, options
        if name != "LBFGS":
            assert {k: v.dtype for k, v in saved[0].items()} == {k: v.dtype for k, v in saved[1].items()}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "LBFGS"])
def test_groups_have_their_own_options(name):
    start, loss = digits()
    start = start[::2] if name == "Muon" else start
    results = []
    for module in (optim, torch.optim):
        w = parameters(start)
        optimizer = getattr(module, name)([{"params": w[:1], "lr": 0.005}], lr=0.01)
        own = {"eps": 0.5} if name in ("Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "Muon") else {}
        optimizer.add_param_group({"params": w[1:], **own})

        def target(w):
            return loss([w[0], torch.zeros(12), w[1], torch.zeros(10)] if len(w) == 2 else w)

        steps(optimizer, w, target, 10)
        assert [g["lr"] for g in optimizer.param_groups] == [0.005, 0.01]
        results.append(w)
    assert distance(*results) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_closure_runs_with_gradients_and_its_loss_comes_back(name):
    w = torch.tensor([[1.0]], requires_grad=True)
    optimizer = getattr(optim, name)([w], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        give(name, w, w.grad)
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert w.item() < 1.0
    if name != "LBFGS":
        assert optimizer.step() is None


@pytest.mark.parametrize("name", NAMES)
def test_named_parameters_schedulers_and_hooks_work(name):
    layer = nn.Linear(2, 1, bias=False)
    optimizer = getattr(optim, name)(layer.named_parameters(), lr=0.5)
    assert optimizer.param_groups[0]["param_names"] == ["weight"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    layer(torch.ones(1, 2)).sum().backward()
    give(name, layer.weight, layer.weight.grad)
    step(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5  # a step changes no lr
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert seen == [1]


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_files_go_on_alike(name):
    start, loss = digits()
    w = parameters(start, name)
    optimizer = build(optim, name, w, **OPTIONS[name][1])
    steps(optimizer, w, loss, 5)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    loaded = parameters([p.detach() for p in w], name)
    from_file = build(optim, name, loaded)
    from_file.load_state_dict(torch.load(file))
    steps(from_file, loaded, loss, 5)
    for twin, v in (copy.deepcopy((optimizer, w)), pickle.loads(pickle.dumps((optimizer, w)))):
        steps(twin, v, loss, 5)
        assert distance(v, loaded) < 1e-5
    before = [p.detach().clone() for p in w]
    steps(optimizer, w, loss, 5)
    assert distance(w, v) == 0
    assert distance(w, before) > 0


BAD: list[tuple[str, Any]] = [
    *((name, {"lr": -1.0}) for name in NAMES),
    *((name, {"lr": torch.ones(2)}) for name in NAMES),
    *((name, {"weight_decay": -0.1}) for name in NAMES if name not in ("LBFGS", "Rprop", "SparseAdam")),
    *((name, {"eps": -1e-8}) for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop",
                                         "SparseAdam")),
    *((name, {"betas": betas}) for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam")
      for betas in [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9)]),
    ("SGD", {"momentum": -0.1}), ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("RMSprop", {"alpha": -0.1}), ("RMSprop", {"momentum": -0.1}),
    ("Adagrad", {"lr": float("nan")}), ("Adagrad", {"lr_decay": -0.1}), ("Adagrad", {"initial_accumulator_value": -1}),
    ("Adadelta", {"rho": 1.1}), ("Adadelta", {"rho": -0.1}), ("NAdam", {"momentum_decay": -1}),
    ("Adafactor", {"beta2_decay": 0.1}), ("Adafactor", {"d": 0.5}), ("Adafactor", {"eps": (-1.0, 0.1)}),
    ("Adam", {"betas": (0, 0.9)}), ("AdamW", {"betas": (0.9, torch.tensor(0.9))}),
    ("Adafactor", {"eps": (None, -0.1)}), ("ASGD", {"lambd": -1}), ("ASGD", {"alpha": -1}),
    ("Rprop", {"etas": (1.0, 1.2)}), ("Rprop", {"etas": (0.0, 1.2)}), ("Rprop", {"etas": (0.5, 1.0)}),
    ("SparseAdam", {"lr": 0.0}), ("SparseAdam", {"eps": 0.0}), ("Muon", {"momentum": -1}),
    ("Muon", {"adjust_lr_fn": "half"}), ("Muon", {"ns_steps": 100}), ("Muon", {"ns_coefficients": (1.0, 2.0)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), BAD)
def test_torch_refuses_the_same_options(name, options):
    w = torch.ones(2, 2, requires_grad=True)
    give(name, w, torch.ones(2, 2))
    with pytest.raises(ValueError):  # noqa: PT011  torch's own sentence is not ours to fix
        build(torch.optim, name, [w], **options).step()  # two mistakes Muon finds only here
    with pytest.raises(ValueError, match=r"expected .*, got .*: "):
        build(optim, name, [w], **options)


def test_limits_that_are_allowed():
    w = [torch.ones(2, 2, requires_grad=True)]
    for module in (optim, torch.optim):
        module.Adadelta(w, rho=1.0)
        module.Adafactor(w, beta2_decay=0.0, d=1.0)
        module.Adam(w, lr=0, betas=(0.0, 0.0), eps=0, weight_decay=0)


def test_other_mistakes():
    matrix, vector = torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    complex_one = torch.ones(2, 2, dtype=torch.complex64, requires_grad=True)
    for module, said in ((torch.optim, None), (optim, "got 'brent': choose")):
        vector.grad = torch.ones(2)
        with pytest.raises(RuntimeError, match=said):
            module.LBFGS([vector], line_search_fn="brent").step(lambda: torch.ones(()))
    for module, said in ((torch.optim, None), (optim, "expected .*: ")):
        with pytest.raises(ValueError, match=said):
            module.LBFGS([{"params": [matrix]}, {"params": [vector]}])
        with pytest.raises(ValueError, match=said):
            module.Muon([matrix, vector])
        with pytest.raises(ValueError, match=said):
            module.SparseAdam([complex_one])
        with pytest.raises(ValueError, match=said):
            module.SparseAdam([torch.ones(2, 2).to_sparse().requires_grad_()])


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_checked(name):
    cls = getattr(optim, name)
    with pytest.raises(ValueError, match="got none: pass model"):
        cls([])
    with pytest.raises(TypeError, match="got a module: pass model"):
        cls(nn.Linear(1, 1))
    with pytest.raises(TypeError, match="got one tensor: put it in a list"):
        cls(torch.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="got one dictionary: put it in a list"):
        cls({"params": [torch.ones(2, requires_grad=True)]})
    with pytest.raises(TypeError, match="got 3: pass model"):
        cls(3)
    used = iter(parameters([torch.ones(1, 1)]))
    cls(used)
    with pytest.raises(ValueError, match="it can be read only once"):
        cls(used)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_wrong_kind_are_refused_as_by_torch(name):
    wrong: list[tuple[Tensor, Tensor, dict[str, Any], str]] = []
    if name not in ("SGD", "Adagrad", "SparseAdam", "LBFGS"):
        wrong.append((torch.ones(2, 2), torch.ones(2, 2).to_sparse(1), {}, "got a sparse one: "))
    if name in ("SGD", "Adagrad"):
        wrong.append((torch.ones(2, 2), torch.ones(2, 2).to_sparse(1), {"weight_decay": 0.1}, "got 0.1: "))
    if name == "SparseAdam":
        wrong.append((torch.ones(2, 2), torch.ones(2, 2), {}, "got a dense one: "))
    if name in ("Adafactor", "Muon"):
        wrong.append((torch.ones(2, 2) * 1j, torch.ones(2, 2) * 1j, {}, "got a complex one: "))
    for value, gradient, options, said in wrong:
        for module, sentence in ((torch.optim, None), (optim, said)):
            w = value.clone().requires_grad_()
            w.grad = gradient
            with pytest.raises(RuntimeError, match=sentence):
                build(module, name, [w], **options).step()


def test_states_that_are_special():
    w = parameters([torch.ones(2)])
    theirs = torch.optim.Adam(w, differentiable=True)
    with pytest.raises(ValueError, match="expected a state without differentiable"):
        optim.Adam(w).load_state_dict(theirs.state_dict())
    old = optim.Adam(w).state_dict()  # a file from before there was an option
    for option in ("amsgrad", "maximize", "decoupled_weight_decay"):
        del old["param_groups"][0][option]
    for cls, decoupled in ((optim.Adam, False), (optim.AdamW, True)):
        optimizer = cls(w)
        optimizer.load_state_dict(copy.deepcopy(old))
        group = optimizer.param_groups[0]
        assert (group["amsgrad"], group["maximize"], group["decoupled_weight_decay"]) == (False, False, decoupled)


def test_a_sparse_buffer_of_torch_goes_on():
    ends = []
    for second in (torch.optim, optim):
        table = nn.Embedding.from_pretrained(torch.ones(3, 2), freeze=False, sparse=True)
        optimizer = torch.optim.SGD(table.parameters(), lr=0.1, momentum=0.9)
        for i in range(6):
            if i == 3:
                saved = optimizer.state_dict()
                optimizer = second.SGD(table.parameters(), lr=1.0)
                optimizer.load_state_dict(saved)
            optimizer.zero_grad()
            table(torch.tensor([i % 3])).sum().backward()
            optimizer.step()
        ends.append(table.weight.detach())
    torch.testing.assert_close(*ends)


def test_two_optimizers_of_one_kind_share_nothing():
    start, loss = quadratic()
    for name in NAMES:
        alone, beside, other = (parameters(start) for _ in range(3))
        steps(build(optim, name, alone, lr=0.001), alone, loss, 5)
        a, b = build(optim, name, beside, lr=0.001), build(optim, name, other, lr=0.01)
        for _ in range(5):
            steps(a, beside, loss, 1)
            steps(b, other, loss, 1)
        assert torch.equal(alone[0], beside[0])
        assert not any(p is q for p, q in itertools.product(a.state, b.state))
