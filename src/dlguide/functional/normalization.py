r"""Normalizations of each example alone: layer norm and group norm, with their backward passes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dlguide.functional._standardize import (
    affine,
    check_input,
    check_normalized_shape,
    check_parameter,
    not_channels,
    per_channel,
    standardize,
    standardize_backward,
)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalize over the last dimensions: each token, or each picture, alone.

    $$y = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta$$

    with the mean $\mu$ and the biased variance $\sigma^2$ over the last `len(normalized_shape)` dimensions. Nothing
    depends on the other examples, so training and evaluation are the same.

    Args:
        input: $x$ of shape `[..., *normalized_shape]`, floating point.
        normalized_shape: the last sizes of the input, at least one.
        weight: $\gamma$ of shape `normalized_shape`, or None for 1.
        bias: $\beta$ of shape `normalized_shape`, or None for 0.
        eps: $\varepsilon \ge 0$ stands under the root.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        RuntimeError: the last sizes of the input are others, or a parameter has another shape or dtype.
        NotImplementedError: the input holds integers.
        TypeError: `normalized_shape` is a number.

    Example:
        ```python
        import torch
        from dlguide.functional.normalization import layer_norm

        print(layer_norm(torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), [3]))
        ```

        ``` {.text .output}
        tensor([[-1.2247,  0.0000,  1.2247],
                [-1.2247,  0.0000,  1.2247]])
        ```

    References:
        - Ba, Kiros, Hinton: Layer Normalization, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450), equation 4.
        - [torch.nn.LayerNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html)
    """
    check_input(input)
    axes = check_normalized_shape(input, normalized_shape)
    check_parameter("weight", weight, normalized_shape, input)
    check_parameter("bias", bias, normalized_shape, input)
    return affine(standardize(input, axes, eps), weight, bias)


def layer_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of a layer norm.

    With $g = \partial L / \partial y$, $\hat g = \gamma \odot g$ and means over the normalized dimensions,

    $$\frac{\partial L}{\partial x} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}} \left( \hat g - \overline{\hat g} -
    \hat x\, \overline{\hat g \odot \hat x} \right)$$

    and $\partial L / \partial \gamma$, $\partial L / \partial \beta$ are the sums of $g \odot \hat x$ and $g$ over all
    other dimensions.

    Args:
        grad_output: $g$, shape of the input.
        input: $x$ of shape `[..., *normalized_shape]`.
        normalized_shape: the last sizes of the input.
        weight: $\gamma$ of shape `normalized_shape`, or None for 1.
        eps: $\varepsilon$ of the forward pass.

    Returns:
        The gradients of input, weight and bias; the last two of shape `normalized_shape`, also where the weight is 1.

    Raises:
        RuntimeError: as [layer_norm][dlguide.functional.normalization.layer_norm].

    Example:
        ```python
        import torch
        from dlguide.functional.normalization import layer_norm_backward

        x = torch.tensor([[1.0, 2.0, 4.0]])
        grad_input, _, grad_bias = layer_norm_backward(torch.ones(1, 3), x, [3])
        print(grad_input.abs().max() < 1e-6, grad_bias)  # the sum of the outputs is always 0
        ```

        ``` {.text .output}
        tensor(True) tensor([1., 1., 1.])
        ```

    References:
        - [torch.nn.LayerNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html)
    """
    check_input(input)
    axes = check_normalized_shape(input, normalized_shape)
    check_parameter("weight", weight, normalized_shape, input)
    x_hat = standardize(input, axes, eps)
    others = tuple(range(input.dim() - len(axes)))
    grad_weight, grad_bias = ((g.sum(others) if others else g) for g in (grad_output * x_hat, grad_output * 1))
    return standardize_backward(affine(grad_output, weight, None), input, axes, eps), grad_weight, grad_bias


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalize each example over groups of channels.

    The $C$ channels are cut into `num_groups` groups of $C / G$ neighbours; mean and biased variance go over one group
    and all positions of one example. With one group this is a layer norm over everything but the batch, with $C$ groups
    an instance norm.

    Args:
        input: $x$ of shape `[N, C, ...]`, floating point.
        num_groups: $G \ge 1$, divides $C$.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        bias: $\beta$ of shape `[C]`, or None for 0.
        eps: $\varepsilon \ge 0$ stands under the root.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        RuntimeError: the input has no channels, the groups are not equal, or a parameter has another shape or dtype.
        ZeroDivisionError: there are 0 groups.
        ValueError: the batch holds one single number for each group.
        NotImplementedError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.normalization import group_norm

        print(group_norm(torch.tensor([[1.0, 3.0, 10.0, 30.0]]), 2))
        ```

        ``` {.text .output}
        tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
        ```

    References:
        - Wu, He: Group Normalization, [arXiv:1803.08494](https://arxiv.org/abs/1803.08494), equation 7.
        - [torch.nn.GroupNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html)
    """
    _check_groups(input, num_groups)
    check_parameter("weight", weight, input.shape[1:2], input)
    check_parameter("bias", bias, input.shape[1:2], input)
    x_hat = standardize(_grouped(input, num_groups), (2,), eps).reshape(input.shape)
    return per_channel(x_hat, weight, bias)


