"""Every optimizer of `torch.optim` from scratch, usable in its place and equal to it step by step.

Each file holds one rule as a function of plain tensor arithmetic, and the class that calls it for every parameter. The
base class of PyTorch keeps the books (parameter groups, `zero_grad`, `state_dict`, hooks), so schedulers, checkpoints
and closures work as usual. Left out is what exists for speed or for differentiating through a step: `foreach`, `fused`,
`capturable` and `differentiable` are no arguments here. Beside the optimizers stand gradient clipping (`clip`) and
learning-rate schedules (`dlguide.optim.lr_scheduler`).
"""

from dlguide.optim.adadelta import Adadelta
from dlguide.optim.adafactor import Adafactor
from dlguide.optim.adagrad import Adagrad
from dlguide.optim.adam import Adam, AdamW
from dlguide.optim.adamax import Adamax
from dlguide.optim.asgd import ASGD
from dlguide.optim.clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from dlguide.optim.lbfgs import LBFGS
from dlguide.optim.muon import Muon
from dlguide.optim.nadam import NAdam
from dlguide.optim.radam import RAdam
from dlguide.optim.rmsprop import RMSprop
from dlguide.optim.rprop import Rprop
from dlguide.optim.sgd import SGD
from dlguide.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam",
    "RMSprop", "Rprop", "SparseAdam", "clip_grad_norm_", "clip_grad_value_", "get_total_norm",
]  # fmt: skip
