"""What a test starts by torchrun: FOLDER. A process kills itself in its first life, while it writes."""

import os
import signal
import sys
import warnings
from pathlib import Path

import torch

from dlguide.train import Callback, Trainer, _files, processes
from tests.dlguide import process_jobs as jobs


class Note(Callback):
    """Note from which step this life goes on, and which checkpoints there were."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.there = sorted(path.name for path in folder.glob("*"))

    def on_start(self, trainer: Trainer) -> None:
        torch.save({"begun_at": trainer.step, "there": self.there}, self.path)


def main(folder: Path) -> None:
    """Run the job, and die once: all that was written is there, under a name that no complete checkpoint has."""
    life, checkpoints = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), folder / "checkpoints"
    put_in_place = _files.put_in_place

    def unless_killed(part: Path, path: Path) -> None:
        if (life, path.name) == (0, "step-000000004"):
            os.kill(os.getpid(), signal.SIGKILL)
        put_in_place(part, path)

    _files.put_in_place = unless_killed
    with processes("cpu", timeout=120) as group:
        note = Note(folder / f"life-{life}.pt", checkpoints) if group.rank == 0 else Callback()
        answer = jobs.to_the_end(group, checkpoints, note)
        if group.rank == 0:
            torch.save(answer, folder / "answer.pt")


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
