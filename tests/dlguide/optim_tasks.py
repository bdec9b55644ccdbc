"""Problems on which dlguide.optim and torch.optim are compared, and the options to compare."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

Loss = Callable[[list[Tensor]], Tensor]
F64 = torch.float64


def quadratic() -> tuple[list[Tensor], Loss]:
    """A long narrow valley: curvatures from 1 to 1000, in rotated directions."""
    curvature = torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=F64)
    q = torch.linalg.qr(torch.tensor([[(i * j) % 5 + (i == j) for j in range(4)] for i in range(4)], dtype=F64)).Q
    a = q * curvature @ q.T
    return [torch.tensor([[2.0, -1.0], [1.5, 0.5], [-1.0, 1.0], [0.5, 2.0]], dtype=F64)], (
        lambda w: 0.5 * (w[0] * (a @ w[0])).sum()
    )


def rosenbrock() -> tuple[list[Tensor], Loss]:
    """Three of Rosenbrock's valleys, one in each column."""

    def loss(w: list[Tensor]) -> Tensor:
        x, y = w[0]
        return ((1 - x) ** 2 + 100 * (y - x * x) ** 2).sum()

    return [torch.tensor([[-0.5, 0.4, 0.2], [0.7, -0.2, 0.3]], dtype=F64)], loss


@functools.cache
def images() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels[:64] / 16, dtype=F64), torch.tensor(labels[:64])


def digits() -> tuple[list[Tensor], Loss]:
    """A network with one hidden layer on 64 real digits."""
    x, y = images()
    generator = torch.Generator().manual_seed(0)
    shapes = [(12, 64), (12,), (10, 12), (10,)]
    start = [0.2 * torch.randn(s, generator=generator, dtype=F64) for s in shapes]
    return start, lambda w: F.cross_entropy(torch.tanh(x @ w[0].T + w[1]) @ w[2].T + w[3], y)


TASKS = [quadratic, rosenbrock, digits]


def parameters(start: list[Tensor], name: str = "") -> list[Tensor]:
    """Fresh copies; Muon is given the matrices only."""
    return [w.clone().requires_grad_(name != "Muon" or w.dim() == 2) for w in start]


def build(module: Any, name: str, w: list[Tensor], **options: Any) -> torch.optim.Optimizer:
    return getattr(module, name)([p for p in w if p.requires_grad], **options)


def steps(optimizer: torch.optim.Optimizer, w: list[Tensor], loss: Loss, n: int) -> None:
    """n steps with a closure; the gradients are made sparse for SparseAdam, the loss negative for maximize."""
    sign = -1 if optimizer.param_groups[0].get("maximize") else 1
    sparse = type(optimizer).__name__ == "SparseAdam"

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = sign * loss(w)
        value.backward()
        if sparse:
            for p in w:
                p.grad = p.grad.to_sparse(1)
        return value.detach()

    for _ in range(n):
        optimizer.step(closure)


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def product(**choices: list[Any]) -> list[dict[str, Any]]:
    """All combinations; an option that is None is left out."""
    rows = [dict(zip(choices, row, strict=True)) for row in itertools.product(*choices.values())]
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


