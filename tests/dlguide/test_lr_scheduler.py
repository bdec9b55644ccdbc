"""dlguide.optim.lr_scheduler against torch.optim.lr_scheduler: rates over 120 steps, states, chains, errors, faults."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import sys
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlguide import optim
from dlguide.optim import lr_scheduler as ours
from tests.dlguide.optim_tasks import product

theirs = torch.optim.lr_scheduler
STEPS = 120


class Falling:
    """A factor with state, for LambdaLR."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, t: int) -> float:
        self.calls += 1
        return 1 / (1 + 0.1 * t)


def root(t: int) -> float:
    return (1 + t) ** -0.5


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "StepLR": [{"step_size": 1}, {"step_size": 30}, {"step_size": 7, "gamma": 0.9}, {"step_size": 500}],
    "MultiStepLR": [{"milestones": [30, 60]}, {"milestones": [90, 5, 5, 0], "gamma": 0.5}, {"milestones": []}],
    "ExponentialLR": [{"gamma": 0.95}, {"gamma": 1.01}],
    "ConstantLR": [{}, {"factor": 0.1, "total_iters": 50}, {"factor": 1, "total_iters": 0}, {"total_iters": 1}],
    "LinearLR": [{}, {"start_factor": 1e-3, "total_iters": 100}, {"start_factor": 1.0, "end_factor": 0.0,
                 "total_iters": 110}, {"start_factor": 0.5, "end_factor": 0.1, "total_iters": 40}],
    "LambdaLR": [{"lr_lambda": root}, {"lr_lambda": [root, lambda t: 0.9**t]}],
    "CosineAnnealingLR": [{"T_max": 120}, {"T_max": 50, "eta_min": 0.01}, {"T_max": 7}, {"T_max": 1}],
    "CosineAnnealingWarmRestarts": [{"T_0": 10}, {"T_0": 7, "T_mult": 2, "eta_min": 0.001}, {"T_0": 1, "T_mult": 3}],
    "OneCycleLR": [
        {"max_lr": 0.5, **o} for o in product(total_steps=[121], anneal_strategy=["cos", "linear"],
                                              three_phase=[None, True], pct_start=[None, 0.45], cycle_momentum=[None])
    ] + [
        {"max_lr": [0.5, 0.1], "epochs": 11, "steps_per_epoch": 11, "div_factor": 10.0, "final_div_factor": 100.0},
        {"max_lr": 0.5, "total_steps": 200, "base_momentum": [0.8, 0.7], "max_momentum": 0.9, "pct_start": 1.0},
        {"max_lr": 0.5, "total_steps": 120, "pct_start": 0.0}, {"max_lr": 1.0, "total_steps": 120,
         "cycle_momentum": False},
    ],
}  # fmt: skip
GRID = [(name, options) for name, choices in OPTIONS.items() for options in choices]
CLOSED = ["StepLR", "MultiStepLR", "ExponentialLR", "ConstantLR", "LinearLR", "CosineAnnealingLR"]


def optimizer(cls: Any = torch.optim.SGD, tensor: bool = False, **options: Any) -> torch.optim.Optimizer:
    """Two groups with their own rates."""
    first, second = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    options = options or ({"momentum": 0.9} if "SGD" in cls.__name__ else {})
    rates = [torch.tensor(r, dtype=torch.float64) if tensor else r for r in (0.3, 0.02)]
    return cls([{"params": [first], "lr": rates[0]}, {"params": [second], "lr": rates[1]}], lr=1.0, **options)


def rates(opt: torch.optim.Optimizer) -> list[float]:
    return [float(g["lr"]) for g in opt.param_groups] + [
        float(g["betas"][0] if "betas" in g else g["momentum"]) for g in opt.param_groups
    ]


def walk(opt: torch.optim.Optimizer, schedulers: list[Any], n: int = STEPS) -> list[list[float]]:
    """The rates and momenta in each step."""
    seen = [rates(opt)]
    for _ in range(n):
        opt.step()
        for scheduler in schedulers:
            scheduler.step()
        assert schedulers[-1].get_last_lr() == [g["lr"] for g in opt.param_groups]
        seen.append(rates(opt))
    return seen


