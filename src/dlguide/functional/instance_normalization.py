r"""Normalization of each channel of each example over its positions, and its backward pass."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._standardize import (
    channel_backward,
    check_input,
    check_parameter,
    check_statistics,
    normalized,
    per_channel,
    update_running,
)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalize each channel of each example over its positions.

    The formula is that of [batch_norm][dlguide.functional.batch_normalization.batch_norm], with means over the
    positions of one channel of one example. Running statistics, where they are given, take the mean over the examples.

    Args:
        input: $x$ of shape `[N, C, ...]`, floating point.
        running_mean: shape `[C]`, changed in place; None keeps no statistics.
        running_var: shape `[C]`, None where `running_mean` is None.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        bias: $\beta$ of shape `[C]`, or None for 0.
        use_input_stats: normalize with the statistics of the input; if False, with the running ones.
        momentum: the share of the new batch in the running statistics.
        eps: $\varepsilon \ge 0$ stands under the root.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        ValueError: one single position, or one running statistic without the other.
        RuntimeError: no statistics where they are needed; or a parameter or statistic of another shape or dtype.
        NotImplementedError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.instance_normalization import instance_norm

        print(instance_norm(torch.tensor([[[1.0, 3.0], [10.0, 30.0]]])))
        ```

        ``` {.text .output}
        tensor([[[-1.0000,  1.0000],
                 [-1.0000,  1.0000]]])
        ```

    References:
        - Ulyanov, Vedaldi, Lempitsky: Instance Normalization, [arXiv:1607.08022](https://arxiv.org/abs/1607.08022),
          equation 4.
        - [torch.nn.InstanceNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html)
    """
    _check_instance(input, running_mean, running_var, use_input_stats)
    check_parameter("weight", weight, input.shape[1:2], input)
    check_parameter("bias", bias, input.shape[1:2], input)
    if use_input_stats and running_mean is not None and running_var is not None:
        update_running(running_mean, running_var, input.flatten(2), momentum)
    axes = tuple(range(2, input.dim()))
    return per_channel(normalized(input, axes, running_mean, running_var, use_input_stats, eps), weight, bias)


def instance_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of an instance norm.

    The formula is that of [batch_norm_backward][dlguide.functional.batch_normalization.batch_norm_backward], with means
    over the positions of one channel of one example.

    Args:
        grad_output: $\partial L / \partial y$, shape of the input.
        input: $x$ of shape `[N, C, ...]`.
        running_mean: as in the forward pass, never changed.
        running_var: as in the forward pass, never changed.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        use_input_stats: as in the forward pass.
        eps: $\varepsilon$ of the forward pass.

    Returns:
        The gradients of input, weight and bias; the last two of shape `[C]`, also where the weight is 1.

    Raises:
        ValueError: as [instance_norm][dlguide.functional.instance_normalization.instance_norm].
        RuntimeError: as [instance_norm][dlguide.functional.instance_normalization.instance_norm].

    Example:
        ```python
        import torch
        from dlguide.functional.instance_normalization import instance_norm_backward

        x = torch.tensor([[[1.0, 3.0], [10.0, 30.0]]])
        print(instance_norm_backward(torch.ones(1, 2, 2), x)[2])  # the bias reaches two positions
        ```

        ``` {.text .output}
        tensor([2., 2.])
        ```

    References:
        - [torch.nn.InstanceNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html)
    """
    _check_instance(input, running_mean, running_var, use_input_stats)
    check_parameter("weight", weight, input.shape[1:2], input)
    axes = tuple(range(2, input.dim()))
    return channel_backward(grad_output, input, axes, running_mean, running_var, weight, use_input_stats, eps)


def _check_instance(input: Tensor, mean: Tensor | None, var: Tensor | None, use_input_stats: bool) -> None:
    check_input(input, 2, "[N, C, ...]")
    if use_input_stats and input.shape[2:].numel() == 1:
        raise ValueError(
            f"expected more than one position in each channel, got an input of shape {list(input.shape)}: one number"
            " minus its own mean is 0; normalize over something else"
        )
    check_statistics(mean, var, input, needed=not use_input_stats)
