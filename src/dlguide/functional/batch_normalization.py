r"""Normalization of each channel over the batch, with running statistics, and its backward pass."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._standardize import (
    channel_backward,
    check_input,
    check_parameter,
    check_statistics,
    normalized,
    not_channels,
    per_channel,
    update_running,
)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalize each channel over the batch and all positions.

    $$y = \gamma_c\, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c$$

    In training, $\mu_c$ and the biased variance $\sigma_c^2$ are those of the $m$ numbers of channel $c$ in this batch,
    and the running statistics move towards them, **in place**, with the unbiased variance:

    $$r \leftarrow (1 - \alpha)\, r + \alpha\, \mu_c, \qquad v \leftarrow (1 - \alpha)\, v + \alpha\,
    \tfrac{m}{m - 1} \sigma_c^2$$

    In evaluation, $\mu_c = r$ and $\sigma_c^2 = v$, whatever the batch holds.

    Args:
        input: $x$ of shape `[N, C, ...]`, floating point.
        running_mean: $r$ of shape `[C]`; None in training keeps no statistics.
        running_var: $v$ of shape `[C]`, None where `running_mean` is None.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        bias: $\beta$ of shape `[C]`, or None for 0.
        training: whether to use, and remember, the statistics of this batch.
        momentum: $\alpha$, the share of the new batch, usually in [0, 1].
        eps: $\varepsilon$ stands under the root; positive in training, at least 0 in evaluation.

    Returns:
        $y$, same shape, dtype and device as the input.

    Raises:
        ValueError: in training, one number for each channel; or one running statistic without the other; or `eps`.
        RuntimeError: no statistics in evaluation; or a parameter or statistic of another shape or dtype.
        NotImplementedError: the input holds integers.

    Example:
        ```python
        import torch
        from dlguide.functional.batch_normalization import batch_norm

        mean, var = torch.zeros(1), torch.ones(1)
        print(batch_norm(torch.tensor([[1.0], [3.0]]), mean, var, training=True).flatten())
        print(mean, var)  # 0.1 of the mean 2; 0.9 of 1 and 0.1 of the unbiased variance 2
        ```

        ``` {.text .output}
        tensor([-1.0000,  1.0000])
        tensor([0.2000]) tensor([1.1000])
        ```

    References:
        - Ioffe, Szegedy: Batch Normalization, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), algorithms 1 and 2.
        - [torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)
    """
    _check_batch(input, running_mean, running_var, training, eps)
    check_parameter("weight", weight, input.shape[1:2], input)
    check_parameter("bias", bias, input.shape[1:2], input)
    if training and running_mean is not None and running_var is not None and input.numel():
        update_running(running_mean, running_var, input.transpose(0, 1).flatten(1)[None], momentum)
    return per_channel(normalized(input, not_channels(input), running_mean, running_var, training, eps), weight, bias)


def batch_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    training: bool = False,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of a batch norm.

    In training, with $g = \partial L / \partial y$ and means over the $m$ numbers of one channel,

    $$\frac{\partial L}{\partial x} = \frac{\gamma_c}{\sqrt{\sigma_c^2 + \varepsilon}} \left( g - \overline{g} -
    \hat x\, \overline{g \odot \hat x} \right)$$

    In evaluation the statistics are constants and only $\gamma_c\, g / \sqrt{v + \varepsilon}$ is left.
    $\partial L / \partial \gamma_c$ and $\partial L / \partial \beta_c$ are the sums of $g \odot \hat x$ and $g$.

    Args:
        grad_output: $g$, shape of the input.
        input: $x$ of shape `[N, C, ...]`.
        running_mean: as in the forward pass, used in evaluation only and never changed.
        running_var: as in the forward pass, used in evaluation only and never changed.
        weight: $\gamma$ of shape `[C]`, or None for 1.
        training: as in the forward pass.
        eps: $\varepsilon$ of the forward pass.

    Returns:
        The gradients of input, weight and bias; the last two of shape `[C]`, also where the weight is 1.

    Raises:
        ValueError: as [batch_norm][dlguide.functional.batch_normalization.batch_norm].
        RuntimeError: as [batch_norm][dlguide.functional.batch_normalization.batch_norm].

    Example:
        ```python
        import torch
        from dlguide.functional.batch_normalization import batch_norm_backward

        x = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
        g = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
        print(batch_norm_backward(g, x, None, None, training=True)[0].flatten())
        ```

        ``` {.text .output}
        tensor([ 0.1342, -0.1789, -0.0447,  0.0894])
        ```

    References:
        - Ioffe, Szegedy: Batch Normalization, [arXiv:1502.03167](https://arxiv.org/abs/1502.03167), section 3.
        - [torch.nn.BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)
    """
    _check_batch(input, running_mean, running_var, training, eps)
    check_parameter("weight", weight, input.shape[1:2], input)
    return channel_backward(grad_output, input, not_channels(input), running_mean, running_var, weight, training, eps)


def _check_batch(input: Tensor, mean: Tensor | None, var: Tensor | None, training: bool, eps: float) -> None:
    check_input(input, 2, "[N, C, ...]")
    if training and input[:, :1].numel() == 1:
        raise ValueError(
            f"expected more than one value per channel in training, got an input of shape {list(input.shape)}: one"
            " number minus its own mean is 0; use a larger batch (drop_last=True in the loader), or eval()"
        )
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"expected eps > 0 in training and eps >= 0 in evaluation, got {eps}: the default is 1e-5")
    check_statistics(mean, var, input, needed=not training)
