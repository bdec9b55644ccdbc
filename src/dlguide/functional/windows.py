"""The windows of a tensor, as a view, and the way back: what convolution and pooling are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from torch import Tensor

from dlguide.functional._spatial import Numbers, Size, each, output_size


# --8<-- [start:windows]
def _view(x: Tensor, kernel: Numbers, stride: Numbers, dilation: Numbers) -> Tensor:
    dims = len(kernel)
    sizes = zip(x.shape[-dims:], kernel, stride, dilation, strict=True)
    count = [output_size(n, k, s, 0, d) for n, k, s, d in sizes]
    outer, memory = x.stride()[:-dims], x.stride()[-dims:]  # in memory: how far to the next entry
    within = [d * m for d, m in zip(dilation, memory, strict=True)]
    between = [s * m for s, m in zip(stride, memory, strict=True)]
    shape = [*x.shape[:-dims], *kernel, *count]
    return x.as_strided(shape, [*outer, *within, *between])
# --8<-- [end:windows]


# --8<-- [start:add-windows]
def _add(values: Tensor, size: Numbers, stride: Numbers, dilation: Numbers) -> Tensor:
    dims = len(size)
    kernel, count = values.shape[-2 * dims : -dims], values.shape[-dims:]
    result = values.new_zeros(*values.shape[: -2 * dims], *size)
    parts = values.flatten(-2 * dims, -dims - 1).unbind(-dims - 1)  # one for each entry of the kernel
    for offset, part in zip(product(*map(range, kernel)), parts, strict=True):
        steps = zip(offset, dilation, stride, count, strict=True)
        seen: list[Any] = [slice(a * d, a * d + s * (c - 1) + 1, s) for a, d, s, c in steps]
        result[..., *seen] += part
    return result
# --8<-- [end:add-windows]


def windows(input: Tensor, kernel_size: Sequence[int], stride: Size = 1, dilation: Size = 1) -> Tensor:
    r"""Show each window of the last dimensions, without copying a number.

    In one dimension, with $s$ = `stride` and $d$ = `dilation`:

    $$\text{windows}_{a,i} = x_{i s + a d}$$

    Entry $a$ of window $i$. The result is a view: the same memory read with other strides.

    Args:
        input: tensor of shape (..., *size), any dtype.
        kernel_size: $k \ge 1$ for each of the D last dimensions, a sequence of length D.
        stride: $s \ge 1$, entries from one window to the next.
        dilation: $d \ge 1$, entries from one number of a window to the next.

    Returns:
        A view of shape (..., *kernel_size, *count), where count is $\lfloor (n - d (k - 1) - 1) / s \rfloor + 1$ for
        each dimension of $n$ entries.

    Raises:
        RuntimeError: no window fits, or an option is out of its range.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.windows import windows

        x = torch.tensor([1, 2, 3, 4])
        print(windows(x, [3]).T)  # one window in each row
        ```

        ``` {.text .output}
        tensor([[1, 2, 3],
                [2, 3, 4]])
        ```

    References:
        - [torch.Tensor.as_strided](https://docs.pytorch.org/docs/stable/generated/torch.as_strided.html)
    """
    dims = len(kernel_size)
    kernel, stride = each(kernel_size, dims, "kernel_size", 1), each(stride, dims, "stride", 1)
    return _view(input, kernel, stride, each(dilation, dims, "dilation", 1))


def add_windows(values: Tensor, size: Sequence[int], stride: Size = 1, dilation: Size = 1) -> Tensor:
    r"""Add each number of each window to the entry that it came from: the transpose of `windows`.

    In one dimension, with $s$ = `stride` and $d$ = `dilation`:

    $$x_j = \sum_{i s + a d = j} \text{values}_{a,i}$$

    Where windows overlap, their numbers add up. The loop runs over the entries of the kernel, not over pixels.

    Args:
        values: tensor of shape (..., *kernel_size, *count), floating point.
        size: size of each of the D last dimensions of the result, a sequence of length D.
        stride: as in `windows`.
        dilation: as in `windows`.

    Returns:
        Tensor of shape (..., *size). With the options of a call of `windows`, the gradient of its input.

    Raises:
        RuntimeError: a window reaches over the edge, or an option is out of its range.
        TypeError: an option is not a whole number.

    Example:
        ```python
        import torch
        from dlguide.functional.windows import add_windows, windows

        x = torch.ones(4)
        print(add_windows(windows(x, [3]), [4]))  # how often each entry was seen
        ```

        ``` {.text .output}
        tensor([1., 2., 2., 1.])
        ```

    References:
        - [torch.nn.Fold](https://docs.pytorch.org/docs/stable/generated/torch.nn.Fold.html), which also adds.
    """
    dims = len(size)
    kernel, count = values.shape[-2 * dims : -dims], values.shape[-dims:]
    stride, dilation = each(stride, dims, "stride", 1), each(dilation, dims, "dilation", 1)
    reach = [s * (c - 1) + d * (k - 1) + 1 for s, c, d, k in zip(stride, count, dilation, kernel, strict=True)]
    if any(r > n for r, n in zip(reach, size, strict=True)):
        raise RuntimeError(f"expected a size of at least {reach}, where the last window ends, got {list(size)}")
    return _add(values, tuple(size), stride, dilation)
