"""What the trainer needs and a reader of its loop does not: checks with clear sentences, and modes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import TensorDataset

# What a model learns from: TensorDataset(x, y) or a tuple (x, y); more inputs may stand before y.
Examples = TensorDataset | Sequence[Tensor]


def examples(model: nn.Module, given: Examples, name: str) -> tuple[Tensor, ...]:
    """Check examples against each other and against the model, and move them to where the model is."""
    tensors = given.tensors if isinstance(given, TensorDataset) else given
    if not isinstance(tensors, (tuple, list)) or len(tensors) < 2 or not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError(
            f"expected {name} to be a TensorDataset or a tuple (x, y) of tensors, got {type(given).__name__}:"
            " TensorDataset(x, y) makes one"
        )
    *inputs, y = tensors
    if y.dtype != torch.int64:
        raise TypeError(f"expected the targets of {name} as torch.int64 class indices, got {y.dtype}: use y.long()")
    if y.dim() != 1 or not len(y) or {len(x) for x in inputs} != {len(y)}:
        shapes = [list(t.shape) for t in tensors]
        raise ValueError(f"expected {name} as x [N, ...] and y [N] with one N of 1 or more, got shapes {shapes}")
    if y.min() < 0:
        raise ValueError(f"expected the targets of {name} to count from 0, got {int(y.min())}")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    for x in inputs:
        if dtype is not None and x.is_floating_point() and x.dtype != dtype:
            raise TypeError(f"expected inputs of {name} in the model's dtype {dtype}, got {x.dtype}: use x.to({dtype})")
    return tuple(t.to(device_of(model)) for t in tensors)


def logits(given: Tensor, count: int, classes: int) -> Tensor:
    """Check what a model returned for `count` examples whose targets need `classes` classes."""
    if given.dim() != 2 or len(given) != count:
        raise ValueError(
            f"expected logits of shape [{count}, classes] for {count} examples, got {list(given.shape)}:"
            " the model must keep the batch dimension (x.flatten(1), not x.view(-1, k))"
        )
    if given.shape[1] < classes:
        raise ValueError(
            f"expected at least {classes} logits for each example, because the highest target is {classes - 1}, got"
            f" {given.shape[1]}: give the model's last layer {classes} outputs"
        )
    return given


def device_of(model: nn.Module) -> torch.device:
    """Say where the parameters are; a model without any is on the CPU."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch to `eval` mode (dropout off, BatchNorm with its running statistics), and back to what it was."""
    before = [(module, module.training) for module in model.modules()]  # a frozen part may be in eval mode by itself
    model.eval()
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


def parts(model: nn.Module, optimizer: Optimizer, scheduler: Any) -> None:
    """Check that the loop can drive the optimizer, that it moves this model, and that the scheduler moves it."""
    if isinstance(optimizer, LBFGS):
        raise ValueError(
            "expected an optimizer that takes a step from one gradient, got LBFGS, which asks for the loss again within"
            " a step: write a loop that calls optimizer.step(closure)"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("expected an optimizer made from model.parameters() of this model, got that of another one")
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            "expected a scheduler that follows the steps, got ReduceLROnPlateau: step it with"
            " trainer.logs['validation_loss'] in the on_epoch of a callback of your own"
        )
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise ValueError("expected a scheduler made from this optimizer, but it moves another one")


def limits(batches: Any, epochs: int | None, steps: int | None, batch: int) -> None:
    """Check that a run has something to train on and an end."""
    if epochs is None and steps is None:
        raise ValueError("expected epochs or steps, got neither: training needs an end")
    if any(limit is not None and limit < 0 for limit in (epochs, steps)):
        raise ValueError(f"expected epochs and steps of 0 or more, got {epochs} and {steps}")
    try:
        length = len(batches)
    except TypeError as error:  # a DataLoader over an iterable dataset has the method, but no answer
        raise ValueError(
            f"expected batches with a length, got {type(batches).__name__}: use TensorBatches, or a DataLoader over a"
            " dataset that has a length"
        ) from error
    if not length:
        raise ValueError("expected at least one batch, got none: no examples, or drop_last drops the only batch")
    if batch > length:
        raise ValueError(
            f"expected the data of the stopped run, which had used {batch} batches of its epoch, got {length} batches:"
            " use the same data and batch size, and where its epoch was used up the same number of processes"
        )


def output(given: Any, y: Tensor) -> Any:
    """Check that a classifier's output has a row for each target."""
    if isinstance(given, Tensor) and y.dim() == 1 and y.dtype == torch.int64 and (
        given.dim() < 2 or len(given) != len(y)
    ):
        raise ValueError(
            f"expected logits of shape [{len(y)}, classes] for {len(y)} examples, got {list(given.shape)}:"
            " the model must keep the batch dimension (x.flatten(1), not x.view(-1, k))"
        )
    return given
