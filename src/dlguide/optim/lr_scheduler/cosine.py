"""Schedules that follow half a cosine, once or again and again."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from dlguide.optim.lr_scheduler._base import Rate, Schedule, check_count, rates_of, set_rate


class CosineAnnealingLR(Schedule):
    r"""Let the rate fall along half a cosine, slowly at both ends.

    $$\eta_t = \eta_{\min} + (\eta_0 - \eta_{\min})\, \frac{1 + \cos(\pi t / T)}{2}, \qquad
    \eta_t - \eta_{\min} = \frac{1 + \cos(\pi t / T)}{1 + \cos(\pi (t - 1) / T)}\, (\eta_{t-1} - \eta_{\min})$$

    After step $T$ the rate rises again along the cosine: choose $T$ as the number of all steps.

    Args:
        optimizer: whose groups' `lr` is set.
        T_max: $T \ge 1$, the number of steps from $\eta_0$ to $\eta_{\min}$.
        eta_min: $\eta_{\min}$, the lowest rate.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: `T_max` is not a whole number above 0.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import CosineAnnealingLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = CosineAnnealingLR(optimizer, T_max=4)
        for _ in range(5):
            print(f"{scheduler.get_last_lr()[0]:.3f}", end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        1.000 0.854 0.500 0.146 0.000
        ```

    References:
        - Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts,
          [arXiv:1608.03983](https://arxiv.org/abs/1608.03983), equation 5.
        - [torch.optim.lr_scheduler.CosineAnnealingLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html)
    """

    _at_once = False

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        check_count("T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:cosine-annealing-lr-rule]
    def _at(self, lr_0: Rate, t: int) -> Rate:
        return self.eta_min + (lr_0 - self.eta_min) * _half_cosine(t / self.T_max)

    def _next(self, lr: Rate, lr_0: Rate, t: int) -> Rate:
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # at the bottom 0 cannot grow
            return lr + (lr_0 - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        ratio = _half_cosine(t / self.T_max) / _half_cosine((t - 1) / self.T_max)
        return self.eta_min + (lr - self.eta_min) * ratio
    # --8<-- [end:cosine-annealing-lr-rule]


# --8<-- [start:half-cosine-rule]
def _half_cosine(x: float) -> float:
    return (1 + math.cos(math.pi * x)) / 2  # from 1 at x = 0 to 0 at x = 1
# --8<-- [end:half-cosine-rule]


class CosineAnnealingWarmRestarts(Schedule):
    r"""Let the rate fall along half a cosine, then start again at the top.

    $$\eta_t = \eta_{\min} + (\eta_0 - \eta_{\min})\, \frac{1 + \cos(\pi c / T_i)}{2}$$

    $c$ counts the steps since the last restart and $T_i$ is the length of the run that goes on, of which the first has
    $T_0$ steps and each later one $m$ times as many as that before it.

    Args:
        optimizer: whose groups' `lr` is set.
        T_0: $T_0 \ge 1$, steps before the first restart.
        T_mult: $m \ge 1$.
        eta_min: $\eta_{\min}$, the lowest rate.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: `T_0` or `T_mult` is not a whole number above 0, or `eta_min` is no number.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import CosineAnnealingWarmRestarts

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
        for _ in range(7):
            print(f"{scheduler.get_last_lr()[0]:.3f}", end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        1.000 0.500 1.000 0.854 0.500 0.146 1.000
        ```

    References:
        - Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts,
          [arXiv:1608.03983](https://arxiv.org/abs/1608.03983), section 3.
        - [torch.optim.lr_scheduler.CosineAnnealingWarmRestarts](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.html)
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_count("T_0", T_0)
        check_count("T_mult", T_mult)
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"expected eta_min as a number, got {eta_min!r}: pass a float")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:warm-restarts-lr-rule]
    def get_lr(self) -> list[Rate]:
        """The rates of this step: by the steps since the last restart."""
        height = _half_cosine(self.T_cur / self.T_i)
        return [self.eta_min + (lr_0 - self.eta_min) * height for lr_0 in self.base_lrs]

    def _count(self) -> None:
        self.last_epoch += 1
        self.T_cur += 1
        if self.T_cur >= self.T_i:  # a restart: from the top, and longer
            self.T_cur %= self.T_i
            self.T_i *= self.T_mult

    def _place(self, t: float) -> None:
        """The same without counting, and for any t, such as epoch + batch / batches."""
        self.last_epoch, self.T_cur, self.T_i = math.floor(t), t, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
    # --8<-- [end:warm-restarts-lr-rule]

    def _get_closed_form_lr(self) -> list[Rate]:
        return self.get_lr()

    def step(self, epoch: float | None = None) -> None:
        """Go to the next step, or to any.

        Args:
            epoch: the step to go to, 0 or more, also between two whole numbers; the next one if `None`.
        """
        if epoch is not None and epoch < 0:
            raise ValueError(f"expected epoch to be 0 or more, got {epoch}: leave it out to go on by one")
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            self._count()
        else:
            self._place(epoch)
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            set_rate(group, lr)
        self._last_lr = rates_of(self.optimizer)
