"""What the processes of test_kill.py and test_interrupt.py do; they are forked from one that has PyTorch already."""

import functools
import multiprocessing
import os
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

from dlguide.train import EMA, Callback, Checkpoint, HistoryFile, resume
from dlguide.train import _files as files
from dlguide.train.interrupts import Interrupts
from tests.dlguide.training_runs import batches, points, trainer


@functools.cache
def processes():
    """A context whose processes begin with PyTorch imported, so that each costs a fraction of a second."""
    context = multiprocessing.get_context("forkserver")
    # Optimizers import torch._dynamo, which takes longest, when they are first used
    context.set_forkserver_preload(["torch", "torch._dynamo", "dlguide.train"])
    return context


class Signals(Dataset):
    """Examples of which one is read by a worker that sends a signal to all processes of its group."""

    def __init__(self, item, number):
        self.item, self.number, self.data = item, number, points()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        if i == self.item:
            time.sleep(0.3)
            os.killpg(0, self.number)
        return self.data[i]


class Paced(Callback):
    """Take a step only when the test allows it, and say that it was taken."""

    order = 3

    def __init__(self, pipe):
        self.pipe = pipe

    def on_start(self, trainer):
        self.pipe.recv_bytes()

    def on_step(self, trainer):
        self.pipe.send_bytes(b"step")
        self.pipe.recv_bytes()


def stuck(pipe):
    """The process gets no further: it waits to be killed."""
    pipe.send_bytes(b"writing")
    while True:
        time.sleep(60)


def slow_write(pipe, stage, number):
    """Let the checkpoint of this number stop at a stage of its writing."""
    save, fsync, replace, count = torch.save, os.fsync, Path.replace, iter(range(number * 2 + 2))

    def half(state, file):
        if next(count) < number - 1:
            return save(state, file)
        save(state, file)
        file.flush()
        file.truncate(file.tell() // 2)
        return stuck(pipe)

    def before(*_):
        if next(count) < number + 1:  # the file of numbers is flushed before, and its folder
            return fsync(*_)
        return stuck(pipe)

    def after(part, path):
        replace(part, path)
        if path.suffix == ".pt" and next(count) >= number - 1:
            stuck(pipe)

    if stage == "half":
        torch.save = half  # type: ignore[assignment]
    elif stage == "unflushed":
        files.os = type("Os", (), {"__getattr__": lambda _, name: before if name == "fsync" else getattr(os, name)})()
    elif stage == "renamed":
        Path.replace = after  # type: ignore[method-assign]


def build(folder, *callbacks):
    """Dropout, BatchNorm, Adam, a scheduler, an average, clipping and accumulation: all that has a memory."""
    folder = Path(folder)
    return trainer(
        EMA(0.9), HistoryFile(folder / "history.jsonl", every=1), Checkpoint(folder, every=2), *callbacks,
        clip=1.0, accumulate=2,
    )  # fmt: skip


def finish(run, folder, epochs):
    history = run.fit(batches(30, 4), batches(20, 8), epochs=epochs)
    torch.save({"model": run.model.state_dict(), "history": history.state_dict()}, Path(folder, "final.pt"))


def train(folder, epochs, pipe, stage=None, number=1):
    """Go on with the run of a folder, step by step as the test allows, to be killed at some moment."""
    torch.set_num_threads(1)
    if stage is not None:
        slow_write(pipe, stage, number)
    run = build(folder, Paced(pipe))
    resume(run, folder)
    finish(run, folder, epochs)


def train_to_the_end(folder, epochs):
    torch.set_num_threads(1)
    run = build(folder)
    resume(run, folder)
    finish(run, folder, epochs)


def train_until_interrupted(folder, epochs, pipe, with_checkpoint):
    """Tell the test how training ended: the kind of error, its words, and where the run stood."""
    torch.set_num_threads(1)
    note = Interrupts._note

    def told(self, number, frame):
        try:
            note(self, number, frame)
        finally:
            pipe.send_bytes(b"noted")  # two signals that come close together would be one

    Interrupts._note = told  # type: ignore[method-assign]
    run = build(folder, Paced(pipe)) if with_checkpoint else trainer(Paced(pipe))
    if with_checkpoint:
        resume(run, folder)
    try:
        run.fit(batches(30, 4), batches(20, 8), epochs=epochs)
        end = ("finished", "", None)
    except KeyboardInterrupt as error:
        end = (type(error).__name__, str(error), getattr(error, "signal_name", None))
    pipe.send_bytes(b"end")
    pipe.send((*end, run.step, run.model.training))
