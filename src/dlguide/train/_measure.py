"""Means over examples that come in batches: of the loss, of the hits, and of torchmetrics' metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dlguide.train import _check as check
from dlguide.train._batches import Batches, begin, go_to
from dlguide.train.distributed import add_up


class Sums:
    """Sum of the losses, of the hits and of the examples; they stay on the device, since reading them would wait."""

    def __init__(self, device: torch.device, saved: Mapping[str, Any] | None = None) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.values = torch.zeros(3, dtype=dtype, device=device)
        self.classified = False  # whether hits can be counted at all
        if saved is not None:
            self.values.copy_(saved["values"])
            self.classified = saved["classified"]

    def add(self, loss: Tensor, output: Any, y: Tensor) -> None:
        """Add a batch with the mean loss of its examples."""
        self.values[0] += loss * len(y)
        self.values[2] += len(y)
        if isinstance(output, Tensor) and output.dim() == 2 and y.dim() == 1 and y.dtype == torch.int64:
            self.values[1] += (output.argmax(1) == y).sum()
            self.classified = True

    def means(self) -> dict[str, float]:
        """Return the mean loss, and the accuracy of a classifier, over the examples of all processes."""
        loss, hits, count = add_up(self.values).tolist()
        if not count:
            raise ValueError("expected at least one example to measure, got none")
        return {"loss": loss / count} | ({"accuracy": hits / count} if self.classified else {})

    def state_dict(self) -> dict[str, Any]:
        """Return what another `Sums` can go on from."""
        return {"values": self.values.cpu(), "classified": self.classified}


@torch.no_grad()
def measure(
    model: nn.Module,
    loss: Callable[[Any, Tensor], Tensor],
    batches: Batches,
    device: torch.device,
    metrics: Mapping[str, Any],
) -> dict[str, float]:
    """Return the means over all examples, in `eval` mode and without gradients."""
    sums = Sums(device)
    for metric in metrics.values():
        metric.reset()
    go_to(batches, 0, 0)  # an order that shuffles is the same in each measurement, also in a resumed run
    with check.eval_mode(model):
        for *inputs, y in begin(batches):
            y = y.to(device)
            output = model(*(x.to(device) for x in inputs))
            sums.add(loss(check.output(output, y), y), output, y)
            for metric in metrics.values():
                metric.update(output, y)
    return sums.means() | {name: _number(name, metric.compute()) for name, metric in metrics.items()}


def _number(name: str, value: Any) -> float:
    if isinstance(value, dict) or (isinstance(value, Tensor) and value.numel() != 1):
        raise ValueError(f"expected one number from the metric {name!r}, got {value}: average='macro' makes it one")
    return float(value)
