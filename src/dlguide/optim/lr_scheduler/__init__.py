"""Learning-rate schedules from scratch, usable in place of those of `torch.optim.lr_scheduler`.

Each class holds its rule as plain arithmetic on one number: where both exist, the rate after t steps from the first
rate (`_at`, the closed form) and from the rate before (`_next`, the recursion). The base class of PyTorch keeps the
books (`step`, `get_last_lr`, `state_dict`, the warning about a wrong order of steps). PyTorch uses the recursion, so
that schedulers can be chained and a rate changed by hand is kept; so do these classes.
"""

from dlguide.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from dlguide.optim.lr_scheduler.factor import ExponentialLR, LambdaLR, MultiStepLR, StepLR
from dlguide.optim.lr_scheduler.one_cycle import OneCycleLR
from dlguide.optim.lr_scheduler.plateau import ReduceLROnPlateau
from dlguide.optim.lr_scheduler.sequential import SequentialLR
from dlguide.optim.lr_scheduler.warm_up import ConstantLR, LinearLR

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LambdaLR", "LinearLR",
    "MultiStepLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