def make(module: Any, name: str, opt: torch.optim.Optimizer, options: dict[str, Any], **more: Any) -> Any:
    return getattr(module, name)(opt, **options, **more)


def same(a: list[list[float]], b: list[list[float]]) -> None:
    torch.testing.assert_close(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64),
                               rtol=1e-10, atol=1e-13)  # fmt: skip


@pytest.mark.parametrize(("name", "options"), GRID)
def test_rates_equal_torch(name, options):
    for cls in (torch.optim.SGD, optim.AdamW):
        runs = []
        for module in (ours, theirs):
            opt = optimizer(cls)
            runs.append(walk(opt, [make(module, name, opt, options)]))
        same(*runs)
    assert max(r[0] for r in runs[0]) > 0


@pytest.mark.parametrize("name", [n for n in OPTIONS if n != "OneCycleLR"])
def test_a_rate_that_is_a_tensor_stays_that_tensor(name):
    runs = []
    for module in (ours, theirs):
        opt = optimizer(tensor=True)
        first = opt.param_groups[0]["lr"]
        scheduler = make(module, name, opt, OPTIONS[name][0])
        runs.append(walk(opt, [scheduler], 20))
        assert opt.param_groups[0]["lr"] is first
        assert scheduler.get_last_lr()[0] is not first
    same(*runs)


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_and_recursion_agree(name):
    for options in OPTIONS[name]:
        opt = optimizer()
        scheduler = make(ours, name, opt, options)
        seen = walk(opt, [scheduler])
        same([[scheduler._at(0.3, t), scheduler._at(0.02, t)] for t in range(STEPS + 1)], [row[:2] for row in seen])


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_jump_to_a_step(name):
    for options in OPTIONS[name]:
        ends = []
        for module in (ours, theirs):
            opt = optimizer()
            scheduler = make(module, name, opt, options)
            for t in (33, 5):
                if name == "CosineAnnealingWarmRestarts":
                    scheduler.step(t)
                else:
                    opt.step()
                    with pytest.warns(UserWarning, match="epoch parameter"):
                        scheduler.step(t)
            ends.append(rates(opt))
        same([ends[0]], [ends[1]])


def test_warm_restarts_between_steps():
    for options in OPTIONS["CosineAnnealingWarmRestarts"][:2]:
        runs: list[list[list[float]]] = []
        for module in (ours, theirs):
            opt = optimizer()
            scheduler = module.CosineAnnealingWarmRestarts(opt, **options)
            runs.append([])
            for t in (0.0, 0.25, 6.5, 7.0, 20.75, 21.0, 33.3, 100.5):
                scheduler.step(t)
                runs[-1].append(rates(opt))
        same(*runs)


CHAINS = [
    [("ExponentialLR", {"gamma": 0.97}), ("StepLR", {"step_size": 20, "gamma": 0.5})],
    [("LinearLR", {"total_iters": 10}), ("CosineAnnealingLR", {"T_max": 200})],
    [("ConstantLR", {"total_iters": 30}), ("MultiStepLR", {"milestones": [20, 80]}),
     ("ExponentialLR", {"gamma": 0.99})],
]  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
def test_chained(chain):
    runs = []
    for module in (ours, theirs):
        opt = optimizer()
        runs.append(walk(opt, [make(module, name, opt, options) for name, options in chain]))
    same(*runs)
    opt = optimizer()
    same(runs[0], walk(opt, [theirs.ChainedScheduler([make(ours, name, opt, options) for name, options in chain])]))


SEQUENCES: list[tuple[list[tuple[str, dict[str, Any]]], list[int]]] = [
    ([("LinearLR", {"start_factor": 0.1, "total_iters": 10}), ("CosineAnnealingLR", {"T_max": 110})], [10]),
    ([("ConstantLR", {}), ("ExponentialLR", {"gamma": 0.9}), ("StepLR", {"step_size": 10})], [20, 60]),
    ([("ExponentialLR", {"gamma": 0.9}), ("LambdaLR", {"lr_lambda": root}), ("CosineAnnealingWarmRestarts",
      {"T_0": 9})], [0, 50]),
    ([("MultiStepLR", {"milestones": [3]})], []),
]  # fmt: skip


