"""A moving average of the weights, which is often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dlguide.train.callbacks import Callback
from dlguide.train.distributed import plain

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class EMA(Callback):
    r"""Average the weights while they move, and validate and end with the average.

    $$\bar\theta_t = d\, \bar\theta_{t-1} + (1 - d)\, \theta_t, \qquad \bar\theta_1 = \theta_1$$

    Here $\theta_t$ are the weights after step $t$ and $d$ is `decay`. Buffers (the running statistics of BatchNorm) are
    those of the model. `EarlyStopping` beside it keeps the average of the best epoch.

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
        - [torch.optim.swa_utils](https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema)
    """

    order = -1  # it puts the average in before another callback looks at the weights, and takes it out after it

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"expected a decay in [0, 1), got {decay}")
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] = {}

    def on_step(self, trainer: Trainer) -> None:
        """Move the average towards the weights.

        Args:
            trainer: who calls.
        """
        parameters = _parameters(trainer)
        if not self.average:
            self.average = {name: p.clone() for name, p in parameters.items()}
        else:
            average = get_ema_multi_avg_fn(self.decay)
            average(list(self.average.values()), list(parameters.values()), 0)

    def before_validation(self, trainer: Trainer) -> None:
        """Put the average in place of the weights.

        Args:
            trainer: who calls.
        """
        self._own = {name: p.clone() for name, p in _parameters(trainer).items()}
        _copy(self.average, trainer)

    def after_validation(self, trainer: Trainer) -> None:
        """Put the weights back.

        Args:
            trainer: who calls.
        """
        _copy(self._own, trainer)
        self._own = {}

    def on_end(self, trainer: Trainer) -> None:
        """End with the average; `EarlyStopping`, which comes later, ends with that of the best epoch.

        Args:
            trainer: who calls.
        """
        _copy(self.average, trainer)

    def close(self, trainer: Trainer) -> None:
        """Put the weights back if validation was broken off.

        Args:
            trainer: who calls.
        """
        self.after_validation(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any], trainer: Trainer) -> None:
        """Go on from it.

        Args:
            state: what was saved.
            trainer: who calls.
        """
        self.average = {name: average.to(trainer.device) for name, average in state["average"].items()}


def _parameters(trainer: Trainer) -> dict[str, Tensor]:
    """The weights by their names; of a sharded model the part of this process."""
    return {name: p.detach() for name, p in plain(trainer.model).named_parameters()}


def _copy(values: Mapping[str, Tensor], trainer: Trainer) -> None:
    """Give the weights these values."""
    with torch.no_grad():
        for name, p in _parameters(trainer).items():
            if name in values:
                p.copy_(values[name])
