"""Training: one loop from two CPU cores to many machines."""

from dlguide.train.classifier import Scores, choose_device, evaluate, fit, predict
from dlguide.train.history import History

__all__ = ["History", "Scores", "choose_device", "evaluate", "fit", "predict"]
