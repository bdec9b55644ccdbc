"""Schedules that begin with a lower rate."""

from __future__ import annotations

from torch.optim import Optimizer

from dlguide.optim._base import check
from dlguide.optim.lr_scheduler._base import Rate, Schedule


class ConstantLR(Schedule):
    r"""Multiply the rate by a factor for the first steps only.

    $$\eta_t = \begin{cases} f\, \eta_0 & \text{if } t < T \\ \eta_0 & \text{otherwise} \end{cases}$$

    Args:
        optimizer: whose groups' `lr` is set.
        factor: $0 \le f \le 1$. With 0 the way back, a division, fails in step $T$.
        total_iters: $T$, the step from which on the rate is whole.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: `factor` is out of its range.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import ConstantLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = ConstantLR(optimizer, factor=0.5, total_iters=2)
        for _ in range(4):
            print(scheduler.get_last_lr(), end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        [0.5] [0.5] [1.0] [1.0]
        ```

    References:
        - [torch.optim.lr_scheduler.ConstantLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ConstantLR.html)
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        check("factor", factor, most=1)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:constant-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        return lr_0 * self.factor if t < self.total_iters else lr_0

    def _start(self, lr: Rate) -> Rate:
        return lr * self.factor

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        return lr / self.factor if t == self.total_iters else lr
    # --8<-- [end:constant-lr-rule]


class LinearLR(Schedule):
    r"""Change the rate evenly from one factor to another: a warm-up.

    $$\eta_t = \eta_0 \left(a + (b - a)\, \frac{\min(t, T)}{T}\right), \qquad
    \eta_t = \eta_{t-1} \left(1 + \frac{b - a}{T a + (t - 1)(b - a)}\right) \text{ for } t \le T$$

    Args:
        optimizer: whose groups' `lr` is set.
        start_factor: $0 < a \le 1$.
        end_factor: $0 \le b \le 1$.
        total_iters: $T$, the number of steps from $a$ to $b$.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: a factor is out of its range.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import LinearLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = LinearLR(optimizer, start_factor=0.25, total_iters=3)
        for _ in range(5):
            print(scheduler.get_last_lr(), end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        [0.25] [0.5] [0.75] [1.0] [1.0]
        ```

    References:
        - [torch.optim.lr_scheduler.LinearLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html)
    """

    _at_once = False

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check("start_factor", start_factor, above=0, most=1)
        check("end_factor", end_factor, most=1)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:linear-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        rise = (self.end_factor - self.start_factor) * min(t, self.total_iters) / self.total_iters
        return lr_0 * (self.start_factor + rise)

    def _start(self, lr: Rate) -> Rate:
        return lr * self.start_factor

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        if t > self.total_iters:
            return lr
        a, b = self.start_factor, self.end_factor
        return lr * (1 + (b - a) / (self.total_iters * a + (t - 1) * (b - a)))
    # --8<-- [end:linear-lr-rule]
