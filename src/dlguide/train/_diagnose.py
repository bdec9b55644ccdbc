"""Where a loss stopped being a number: the parameter, the layer or the data, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


def not_finite(trainer: Trainer, value: float, group: Sequence[tuple[list[Tensor], Tensor]]) -> str:
    """Say at which step the loss became inf or nan, what is not finite, and how to look closer."""
    lr = trainer.optimizer.param_groups[0]["lr"]
    return (
        f"the loss is {value} in epoch {trainer.epoch + (1 if group else 0)}, step {trainer.step + 1}:"
        f" {_first(trainer.model, group)}; lower lr (now {lr:g}) or clip the gradient, or run the step under"
        " torch.autograd.detect_anomaly() to see which operation begins it"
    )


@torch.no_grad()
def _first(model: nn.Module, group: Sequence[tuple[list[Tensor], Tensor]]) -> str:
    """Name the first thing that is not finite: a parameter, an input, or the output of a layer."""
    bad = [name for name, p in model.named_parameters() if not p.isfinite().all()]
    if bad:
        count = sum(1 for _ in model.parameters())
        return f"the parameter {bad[0]} is not finite ({len(bad)} of {count} parameters)"
    if any(x.is_floating_point() and not x.isfinite().all() for inputs, _ in group for x in inputs):
        return "all parameters are finite, but the inputs of this batch are not (nan or inf in the data)"
    found: list[str] = []
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: _note(found, name, out))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    try:
        for inputs, _ in group:
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        return f"all parameters and inputs are finite, but the output of {found[0]} is not"
    return "all parameters, inputs and outputs of layers are finite, so look at the loss function and its targets"


def _note(found: list[str], name: str, output: object) -> None:
    if isinstance(output, Tensor) and not output.isfinite().all():
        found.append(name or "the model")
