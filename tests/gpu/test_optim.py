"""Every optimizer and schedule from scratch on a GPU: what it is on the CPU, and what PyTorch's own is on the GPU.

And PyTorch's three implementations of one rule, a loop over the parameters, all at once (foreach) and one kernel
(fused), which must agree.
"""

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from dlguide import optim
from dlguide.optim import lr_scheduler
from tests.gpu.parity import DTYPES, exact, leaves, numbers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

# The table: a public name of dlguide.optim and the options of each run.
OPTIMIZERS: dict[str, list[dict[str, Any]]] = {
    "ASGD": [{"lr": 0.01, "lambd": 0.1, "t0": 3, "weight_decay": 0.1}],
    "LBFGS": [{"lr": 0.1, "max_iter": 3}, {"max_iter": 3, "line_search_fn": "strong_wolfe"}],
    "SGD": [{"lr": 0.05}, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "Adadelta": [{"weight_decay": 0.1}],
    "Adafactor": [{"weight_decay": 0.1}],
    "Adagrad": [{"lr_decay": 0.1, "initial_accumulator_value": 0.5}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}],
    "AdamW": [{"lr": 0.01, "weight_decay": 0.1}],
    "Adamax": [{"weight_decay": 0.1}],
    "Muon": [{"lr": 0.02}],
    "NAdam": [{"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{"lr": 0.01, "betas": (0.8, 0.9)}],
    "RMSprop": [{"lr": 0.01, "momentum": 0.5, "centered": True}],
    "Rprop": [{}],
    "SparseAdam": [{"lr": 0.01}],
}
RUNS = [(name, options) for name, runs in OPTIMIZERS.items() for options in runs]
IDS = [f"{name}-{i}" for name, runs in OPTIMIZERS.items() for i in range(len(runs))]
SCHEDULES: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 3},
    "MultiStepLR": {"milestones": [2, 5]},
    "ExponentialLR": {"gamma": 0.8},
    "ConstantLR": {"total_iters": 4},
    "LinearLR": {"total_iters": 6},
    "LambdaLR": {"lr_lambda": lambda t: 0.9**t},
    "CosineAnnealingLR": {"T_max": 8},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 13},
    "SequentialLR": {"milestones": [4]},  # a warm-up, then a decay
    "ReduceLROnPlateau": {"patience": 1},
}
FUSED: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05, "momentum": 0.9}, "Adam": {}, "AdamW": {"lr": 0.01, "amsgrad": True}, "Adagrad": {},
}  # fmt: skip
CLIPS = {
    "get_total_norm": lambda p: optim.get_total_norm([w.grad for w in p]),
    "clip_grad_norm_": lambda p: optim.clip_grad_norm_(p, 0.5),
    "clip_grad_value_": lambda p: optim.clip_grad_value_(p, 0.01),
}
STEPS = 12
# Twelve steps let the roundings of one step grow. An optimizer divides by small numbers (the root of a mean square near
# 0), which makes float32 coarser here than in a single layer. Muon rounds to bfloat16, 4e-3 of a value, in each of five
# products, in either precision; a GPU and a CPU add such products in another order, so a step may differ by percents.
TOLERANCE = {torch.float64: (1e-8, 1e-10), torch.float32: (1e-3, 1e-4)}  # relative, absolute
MUON = (0.0, 0.1 * 0.02 * STEPS)  # a tenth of the way that a weight can go, the learning rate in each step


class Descent(NamedTuple):
    weights: list[Tensor]
    state: list[Tensor]
    rates: Tensor  # the learning rate of each step


def network(device: str, dtype: torch.dtype) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(0.5 * numbers(key, *weight.shape))
    return model.to(device, dtype)


def task(device: str, dtype: torch.dtype):
    """A regression with a network of one hidden layer."""
    x, y = (numbers(word, 16, n).to(device, dtype) for word, n in (("x", 6), ("y", 3)))
    return x, y


def descend(module, name: str, options: dict, device: str, dtype: torch.dtype, make_scheduler=None) -> Descent:
    """Some steps on the device; weights and state are moved back to the CPU."""
    model, (x, y) = network(device, dtype), task(device, dtype)
    chosen = [p for p in model.parameters() if name != "Muon" or p.dim() == 2]
    optimizer = getattr(module, name)(chosen, **options)
    following = make_scheduler(optimizer) if make_scheduler else None
    rates = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        if name == "SparseAdam":
            for p in chosen:
                assert p.grad is not None
                p.grad = p.grad.to_sparse(1)
        return loss.detach()

    for _ in range(STEPS):
        loss = optimizer.step(closure)
        rates.append(float(optimizer.param_groups[0]["lr"]))
        if isinstance(following, (lr_scheduler.ReduceLROnPlateau, torch.optim.lr_scheduler.ReduceLROnPlateau)):
            following.step(1.0 + 0 * loss)  # a loss that does not improve, on the device
        elif following:
            following.step()
    state = leaves([t for p in chosen for key, t in sorted(optimizer.state[p].items()) if key != "step"])
    large = [t for t in (*chosen, *state) if t.dim()]  # PyTorch keeps some single numbers on the CPU
    assert {t.device.type for t in large} == {torch.device(device).type}, "a result left the device"
    weights, state = ([t.detach().cpu() for t in tensors] for tensors in (chosen, state))
    return Descent(weights, state, torch.tensor(rates, dtype=torch.float64))


