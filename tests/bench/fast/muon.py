"""Muon for the filters of convolutions, which `torch.optim.Muon` does not take: each filter is a row of a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def orthogonal(g: Tensor, steps: int = 3) -> Tensor:
    """Bring the singular values of a matrix near 1 (Newton-Schulz)."""
    x = g if g.is_cpu else g.bfloat16()  # on a CPU matrices of this size are multiplied faster in float32
    x = x / (x.norm() + 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(steps):
        s = x @ x.T
        x = torch.addmm(x, torch.addmm(s, s, s, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x if g.shape[0] <= g.shape[1] else x.T).to(g.dtype)


class FilterMuon(torch.optim.Optimizer):
    """Muon with Nesterov's momentum; `keep_length` gives the weights of a layer one length before each step."""

    def __init__(self, params: Any, lr: float, momentum: float, keep_length: bool = False) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "keep_length": keep_length})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                ahead = p.grad + group["momentum"] * buffer  # Nesterov
                if group["keep_length"]:
                    p.mul_(len(p) ** 0.5 / p.norm())
                p.sub_(group["lr"] * orthogonal(ahead.flatten(1)).view_as(p))


class Together(torch.optim.Optimizer):
    """Several optimizers that step as one; a scheduler of it moves the learning rates of all."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})  # the same dicts

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()