def group_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of a group norm.

    The formula is that of [layer_norm_backward][dlguide.functional.normalization.layer_norm_backward], with means over
    one group; the gradients of $\gamma$ and $\beta$ are sums over the batch and all positions.

    Args:
        grad_output: $\partial L / \partial y$, shape of the input.
        input: $x$ of shape `[N, C, ...]`.
        num_groups: $G \ge 1$, divides $C$.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        eps: $\varepsilon$ of the forward pass.

    Returns:
        The gradients of input, weight and bias; the last two of shape `[C]`, also where the weight is 1.

    Raises:
        RuntimeError: as [group_norm][dlguide.functional.normalization.group_norm].
        ZeroDivisionError: there are 0 groups.
        ValueError: the batch holds one single number for each group.

    Example:
        ```python
        import torch
        from dlguide.functional.normalization import group_norm_backward

        x = torch.tensor([[1.0, 3.0, 10.0, 30.0]])
        print(group_norm_backward(torch.ones(1, 4), x, 2)[1])
        ```

        ``` {.text .output}
        tensor([-1.0000,  1.0000, -1.0000,  1.0000])
        ```

    References:
        - [torch.nn.GroupNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html)
    """
    _check_groups(input, num_groups)
    check_parameter("weight", weight, input.shape[1:2], input)
    groups = _grouped(input, num_groups)
    grad_hat = per_channel(grad_output, weight, None).reshape(groups.shape)
    grad_input = standardize_backward(grad_hat, groups, (2,), eps).reshape(input.shape)
    x_hat = standardize(groups, (2,), eps).reshape(input.shape)
    axes = not_channels(input)
    return grad_input, (grad_output * x_hat).sum(axes), grad_output.sum(axes)


def _grouped(x: Tensor, num_groups: int) -> Tensor:
    """All numbers of one example and one group side by side: `[N, G, m]`."""
    return x.reshape(len(x), num_groups, x[0, :, ...].numel() // num_groups if len(x) else 0)


def _check_groups(input: Tensor, num_groups: int) -> None:
    check_input(input, 2, "[N, C, ...]")
    if num_groups == 0:
        raise ZeroDivisionError("expected at least one group of channels, got num_groups=0: use 1 for one group")
    if num_groups < 0 or input.shape[1] % num_groups:
        raise RuntimeError(
            f"expected num_groups to divide the {input.shape[1]} channels of the input, got {num_groups}: choose a"
            " divisor"
        )
    if input.numel() == num_groups:
        raise ValueError(
            f"expected more than one number in each group, got an input of shape {list(input.shape)} in {num_groups}"
            " groups: one number minus its own mean is 0; use fewer groups"
        )
