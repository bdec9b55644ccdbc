"""Why a value has no autograd graph: told apart as far as PyTorch lets one."""

from __future__ import annotations

import torch
from torch import Tensor


def why_no_graph(value: object, name: str = "the result") -> str | None:
    """Say in one sentence why there is no graph behind a value, and how to get one.

    PyTorch does not record why a tensor has no `grad_fn`. A non-tensor, an integer, an inference tensor, a leaf and a
    view made under `no_grad` can be recognised; a detached tensor, a plain result of `no_grad` and one computed from
    inputs without `requires_grad` look the same, so the sentence names all three.

    Args:
        value: anything; usually a tensor of any shape and dtype.
        name: what the sentence calls the value.

    Returns:
        The sentence, or `None` if the value has a graph.

    Example:
        ```python
        import torch
        from dlguide.graph import why_no_graph

        print(why_no_graph(torch.ones(3).argmax()))
        ```

        ``` {.text .output}
        There is no graph behind the result because its dtype is torch.int64, and only floating-point and complex tensors carry gradients; walk from a value computed without argmax, rounding to integers or comparison.
        ```

    References:
        - [Autograd mechanics](https://docs.pytorch.org/docs/stable/notes/autograd.html)
    """  # noqa: E501 - the output is one sentence
    if isinstance(value, Tensor) and value.grad_fn is not None:
        return None
    return f"There is no graph behind {name} because {_cause(value)}."


def _cause(value: object) -> str:
    if not isinstance(value, Tensor):
        return (
            f"it is not a tensor but of type {type(value).__name__}; "
            "pass the tensor itself, before .item(), .tolist() or .numpy()"
        )
    if not (value.is_floating_point() or value.is_complex()):
        return (
            f"its dtype is {value.dtype}, and only floating-point and complex tensors carry gradients; "
            "walk from a value computed without argmax, rounding to integers or comparison"
        )
    if value.is_inference():
        return "it was made under torch.inference_mode(), which records nothing; compute it again outside that block"
    base = value._base
    if base is not None and base.requires_grad:
        return (
            "it is a view, made under torch.no_grad(), of a tensor that requires a gradient; "
            "take the view outside that block"
        )
    if value.requires_grad:
        return "it is a leaf: no operation made it; walk from a result that is computed from it"
    if not torch.is_grad_enabled():
        return "gradients are switched off here by torch.no_grad(); compute it outside that block"
    return (
        "it requires no gradient: it was detached, or made under torch.no_grad(), "
        "or no input of it requires a gradient; "
        "remove the detach or the no_grad, or set requires_grad=True on a leaf it is computed from"
    )
