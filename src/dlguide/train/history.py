"""What a training run saw, epoch by epoch, and its picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class History:
    """What `dlguide.train.fit` saw, one number for each epoch.

    Args:
        train_loss: mean cross-entropy of the training examples while the weights were moving.
        train_accuracy: share of them that were classified right, in `[0, 1]`.
        validation_loss: mean cross-entropy of the validation examples after the epoch.
        validation_accuracy: share of them that were classified right, in `[0, 1]`.
        best_epoch: the epoch, counted from 1, with the lowest validation loss; its weights are the ones kept.

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

    def plot(self) -> Figure:
        """Draw the losses and the accuracies, each with its best epoch marked.

        Returns:
            A matplotlib figure with two axes.
        """
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
        epochs = range(1, len(self.train_loss) + 1)
        for ax, name in zip(axes, ("loss", "accuracy"), strict=True):
            ax.plot(epochs, getattr(self, f"train_{name}"), label="training")
            ax.plot(epochs, getattr(self, f"validation_{name}"), label="validation")
            ax.axvline(self.best_epoch, linestyle=":", linewidth=1, color="gray", label="best epoch")
            ax.set(xlabel="epoch", ylabel=name)
        axes[0].legend()
        return figure
