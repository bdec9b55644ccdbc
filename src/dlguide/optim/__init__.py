"""Five optimizers from scratch, usable in place of those of `torch.optim` and equal to them step by step.

Each file holds one rule as a function of plain tensor arithmetic, and the class that calls it for every parameter. The
base class of PyTorch keeps the books (parameter groups, `zero_grad`, `state_dict`, hooks), so schedulers, checkpoints
and closures work as usual. Left out: `maximize`, `amsgrad`, `centered`, sparse and complex gradients, and everything
that exists for speed (`foreach`, `fused`, `capturable`).
"""

from dlguide.optim.adagrad import Adagrad
from dlguide.optim.adam import Adam, AdamW
from dlguide.optim.rmsprop import RMSprop
from dlguide.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]