def close(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype, name: str = "") -> None:
    relative, absolute = TOLERANCE[dtype] if name != "Muon" else MUON
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=relative, atol=absolute)


def parity(name: str, options: dict, device: str, dtype: torch.dtype, make_scheduler=None) -> None:
    """Assert that the optimizer from scratch does on the device what it does on the CPU."""
    ours, cpus = (descend(optim, name, options, where, dtype, make_scheduler) for where in (device, "cpu"))
    close(ours.weights, cpus.weights, dtype, name)
    if dtype == torch.float64:
        close(ours.state, cpus.state, dtype, name)
    assert torch.equal(ours.rates, cpus.rates)


def scheduler_of(module, name: str):
    """What makes the scheduler of that name for an optimizer."""
    if name == "SequentialLR":
        return lambda optimizer: module.SequentialLR(
            optimizer, [module.LinearLR(optimizer, 0.1, total_iters=4), module.ExponentialLR(optimizer, 0.9)],
            SCHEDULES[name]["milestones"])  # fmt: skip
    return lambda optimizer: getattr(module, name)(optimizer, **SCHEDULES[name])


def clipped(name: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """What a function that clips gives back, and the gradients after it."""
    model, (x, y) = network(device, dtype), task(device, dtype)
    nn.functional.mse_loss(model(x), y).backward()
    parameters = list(model.parameters())
    norm = CLIPS[name](parameters)
    results = leaves([norm, *(p.grad for p in parameters)])
    assert {t.device.type for t in results} == {torch.device(device).type}
    return [t.detach().cpu() for t in results]


def has_fused(name: str, device: str) -> bool:
    """Whether PyTorch brings a fused kernel of this rule for the device."""
    key = {"cuda": "CUDA", "cpu": "CPU"}[device]
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::_fused_{name.lower()}_", key)


def implementations(name: str, device: str, dtype: torch.dtype) -> dict[str, list[Tensor]]:
    """One rule of torch.optim: a loop, foreach and fused; and the rule from scratch."""
    options = FUSED[name]
    ways = {"loop": {"foreach": False}, "foreach": {"foreach": True}}
    if has_fused(name, device):
        ways["fused"] = {"fused": True}
    results = {way: descend(torch.optim, name, options | more, device, dtype) for way, more in ways.items()}
    results["from scratch"] = descend(optim, name, options, device, dtype)
    return {way: result.weights for way, result in results.items()}


def rates_on_the_device(device: str) -> tuple[Tensor, Tensor]:
    """A learning rate that is a tensor on the device, followed by a scheduler that changes it there."""
    rate = torch.tensor(0.05, device=device)  # float32: the fused kernel for CUDA reads no other
    results = descend(torch.optim, "AdamW", {"lr": rate, "fused": True}, device, torch.float64,
                      scheduler_of(lr_scheduler, "ExponentialLR"))  # fmt: skip
    return results.rates, rate


def resumed(name: str, options: dict, device: str) -> tuple[list[Tensor], list[Tensor]]:
    """Six steps, a copy of the state by way of the CPU, six steps more; and twelve steps at once."""
    x, y = task(device, torch.float64)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    ends = []
    for stop in (False, True):
        model = network(device, torch.float64)
        optimizer = getattr(optim, name)(model.parameters(), **options)
        steps(model, optimizer, 6)
        if stop:
            saved = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
            on_cpu = {k: {n: v.cpu() if isinstance(v, Tensor) else v for n, v in s.items()}
                      for k, s in saved[1]["state"].items()}  # fmt: skip
            model = network(device, torch.float64)
            model.load_state_dict(saved[0])
            optimizer = getattr(optim, name)(model.parameters(), **options)
            optimizer.load_state_dict(saved[1] | {"state": on_cpu})
        steps(model, optimizer, 6)
        ends.append([p.detach().cpu() for p in model.parameters()])
    return ends[0], ends[1]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(("name", "options"), RUNS, ids=IDS)
def test_optimizer_equals_the_cpu(name, options, dtype):
    with exact():
        parity(name, options, "cuda", dtype)


@pytest.mark.parametrize(("name", "options"), RUNS, ids=IDS)
def test_optimizer_equals_torchs_on_the_gpu(name, options):
    with exact():
        ours, theirs = (descend(module, name, options, "cuda", torch.float64) for module in (optim, torch.optim))
    close(ours.weights, theirs.weights, torch.float64, name)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_the_cpu(name):
    parity("SGD", {"lr": 0.05, "momentum": 0.9}, "cuda", torch.float64, scheduler_of(lr_scheduler, name))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("name", CLIPS)
def test_clipping_equals_the_cpu(name, dtype):
    with exact():
        close(clipped(name, "cuda", dtype), clipped(name, "cpu", dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("name", FUSED)
def test_fused_foreach_and_loop_agree(name, dtype):
    with exact():
        results = implementations(name, "cuda", dtype)
    assert "fused" in results or name == "Adagrad"  # some versions have it for the CPU only
    for way in results:
        close(results[way], results["loop"], dtype)


def test_a_rate_on_the_gpu_follows_its_schedule():
    rates, rate = rates_on_the_device("cuda")
    assert rate.device.type == "cuda"
    torch.testing.assert_close(rates, 0.05 * 0.8 ** torch.arange(STEPS, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_state_that_was_saved_from_the_cpu_goes_on_on_the_gpu(name):
    first, second = resumed(name, OPTIMIZERS[name][-1], "cuda")
    close(second, first, torch.float64)
