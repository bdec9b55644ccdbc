"""What the trainer needs and a reader of its loop does not: checks with clear sentences, modes, seeds, a bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from dlguide.train.history import History

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
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that a model on this device draws from, and give them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def epochs(count: int, progress: bool, history: History) -> Iterator[int]:
    """Count 1, 2, ..., count; on a terminal with a bar that shows the last validation accuracy."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from range(1, count + 1)
        return
    with tqdm(total=count, unit="epoch", disable=None if progress else True) as bar:  # None: only on a terminal
        for epoch in range(1, count + 1):
            yield epoch
            bar.set_postfix(validation_accuracy=f"{history.validation_accuracy[-1]:.3f}", refresh=False)
            bar.update()
