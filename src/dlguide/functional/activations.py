"""Every activation function under one import: the functions stand in files of their own, by family.

Sigmoid, tanh and softplus are in `dlguide.functional.sigmoids`, the ReLU family in
`dlguide.functional.rectifiers`, ELU and SELU in `dlguide.functional.exponential`, GELU, SiLU and Mish in
`dlguide.functional.smooth`, softmax in `dlguide.functional.softmax`, and the products in which one tensor gates another
in `dlguide.functional.gates`.
"""

from __future__ import annotations

from dlguide.functional.exponential import elu, elu_derivative, selu, selu_derivative
from dlguide.functional.gates import (
    glu,
    glu_backward,
    swiglu,
    swiglu_backward,
)
from dlguide.functional.rectifiers import (
    leaky_relu,
    leaky_relu_derivative,
    prelu,
    prelu_backward,
    prelu_derivative,
    relu,
    relu_derivative,
)
from dlguide.functional.sigmoids import (
    sigmoid,
    sigmoid_derivative,
    softplus,
    softplus_derivative,
    tanh,
    tanh_derivative,
)
from dlguide.functional.smooth import (
    gelu,
    gelu_derivative,
    mish,
    mish_derivative,
    silu,
    silu_derivative,
)
from dlguide.functional.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

__all__ = [
    "elu",
    "elu_derivative",
    "gelu",
    "gelu_derivative",
    "glu",
    "glu_backward",
    "leaky_relu",
    "leaky_relu_derivative",
    "log_softmax",
    "log_softmax_backward",
    "mish",
    "mish_derivative",
    "prelu",
    "prelu_backward",
    "prelu_derivative",
    "relu",
    "relu_derivative",
    "selu",
    "selu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "silu",
    "silu_derivative",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_derivative",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_derivative",
]
