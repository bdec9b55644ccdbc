"""Muon for the filters of convolutions: each is a row of a matrix. The Muon of PyTorch and ours take matrices alone."""

from __future__ import annotations

from typing import Any

import torch

from dlguide.optim.muon import COEFFICIENTS, _orthogonal


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
                p.sub_(group["lr"] * _orthogonal(ahead.flatten(1), COEFFICIENTS, steps=3, eps=1e-7).view_as(p))


class Together(torch.optim.Optimizer):
    """Several optimizers that step as one; a scheduler of it moves the learning rates of all."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})  # the same dicts

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()
