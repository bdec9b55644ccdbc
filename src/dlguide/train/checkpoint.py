"""Checkpoints: a run that is killed at any moment goes on from the last one and ends with the same weights."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import shorten
from typing import TYPE_CHECKING

from dlguide.train import _shards as shards
from dlguide.train._diagnose import must_be_finite
from dlguide.train._files import checkpoints, discard, step_of
from dlguide.train._files import read as read
from dlguide.train._files import write as write
from dlguide.train.callbacks import Callback
from dlguide.train.distributed import gathered, is_distributed, rank

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer


class Checkpoint(Callback):
    """Save the state of the run after each epoch, or every so many steps, and when it is interrupted.

    A file appears under its name only when it is complete: it is written under another name in the same folder, flushed
    to the disk and renamed. So a run may be killed at any moment, also while it writes. Several processes write a
    folder `step-000000123` together, each its part; any number of processes can go on from either.

    Args:
        folder: where the files `step-000000123.pt` go; made if it is not there. All processes must see the same one.
        every: save after so many steps; at the end of each epoch if not given.
        keep: how many of the newest files stay, at least 1.

    Attributes:
        saved: the file or folder that was written last.

    Raises:
        ValueError: numbers below 1, or a folder with later checkpoints of another run.
        OSError: at the start of `fit`, if the folder cannot be written.
        FloatingPointError: a weight is not finite; the checkpoints before stay.

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

    order = 1  # what it saves is what the others have done

    def __init__(self, folder: str | os.PathLike[str], every: int | None = None, keep: int = 1) -> None:
        if keep < 1 or (every is not None and every < 1):
            raise ValueError(f"expected keep >= 1 and every >= 1 or none, got {keep} and {every}")
        self.folder, self.every, self.keep = Path(folder), every, keep
        self.saved: Path | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Refuse to mix two runs in one folder, or to begin where nothing can be written.

        Args:
            trainer: who calls.
        """
        found = checkpoints(self.folder)
        if found and step_of(found[-1]) > trainer.step:
            raise ValueError(
                f"expected a run that goes on from {found[-1]}, got one at step {trainer.step}: call resume(trainer,"
                f" {str(self.folder)!r}) before fit, or take another folder"
            )
        for error in gathered(_reason_not_to_write(self.folder)):
            if error is not None:
                raise OSError(f"expected a folder for checkpoints that can be written, got {self.folder}: {error}")

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
        must_be_finite(trainer)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{trainer.step:09}"
        if is_distributed():
            shards.write(path, trainer)
        else:
            path = path.with_suffix(".pt")
            write(path, trainer.state_dict())
        self.saved = path
        if rank() == 0:
            for old in [*checkpoints(self.folder)[: -self.keep], *self.folder.glob("step-*.part")]:
                discard(old)


def _reason_not_to_write(folder: Path) -> str | None:
    """Try it, before hours of training have nowhere to go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return str(error)
    return None


def resume(trainer: Trainer, folder: str | os.PathLike[str]) -> bool:
    """Go on from the newest checkpoint of a folder, if there is one.

    Args:
        trainer: built as the one that was stopped.
        folder: that of its `Checkpoint`; it need not exist. The number of processes may be another one than then.

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
    found = checkpoints(Path(folder))
    newest = gathered(found[-1].name if found else None)
    if len(set(newest)) > 1:
        raise ValueError(f"expected a folder that all processes share, {folder} has as its newest: {newest}")
    if not found:
        return False
    path = found[-1]
    try:
        saved = shards.read(path, trainer) if path.is_dir() else shards.as_spread(read(path), trainer)
        trainer.load_state_dict(saved)
    except (RuntimeError, LookupError, TypeError, AttributeError) as error:  # torch's words, over several lines
        reason = shorten(str(error), 300, placeholder=" ...")  # they name each parameter that does not fit
        raise ValueError(f"{path} was saved with another model, optimizer or trainer: {reason}") from error
    return True
