"""The activations and their derivatives as bare formulas, in the order in which the pages show them.

The documented functions of the same names call these; no input makes them overflow on the way, and autograd through
them is exact everywhere, at 0 too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


# --8<-- [start:parts]
def above(x: Tensor) -> Tensor:
    """1 where x is above 0, else 0."""
    return x.detach().sign().clamp_(min=0)  # much faster than torch.where


def positive_part(x: Tensor) -> Tensor:
    """Keep x above 0, else give 0; the slope at 0 is 0."""
    return x.clamp(min=0) * above(x)


def negative_part(x: Tensor) -> Tensor:
    """Keep x up to 0, else give 0; the slope at 0 is 1."""
    return x.clamp(max=1) * (1 - above(x))  # without clamp, infinity * 0 would be nan
# --8<-- [end:parts]


# --8<-- [start:sigmoid]
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), without overflow."""
    low = torch.exp(negative_part(x))  # e^x, and 1 where x > 0
    high = torch.exp(-positive_part(x))  # e^-x, and 1 where x < 0
    return low / (low + high)


def sigmoid_derivative(x: Tensor) -> Tensor:
    """Slope of the sigmoid, at most a quarter."""
    return sigmoid(x) * sigmoid(-x)  # sigmoid(-x) = 1 - sigmoid(x), with all its digits
# --8<-- [end:sigmoid]


# --8<-- [start:tanh]
def tanh(x: Tensor) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), without overflow."""
    low = torch.expm1(2 * negative_part(x))  # e^2x - 1, and 0 where x > 0
    high = torch.expm1(-2 * positive_part(x))  # e^-2x - 1, and 0 where x < 0
    return (low - high) / (2 + low + high)


def tanh_derivative(x: Tensor) -> Tensor:
    """Slope of tanh, at most 1."""
    return 4 * sigmoid_derivative(2 * x)  # 1 - tanh(x)**2, with all its digits
# --8<-- [end:tanh]


# --8<-- [start:softplus]
def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x above the threshold."""
    low = (beta * x).clamp(max=threshold + 1)  # exp of a large number would overflow
    return torch.where(beta * x > threshold, x, torch.log1p(torch.exp(low)) / beta)


