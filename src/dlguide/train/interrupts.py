"""Ctrl-C while training: finish the step, save, say how to go on."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM, between two steps, after the callbacks had saved what they save.

    Args:
        trainer: the trainer that was stopped.
        signal_name: what stopped it, `"SIGINT"` or `"SIGTERM"`.

    Attributes:
        saved: the checkpoint from which the run goes on, if there is one.

    Example:
        ```python
        import os
        import signal
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import Callback, Interrupted, Trainer

        class Stop(Callback):
            def on_step(self, trainer):
                os.kill(os.getpid(), signal.SIGTERM)

        model = MLP(64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(model, optimizer, callbacks=[Stop()], device="cpu")
        try:
            trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=5)
        except Interrupted as stop:
            print(stop.signal_name, "after step", trainer.step)
        ```

        ``` {.text .output}
        SIGTERM after step 2
        ```
    """

    def __init__(self, trainer: Trainer, signal_name: str = "SIGINT") -> None:
        saved = next((path for c in trainer.callbacks if (path := getattr(c, "saved", None))), None)
        how = (
            f"it goes on from {saved}: build the same trainer and call resume(trainer, folder) before fit"
            if saved
            else "nothing was saved: the callback Checkpoint(folder) would have, and resume(trainer, folder) goes on"
        )
        epoch = trainer.epoch + (trainer.batch > 0)
        super().__init__(f"stopped by {signal_name} after step {trainer.step} (epoch {epoch}); {how}")
        self.signal_name, self.saved = signal_name, saved


class Interrupts:
    """Catch SIGINT and SIGTERM and note them, so that the step can be finished first; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.pending, self.name = False, "SIGINT"
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) == signal.SIG_IGN:  # as nohup asks for
                    continue
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # none: set by something other than Python

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.pending, self.name = True, signal.Signals(number).name
        if number == signal.SIGINT:  # not print, which may be what was interrupted
            os.write(2, b"\nfinishing the step; Ctrl-C again ends at once\n")
