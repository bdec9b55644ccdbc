"""What the losses over classes share: shapes, class indices, class weights."""

from __future__ import annotations

import torch
from torch import Tensor


def as_batch(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Give a single example (C,) a batch dimension, and check the dtype of the scores."""
    if not input.is_floating_point():
        raise NotImplementedError(f"input has dtype {input.dtype}, but scores are floating point: use input.float().")
    if input.dim() == 0:
        raise ValueError("input is a single number, but a score for each class is needed: shape (C,) or (N, C, ...).")
    if input.dim() > 1:
        return input, target
    return input.unsqueeze(0), target.unsqueeze(0) if target.dim() == 0 or target.shape == input.shape else target


def class_indices(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """The target as int64 class indices (N, ...), checked against an input (N, C, ...)."""
    if target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(f"target has dtype {target.dtype}, but class indices are torch.int64: use target.long().")
    expected = (input.shape[0], *input.shape[2:])
    if target.shape[:1] != expected[:1]:
        raise ValueError(
            f"input has {input.shape[0]} examples but target has shape {tuple(target.shape)}: give one class index"
            " for each example."
        )
    if target.shape != expected:
        raise RuntimeError(
            f"target has shape {tuple(target.shape)}, but an input of shape {tuple(input.shape)} needs {expected}: the"
            " class dimension of the input is dimension 1, and the target has none (target.squeeze(1) drops one)."
        )
    target = target.long()
    wrong = (target != ignore_index) & ((target < 0) | (target >= input.shape[1]))
    if wrong.any():
        found = int(target[wrong][0])
        raise IndexError(
            f"target holds the class {found}, but {input.shape[1]} classes are numbered from 0 to"
            f" {input.shape[1] - 1}; only ignore_index={ignore_index} may lie outside."
        )
    return target


def class_weights(input: Tensor, weight: Tensor | None) -> Tensor:
    """One weight for each class: 1 where none is given."""
    classes = input.shape[1]
    if weight is None:
        return input.new_ones(classes)
    if weight.shape != (classes,):
        raise RuntimeError(
            f"weight has shape {tuple(weight.shape)}, but there are {classes} classes: give one number for each."
        )
    return weight


def expect_probabilities(target: Tensor, ignore_index: int) -> None:
    """A target of the input's shape holds probabilities, so it is floating point and nothing in it is an index."""
    if not target.is_floating_point():
        raise RuntimeError(
            f"target has the shape of input, so it holds class probabilities, but its dtype is {target.dtype}: use"
            " target.to(input.dtype), or give class indices, without the class dimension."
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index names a class index, but target holds class probabilities: leave it out.")


def expect_smoothing(label_smoothing: float) -> None:
    """Label smoothing is a share of probability."""
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing is {label_smoothing}, but it is a share: give a number from 0 to 1.")
