"""Schedules that multiply the rate by a factor: at some steps, in each step, or by a function of the step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from torch.optim import Optimizer

from dlguide.optim.lr_scheduler._base import Rate, Schedule, check_count, one_per_group


class StepLR(Schedule):
    r"""Multiply the rate by a factor after every so many steps.

    $$\eta_t = \eta_0\, \gamma^{\lfloor t / s \rfloor}$$

    Args:
        optimizer: whose groups' `lr` is set.
        step_size: $s \ge 1$, calls of `step` between two changes.
        gamma: $\gamma$, the factor.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: `step_size` is not a whole number above 0.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import StepLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
        for _ in range(5):
            print(scheduler.get_last_lr(), end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        [1.0] [1.0] [0.5] [0.5] [0.25]
        ```

    References:
        - [torch.optim.lr_scheduler.StepLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html)
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        check_count("step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:step-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        return lr_0 * self.gamma ** (t // self.step_size)

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        return lr * self.gamma if t % self.step_size == 0 else lr
    # --8<-- [end:step-lr-rule]


class MultiStepLR(Schedule):
    r"""Multiply the rate by a factor at given steps.

    $$\eta_t = \eta_0\, \gamma^{n(t)}$$

    where $n(t)$ counts the milestones up to and including $t$.

    Args:
        optimizer: whose groups' `lr` is set.
        milestones: the steps at which the rate changes; one that occurs twice counts twice.
        gamma: $\gamma$, the factor.
        last_epoch: the number of steps already done; -1 starts anew.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import MultiStepLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = MultiStepLR(optimizer, milestones=[1, 4], gamma=0.5)
        for _ in range(5):
            print(scheduler.get_last_lr(), end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        [1.0] [0.5] [0.5] [0.5] [0.25]
        ```

    References:
        - [torch.optim.lr_scheduler.MultiStepLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html)
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:multi-step-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        passed = bisect_right(sorted(self.milestones.elements()), t)
        return lr_0 * self.gamma**passed

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        return lr * self.gamma ** self.milestones[t]  # how often t is among them
    # --8<-- [end:multi-step-lr-rule]

    def _start(self, lr: Rate) -> Rate:
        return self._next(lr, lr, 0)


class ExponentialLR(Schedule):
    r"""Multiply the rate by a factor in each step.

    $$\eta_t = \eta_0\, \gamma^t = \gamma\, \eta_{t-1}$$

    Args:
        optimizer: whose groups' `lr` is set.
        gamma: $\gamma$, the factor.
        last_epoch: the number of steps already done; -1 starts anew.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import ExponentialLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = ExponentialLR(optimizer, gamma=0.5)
        for _ in range(4):
            print(scheduler.get_last_lr(), end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        [1.0] [0.5] [0.25] [0.125]
        ```

    References:
        - [torch.optim.lr_scheduler.ExponentialLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html)
    """

    _at_once = False

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:exponential-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        return lr_0 * self.gamma**t

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        return lr * self.gamma
    # --8<-- [end:exponential-lr-rule]


class LambdaLR(Schedule):
    r"""Multiply the first rate by a function of the step.

    $$\eta_t = \eta_0\, f(t)$$

    Args:
        optimizer: whose groups' `lr` is set.
        lr_lambda: $f$, or a list with one function for each group.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: the list has not one function for each group.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import LambdaLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = LambdaLR(optimizer, lambda t: 1 / (1 + t))
        for _ in range(4):
            print(f"{scheduler.get_last_lr()[0]:.3f}", end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        1.000 0.500 0.333 0.250
        ```

    References:
        - [torch.optim.lr_scheduler.LambdaLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LambdaLR.html)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = one_per_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:lambda-lr-rule]
    def get_lr(self) -> list[Rate]:
        """The rates of this step: from the first ones, not from those before."""
        t = self.last_epoch
        return [lr_0 * f(t) for lr_0, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]
    # --8<-- [end:lambda-lr-rule]

    def _get_closed_form_lr(self) -> list[Rate]:
        return self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and plain functions; of a callable object its attributes."""
        kept = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "lr_lambdas")}
        kept["lr_lambdas"] = [None if isinstance(f, FunctionType) else dict(f.__dict__) for f in self.lr_lambdas]
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another scheduler stood.

        Args:
            state_dict: what `state_dict` returned.
        """
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for f, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                f.__dict__.update(saved)
