"""Training: one loop, from two CPU cores to many machines.

`fit` trains a classifier in one call; `Trainer` is the loop behind it, to which callbacks add what a run needs:
`EarlyStopping`, `EMA`, `Checkpoint`, `ProgressBar`, `HistoryFile`, `TensorBoard`.
"""

from dlguide.train.callbacks import Callback, EarlyStopping
from dlguide.train.checkpoint import Checkpoint, resume
from dlguide.train.classifier import Scores, evaluate, fit, predict
from dlguide.train.devices import choose_device
from dlguide.train.distributed import Processes, processes
from dlguide.train.ema import EMA
from dlguide.train.history import History
from dlguide.train.interrupts import Interrupted
from dlguide.train.progress import ProgressBar
from dlguide.train.records import HistoryFile, TensorBoard, read_history
from dlguide.train.trainer import Trainer

__all__ = [
    "EMA", "Callback", "Checkpoint", "EarlyStopping", "History", "HistoryFile", "Interrupted", "Processes",
    "ProgressBar", "Scores", "TensorBoard", "Trainer", "choose_device", "evaluate", "fit", "predict", "processes",
    "read_history", "resume",
]  # fmt: skip
