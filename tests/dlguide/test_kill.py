"""A run that is killed fifty times, also while it writes, ends with the bits of one that was not."""

import random
import time

import torch

from dlguide.train._files import checkpoints, read
from tests.dlguide.killed_runs import processes, train, train_to_the_end
from tests.dlguide.training_runs import same

KILLS, EPOCHS, STAGES = 50, 30, ("half", "unflushed", "renamed")


def start(target, *args):
    process = processes().Process(target=target, args=args, daemon=True)
    process.start()
    return process


def killed(folder, chance, stage):
    """Let a process go on with the run for a few steps, and kill it at some moment, or at a stage of its writing."""
    ours, its = processes().Pipe()
    process = start(train, folder, EPOCHS, its, stage, chance.randint(1, 2))
    its.close()
    steps = 5 if stage else chance.randint(1, 7)
    try:
        for _ in range(steps):  # it may take so many, and not one more
            ours.send_bytes(b"go")
        for _ in range(steps if stage else chance.randint(0, steps)):
            assert ours.poll(60)  # else it hangs
            if ours.recv_bytes() == b"writing":
                break
        else:
            assert not stage  # its writing came there
            time.sleep(chance.uniform(0, 0.01))  # wherever it is then
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -9


def test_fifty_kills_change_no_bit(tmp_path):
    whole = start(train_to_the_end, tmp_path / "whole", EPOCHS)
    chance, folder = random.Random(0), tmp_path / "killed"
    torn, steps = 0, []
    for number in range(KILLS):
        stage = STAGES[number // 2 % 3] if number % 2 else None
        killed(folder, chance, stage)
        torn += any(folder.glob("*.part"))
        found = checkpoints(folder) if folder.is_dir() else []
        steps.append(read(found[-1])["step"] if found else 0)  # what has its name is complete
    assert steps == sorted(steps)
    assert 20 < steps[-1] < 4 * EPOCHS  # it went on, and never came to its end
    assert torn >= 5  # kills in the middle of a write
    last = start(train_to_the_end, folder, EPOCHS)
    for process in (whole, last):
        process.join()
        assert process.exitcode == 0

    expected, final = (torch.load(tmp_path / name / "final.pt", weights_only=True) for name in ("whole", "killed"))
    assert same(final["model"], expected["model"])
    assert final["history"] == expected["history"]
    assert (folder / "history.jsonl").read_text() == (tmp_path / "whole" / "history.jsonl").read_text()
    assert not any(folder.glob("*.part"))
    assert len(checkpoints(folder)) == 1
