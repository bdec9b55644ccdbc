"""One cycle: the rate rises and falls while the momentum falls and rises."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch.optim import Optimizer

from dlguide.optim.lr_scheduler._base import Rate, Schedule, check_count, one_per_group


# --8<-- [start:anneal-rule]
def _cos(start: Rate, end: Rate, share: float) -> Rate:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _linear(start: Rate, end: Rate, share: float) -> Rate:
    return start + (end - start) * share
# --8<-- [end:anneal-rule]


class OneCycleLR(Schedule):
    r"""Let the rate rise to a maximum and fall to almost nothing, once in the whole training.

    $$\eta_t = b + (a - b)\, \frac{1 + \cos(\pi x)}{2}, \qquad x = \frac{t - t_a}{t_b - t_a}$$

    in each phase, which goes from the rate $a$ at step $t_a$ to $b$ at step $t_b$; with `"linear"` it is
    $\eta_t = a + (b - a)\, x$. With $N$ steps in all and the share $p$, the phases are

    | phase | steps | rate | momentum |
    |---|---|---|---|
    | up | $0$ to $pN - 1$ | $\eta_{\max} / d$ to $\eta_{\max}$ | from high to low |
    | down | to $N - 1$ | to $\eta_{\max} / (d f)$ | from low to high |

    and with `three_phase` the way down stops at step $2pN - 2$ and the first rate, from where the third phase goes on
    to $\eta_{\max} / (d f)$ with a high momentum. Momentum is `momentum` or the first of the `betas`. Call `step` after
    each batch.

    Args:
        optimizer: whose groups' `lr` and momentum are set.
        max_lr: $\eta_{\max}$, or a list with one for each group.
        total_steps: $N$; or give both of the next two.
        epochs: $N$ divided by the next.
        steps_per_epoch: batches in an epoch.
        pct_start: $p$, a float from 0 to 1.
        anneal_strategy: `"cos"` or `"linear"`.
        cycle_momentum: whether the momentum is changed as well.
        base_momentum: the low one, or a list.
        max_momentum: the high one, or a list.
        div_factor: $d$.
        final_div_factor: $f$.
        three_phase: as above.
        last_epoch: the number of steps already done; -1 starts anew.

    Raises:
        ValueError: an option is out of its range, the optimizer has no momentum to cycle, or `step` is called more than
            $N$ times.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import OneCycleLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
        scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=6, pct_start=0.5, anneal_strategy="linear")
        for _ in range(6):
            print(f"{scheduler.get_last_lr()[0]:.2f} {optimizer.param_groups[0]['momentum']:.2f}")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        0.04 0.95
        0.52 0.90
        1.00 0.85
        0.67 0.88
        0.33 0.92
        0.00 0.95
        ```

    References:
        - Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
          [arXiv:1708.07120](https://arxiv.org/abs/1708.07120), section 3. There the phases are linear and three.
        - [torch.optim.lr_scheduler.OneCycleLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"OneCycleLR expected an optimizer, got {type(optimizer).__name__}: pass one")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("expected total_steps, or epochs and steps_per_epoch, got neither: pass total_steps")
            check_count("epochs", epochs)
            check_count("steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        check_count("total_steps", total_steps)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"expected pct_start to be a float from 0 to 1, got {pct_start!r}: such as 0.3")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"expected anneal_strategy to be 'cos' or 'linear', got {anneal_strategy!r}: choose one")
        self.total_steps, self._anneal_func_type = total_steps, anneal_strategy
        self._schedule_phases = self._phases(total_steps, pct_start, three_phase)
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, one_per_group("max_lr", max_lr, optimizer), strict=True):
                first = top / div_factor
                group.update(initial_lr=first, max_lr=top, min_lr=first / final_div_factor)
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError(
                    f"expected an optimizer with momentum or betas, got {type(optimizer).__name__}: pass"
                    " cycle_momentum=False"
                )
            self.use_beta1 = "betas" in optimizer.defaults
            low = one_per_group("base_momentum", base_momentum, optimizer)
            high = one_per_group("max_momentum", max_momentum, optimizer)
            if last_epoch == -1:
                for group, base, top in zip(optimizer.param_groups, low, high, strict=True):
                    self._set_momentum(group, top)
                    group.update(max_momentum=top, base_momentum=base)
        super().__init__(optimizer, last_epoch)

    # --8<-- [start:one-cycle-lr-rule]
    def _phases(self, n: int, share: float, three: bool) -> list[dict[str, Any]]:
        """Where each phase ends, and from which entry of the group to which it goes."""
        high, low = "max_momentum", "base_momentum"
        turns = [(share * n - 1, "initial_lr", "max_lr", high, low)]
        if three:
            turns += [(2 * share * n - 2, "max_lr", "initial_lr", low, high)]
            turns += [(n - 1, "initial_lr", "min_lr", high, high)]
        else:
            turns += [(n - 1, "max_lr", "min_lr", low, high)]
        names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        return [dict(zip(names, turn, strict=True)) for turn in turns]

    def _rates(self) -> list[Rate]:
        phase, start = self._schedule_phases[0], 0.0
        for later in self._schedule_phases[1:]:
            if self.last_epoch > phase["end_step"]:
                phase, start = later, phase["end_step"]
        length = phase["end_step"] - start
        share = (self.last_epoch - start) / length if length else 1.0
        between = _cos if self._anneal_func_type == "cos" else _linear
        for group in self.optimizer.param_groups:
            if self.cycle_momentum:
                first, last = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, between(first, last, share))
        groups = self.optimizer.param_groups
        ends = [(group[phase["start_lr"]], group[phase["end_lr"]]) for group in groups]
        return [between(first, last, share) for first, last in ends]
    # --8<-- [end:one-cycle-lr-rule]

    def get_lr(self) -> list[Rate]:
        """Compute the rates of this step and set the momentum; called by `step`."""
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"expected at most total_steps={self.total_steps} steps, got step {self.last_epoch}: make total_steps"
                " as large as epochs times batches"
            )
        return self._rates()

    def _get_closed_form_lr(self) -> list[Rate]:
        return self.get_lr()

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum
