"""Where a number stopped being finite: the parameter, the data or the layer, in one sentence, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlguide.train._batches import Batch
from dlguide.train.distributed import is_distributed, is_sharded, plain

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer

Group = Sequence[Batch]
CLOSER = "run the step under torch.autograd.detect_anomaly() to see which operation begins it"


def not_finite(trainer: Trainer, what: str, group: Group = ()) -> FloatingPointError:
    """Return the error that says what became inf or nan, where it begins, and how to look closer."""
    return FloatingPointError(f"{what}: {_first(trainer, group)}")


def must_be_finite(trainer: Trainer) -> None:
    """Check the weights: a gradient of nan or inf spoils them without a trace in the loss of its step."""
    if _bad((name, p) for name, p in trainer.model.named_parameters()):
        raise not_finite(trainer, f"the weights are not finite after step {trainer.step}")


@torch.no_grad()
def _first(trainer: Trainer, group: Group) -> str:
    """Name the first thing that is not finite: a parameter, an example, the output of a layer, a gradient."""
    model, lr = plain(trainer.model), trainer.optimizer.param_groups[0]["lr"]
    smaller = f"lower lr (now {lr:g}) or clip the gradient"
    parameters = list(model.named_parameters())
    if bad := _bad(parameters):
        return (
            f"the parameter {bad[0]} is not ({len(bad)} of {len(parameters)} parameters), so the gradient of a step"
            f" before was too large or not finite; {smaller}, or {CLOSER}"
        )
    if not group:
        largest = max((p.abs().max().item() for _, p in parameters if p.numel()), default=0.0)
        return f"all parameters are finite, the largest {largest:.2g}; look for nan and inf in these data, or {smaller}"
    for inputs, y in group:
        for name, x in [("input", x) for x in inputs] + [("target", y)]:
            if _bad([(name, x)]):
                rows = (~x.isfinite()).reshape(len(x), -1).any(1).nonzero().flatten().tolist()
                return f"all parameters are finite, but the {name} is not, in row {rows[0]} of the batch; mend the data"
    if not is_distributed() and (layer := _first_layer(trainer, group)):  # several processes would wait for each other
        precision = "" if trainer.dtype is None else f", or take a wider precision than {trainer.dtype}"
        return (
            f"all parameters and inputs are finite, but the output of {layer} is not; {smaller}{precision}, or {CLOSER}"
        )
    if bad := _bad((name, p.grad) for name, p in parameters):
        return (
            f"parameters, inputs and outputs are finite, but the gradient of {bad[0]} is not ({len(bad)} of"
            f" {len(parameters)}), as that of sqrt at 0 is not; {CLOSER}"
        )
    return f"parameters, inputs and outputs of layers are finite; look at the loss function and its data, or {CLOSER}"


def _first_layer(trainer: Trainer, group: Group) -> str:
    """Run the batches once more, without compilation, and name the first layer whose output is not finite."""
    found: list[str] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        tensors = output if isinstance(output, tuple) else (output,)
        if any(isinstance(t, Tensor) and _bad([("", t)]) for t in tensors):
            found.append(names[module])

    model = plain(trainer.model)
    names = {module: name or "the model" for name, module in model.named_modules()}
    hooks = [module.register_forward_hook(note) for module in names]  # inner ones are called before outer ones
    try:
        with torch.compiler.set_stance("force_eager"), trainer.autocast():
            for inputs, _ in group:
                model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else ""


def _bad(tensors: Iterable[tuple[str, Any]]) -> list[str]:
    """The names of the tensors that hold inf or nan; of a sharded one, the part that is here."""
    here = ((name, t.to_local() if is_sharded(t) else t) for name, t in tensors if t is not None)
    return [name for name, t in here if not t.isfinite().all()]