def sequence(module: Any, parts: Any, opt: torch.optim.Optimizer, inner: Any = None) -> Any:
    plan, milestones = parts
    return module.SequentialLR(opt, [make(inner or module, name, opt, o) for name, o in plan], milestones)


@pytest.mark.parametrize("parts", SEQUENCES)
def test_one_after_the_other(parts):
    runs = []
    for module, inner in ((ours, ours), (theirs, theirs), (ours, theirs), (theirs, ours)):
        opt = optimizer()
        runs.append(walk(opt, [sequence(module, parts, opt, inner)]))
    for run in runs[1:]:
        same(runs[0], run)


def test_sequences_in_a_sequence():
    runs = []
    warnings.simplefilter("ignore")  # PyTorch takes the first step of the inner one for a step too many
    for module in (ours, theirs):
        opt = optimizer()
        inner = [sequence(module, SEQUENCES[0], opt)]
        runs.append(walk(opt, [module.SequentialLR(opt, [*inner], [])], 60))
    same(*runs)


@pytest.mark.parametrize(("name", "options"), GRID)
@pytest.mark.parametrize("modules", [(ours, theirs), (theirs, ours), (ours, ours)])
def test_state_moves_to_and_from_torch_in_the_middle(name, options, modules):
    first, second = modules
    opt = optimizer()
    one = make(first, name, opt, options)
    walk(opt, [one], 23)
    saved = copy.deepcopy((one.state_dict(), opt.state_dict()))
    other = optimizer()
    two = make(second, name, other, options)
    two.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert set(two.state_dict()) ^ set(one.state_dict()) <= {"_get_lr_called_within_step"}
    same(walk(other, [two], 40), walk(opt, [one], 40))


def test_state_of_sequences_and_objects():
    for first, second in ((ours, theirs), (theirs, ours)):
        opt, other = optimizer(), optimizer()
        one, two = (sequence(module, SEQUENCES[0], o) for module, o in ((first, opt), (second, other)))
        walk(opt, [one], 17)
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        other.load_state_dict(copy.deepcopy(opt.state_dict()))
        assert set(two.state_dict()) == set(one.state_dict())
        same(walk(opt, [one], 40), walk(other, [two], 40))
        factor, fresh = Falling(), Falling()
        one = first.LambdaLR(opt, [factor, root])
        walk(opt, [one], 5)
        two = second.LambdaLR(other, [fresh, root])
        two.load_state_dict(one.state_dict())
        assert fresh.calls == factor.calls == 6


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_restart_with_last_epoch(name):
    runs = []
    for module in (ours, theirs):
        opt = optimizer()
        walk(opt, [make(module, name, opt, OPTIONS[name][0])], 29)
        again = make(module, name, opt, OPTIONS[name][0], last_epoch=29)
        runs.append(walk(opt, [again], 40))
    same(*runs)
    for module in (ours, theirs):
        with pytest.raises(KeyError):
            make(module, name, optimizer(), OPTIONS[name][0], last_epoch=3)


def test_pickles_and_arguments():
    for name in [*OPTIONS, "SequentialLR", "ReduceLROnPlateau"]:
        a, b = (inspect.signature(getattr(module, name)).parameters for module in (ours, theirs))
        assert {k: v.default for k, v in a.items()} == {k: v.default for k, v in b.items()}
        assert list(a) == list(b)
    assert set(ours.__all__) == {*OPTIONS, "SequentialLR", "ReduceLROnPlateau"} <= set(theirs.__all__)
    opt = optimizer()
    scheduler = ours.CosineAnnealingLR(opt, 50)
    walk(opt, [scheduler], 10)
    twin = pickle.loads(pickle.dumps(scheduler.state_dict()))
    assert twin == scheduler.state_dict()


