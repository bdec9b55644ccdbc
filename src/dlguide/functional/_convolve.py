"""Convolution in any number of dimensions: windows as the columns of a matrix, then three matrix products."""

from __future__ import annotations

from torch import Tensor

from dlguide.functional._spatial import Numbers, Sides, Size, check_dims, check_grad, each, output_size, pad
from dlguide.functional.windows import add_windows, windows


# --8<-- [start:columns]
def columns(x: Tensor, kernel: Numbers, stride: Numbers, dilation: Numbers, groups: int) -> Tensor:
    """Each window of all channels of a group as one column: (N, C, *size) -> (N, groups, C / groups * K, L)."""
    views = windows(x, kernel, stride, dilation)  # (N, C, *kernel, *out)
    return views.flatten(-len(kernel)).flatten(1, -2).unflatten(1, (groups, -1))


def rows(weight: Tensor, groups: int) -> Tensor:
    """Each kernel as one row: (O, C / groups, *kernel) -> (groups, O / groups, C / groups * K)."""
    return weight.flatten(1).unflatten(0, (groups, -1))
# --8<-- [end:columns]


# --8<-- [start:forward]
def convolve(x: Tensor, weight: Tensor, stride: Numbers, dilation: Numbers, groups: int) -> Tensor:
    """Y = W X: (N, C, *size) and (O, C / groups, *kernel) -> (N, O, *out)."""
    kernel = tuple(weight.shape[2:])
    sizes = zip(x.shape[2:], kernel, stride, dilation, strict=True)
    out = [output_size(n, k, s, 0, d) for n, k, s, d in sizes]
    y = rows(weight, groups) @ columns(x, kernel, stride, dilation, groups)  # (N, groups, O / groups, L)
    return y.flatten(1, 2).unflatten(-1, out)
# --8<-- [end:forward]


# --8<-- [start:backward-input]
def convolve_input(
    grad: Tensor, weight: Tensor, size: Numbers, stride: Numbers, dilation: Numbers, groups: int
) -> Tensor:
    """The gradient dX = W^T dY, added up where the windows were: (N, O, *out) -> (N, C, *size)."""
    dy = grad.flatten(2).unflatten(1, (groups, -1))  # (N, groups, O / groups, L)
    dx = rows(weight, groups).mT @ dy  # (N, groups, C / groups * K, L)
    shape = (groups * weight.shape[1], *weight.shape[2:])
    values = dx.flatten(1, 2).unflatten(1, shape).unflatten(-1, grad.shape[2:])
    return add_windows(values, size, stride, dilation)
# --8<-- [end:backward-input]


# --8<-- [start:backward-weight]
def convolve_weight(
    grad: Tensor, x: Tensor, kernel: Numbers, stride: Numbers, dilation: Numbers, groups: int
) -> Tensor:
    """The gradient dW = dY X^T, summed over the batch: (N, O, *out) and (N, C, *size) -> (O, C / groups, *kernel)."""
    dy = grad.flatten(2).unflatten(1, (groups, -1))  # (N, groups, O / groups, L)
    dw = (dy @ columns(x, kernel, stride, dilation, groups).mT).sum(0)  # (groups, O / groups, C / groups * K)
    return dw.flatten(0, 1).unflatten(1, (-1, *kernel))
# --8<-- [end:backward-weight]


def same_sides(kernel: Numbers, dilation: Numbers) -> Sides:
    """The padding "same": as many windows as entries; an odd number puts one more behind."""
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(n // 2, n - n // 2) for n in total]


def with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """Add one number to each channel."""
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.dim() - 2))


def read_options(
    dims: int, weight: Tensor, stride: Size, padding: Size | str, dilation: Size
) -> tuple[Numbers, Sides, Numbers]:
    """The options of a convolution as tuples: stride, padding on each side, dilation."""
    stride, dilation = each(stride, dims, "stride", 1), each(dilation, dims, "dilation", 1)
    if padding == "same":
        if max(stride) > 1:
            raise RuntimeError(f"expected stride 1 with padding='same', got {stride}: give the padding in numbers")
        return stride, same_sides(tuple(weight.shape[2:]), dilation), dilation
    if isinstance(padding, str):
        if padding != "valid":
            raise RuntimeError(f"expected padding as 'valid', 'same' or in numbers, got {padding!r}")
        padding = 0
    return stride, [(p, p) for p in each(padding, dims, "padding", 0)], dilation


def check(dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool = False) -> None:
    """Channels, groups, bias and dtypes fit together."""
    function = f"conv{'_transpose' * transposed}{dims}d"
    check_dims(input, dims, function)
    if weight.dim() != dims + 2 or 0 in weight.shape:
        raise RuntimeError(f"expected a weight of {dims + 2} dimensions, none of them 0, got {list(weight.shape)}")
    if groups < 1 or weight.shape[0] % groups:
        raise RuntimeError(
            f"expected groups that divide the {weight.shape[0]} channels in dimension 0 of the weight, got {groups}"
        )
    needed = weight.shape[0] if transposed else weight.shape[1] * groups
    made = weight.shape[1] * groups if transposed else weight.shape[0]
    if input.shape[-dims - 1] != needed:
        last = f": if the channels are last, use x.movedim(-1, {-dims - 1})" if input.shape[-1] == needed else ""
        raise RuntimeError(
            f"expected {needed} channels in dimension {input.dim() - dims - 1} of the input for a weight of shape"
            f" {list(weight.shape)} and {groups} groups, got input shape {list(input.shape)}{last}"
        )
    if bias is not None and list(bias.shape) != [made]:
        raise RuntimeError(f"expected a bias of shape [{made}], one number for each output channel, got"
                           f" {list(bias.shape)}")  # fmt: skip
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.dtype != input.dtype:
            raise RuntimeError(f"expected input and {name} of one dtype, got {input.dtype} and {other.dtype}:"
                               f" use x.to({other.dtype})")  # fmt: skip


