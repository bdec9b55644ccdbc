"""How weights start: random numbers whose variance keeps signals and gradients at one size through many layers.

All functions change their tensor in place, outside of autograd, draw from `generator`, and return the tensor.
"""

from dlguide.init.gain import calculate_gain
from dlguide.init.scaled import kaiming_normal_, kaiming_uniform_, xavier_normal_, xavier_uniform_
from dlguide.init.special import orthogonal_, trunc_normal_

__all__ = [
    "calculate_gain",
    "kaiming_normal_",
    "kaiming_uniform_",
    "orthogonal_",
    "trunc_normal_",
    "xavier_normal_",
    "xavier_uniform_",
]
