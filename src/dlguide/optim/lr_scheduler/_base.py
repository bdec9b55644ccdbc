"""What the schedulers share: asking the rule for every parameter group, and checks of what the caller passes."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Rate = Any  # a float, or a tensor with one element where the optimizer was given one


class Schedule(LRScheduler):
    """Sets the learning rate of each group from the rate before, by the rule of a subclass."""

    _at_once = True  # whether the first call after a restart (last_epoch >= 0) already changes the rate

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__} expected an optimizer, got {type(optimizer).__name__}: pass one")
        if last_epoch >= 0 and any("initial_lr" not in group for group in optimizer.param_groups):
            raise KeyError(
                f"{type(self).__name__} expected groups with initial_lr to go on after step {last_epoch}, got none:"
                " leave last_epoch out, or load the state of the optimizer first"
            )
        super().__init__(optimizer, last_epoch)

    def _start(self, lr: Rate) -> Rate:
        """The rate of step 0."""
        return lr

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        """The rate of step t from that of step t - 1."""
        raise NotImplementedError

    def _at(self, lr_0: Rate, t: int) -> Rate:
        """The rate of step t from the first rate."""
        raise NotImplementedError

    def get_lr(self) -> list[Rate]:
        """Compute the rates of this step; called by `step`.

        Returns:
            One rate for each parameter group.
        """
        if not self._get_lr_called_within_step:
            warnings.warn("expected get_lr to be called by step: to see the rate, call get_last_lr", stacklevel=2)
        t = self.last_epoch
        rates = rates_of(self.optimizer)
        if t == 0:
            return [self._start(lr) for lr in rates]
        if self._is_initial and not self._at_once:
            return rates
        return [self._next(lr, lr_0, t) for lr, lr_0 in zip(rates, self.base_lrs, strict=True)]

    def _get_closed_form_lr(self) -> list[Rate]:
        return [self._at(lr_0, self.last_epoch) for lr_0 in self.base_lrs]


def set_rate(group: dict[str, Any], lr: Rate) -> None:
    """Give a group a rate; a tensor stays the same tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def rates_of(optimizer: Optimizer) -> list[Rate]:
    """The rate of each group, copied."""
    return [group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"] for group in optimizer.param_groups]


def one_per_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A list with one value for each group, from such a list or from one value for all."""
    n = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        if len(value) != n:
            raise ValueError(f"expected {name} with {n} values, one for each parameter group, got {len(value)}")
        return list(value)
    return [value] * n


def check_count(name: str, value: Any) -> None:
    """Refuse a number of steps that is not a whole number above 0."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"expected {name} to be a whole number above 0, got {value!r}: choose another {name}")
