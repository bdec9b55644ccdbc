"""What is left of a run to look at: a file of numbers, and the event files of TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlguide.train._files import write_text
from dlguide.train.callbacks import Callback
from dlguide.train.distributed import rank
from dlguide.train.history import History

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class HistoryFile(Callback):
    """Write the numbers of a run to a file as it goes on, one JSON object in a line.

    A line of an epoch has `epoch`, `step` and the numbers of `trainer.logs`; with `every`, there are lines with `step`,
    `loss` and `lr` between them. A resumed run first takes out the lines that came after its checkpoint, so that the
    file is what it would be without the interruption. A new run takes out all lines, but not before its first step: one
    that is refused changes nothing. `read_history` reads the file, and `dlguide plot` draws it.

    Args:
        path: the file; its folder is made if it is not there.
        every: write a line after so many steps, too.

    Raises:
        ValueError: a number below 1, or a file that holds something else, when a resumed run opens it.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import HistoryFile, Trainer, read_history

        model = MLP(64)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history.jsonl")
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            trainer = Trainer(model, optimizer, callbacks=[HistoryFile(path)], device="cpu")
            history = trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=2)
            print(read_history(path).train_loss == history.train_loss)
        ```

        ``` {.text .output}
        True
        ```
    """

    def __init__(self, path: str | os.PathLike[str], every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"expected every >= 1 or none, got {every}")
        self.path, self.every = Path(path), every
        self._kept: list[dict[str, Any]] | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Find the lines up to the step from which the run goes on.

        Args:
            trainer: who calls.
        """
        before = _rows(self.path) if trainer.step and rank() == 0 else []
        self._kept = [row for row in before if row["step"] <= trainer.step and row.get("epoch", 0) <= trainer.epoch]

    def on_step(self, trainer: Trainer) -> None:
        """Write a line if it is time.

        Args:
            trainer: who calls.
        """
        self._begin()
        if self.every is not None and trainer.step % self.every == 0:
            self._write({"step": trainer.step, "loss": trainer.last_loss.item(), "lr": trainer.logs["lr"]})

    def on_epoch(self, trainer: Trainer) -> None:
        """Write the numbers of the epoch.

        Args:
            trainer: who calls.
        """
        self._write({"epoch": trainer.epoch, "step": trainer.step, **trainer.logs})

    def _begin(self) -> None:
        """Take out the other lines, now that nothing has refused to start."""
        if self._kept is not None and rank() == 0:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self._kept))
        self._kept = None

    def _write(self, row: Mapping[str, float]) -> None:
        self._begin()
        if rank() == 0:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())  # a checkpoint that is saved next must not know more than this file


class TensorBoard(Callback):
    """Write the numbers of a run for TensorBoard: `tensorboard --logdir FOLDER` shows them.

    Args:
        folder: where the event files go.
        every: write the loss and the learning rate after so many steps.

    Raises:
        ValueError: a number below 1.
        ImportError: at the start of `fit`, if the package tensorboard is not installed.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import TensorBoard, Trainer

        model = MLP(64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(model, optimizer, callbacks=[TensorBoard(folder)], device="cpu")
            history = trainer.fit(TensorBatches(load("digits").train, 128, shuffle=True), epochs=1)
            print(len(list(Path(folder).glob("events.out.tfevents.*"))))
        ```

        ``` {.text .output}
        1
        ```

    References:
        - [torch.utils.tensorboard](https://docs.pytorch.org/docs/stable/tensorboard.html)
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"expected every >= 1, got {every}")
        self.folder, self.every = Path(folder), every
        self._open: Callable[[], Any] | None = None
        self._writer: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """Find the package and the step from which the run goes on.

        Args:
            trainer: who calls.
        """
        if rank() == 0:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "expected the package tensorboard: python -m pip install 'dlguide[tensorboard]'"
                ) from error
            hidden_from = trainer.step + 1 if trainer.step else None
            self._open = lambda: SummaryWriter(str(self.folder), purge_step=hidden_from)

    def on_step(self, trainer: Trainer) -> None:
        """Write the loss if it is time; of a resumed run TensorBoard hides what came after its checkpoint.

        Args:
            trainer: who calls.
        """
        self._begin()
        if self._writer is not None and trainer.step % self.every == 0:
            self._writer.add_scalar("train/loss_of_step", trainer.last_loss.item(), trainer.step)
            self._writer.add_scalar("lr", trainer.logs["lr"], trainer.step)

    def on_epoch(self, trainer: Trainer) -> None:
        """Write the numbers of the epoch.

        Args:
            trainer: who calls.
        """
        self._begin()
        if self._writer is not None:
            for name, value in trainer.logs.items():
                part, _, number = name.partition("_")
                if part in ("train", "validation"):
                    self._writer.add_scalar(f"{part}/{number}", value, trainer.step)

    def _begin(self) -> None:
        """Open the file, now that nothing has refused to start."""
        if self._open is not None:
            self._writer, self._open = self._open(), None

    def close(self, trainer: Trainer) -> None:
        """Close the file.

        Args:
            trainer: who calls.
        """
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def read_history(path: str | os.PathLike[str]) -> History:
    r"""Read the epochs of a file that `HistoryFile` wrote.

    Args:
        path: the file.

    Returns:
        The numbers of each epoch; the best epoch is the one with the lowest validation loss, 0 if there is none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        from dlguide.train import read_history

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history.jsonl")
            path.write_text('{"epoch": 1, "step": 10, "train_loss": 1.5}\n')
            print(read_history(path).train_loss)
        ```

        ``` {.text .output}
        [1.5]
        ```
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected a file that HistoryFile wrote, found nothing at {path}")
    history = History()
    for row in _rows(Path(path)):
        if "epoch" in row:
            history.add(row)
    losses = history.validation_loss
    history.best_epoch = losses.index(min(losses)) + 1 if losses else 0
    return history


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; a last line that a killed run left unfinished does not count."""
    if not path.is_file():
        return []
    lines = path.read_text("utf-8", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise ValueError(f"{path}, line {number} should be a JSON object with a step and is {line[:40]!r}")
        rows.append(row)
    return rows
