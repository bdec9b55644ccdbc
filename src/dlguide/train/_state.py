"""The state of a run: all that must be saved so that a stopped run ends with the bits of one that was not."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from dlguide.train._measure import Sums
from dlguide.train.callbacks import Callback
from dlguide.train.distributed import load_weights, rank, weights
from dlguide.train.history import History

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer

FORMAT = 2  # of what `capture` returns


class Random:
    """The generators that a run draws from: PyTorch's, NumPy's and Python's global ones."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self.loader: list[torch.Generator] = []  # those that a DataLoader and its samplers were given
        self.saved: dict[str, Any] | None = None  # where the run stopped
        self.at_epoch: dict[str, Any] = {}  # where its epoch began
        self.in_use = False

    def now(self) -> dict[str, Any] | None:
        """Return the state inside `fit`; outside, where `fit` left off, whatever the program draws since."""
        return self.state() if self.in_use else self.saved

    def state(self) -> dict[str, Any]:
        """Return the state of each generator as plain values and tensors."""
        state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
        if self.device.type in ("cuda", "mps"):
            state[self.device.type] = getattr(torch, self.device.type).get_rng_state()
        if "numpy" in sys.modules:
            kind, keys, *rest = sys.modules["numpy"].random.get_state()
            state["numpy"] = (kind, keys.tolist(), *rest)
        state["loader"] = [generator.get_state() for generator in self.loader]
        return state

    def set(self, state: Mapping[str, Any]) -> None:
        """Put the generators where they were; one that was not saved (another kind of device) stays as it is."""
        torch.set_rng_state(state["torch"].cpu())
        random.setstate(state["python"])
        if self.device.type in state:
            getattr(torch, self.device.type).set_rng_state(state[self.device.type].cpu())
        if "numpy" in state and "numpy" in sys.modules:
            sys.modules["numpy"].random.set_state(state["numpy"])
        for generator, one in zip(self.loader, state.get("loader", []), strict=False):
            generator.set_state(one)

    @contextlib.contextmanager
    def continued(self, train: object, deterministic: bool) -> Iterator[None]:
        """Draw from the seed, or from where the run stopped, and give PyTorch's generators back as they were."""
        before, searched = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
        gpu = self.device if self.device.type == "cuda" else None
        self.loader = _generators(train)
        current = torch.cuda.device(gpu) if gpu else contextlib.nullcontext()
        with current, torch.random.fork_rng(devices=[gpu] if gpu else []):
            seed = self.seed + rank()  # each process drops out other units
            torch.default_generator.manual_seed(seed)
            if self.device.type in ("cuda", "mps"):
                getattr(torch, self.device.type).manual_seed(seed)
            if self.saved is not None:
                self.set(self.saved)
            if deterministic:
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
                torch.use_deterministic_algorithms(True)
                if gpu:  # elsewhere cuDNN's flags are left alone: they may be locked
                    torch.backends.cudnn.benchmark = False
            self.in_use = True
            try:
                yield
            finally:
                self.in_use, self.saved = False, self.state()
                torch.set_deterministic_debug_mode(before)
                if deterministic and gpu:
                    torch.backends.cudnn.benchmark = searched


def _generators(loader: object) -> list[torch.Generator]:
    """The generators of a loader and of the samplers in it, each once."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    places = [loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]
    found = {id(g): g for place in places if isinstance(g := getattr(place, "generator", None), torch.Generator)}
    return list(found.values())


def move(optimizer: Optimizer, device: torch.device) -> None:
    """Move what an optimizer remembers to where its parameters went; a counter of steps stays where it was."""
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() > 0:
                state[name] = value.to(device)


def capture(trainer: Trainer) -> dict[str, Any]:
    """Return the state of a run between two steps."""
    model, optimizer = weights(trainer.model, trainer.optimizer)
    return {
        "format": FORMAT,
        "epoch": trainer.epoch, "batch": trainer.batch, "step": trainer.step,
        "model": model,
        "optimizer": optimizer,
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "random": trainer.random.now(), "random_at_epoch": trainer.random.at_epoch,
        "sums": trainer.sums.state_dict(),
        "history": trainer.history.state_dict(),
        "logs": dict(trainer.logs),
        "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in _with_state(trainer)],
    }  # fmt: skip


def restore(trainer: Trainer, saved: Mapping[str, Any]) -> None:
    """Put a captured state into a trainer whose parts are of the same kind."""
    if saved.get("format") != FORMAT:
        raise ValueError(f"expected a state of format {FORMAT}, got {saved.get('format')}: another version wrote it")
    names = [type(callback).__name__ for callback in _with_state(trainer)]
    if [name for name, _ in saved["callbacks"]] != names or (saved["scheduler"] is None) != (trainer.scheduler is None):
        raise ValueError(
            f"expected the callbacks {[name for name, _ in saved['callbacks']]} and"
            f" {'no' if saved['scheduler'] is None else 'a'} scheduler, as in the saved run, got {names} and"
            f" {'no' if trainer.scheduler is None else 'a'} scheduler: build the trainer as it was built then"
        )
    load_weights(trainer.model, trainer.optimizer, saved["model"], saved["optimizer"])
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(saved["scheduler"])
    trainer.scaler.load_state_dict(saved["scaler"])
    trainer.epoch, trainer.batch, trainer.step = saved["epoch"], saved["batch"], saved["step"]
    trainer.random.saved, trainer.random.at_epoch = saved["random"], saved["random_at_epoch"]
    trainer.sums = Sums(trainer.device, saved["sums"])
    trainer.history = History.from_state(saved["history"])
    trainer.logs = dict(saved["logs"])
    for callback, (_, state) in zip(_with_state(trainer), saved["callbacks"], strict=True):
        callback.load_state_dict(state, trainer)


def _with_state(trainer: Trainer) -> list[Callback]:
    """The callbacks that remember anything; the others, such as a progress bar, may come and go."""
    return [callback for callback in trainer.callbacks if type(callback).state_dict is not Callback.state_dict]