def softplus_derivative(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """Slope of softplus: a sigmoid."""
    return torch.where(beta * x > threshold, 1, sigmoid(beta * x))
# --8<-- [end:softplus]


# --8<-- [start:relu]
def relu(x: Tensor) -> Tensor:
    """Keep x if it is positive, else give 0."""
    return positive_part(x)


def relu_derivative(x: Tensor) -> Tensor:
    """1 if x is positive, else 0."""
    return above(x)  # at 0, where there is none, PyTorch takes 0
# --8<-- [end:relu]


# --8<-- [start:leaky-relu]
def leaky_relu(x: Tensor, negative_slope: float | Tensor = 0.01) -> Tensor:
    """Keep x if it is positive, else a small part of it."""
    return positive_part(x) + negative_slope * negative_part(x)


def leaky_relu_derivative(
    x: Tensor, negative_slope: float | Tensor = 0.01
) -> Tensor:
    """1 if x is positive, else the small slope."""
    return above(x) + negative_slope * (1 - above(x))
# --8<-- [end:leaky-relu]


# --8<-- [start:prelu]
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """Leaky ReLU with a learned slope, one for all or one per channel."""
    return leaky_relu(x, per_channel(weight, x))


def prelu_derivative(x: Tensor, weight: Tensor) -> Tensor:
    """Slope with respect to x."""
    return leaky_relu_derivative(x, per_channel(weight, x))


def prelu_backward(
    grad_output: Tensor, x: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the weight."""
    grad_x = grad_output * prelu_derivative(x, weight)
    share = grad_output * negative_part(x)  # what each entry adds
    grad_weight = share.sum_to_size(per_channel(weight, x).shape)
    return grad_x, grad_weight.reshape(weight.shape)


def per_channel(weight: Tensor, x: Tensor) -> Tensor:
    """The weight in a shape that fits beside x."""
    if weight.numel() == 1:
        return weight.reshape(())
    # (C,) becomes (C, 1, 1) beside x of shape (N, C, H, W)
    return weight.reshape(-1, *[1] * (x.ndim - 2))
# --8<-- [end:prelu]


# --8<-- [start:elu]
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Keep x if it is positive, else give alpha * (exp(x) - 1)."""
    return positive_part(x) + alpha * torch.expm1(negative_part(x))  # one of them is 0


def elu_derivative(x: Tensor, alpha: float = 1.0) -> Tensor:
    """1 if x is positive, else alpha * exp(x)."""
    left = alpha * torch.exp(negative_part(x))
    return above(x) + left * (1 - above(x))
# --8<-- [end:elu]


# --8<-- [start:selu]
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Tensor) -> Tensor:
    """ELU with the two constants that keep mean 0 and variance 1."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def selu_derivative(x: Tensor) -> Tensor:
    """Slope of SELU."""
    return SELU_SCALE * elu_derivative(x, SELU_ALPHA)
# --8<-- [end:selu]


# --8<-- [start:silu]
def silu(x: Tensor) -> Tensor:
    """x, weighed by its sigmoid."""
    return x * sigmoid(x)


def silu_derivative(x: Tensor) -> Tensor:
    """Slope of SiLU, by the product rule."""
    return sigmoid(x) + x * sigmoid_derivative(x)
# --8<-- [end:silu]


# --8<-- [start:mish]
def mish(x: Tensor) -> Tensor:
    """x, weighed by the tanh of its softplus."""
    return x * tanh(softplus(x))


def mish_derivative(x: Tensor) -> Tensor:
    """Slope of Mish, by product and chain rule."""
    s = softplus(x)
    return tanh(s) + x * tanh_derivative(s) * sigmoid(x)
# --8<-- [end:mish]


# --8<-- [start:gelu]
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x, weighed by the probability that a normal number is below it."""
    if approximate == "none":
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x * (1 + tanh(u)) / 2


def gelu_derivative(x: Tensor, approximate: str = "none") -> Tensor:
    """Slope of the form that is asked for."""
    if approximate == "none":
        density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return (1 + torch.erf(x / math.sqrt(2))) / 2 + x * density
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return (1 + tanh(u)) / 2 + x * tanh_derivative(u) * slope / 2
# --8<-- [end:gelu]


# --8<-- [start:softmax]
def softmax(x: Tensor, dim: int) -> Tensor:
    """Positive numbers that sum to 1 along dim."""
    e = torch.exp(below_largest(x, dim))
    return e / e.sum(dim, keepdim=True)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """The logarithm of softmax, never of 0."""
    z = below_largest(x, dim)
    return z - torch.log(torch.exp(z).sum(dim, keepdim=True))


def below_largest(x: Tensor, dim: int) -> Tensor:
    """Scores with the largest at 0: no exp overflows, and softmax stays the same."""
    if x.numel() == 0:
        return x
    return x - x.detach().amax(dim, keepdim=True)
# --8<-- [end:softmax]


# --8<-- [start:softmax-backward]
def softmax_backward(grad_output: Tensor, x: Tensor, dim: int) -> tuple[Tensor]:
    """Gradient of the scores."""
    p = softmax(x, dim)
    inner = (grad_output * p).sum(dim, keepdim=True)
    return (p * (grad_output - inner),)


def log_softmax_backward(grad_output: Tensor, x: Tensor, dim: int) -> tuple[Tensor]:
    """Gradient of the scores."""
    total = grad_output.sum(dim, keepdim=True)
    return (grad_output - softmax(x, dim) * total,)
# --8<-- [end:softmax-backward]


# --8<-- [start:glu]
def glu(x: Tensor, dim: int = -1) -> Tensor:
    """One half of x, weighed by the sigmoid of the other."""
    a, b = x.chunk(2, dim)
    return a * sigmoid(b)


def glu_backward(grad_output: Tensor, x: Tensor, dim: int = -1) -> tuple[Tensor]:
    """Gradient of x, the two halves side by side."""
    a, b = x.chunk(2, dim)
    grad_a = grad_output * sigmoid(b)
    grad_b = grad_output * a * sigmoid_derivative(b)
    return (torch.cat([grad_a, grad_b], dim),)
# --8<-- [end:glu]


# --8<-- [start:swiglu]
def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """One tensor, weighed by the SiLU of another."""
    return silu(gate) * value


def swiglu_backward(
    grad_output: Tensor, gate: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of both."""
    grad_gate = grad_output * value * silu_derivative(gate)
    return grad_gate, grad_output * silu(gate)
# --8<-- [end:swiglu]
