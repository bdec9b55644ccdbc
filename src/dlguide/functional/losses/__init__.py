"""Losses from scratch, each with its gradient written out: value, slope, and what the reduction divides by.

Every loss is a short formula for one value, and a public function that checks what came, applies the formula and
reduces. `NAME_gradient` takes the same arguments and gives the derivative of the reduced loss by its formula, without
autograd. Arguments, their order and their defaults are those of `torch.nn.functional`; the options are named in a call,
and the long deprecated `size_average` and `reduce` are left out.
"""

from dlguide.functional.losses.binary import (
    binary_cross_entropy,
    binary_cross_entropy_gradient,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_gradient,
)
from dlguide.functional.losses.classification import (
    cross_entropy,
    cross_entropy_gradient,
    nll_loss,
    nll_loss_gradient,
)
from dlguide.functional.losses.cosine import cosine_embedding_loss, cosine_embedding_loss_gradient
from dlguide.functional.losses.divergence import kl_div, kl_div_gradient
from dlguide.functional.losses.margin import (
    hinge_embedding_loss,
    hinge_embedding_loss_gradient,
    multi_margin_loss,
    multi_margin_loss_gradient,
)
from dlguide.functional.losses.regression import (
    l1_loss,
    l1_loss_gradient,
    mse_loss,
    mse_loss_gradient,
)
from dlguide.functional.losses.robust import (
    huber_loss,
    huber_loss_gradient,
    smooth_l1_loss,
    smooth_l1_loss_gradient,
)
from dlguide.functional.losses.triplet import triplet_margin_loss, triplet_margin_loss_gradient

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_gradient",
    "cosine_embedding_loss",
    "cosine_embedding_loss_gradient",
    "cross_entropy",
    "cross_entropy_gradient",
    "hinge_embedding_loss",
    "hinge_embedding_loss_gradient",
    "huber_loss",
    "huber_loss_gradient",
    "kl_div",
    "kl_div_gradient",
    "l1_loss",
    "l1_loss_gradient",
    "mse_loss",
    "mse_loss_gradient",
    "multi_margin_loss",
    "multi_margin_loss_gradient",
    "nll_loss",
    "nll_loss_gradient",
    "smooth_l1_loss",
    "smooth_l1_loss_gradient",
    "triplet_margin_loss",
    "triplet_margin_loss_gradient",
]
