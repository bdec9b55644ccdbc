"""What a training run saw, epoch by epoch, and its picture."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class History:
    """What a run saw, one number for each epoch.

    Args:
        train_loss: mean cross-entropy of the training examples while the weights were moving.
        train_accuracy: share of them that were classified right, in `[0, 1]`.
        validation_loss: mean cross-entropy of the validation examples after the epoch.
        validation_accuracy: share of them that were classified right, in `[0, 1]`.
        best_epoch: the epoch, counted from 1, with the lowest validation loss; its weights are the ones kept.
        metrics: the other numbers of each epoch by their names, such as those of torchmetrics.

    Example:
        ```python
        from dlguide.train.history import History

        history = History([2.1, 1.2], [0.3, 0.7], [1.6, 1.1], [0.5, 0.8], best_epoch=2)
        print(history.validation_loss[history.best_epoch - 1])
        ```

        ``` {.text .output}
        1.1
        ```
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = 0
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def add(self, logs: Mapping[str, float]) -> None:
        """Add the numbers of an epoch; those that it does not have (accuracy of a regression) are left out.

        Args:
            logs: numbers by their names, such as `train_loss`; names that begin with neither part are not kept.
        """
        known = {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"}
        for name, value in logs.items():
            if name in known:
                getattr(self, name).append(value)
            elif name.startswith("validation_"):
                self.metrics.setdefault(name, []).append(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the lists as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> History:
        """Return the history whose lists these are.

        Args:
            state: what `state_dict` returned.
        """
        return cls(**{name: copy.deepcopy(value) for name, value in state.items()})

    def plot(self) -> Figure:
        """Draw the losses and the accuracies, each with its best epoch marked.

        Returns:
            A matplotlib figure with two axes.
        """
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
        for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
            for part, label in (("train", "training"), ("validation", "validation")):
                values = getattr(self, f"{part}_{name}")
                if values:
                    ax.plot(range(1, len(values) + 1), values, label=label)
            if self.best_epoch:
                ax.axvline(self.best_epoch, linestyle=":", linewidth=1, color="gray", label="best epoch")
            ax.set(xlabel="epoch", ylabel=name)
        axes[0].legend()
        return figure
