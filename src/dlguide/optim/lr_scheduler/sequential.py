"""One schedule after the other, such as a warm-up and then a cosine."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from dlguide.optim.lr_scheduler._base import set_rate
from dlguide.optim.lr_scheduler.plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    r"""Use the first scheduler up to the first milestone, then the second, and so on.

    $$\eta_t = \eta^{(i)}_{t - T_i} \quad \text{for } T_i \le t < T_{i+1}$$

    where $\eta^{(i)}_k$ is the rate of scheduler $i$ after $k$ steps, $T_0 = 0$ and $T_1, T_2, \dots$ are the
    milestones.

    Args:
        optimizer: whose groups' `lr` is set.
        schedulers: those of this optimizer, of this package or of PyTorch.
        milestones: the steps at which the next one takes over, rising; one fewer than schedulers.
        last_epoch: -1 starts anew.

    Raises:
        ValueError: there is no scheduler, one of another optimizer, one that needs a value (`ReduceLROnPlateau`), or
            the wrong number or order of milestones.
        TypeError: something in the list is no scheduler.

    Example:
        ```python
        import torch
        from dlguide.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        warm_up = LinearLR(optimizer, start_factor=0.25, total_iters=3)
        cosine = CosineAnnealingLR(optimizer, T_max=4)
        scheduler = SequentialLR(optimizer, [warm_up, cosine], milestones=[3])
        for _ in range(8):
            print(f"{scheduler.get_last_lr()[0]:.3f}", end=" ")
            optimizer.step()
            scheduler.step()
        ```

        ``` {.text .output}
        0.250 0.500 0.750 1.000 0.854 0.500 0.146 0.000
        ```

    References:
        - [torch.optim.lr_scheduler.SequentialLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.SequentialLR.html)
        - Goyal et al.: Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour,
          [arXiv:1706.02677](https://arxiv.org/abs/1706.02677), section 2.2 (warm-up).
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if not schedulers:
            raise ValueError("expected at least one scheduler, got none: pass a list of schedulers of this optimizer")
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"expected schedulers, got {type(scheduler).__name__} at index {i}: pass nothing else")
            if isinstance(scheduler, (ReduceLROnPlateau, torch_schedulers.ReduceLROnPlateau)):
                raise ValueError(
                    f"expected schedulers whose step takes no value, got ReduceLROnPlateau at index {i}: step it by"
                    " itself"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"expected schedulers of this {type(optimizer).__name__}, got {type(scheduler).__name__} of another"
                    f" optimizer at index {i}: make it with this one"
                )
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"expected {len(schedulers) - 1} milestones for {len(schedulers)} schedulers, got {len(milestones)}:"
                " pass one between each two"
            )
        if list(milestones) != sorted(milestones):
            raise ValueError(f"expected rising milestones, got {list(milestones)}: sort them")
        self._schedulers, self._milestones, self.optimizer = schedulers, milestones, optimizer
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # each scheduler has taken its first step when it was made: undo that
            set_rate(group, group["initial_lr"])
        _undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    # --8<-- [start:sequential-lr-rule]
    def step(self) -> None:  # type: ignore[override]
        """Go on by one step of the scheduler whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)  # how many have had their time
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)  # its first rate, by the closed form
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()
    # --8<-- [end:sequential-lr-rule]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of the schedulers their states."""
        kept = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        kept["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another scheduler stood.

        Args:
            state_dict: what `state_dict` returned.
        """
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(saved)


def _undo(scheduler: Any) -> None:
    """Count one step back, in schedulers of schedulers too."""
    if hasattr(scheduler, "_schedulers"):
        for inner in scheduler._schedulers:
            _undo(inner)
    else:
        scheduler.last_epoch -= 1
