"""Ctrl-C while training: finish the step, save, say how to go on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from dlguide.train.distributed import world_size

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM, between two steps, after the callbacks had saved what they save.

    Args:
        trainer: the trainer that was stopped.
        signal_name: what stopped it, `"SIGINT"` or `"SIGTERM"`.

    Attributes:
        epoch: the epoch in which that was, counted from 1.
        saved: the checkpoint from which the run goes on, if there is one.

    Example:
        ```python
        import signal
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import Callback, Interrupted, Trainer

        class Stop(Callback):
            def on_step(self, trainer):
                signal.raise_signal(signal.SIGTERM)

        model = MLP(64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(model, optimizer, callbacks=[Stop()], device="cpu")
        try:
            trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=5)
        except Interrupted as stop:
            print(stop.signal_name, "after step", trainer.step)
        ```

        ``` {.text .output}
        SIGTERM after step 1
        ```
    """

    def __init__(self, trainer: Trainer, signal_name: str = "SIGINT") -> None:
        saved = next((path for c in trainer.callbacks if (path := getattr(c, "saved", None))), None)
        how = (
            f"it goes on from {saved}: build the same trainer and call resume(trainer, folder) before fit"
            if saved
            else "nothing was saved: the callback Checkpoint(folder) would have, and resume(trainer, folder) goes on"
        )
        self.epoch = trainer.epoch + (trainer.batch > 0)
        super().__init__(f"stopped by {signal_name} after step {trainer.step} (epoch {self.epoch}); {how}")
        self.signal_name, self.saved = signal_name, saved


class Interrupts:
    """Catch SIGINT and SIGTERM and note them, so that the step can be finished first; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.pending, self.name = False, "SIGINT"
        self._before: dict[signal.Signals, Any] = {}

    @property
    def stop(self) -> bool:
        """Whether to stop before the next step; several processes have to agree, which they do inside of it."""
        return self.pending and world_size() == 1

    def end(self, trainer: Trainer, cause: Exception | None = None) -> NoReturn:
        """Let the callbacks save what they save, and end the run."""
        for callback in trainer.callbacks:
            callback.on_interrupt(trainer)
        raise Interrupted(trainer, self.name) from cause

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
        if hasattr(signal, "SIGCHLD") and signal.SIGCHLD not in self._before:
            # SIGTERM may end workers too, and a DataLoader would raise its error in the middle of the step. It is no
            # SIG_DFL, since Python complains of that where the signal is waiting already
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        if number == signal.SIGINT:  # not print, which may be what was interrupted
            with contextlib.suppress(OSError):  # stderr may be a pipe to a program that Ctrl-C has ended
                os.write(2, b"\nfinishing the step; Ctrl-C again ends at once\n")


@contextlib.contextmanager
def children_without_ctrl_c() -> Iterator[None]:
    """Keep SIGINT from the processes that begin here, the workers of a `DataLoader`; a terminal sends it to all.

    A worker that ended by it would be missed in the step that is to be finished. It keeps what is blocked now, also as
    another program. The signal itself is not lost: if it comes meanwhile, it is heard at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # Python 3.11 would start this helper of theirs meanwhile, and unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
