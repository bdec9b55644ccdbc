"""Lower the rate when a measured value no longer gets better."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, SupportsFloat

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dlguide.optim.lr_scheduler._base import one_per_group, rates_of, set_rate


class ReduceLROnPlateau(LRScheduler):
    r"""Multiply the rate by a factor when a value has not become better for a while.

    $$\eta \leftarrow \max(f\, \eta,\; \eta_{\min})$$

    after more than `patience` steps in a row without a value better than the best so far. For `"min"` a value $m$ is
    better than $m^*$ if $m < m^* (1 - \theta)$ (`"rel"`) or $m < m^* - \theta$ (`"abs"`), for `"max"` if
    $m > m^* (1 + \theta)$ or $m > m^* + \theta$.

    Args:
        optimizer: whose groups' `lr` is lowered.
        mode: `"min"` for a loss, `"max"` for an accuracy.
        factor: $f < 1$.
        patience: steps without a better value that are still accepted.
        threshold: $\theta$, by how much a value must be better.
        threshold_mode: `"rel"` or `"abs"`.
        cooldown: steps after a change in which nothing is counted.
        min_lr: $\eta_{\min}$, or a list with one for each group.
        eps: a change not larger than this is not made.

    Raises:
        ValueError: an option is out of its range.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import ReduceLROnPlateau

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        for loss in (3.0, 2.0, 2.0, 2.1, 1.0):
            scheduler.step(loss)
            print(scheduler.get_last_lr(), end=" ")
        ```

        ``` {.text .output}
        [1.0] [1.0] [1.0] [0.5] [0.5]
        ```

    References:
        - [torch.optim.lr_scheduler.ReduceLROnPlateau](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceLROnPlateau expected an optimizer, got {type(optimizer).__name__}: pass one")
        if factor >= 1:
            raise ValueError(f"expected factor to be below 1, got {factor:g}: the rate is multiplied by it")
        if mode not in ("min", "max"):
            raise ValueError(f"expected mode to be 'min' or 'max', got {mode!r}: 'min' for a loss")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"expected threshold_mode to be 'rel' or 'abs', got {threshold_mode!r}: choose one")
        self.optimizer = optimizer
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = one_per_group("min_lr", min_lr, optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode_worse = math.inf if mode == "min" else -math.inf  # what any value is better than
        self.best, self.num_bad_epochs, self.cooldown_counter = self.mode_worse, 0, 0
        self.last_epoch, self._last_lr = 0, rates_of(optimizer)

    # --8<-- [start:plateau-lr-rule]
    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        change, relative = sign * self.threshold, self.threshold_mode == "rel"
        goal = self.best * (1 + change) if relative else self.best + change
        return sign * value > sign * goal

    def _look(self, value: float) -> None:
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self._least(), strict=True):
            lr = max(float(group["lr"]) * self.factor, least)
            if float(group["lr"]) - lr > self.eps:
                set_rate(group, lr)
    # --8<-- [end:plateau-lr-rule]

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the newest value, and lower the rate if it is time.

        Args:
            metrics: the loss or the accuracy, as a number or a tensor with one element.
            epoch: the number of this step; counted if `None`. As in PyTorch it is no longer wanted, and warns.
        """
        if epoch is not None:
            warnings.warn("expected step(value), got epoch as well: leave it out, steps are counted", stacklevel=2)
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._look(value)
        self._last_lr = rates_of(self.optimizer)

    def _least(self) -> list[float]:
        """The lowest rate of each group, also of groups that came later."""
        n = len(self.optimizer.param_groups)
        if len(self.min_lrs) != n:
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"expected min_lr with {n} values, one for each parameter group, got {len(self.min_lrs)}: add to"
                    " min_lrs when you add a group"
                )
            self.min_lrs = [self.default_min_lr] * n
        return self.min_lrs

    @property
    def in_cooldown(self) -> bool:
        """Whether steps without a better value are not counted now."""
        return self.cooldown_counter > 0

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another scheduler stood.

        Args:
            state_dict: what `state_dict` returned.
        """
        self.__dict__.update(state_dict)