LR = torch.tensor(1e-3, dtype=F64)
DECAY, UP = [None, 0.1], [None, True]
OPTIONS: dict[str, list[dict[str, Any]]] = {  # on all three problems
    "SGD": [
        {"lr": 1e-3},
        {"lr": 1e-3, "momentum": 0.9},
        {"lr": 1e-3, "momentum": 0.5, "dampening": 0.3, "weight_decay": 0.1},
        {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": LR, "weight_decay": 0.1, "maximize": True},
    ],
    "ASGD": [{"lr": 1e-3}, {"lr": 1e-3, "lambd": 0.1, "alpha": 0.5, "t0": 10, "weight_decay": 0.1}, {"lr": LR}],
    "LBFGS": [
        {"lr": 1e-3, "max_iter": 2, "history_size": 10},
        {"max_iter": 4, "line_search_fn": "strong_wolfe"},
        {"max_iter": 6, "line_search_fn": "strong_wolfe", "history_size": 2, "max_eval": 5, "tolerance_change": 1e-6},
        {"max_iter": 5, "line_search_fn": "strong_wolfe", "tolerance_grad": 1e-3, "maximize": True},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.01}, {"rho": 0.99, "maximize": True}],
    "Adafactor": [
        {},
        {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 1e-2), "d": 2.0, "weight_decay": 0.1},
        {"lr": LR, "beta2_decay": 0, "maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1},
        {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True},
    ],
    "Adam": [
        {},
        {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1},
        {"lr": 0.05, "betas": (0.0, 0.0), "eps": 1e-3},
        {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True, "maximize": True},
        {"lr": torch.tensor([0.01], dtype=F64), "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "AdamW": [
        {},
        {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3},
        {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True, "maximize": True},
    ],
    "Adamax": [{}, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.1}, {"maximize": True}],
    "Muon": [
        {},
        {"lr": 0.02, "momentum": 0.8, "nesterov": False, "weight_decay": 0, "adjust_lr_fn": "match_rms_adamw"},
        {"lr": LR, "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "adjust_lr_fn": "spectral_unclamped"},
        {"adjust_lr_fn": "original", "eps": 1.0},
    ],
    "NAdam": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "momentum_decay": 0.1, "eps": 1e-3},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {"lr": 1e-4},
        {"lr": 1e-3, "betas": (0.8, 0.9), "weight_decay": 0.1},
        {"lr": 1e-4, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"lr": 1e-3, "alpha": 0.9, "eps": 1e-4},
        {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1},
        {"lr": 1e-3, "alpha": 0.9, "momentum": 0.5, "centered": True, "maximize": True},
        {"alpha": 0, "weight_decay": 0.01},
    ],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-3, 0.05)}, {"maximize": True}],
    "SparseAdam": [{}, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}, {"betas": (0.0, 0.0), "maximize": True}],
}
GRID = [(name, options) for name, choices in OPTIONS.items() for options in choices]
NAMES = list(OPTIONS)

PRODUCTS: dict[str, list[dict[str, Any]]] = {  # on the cheap one of the problems
    "ASGD": product(lr=[1e-3], lambd=[None, 0.1], alpha=[None, 1.0], t0=[None, 20], weight_decay=DECAY, maximize=UP),
    "LBFGS": product(line_search_fn=["strong_wolfe"], max_iter=[1, 3], history_size=[None, 2], maximize=UP),
    "SGD": [
        o for o in product(lr=[1e-3], momentum=[None, 0.9], dampening=[None, 0.3], weight_decay=DECAY,
                           nesterov=[None, True], maximize=UP)
        if "nesterov" not in o or ("momentum" in o and "dampening" not in o)
    ],
    "Adadelta": product(rho=[None, 0.5], eps=[None, 1e-7], weight_decay=DECAY, maximize=UP),
    "Adafactor": product(d=[None, 3.0], eps=[None, (1e-3, 0.1)], weight_decay=DECAY, maximize=UP),
    "Adagrad": product(lr_decay=[None, 0.1], initial_accumulator_value=[None, 1.0], weight_decay=DECAY, maximize=UP),
    "Adam": product(amsgrad=[None, True], weight_decay=DECAY, decoupled_weight_decay=[None, True], maximize=UP),
    "AdamW": product(amsgrad=[None, True], weight_decay=DECAY, betas=[(0.5, 0.6)], maximize=UP),
    "Adamax": product(betas=[None, (0.0, 0.5)], weight_decay=DECAY, maximize=UP),
    "Muon": product(nesterov=[None, False], adjust_lr_fn=[None, "original", "match_rms_adamw", "spectral_unclamped"],
                    weight_decay=[None, 0]),
    "NAdam": product(momentum_decay=[None, 0.1], weight_decay=DECAY, decoupled_weight_decay=[None, True], maximize=UP),
    "RAdam": product(lr=[1e-4], betas=[None, (0.5, 0.5)], weight_decay=DECAY, decoupled_weight_decay=[None, True],
                     maximize=UP),
    "RMSprop": product(lr=[1e-3], momentum=[None, 0.9], centered=[None, True], weight_decay=DECAY, maximize=UP),
    "Rprop": product(etas=[None, (0.9, 1.1)], step_sizes=[None, (1e-3, 0.05)], maximize=UP),
    "SparseAdam": product(betas=[None, (0.5, 0.6)], eps=[None, 1e-3], maximize=UP),
}  # fmt: skip
