"""What can be added to the trainer's loop: the base class, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from dlguide.train.distributed import plain

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class Callback:
    """Something that the trainer tells what happens; each method does nothing unless a subclass says otherwise.

    The trainer calls each method with itself, so that a callback can read `trainer.step`, `trainer.logs` and the rest,
    change `trainer.model`, and end the run with `trainer.stop = True`. A callback that remembers anything returns it in
    `state_dict`, as tensors and plain values, so that a resumed run goes on as if it had not been stopped.

    Attributes:
        order: callbacks with a smaller one are told first; 0 unless a class says otherwise.

    Example:
        ```python
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import Callback, Trainer

        class Say(Callback):
            def on_epoch(self, trainer):
                print("epoch", trainer.epoch, "step", trainer.step)

        model = MLP(64)
        trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), callbacks=[Say()], device="cpu")
        history = trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=2)
        ```

        ``` {.text .output}
        epoch 1 step 10
        epoch 2 step 20
        ```
    """

    order = 0

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step of `fit`; change no file yet, since another callback may refuse to start.

        Args:
            trainer: who calls.
        """

    def on_step(self, trainer: Trainer) -> None:
        """After each step of the optimizer.

        Args:
            trainer: who calls.
        """

    def before_validation(self, trainer: Trainer) -> None:
        """Before the validation part is measured.

        Args:
            trainer: who calls.
        """

    def after_validation(self, trainer: Trainer) -> None:
        """After it; `trainer.logs` has the numbers. Here the callbacks are told in reverse order.

        Args:
            trainer: who calls.
        """

    def on_epoch(self, trainer: Trainer) -> None:
        """At the end of an epoch, after validation.

        Args:
            trainer: who calls.
        """

    def on_interrupt(self, trainer: Trainer) -> None:
        """After the step in which Ctrl-C or SIGTERM came.

        Args:
            trainer: who calls.
        """

    def on_end(self, trainer: Trainer) -> None:
        """After the last step of `fit`, if nothing went wrong.

        Args:
            trainer: who calls.
        """

    def close(self, trainer: Trainer) -> None:
        """At the very end of `fit`, after an error or Ctrl-C too: close what is open.

        Args:
            trainer: who calls.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], trainer: Trainer) -> None:
        """Go on from what `state_dict` returned.

        Args:
            state: what was saved.
            trainer: who calls.
        """


class EarlyStopping(Callback):
    """Keep the weights of the best epoch, and stop when it lies `patience` epochs back.

    Args:
        patience: epochs without a better one after which training stops; without it, training goes on to its end.
        monitor: which number of `trainer.logs` decides; the smallest `validation_loss` unless said otherwise.
        largest: whether the largest number is the best one, as for an accuracy.

    Attributes:
        best: the best number so far.

    Raises:
        ValueError: a patience below 1, or no such number in `trainer.logs`, as where `fit` gets no validation part.

    Example:
        ```python
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import EarlyStopping, Trainer

        torch.manual_seed(0)
        digits, model = load("digits"), MLP(64)
        stopping = EarlyStopping(patience=2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)  # too large: it soon gets worse
        trainer = Trainer(model, optimizer, callbacks=[stopping], device="cpu")
        train = TensorBatches(digits.train, 32, shuffle=True)
        trainer.fit(train, TensorBatches(digits.validation, 1024), epochs=50)
        print(trainer.epoch < 50, trainer.epoch - trainer.history.best_epoch)
        ```

        ``` {.text .output}
        True 2
        ```

    References:
        - Prechelt 1998, Early Stopping - But When?, doi:10.1007/3-540-49430-8_3
    """

    def __init__(self, patience: int | None = None, monitor: str = "validation_loss", largest: bool = False) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"expected a patience of at least 1 epoch, got {patience}")
        self.patience, self.monitor, self.largest = patience, monitor, largest
        self.best = -math.inf if largest else math.inf
        self.weights: dict[str, Any] = {}

    def on_start(self, trainer: Trainer) -> None:
        """Do not go on if the patience is used up: a run may be killed between its last checkpoint and its end.

        Args:
            trainer: who calls.
        """
        trainer.stop = trainer.stop or self._is_over(trainer)

    def after_validation(self, trainer: Trainer) -> None:
        """Keep the weights if this epoch is the best so far; an `EMA` has its average in the model now.

        Args:
            trainer: who calls.
        """
        value = trainer.logs.get(self.monitor, math.nan)  # nan is never better; on_epoch complains
        if value > self.best if self.largest else value < self.best:
            self.best, trainer.history.best_epoch = value, trainer.epoch
            state = plain(trainer.model).state_dict()
            self.weights = {name: t.detach().clone() if isinstance(t, torch.Tensor) else t for name, t in state.items()}

    def on_epoch(self, trainer: Trainer) -> None:
        """Stop if the best epoch lies too far back.

        Args:
            trainer: who calls.
        """
        if self.monitor not in trainer.logs:
            raise ValueError(
                f"expected {self.monitor!r} among the numbers of an epoch, got {sorted(trainer.logs)}: give fit a"
                " validation part"
            )
        trainer.stop = trainer.stop or self._is_over(trainer)

    def on_end(self, trainer: Trainer) -> None:
        """Put the best weights back.

        Args:
            trainer: who calls.
        """
        if self.weights:
            plain(trainer.model).load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best number and its weights."""
        return {"best": self.best, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any], trainer: Trainer) -> None:
        """Go on from them.

        Args:
            state: what was saved.
            trainer: who calls.
        """
        self.best, self.weights = state["best"], dict(state["weights"])

    def _is_over(self, trainer: Trainer) -> bool:
        return self.patience is not None and trainer.epoch - trainer.history.best_epoch >= self.patience