def test_wrong_order_and_wrong_question():
    opt = optimizer()
    scheduler = ours.StepLR(opt, 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="call get_last_lr"):
        scheduler.get_lr()


def test_a_rate_changed_by_hand_is_kept_by_the_recursion():
    opt = optimizer()
    scheduler = ours.ExponentialLR(opt, 0.5)
    opt.step()
    scheduler.step()
    opt.param_groups[0]["lr"] = 8.0
    scheduler.step()
    assert opt.param_groups[0]["lr"] == 4.0


PLATEAU = product(mode=["min", "max"], threshold_mode=["rel", "abs"], factor=[0.5], patience=[0, 2], cooldown=[0, 2],
                  min_lr=[None, [0.01, 0.001]], threshold=[None, 0.2])  # fmt: skip


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-2, 2) | st.sampled_from([0.0, 1.0, float("inf"), float("nan")]), min_size=10, max_size=30))
def test_plateau(values):
    for options in PLATEAU:
        (a, one), (b, two) = [(o := optimizer(), module.ReduceLROnPlateau(o, **options)) for module in (ours, theirs)]
        for i, value in enumerate(values):
            if i == 7:  # exchange the states
                left, right = copy.deepcopy((one.state_dict(), two.state_dict()))
                assert set(left) == set(right)
                one.load_state_dict(right)
                two.load_state_dict(left)
            one.step(value)
            two.step(torch.tensor(value, dtype=torch.float64))
            assert rates(a) == rates(b), options
            assert (one.best, one.num_bad_epochs, one.in_cooldown) == (two.best, two.num_bad_epochs, two.in_cooldown)
            assert one.get_last_lr() == two.get_last_lr()


def test_plateau_and_new_groups():
    for module in (ours, theirs):
        for min_lr, fails in ((0.1, False), ([0.1, 0.1], True)):
            opt = optimizer()
            scheduler = module.ReduceLROnPlateau(opt, patience=0, min_lr=min_lr)
            opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5})
            scheduler.step(1.0)
            if fails:
                with pytest.raises(RuntimeError):
                    scheduler.step(1.0)
            else:
                scheduler.step(1.0)
                assert [g["lr"] for g in opt.param_groups] == pytest.approx([0.1, 0.02, 0.1])
    opt = optimizer()
    scheduler = ours.ReduceLROnPlateau(opt, patience=0, eps=0.5)  # the change is smaller: none is made
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert opt.param_groups[0]["lr"] == 0.3
    with pytest.warns(UserWarning, match="epoch"):
        scheduler.step(1.0, epoch=9)
    assert scheduler.last_epoch == 9