def forward(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Size, padding: Size | str, dilation: Size, groups: int,
) -> Tensor:  # fmt: skip
    """The convolution of `dims` dimensions: check, pad, convolve, add the bias."""
    check(dims, input, weight, bias, groups)
    stride, sides, dilation = read_options(dims, weight, stride, padding, dilation)
    if input.dim() == dims + 1:
        return forward(dims, input[None], weight, bias, stride, padding, dilation, groups)[0]
    return with_bias(convolve(pad(input, sides), weight, stride, dilation, groups), bias)


def backward(
    dims: int, grad_output: Tensor, input: Tensor, weight: Tensor,
    stride: Size, padding: Size | str, dilation: Size, groups: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of input, weight and bias."""
    check(dims, input, weight, None, groups)
    stride, sides, dilation = read_options(dims, weight, stride, padding, dilation)
    if input.dim() == dims + 1:
        grads = backward(dims, grad_output[None], input[None], weight, stride, padding, dilation, groups)
        return grads[0][0], grads[1], grads[2]
    padded, kernel = pad(input, sides), tuple(weight.shape[2:])
    sizes = zip(padded.shape[2:], kernel, stride, dilation, strict=True)
    out = [output_size(n, k, s, 0, d) for n, k, s, d in sizes]
    check_grad(grad_output, [len(input), len(weight), *out])
    # --8<-- [start:backward]
    around = convolve_input(grad_output, weight, tuple(padded.shape[2:]), stride, dilation, groups)
    grad_input = pad(around, [(-before, -after) for before, after in sides])  # the padding has no gradient
    grad_weight = convolve_weight(grad_output, padded, kernel, stride, dilation, groups)
    grad_bias = grad_output.sum([0, *range(2, dims + 2)])  # one number per channel, added everywhere
    # --8<-- [end:backward]
    return grad_input, grad_weight, grad_bias


def transposed_sizes(
    input: Tensor, weight: Tensor, stride: Size, padding: Size, output_padding: Size, dilation: Size
) -> tuple[Numbers, Numbers, Numbers, Sides]:
    """Stride, dilation, the size before cropping, and how much a gradient is padded to have its windows back."""
    dims = weight.dim() - 2
    stride, padding = each(stride, dims, "stride", 1), each(padding, dims, "padding", 0)
    dilation, extra = each(dilation, dims, "dilation", 1), each(output_padding, dims, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            f"expected output_padding below stride or dilation, got {extra} with stride {stride} and dilation"
            f" {dilation}: it chooses among the sizes that one convolution maps to the same size"
        )
    sizes = zip(input.shape[-dims:], weight.shape[2:], stride, dilation, extra, strict=True)
    full = tuple((n - 1) * s + d * (k - 1) + 1 + e for n, k, s, d, e in sizes)
    if any(f - 2 * p < 1 for f, p in zip(full, padding, strict=True)):
        raise RuntimeError(f"expected padding that leaves something of {full}, got {padding}")
    return stride, dilation, full, [(p, p - e) for p, e in zip(padding, extra, strict=True)]


def transposed_forward(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Size, padding: Size, output_padding: Size, groups: int, dilation: Size,
) -> Tensor:  # fmt: skip
    """The transpose of `forward` without its bias: spread, cut the padding off, add a bias."""
    check(dims, input, weight, bias, groups, transposed=True)
    stride, dilation, full, _ = transposed_sizes(input, weight, stride, padding, output_padding, dilation)
    if input.dim() == dims + 1:
        options = stride, padding, output_padding, groups, dilation
        return transposed_forward(dims, input[None], weight, bias, *options)[0]
    # --8<-- [start:transposed]
    spread = convolve_input(input, weight, full, stride, dilation, groups)
    cropped = pad(spread, [(-p, -p) for p in each(padding, dims, "padding", 0)])
    return with_bias(cropped, bias)
    # --8<-- [end:transposed]


def transposed_backward(
    dims: int, grad_output: Tensor, input: Tensor, weight: Tensor,
    stride: Size, padding: Size, output_padding: Size, groups: int, dilation: Size,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of input, weight and bias: what was spread is gathered by a convolution."""
    check(dims, input, weight, None, groups, transposed=True)
    stride, dilation, full, sides = transposed_sizes(input, weight, stride, padding, output_padding, dilation)
    if input.dim() == dims + 1:
        options = stride, padding, output_padding, groups, dilation
        grads = transposed_backward(dims, grad_output[None], input[None], weight, *options)
        return grads[0][0], grads[1], grads[2]
    cropped = [f - 2 * p for f, (p, _) in zip(full, sides, strict=True)]
    check_grad(grad_output, [len(input), groups * weight.shape[1], *cropped])
    padded = pad(grad_output, sides)
    grad_input = convolve(padded, weight, stride, dilation, groups)
    grad_weight = convolve_weight(input, padded, tuple(weight.shape[2:]), stride, dilation, groups)
    return grad_input, grad_weight, grad_output.sum([0, *range(2, dims + 2)])
