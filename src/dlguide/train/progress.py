"""What a person sees of a run while it goes on: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from dlguide.train.callbacks import Callback
from dlguide.train.distributed import rank

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class ProgressBar(Callback):
    """Show the loss, the rate and the time left: a bar on a terminal, a line for each epoch elsewhere.

    Needs tqdm for the bar; without it there are lines. Of several processes only the first one shows anything.

    Args:
        lines: whether to print lines where there is no terminal.

    Example:
        ```python
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import ProgressBar, Trainer

        model = MLP(64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        bar = ProgressBar(lines=False)  # nothing is shown where there is no terminal
        trainer = Trainer(model, optimizer, callbacks=[bar], device="cpu")
        history = trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=2)
        ```

    References:
        - [tqdm](https://tqdm.github.io/)
    """

    def __init__(self, lines: bool = True) -> None:
        self.lines = lines
        self._bar: Any = None
        self._since, self._first = 0.0, 0

    def on_start(self, trainer: Trainer) -> None:
        """Begin a bar if there is a terminal.

        Args:
            trainer: who calls.
        """
        self._since, self._first = time.monotonic(), trainer.step
        if rank() == 0 and sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=self._total(trainer), initial=trainer.step, unit="step", leave=True)

    def on_step(self, trainer: Trainer) -> None:
        """Move the bar; the loss is read from the device only when the bar is drawn anew.

        Args:
            trainer: who calls.
        """
        if self._bar is not None and self._bar.update():
            self._bar.set_description(self._epoch(trainer, trainer.epoch + 1), refresh=False)
            loss = {"loss": f"{trainer.last_loss.item():.4g}"}
            self._bar.set_postfix(loss | self._validation(trainer), refresh=False)

    def on_epoch(self, trainer: Trainer) -> None:
        """Print a line, or show the numbers of the epoch in the bar.

        Args:
            trainer: who calls.
        """
        if self._bar is not None:
            self._bar.set_description(self._epoch(trainer, trainer.epoch), refresh=False)
            self._bar.set_postfix(self._numbers(trainer))
        elif self.lines and rank() == 0:
            seconds = time.monotonic() - self._since
            rate = (trainer.step - self._first) / max(seconds, 1e-9)
            left = (self._total(trainer) - trainer.step) / rate if rate else 0.0
            numbers = "  ".join(f"{name} {value}" for name, value in self._numbers(trainer).items())
            print(f"{self._epoch(trainer, trainer.epoch)}  {numbers}  {rate:.3g} steps/s, {left:.0f} s left",
                  file=sys.stderr, flush=True)  # fmt: skip

    def close(self, trainer: Trainer) -> None:
        """Close the bar.

        Args:
            trainer: who calls.
        """
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @staticmethod
    def _total(trainer: Trainer) -> int:
        limits = [trainer.steps, None if trainer.epochs is None else trainer.epochs * trainer.steps_per_epoch]
        return min(limit for limit in limits if limit is not None)

    @staticmethod
    def _epoch(trainer: Trainer, epoch: int) -> str:
        return f"epoch {epoch}" + (f"/{trainer.epochs}" if trainer.epochs is not None else "")

    @staticmethod
    def _numbers(trainer: Trainer) -> dict[str, str]:
        """What a finished epoch has to say."""
        return {"loss": f"{trainer.logs['train_loss']:.4g}"} | ProgressBar._validation(trainer)

    @staticmethod
    def _validation(trainer: Trainer) -> dict[str, str]:
        return {name: f"{value:.4g}" for name, value in trainer.logs.items() if name.startswith("validation_")}