BAD: list[tuple[str, Any, type[Exception]]] = [
    ("StepLR", lambda m, o: m.StepLR("sgd", 3), TypeError),
    ("ConstantLR", lambda m, o: m.ConstantLR(o, factor=1.1), ValueError),
    ("ConstantLR", lambda m, o: m.ConstantLR(o, factor=-0.1), ValueError),
    ("LinearLR", lambda m, o: m.LinearLR(o, start_factor=0), ValueError),
    ("LinearLR", lambda m, o: m.LinearLR(o, start_factor=1.5), ValueError),
    ("LinearLR", lambda m, o: m.LinearLR(o, end_factor=-1), ValueError),
    ("LambdaLR", lambda m, o: m.LambdaLR(o, [root]), ValueError),
    ("restarts", lambda m, o: m.CosineAnnealingWarmRestarts(o, 0), ValueError),
    ("restarts", lambda m, o: m.CosineAnnealingWarmRestarts(o, 2.5), ValueError),
    ("restarts", lambda m, o: m.CosineAnnealingWarmRestarts(o, 2, T_mult=0), ValueError),
    ("restarts", lambda m, o: m.CosineAnnealingWarmRestarts(o, 2, eta_min="0"), ValueError),
    ("restarts", lambda m, o: m.CosineAnnealingWarmRestarts(o, 2).step(-1), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR("sgd", 0.1, 10), TypeError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, epochs=3), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, total_steps=0), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, total_steps=2.5), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, 10, pct_start=2.0), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, 10, pct_start=1), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, 0.1, 10, anneal_strategy="square"), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(o, [0.1], 10), ValueError),
    ("OneCycleLR", lambda m, o: m.OneCycleLR(optimizer(torch.optim.Adagrad), 0.1, 10), ValueError),
    ("OneCycleLR", lambda m, o: walk(o, [m.OneCycleLR(o, 0.1, 10)], 11), ValueError),
    ("plateau", lambda m, o: m.ReduceLROnPlateau("sgd"), TypeError),
    ("plateau", lambda m, o: m.ReduceLROnPlateau(o, factor=1.0), ValueError),
    ("plateau", lambda m, o: m.ReduceLROnPlateau(o, mode="low"), ValueError),
    ("plateau", lambda m, o: m.ReduceLROnPlateau(o, threshold_mode="both"), ValueError),
    ("plateau", lambda m, o: m.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError),
    ("SequentialLR", lambda m, o: m.SequentialLR(o, [], []), ValueError),
    ("SequentialLR", lambda m, o: m.SequentialLR(o, [3], []), TypeError),
    ("SequentialLR", lambda m, o: m.SequentialLR(o, [m.StepLR(o, 3)], [4]), ValueError),
    ("SequentialLR", lambda m, o: m.SequentialLR(o, [m.StepLR(optimizer(), 3)], []), ValueError),
    ("SequentialLR", lambda m, o: m.SequentialLR(o, [m.ReduceLROnPlateau(o)], []), ValueError),
]


@pytest.mark.parametrize(("name", "call", "kind"), BAD)
def test_torch_refuses_the_same(name, call, kind):
    with pytest.raises(kind):
        call(theirs, optimizer())
    with pytest.raises(kind, match=r"expected .*, got "):
        call(ours, optimizer())


def test_what_only_we_refuse():
    opt = optimizer()
    for call in (functools.partial(ours.StepLR, opt, 0), functools.partial(ours.CosineAnnealingLR, opt, 0)):
        with pytest.raises(ValueError, match="whole number above 0, got 0"):
            call()
    parts = [ours.StepLR(opt, 3) for _ in range(3)]
    with pytest.raises(ValueError, match="expected rising milestones"):
        ours.SequentialLR(opt, parts, [9, 4])
    with pytest.raises(ValueError, match="got ReduceLROnPlateau at index 0"):
        ours.SequentialLR(opt, [theirs.ReduceLROnPlateau(opt)], [])


FAULTS = [
    ("StepLR", "_next", "t % self", "(t - 1) % self", 1),
    ("MultiStepLR", "_next", "milestones[t]", "milestones[t - 1]", 0),
    ("ExponentialLR", "_next", "* self.gamma", "* self.gamma**2", 0),
    ("ConstantLR", "_next", "lr / self.factor", "lr", 0), ("LinearLR", "_next", "(t - 1)", "t", 1),
    ("CosineAnnealingLR", "_next", "(1 - math.cos", "(1 + math.cos", 1),
    ("CosineAnnealingLR", "_next", "(t - 1) / self", "t / self", 0),
    ("CosineAnnealingWarmRestarts", "_count", "self.T_i *= self.T_mult", "pass", 1),
    ("OneCycleLR", "_phases", "2 * share * n - 2", "2 * share * n - 1", 2),
    ("OneCycleLR", "_phases", "share * n - 1, \"initial", "share * n, \"initial", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "old", "new", "index"), FAULTS)
def test_a_fault_in_a_rule_is_seen(name, method, old, new, index, monkeypatch):
    cls = getattr(ours, name)
    source = inspect.cleandoc("\n" + inspect.getsource(getattr(cls, method)))
    assert old in source
    namespace = dict(vars(sys.modules[cls.__module__]))
    exec(source.replace(old, new), namespace)
    monkeypatch.setattr(cls, method, namespace[method])
    with pytest.raises((AssertionError, ZeroDivisionError)):
        test_rates_equal_torch(name, OPTIONS[name][index])
