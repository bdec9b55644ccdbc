r"""Labelled pictures and texts as tensors, cut once into training, validation and test parts.

`load("digits")` needs no network: scikit-learn brings 1,797 pictures of 8 x 8 pixels. `load("mnist")` is the same call
on the 70,000 pictures of MNIST, read from a folder of yours (`data_folder`); `load("my/folder")` reads your own. Each
part is a `TensorDataset` that lies in memory as tensors: `TensorBatches` indexes them, and an ordinary `DataLoader`
takes them too.
"""

from dlguide.data.augment import Compose, Cutout, RandomFlip, RandomShift
from dlguide.data.batches import BatchOrder, TensorBatches
from dlguide.data.files import DataError, data_folder
from dlguide.data.sets import DATASETS, DataSet, find, load
from dlguide.data.split import Splits
from dlguide.data.vocabulary import Vocabulary, pad_batch

__all__ = [
    "DATASETS",
    "BatchOrder",
    "Compose",
    "Cutout",
    "DataError",
    "DataSet",
    "RandomFlip",
    "RandomShift",
    "Splits",
    "TensorBatches",
    "Vocabulary",
    "data_folder",
    "find",
    "load",
    "pad_batch",
]
