"""Checkpoints: a run that is killed at any moment goes on from the last one and ends with the same weights."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dlguide.train.callbacks import Callback

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer

NAME = re.compile(r"step-(\d{9})\.pt")


class Checkpoint(Callback):
    """Save the state of the run after each epoch, or every so many steps, and when it is interrupted.

    A file appears under its name only when it is complete: it is written under another name in the same folder, flushed
    to the disk and renamed. So a run may be killed at any moment, also while it writes.

    Args:
        folder: where the files `step-000000123.pt` go; made if it is not there.
        every: save after so many steps; at the end of each epoch if not given.
        keep: how many of the newest files stay, at least 1.

    Attributes:
        saved: the file that was written last.

    Raises:
        ValueError: numbers below 1.

    Example:
        ```python
        import tempfile
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import Checkpoint, Trainer, resume

        train = TensorBatches(load("digits").train, 128, shuffle=True)

        def trainer(folder):
            torch.manual_seed(0)
            model = MLP(64)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            return Trainer(model, optimizer, callbacks=[Checkpoint(folder)], device="cpu")

        with tempfile.TemporaryDirectory() as folder:
            trainer(folder).fit(train, epochs=2)  # and then the machine is switched off
            second = trainer(folder)
            print(resume(second, folder), second.epoch, second.step)
            second.fit(train, epochs=3)
            print(second.epoch, second.step)
        ```

        ``` {.text .output}
        True 2 20
        3 30
        ```

    References:
        - [Saving and loading](https://docs.pytorch.org/docs/stable/notes/serialization.html)
    """

    last = True

    def __init__(self, folder: str | os.PathLike[str], every: int | None = None, keep: int = 1) -> None:
        if keep < 1 or (every is not None and every < 1):
            raise ValueError(f"expected keep >= 1 and every >= 1 or none, got {keep} and {every}")
        self.folder, self.every, self.keep = Path(folder), every, keep
        self.saved: Path | None = None

    def on_step(self, trainer: Trainer) -> None:
        """Save if it is time.

        Args:
            trainer: who calls.
        """
        if self.every is not None and trainer.step % self.every == 0:
            self.save(trainer)

    def on_epoch(self, trainer: Trainer) -> None:
        """Save, unless steps decide.

        Args:
            trainer: who calls.
        """
        if self.every is None:
            self.save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        """Save what was reached.

        Args:
            trainer: who calls.
        """
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the state of the run, and delete files that are older than the newest `keep`.

        Args:
            trainer: whose state is saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.saved = self.folder / f"step-{trainer.step:09}.pt"
        write(self.saved, trainer.state_dict())
        for path in [*_files(self.folder)[: -self.keep], *self.folder.glob("step-*.pt.part")]:
            path.unlink(missing_ok=True)


def resume(trainer: Trainer, folder: str | os.PathLike[str]) -> bool:
    """Go on from the newest checkpoint of a folder, if there is one.

    Args:
        trainer: built as the one that was stopped.
        folder: that of its `Checkpoint`; it need not exist.

    Returns:
        Whether there was one.

    Raises:
        ValueError: the file is damaged, or belongs to another model or trainer.

    Example:
        ```python
        import torch
        from dlguide.models import MLP
        from dlguide.train import Trainer, resume

        model = MLP(64)
        trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu")
        print(resume(trainer, "no-such-folder"))
        ```

        ``` {.text .output}
        False
        ```
    """
    files = _files(Path(folder))
    if not files:
        return False
    saved = read(files[-1])
    try:
        trainer.load_state_dict(saved)
    except (RuntimeError, KeyError) as error:  # torch's own words name the parameters, over several lines
        reason = " ".join(str(error).split())
        raise ValueError(f"{files[-1]} belongs to another model or optimizer: {reason}") from error
    return True


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all.

    Args:
        path: its name.
        state: tensors and plain values.
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    if os.name == "posix":  # the new name, too, must reach the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path) -> dict[str, Any]:
    """Read a file of tensors and plain values; code in it is not run.

    Args:
        path: what `write` wrote.

    Returns:
        The state, its tensors on the CPU.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n", 1)[0]
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({reason}): delete it to go on from the one before it, or from the"
            " beginning"
        ) from error
    if not isinstance(saved, dict):
        raise ValueError(f"{path} should hold the state of a run and holds a {type(saved).__name__}: delete it")
    return saved


def _files(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, the newest last."""
    return sorted(path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name))
