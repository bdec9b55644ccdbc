"""A moving average of the weights, which is often better than the weights themselves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlguide.train.callbacks import Callback, EarlyStopping
from dlguide.train.distributed import plain

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class EMA(Callback):
    r"""Average the weights while they move, and validate and end with the average.

    $$\bar\theta_t = d\, \bar\theta_{t-1} + (1 - d)\, \theta_t, \qquad \bar\theta_1 = \theta_1$$

    Here $\theta_t$ are the weights after step $t$ and $d$ is `decay`. Buffers (the running statistics of BatchNorm) are
    those of the model.

    Args:
        decay: see above, in `[0, 1)`; 0.99 averages over about the last 100 steps.

    Raises:
        ValueError: a decay outside `[0, 1)`.

    Example:
        ```python
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import EMA, Trainer

        torch.manual_seed(0)
        digits, model = load("digits"), MLP(64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        trainer = Trainer(model, optimizer, callbacks=[EMA(0.95)], device="cpu")
        train = TensorBatches(digits.train, 32, shuffle=True)
        history = trainer.fit(train, TensorBatches(digits.validation, 1024), epochs=5)
        print(history.validation_accuracy[-1] > 0.9)
        ```

        ``` {.text .output}
        True
        ```

    References:
        - Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging, doi:10.1137/0330046
        - [torch.optim.swa_utils.AveragedModel](https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html)
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"expected a decay in [0, 1), got {decay}")
        self.decay = decay
        self.average: AveragedModel | None = None
        self._own: dict[str, Any] = {}

    def on_step(self, trainer: Trainer) -> None:
        """Move the average towards the weights.

        Args:
            trainer: who calls.
        """
        self._averaged(trainer).update_parameters(plain(trainer.model))

    def before_validation(self, trainer: Trainer) -> None:
        """Put the average in place of the weights.

        Args:
            trainer: who calls.
        """
        model = plain(trainer.model)
        self._own = copy.deepcopy(model.state_dict())
        model.load_state_dict(self._averaged(trainer).module.state_dict())

    def after_validation(self, trainer: Trainer) -> None:
        """Put the weights back.

        Args:
            trainer: who calls.
        """
        plain(trainer.model).load_state_dict(self._own)
        self._own = {}

    def on_end(self, trainer: Trainer) -> None:
        """End with the average, unless another callback ends with the weights of an epoch.

        Args:
            trainer: who calls.
        """
        if not any(isinstance(callback, EarlyStopping) and callback.weights for callback in trainer.callbacks):
            plain(trainer.model).load_state_dict(self._averaged(trainer).module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": None if self.average is None else self.average.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any], trainer: Trainer) -> None:
        """Go on from it.

        Args:
            state: what was saved.
            trainer: who calls.
        """
        if state["average"] is not None:
            self._averaged(trainer).load_state_dict(state["average"])

    def _averaged(self, trainer: Trainer) -> AveragedModel:
        if self.average is None:
            self.average = AveragedModel(plain(trainer.model), multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        return self.average
