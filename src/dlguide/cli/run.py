"""A run: from the settings to data, model, optimizer, scheduler and trainer, and through it to the end."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset, default_collate

from dlguide.cli import folder as files
from dlguide.cli.trial import check_classes, check_last_batch, check_parts
from dlguide.config import Config, ConfigError
from dlguide.config._augment import parse_augment
from dlguide.data import BatchOrder, Compose, Cutout, RandomFlip, RandomShift, Splits, TensorBatches, load
from dlguide.models import MODELS, build
from dlguide.train import (
    EMA,
    Checkpoint,
    EarlyStopping,
    HistoryFile,
    ProgressBar,
    TensorBoard,
    Trainer,
    distributed,
    processes,
    resume,
)  # fmt: skip
from dlguide.train._files import write_text

_AUGMENT = {"flip": RandomFlip, "shift": RandomShift, "cutout": Cutout}


class Run:
    """One run in its folder; a context, because several processes meet at its beginning and part at its end.

    Args:
        config: its settings.
        fresh: delete what an earlier run left.
    """

    def __init__(self, config: Config, fresh: bool = False) -> None:
        self.config, self.fresh, self.was_finished = config, fresh, False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Run:
        with wrong_use():
            self.group = self._stack.enter_context(processes(self.config.device))
        self.writes = self.group.rank == 0
        self.folder = files.claim(self.config, self.fresh) if self.writes else files.folder_of(self.config)
        self._meet()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def train(self, progress: bool = True) -> dict[str, Any]:
        """Train to the end, or say what came out if that was done before."""
        done = None if self.fresh else files.result_of(self.folder)
        if done is not None:
            self.was_finished = True
            return done
        began = time.monotonic()
        self.layout, self.splits = read_data(self.config)
        self.trainer = self.make_trainer(self._callbacks(progress))
        if self.writes:
            files.begin(self.folder, self.config, self.fresh)
        self._meet()
        resume(self.trainer, self.folder / files.CHECKPOINTS)
        validation = self._batches(self.splits.validation, 1024)
        self.trainer.fit(self.train_batches, validation, epochs=self.config.epochs, steps=self.config.steps)
        self.trainer.loss = F.cross_entropy  # what is reported has no smoothed targets
        test = self.trainer.evaluate(self._batches(self.splits.test, 1024))
        result = self._result(test, time.monotonic() - began)
        weights = self.group.gather(self.trainer.model)
        if self.writes:
            files.save_model(self.folder, weights, self.splits, self.layout)
            write_text(self.folder / files.RESULT, json.dumps(result, indent=2) + "\n")
        return result

    def make_trainer(self, callbacks: list[Any]) -> Trainer:
        """Build model, batches, optimizer, scheduler and trainer."""
        config = self.config
        torch.manual_seed(config.seed)  # the weights a model begins with
        check_classes(config.options, self.splits)
        with wrong_use():
            model = build(config.model, self.splits, **config.options)
        check_parts(self.splits, self.group.world_size)
        check_last_batch(model, self.splits.train, config.batch_size, self.group.world_size)
        if config.channels_last and config.spread != "fsdp":  # it takes only contiguous weights
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = sum(p.numel() for p in model.parameters())
        model = self.group.spread(model, config.spread)
        if config.compile:
            model.compile()
        self.train_batches = self._batches(self.splits.train, config.batch_size, train=True)
        optimizer = make_optimizer(config, model)
        return Trainer(
            model, optimizer,
            loss=functools.partial(F.cross_entropy, label_smoothing=config.label_smoothing),
            scheduler=make_scheduler(config, optimizer, self._steps()),
            device=self.group.device, precision=config.precision, accumulate=config.accumulate, clip=config.clip,
            callbacks=callbacks, deterministic=config.deterministic, seed=config.seed,
        )  # fmt: skip

    def _callbacks(self, progress: bool) -> list[Any]:
        config = self.config
        return [
            *([EMA(config.ema)] if config.ema is not None else []),  # before the next one, which keeps its weights
            *([EarlyStopping(config.patience)] if config.keep == "best" else []),
            HistoryFile(self.folder / files.HISTORY),
            *([TensorBoard(self.folder / files.EVENTS)] if config.tensorboard else []),
            *([ProgressBar()] if progress else []),
            Checkpoint(self.folder / files.CHECKPOINTS, config.every, keep=2),
        ]

    def _steps(self) -> int:
        """How many steps the run takes in all."""
        epochs = math.inf if self.config.epochs is None else self.config.epochs
        steps = math.inf if self.config.steps is None else self.config.steps
        return int(min(steps, epochs * math.ceil(len(self.train_batches) / self.config.accumulate)))

    def _batches(self, part: TensorDataset, size: int, train: bool = False) -> Any:
        config, group = self.config, self.group
        if config.loader == "workers":
            order = BatchOrder(
                len(part), size, shuffle=train, seed=config.seed, rank=group.rank, world_size=group.world_size
            )
            collate = _collate_channels_last if config.channels_last else None
            workers = config.workers if train else 0
            own = torch.Generator()  # or the loader would draw from the global one, and dropout draws something else
            return DataLoader(part, batch_sampler=order, num_workers=workers, collate_fn=collate, generator=own)
        augment = make_augment(config, self.splits) if train else None
        return TensorBatches(
            part, size, shuffle=train, seed=config.seed, device=group.device, augment=augment, rank=group.rank,
            world_size=group.world_size,
        )  # fmt: skip

    def _meet(self) -> None:
        """Wait for the other processes: what one has checked or deleted, is so for all."""
        if distributed.is_distributed():
            torch.distributed.barrier()

    def _result(self, test: dict[str, float], seconds: float) -> dict[str, Any]:
        trainer = self.trainer
        return {
            "model": self.config.model, "data": self.config.data,
            "test_accuracy": test["accuracy"], "test_loss": test["loss"],
            "test_examples": len(self.splits.test),
            "epochs": trainer.epoch, "steps": trainer.step, "best_epoch": trainer.history.best_epoch,
            "parameters": self.parameters,
            "seconds": round(seconds, 1), "processes": self.group.world_size,
            "device": str(trainer.device), "torch": torch.__version__,
        }  # fmt: skip


def read_data(config: Config) -> tuple[str, Splits]:
    """Load the data of a configuration in the layout that its model takes."""
    takes = MODELS[config.model].data
    layout = config.layout
    if layout == "auto":
        layout = "rows" if "rows" in takes and "pictures" not in takes else "pictures"
    splits = load(
        config.data, layout=layout, size=config.size, standardize=config.standardize, validation=config.validation,
        test=config.test, seed=config.seed, max_length=config.max_length, max_words=config.max_words, unit=config.unit,
    )  # fmt: skip
    if config.channels_last:
        for part in (splits.train, splits.validation, splits.test):
            part.tensors = (channels_last(part.tensors[0]), *part.tensors[1:])
    return layout, splits


def channels_last(x: Tensor) -> Tensor:
    """Keep all channels of a pixel side by side; what is no batch of pictures stays as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _collate_channels_last(examples: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Make a batch of single examples, whose stack would have its channels first."""
    x, *others = default_collate(examples)
    return [channels_last(x), *others]


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer of a configuration."""
    more = {"momentum": config.momentum} if config.momentum else {}
    if config.nesterov:
        more["nesterov"] = True
    parameters = [p for p in model.parameters() if p.requires_grad]
    made: torch.optim.Optimizer = getattr(torch.optim, config.optimizer)(
        parameters, lr=config.lr, weight_decay=config.weight_decay, **more
    )
    return made


def make_scheduler(config: Config, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | None:
    """Make the scheduler of a configuration for a run of so many steps."""
    if config.schedule == "onecycle":
        rise = config.warmup or 0.3
        if rise * steps == 1:  # the first step is the top, and OneCycleLR would divide 0 by 0
            rise *= 1 - 1e-6
        return OneCycleLR(optimizer, config.lr, total_steps=steps, pct_start=rise, cycle_momentum=False)
    if config.schedule == "none" and not config.warmup:
        return None
    warm = round(config.warmup * steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = min((step - warm) / max(steps - warm, 1), 1.0)
        return {"none": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[config.schedule]

    return LambdaLR(optimizer, factor)


def make_augment(config: Config, splits: Splits) -> Any:
    """Make the random changes of a configuration, None if there are none; one picture is changed to try them."""
    if config.augment is None:
        return None
    x = splits.train.tensors[0][:1]
    if x.dim() != 4:
        kind = "rows" if splits.vocabulary is None else "texts"
        said = f"expected none, got {config.augment!r}: it changes pictures, and {config.model} reads {kind}"
        raise ConfigError(f"augment: {said}")
    try:
        words = parse_augment(config.augment)
        steps = [_AUGMENT[name](*([] if number is None else [number])) for name, number in words]
        augment = Compose(*steps, *([lambda x, _: channels_last(x)] if config.channels_last else []))
        augment(x, torch.Generator())
    except ValueError as error:
        raise ConfigError(f"augment: {error}") from error
    return augment


@contextlib.contextmanager
def wrong_use() -> Iterator[None]:
    """A model, an option or a device that does not fit is wrong use of the command line."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error
