"""`load`: one call for every data set, by its name or by the path of your own files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dlguide._resembling import resembling
from dlguide.data import cifar, images, pictures, reviews, texts
from dlguide.data.files import data_folder, part_folders, visible
from dlguide.data.split import Examples, Splits, cut, picture_splits, text_splits


@dataclass(frozen=True)
class DataSet:
    """What one should know of a data set before loading it.

    Args:
        kind: `"pictures"` or `"texts"`.
        what: one sentence: what the examples are and which classes they have.
        sizes: how many examples are to learn from, and how many to test.
        source: who made it and where it is described.
        get: how to get it.

    Example:
        ```python
        from dlguide.data import DATASETS

        print(DATASETS["mnist"].what)
        ```

        ``` {.text .output}
        handwritten digits, grey, 28 x 28 pixels, 10 classes
        ```
    """

    kind: str
    what: str
    sizes: str
    source: str
    get: str


def _fetched(name: str) -> str:
    return f"load({name!r}, download=True), once, with a network"


DATASETS: dict[str, DataSet] = {
    "digits": DataSet(
        "pictures",
        "handwritten digits, grey, 8 x 8 pixels, 10 classes",
        "1,797 in all",
        "https://archive.ics.uci.edu/dataset/80",
        "comes with scikit-learn",
    ),
    "reviews": DataSet(
        "texts",
        "made film reviews, 2 classes; only the order of the words tells them apart",
        "4,000 in all",
        "dlguide.data.reviews",
        "made by this package",
    ),
    "mnist": DataSet(
        "pictures",
        "handwritten digits, grey, 28 x 28 pixels, 10 classes",
        "60,000 to learn, 10,000 to test",
        "LeCun, Bottou, Bengio, Haffner, 1998, doi:10.1109/5.726791",
        _fetched("mnist"),
    ),
    "fashion-mnist": DataSet(
        "pictures",
        "clothes, grey, 28 x 28 pixels, 10 classes",
        "60,000 to learn, 10,000 to test",
        "Xiao, Rasul, Vollgraf, 2017, arXiv:1708.07747",
        _fetched("fashion-mnist"),
    ),
    "cifar10": DataSet(
        "pictures",
        "animals and vehicles, colour, 32 x 32 pixels, 10 classes",
        "50,000 to learn, 10,000 to test",
        "Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        _fetched("cifar10"),
    ),
    "imdb": DataSet(
        "texts",
        "film reviews, negative or positive",
        "25,000 to learn, 25,000 to test",
        "Maas and others, 2011, https://aclanthology.org/P11-1015",
        "unpack aclImdb_v1.tar.gz from https://ai.stanford.edu/~amaas/data/sentiment/ into the data folder",
    ),
}


def load(
    name: str | os.PathLike[str] = "digits",
    *,
    layout: str = "pictures",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool = False,
    size: int | tuple[int, int] | None = None,
    max_length: int = 256,
    max_words: int = 20_000,
    unit: str = "words",
    encoding: str = "utf-8",
    folder: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Splits:
    r"""Load pictures or texts with their labels, cut into three parts that share no example.

    Pictures are scaled to $[0, 1]$. With `standardize=True` each pixel $p$ becomes $(p - \mu) / \sigma$. Mean $\mu$ and
    standard deviation $\sigma$ are two numbers for each channel, taken from the training part alone, so that nothing is
    learned from the other two. Texts become numbers of words; the vocabulary is that of the training part.

    Args:
        name: a key of `DATASETS`, or the path of your own examples: a folder of class folders with pictures; a folder
            of class folders with .txt files; a folder of CLASS.txt files with one text in a line; a .csv or .jsonl file
            with `text` and `label`. A folder with `train` and `test` in it brings its own parts.
        layout: for pictures, `"pictures"` for `[N, C, H, W]`, or `"rows"` for `[N, H, C * W]`: a sequence of H steps.
        validation: share of the examples in the validation part, in (0, 1).
        test: share in the test part, in (0, 1); ignored if the set comes with a test part of its own.
        seed: chooses who goes into which part; the same seed gives the same parts on every machine.
        standardize: for pictures, subtract the mean and divide by the standard deviation of the training pixels.
        size: for your own pictures, scale and crop them to this height and width (one number: square).
        max_length: for texts, cut off what is longer, in words or characters.
        max_words: for texts, so many known words at most.
        unit: for texts, `"words"` or `"characters"`.
        encoding: how your own texts are written, e.g. `"latin-1"` or `"gb18030"`.
        folder: where a set of `DATASETS` lies; `data_folder()` if not given.
        download: let torchvision fetch MNIST, Fashion-MNIST or CIFAR-10 into the folder first (needs a network).

    Returns:
        The parts as a `Splits`; pictures are float32; ids, lengths and y are int64.

    Raises:
        ValueError: an unknown name or layout, or shares that leave a part empty.
        DataError: a damaged file, or a folder that holds something else; a kind of `ValueError`.
        FileNotFoundError: a file is missing; the message says where it belongs and how to get it.
        ConnectionError: torchvision cannot fetch the set.

    Example:
        ```python
        from dlguide.data import load

        rows = load("digits", layout="rows", standardize=True)
        x, y = rows.train.tensors
        print(x.shape)
        print(f"mean {x.mean().abs():.4f}, standard deviation {x.std():.4f}")

        reviews = load("reviews")
        ids, lengths, y = reviews.train.tensors
        print(ids.shape)
        for row in (0, 1):
            print(reviews.vocabulary.decode(ids[row]), "->", reviews.classes[y[row]])
        ```

        ``` {.text .output}
        torch.Size([1257, 8, 8])
        mean 0.0000, standard deviation 1.0000
        torch.Size([2800, 21])
        my friends agree that it is wrong to call the dialogue clumsy , it was great -> pos
        my friends agree that it is wrong to call the dialogue great , it was clumsy -> neg
        ```

    References:
        - [sklearn.datasets.load_digits](https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html)
        - [torchvision.datasets](https://docs.pytorch.org/vision/stable/datasets.html)
        - [torch.utils.data.TensorDataset](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.TensorDataset)
    """
    if layout not in ("pictures", "rows"):
        raise ValueError(f"expected layout 'pictures' or 'rows', got {layout!r}")
    if max_length < 1:
        raise ValueError(f"expected max_length of at least 1, got {max_length}")
    place = data_folder() if folder is None else Path(folder).expanduser()
    examples = _read_named(str(name), place, download) if name in DATASETS else _read_own(name, size, encoding)
    rows = cut(examples, validation, test, seed)
    if isinstance(examples.x, list):
        return text_splits(examples, rows, max_length, max_words, unit)
    return picture_splits(examples, rows, layout, standardize)


def _read_named(name: str, folder: Path, download: bool) -> Examples:
    if download and not DATASETS[name].get.startswith("load("):
        raise ValueError(f"expected download=False for {name!r}: {DATASETS[name].get}")
    if name in pictures.IDX_SETS:
        return pictures.read_idx_set(name, folder, download)
    if name == "cifar10":
        return cifar.read_cifar10(folder, download)
    if name == "imdb":
        return texts.read_imdb(folder)
    return pictures.read_digits() if name == "digits" else reviews.read_reviews()


def _read_own(name: str | os.PathLike[str], size: int | tuple[int, int] | None, encoding: str) -> Examples:
    path = Path(name).expanduser()
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise FileNotFoundError(f"{path} does not exist; {texts.expected()}")
        found = resembling(str(name), DATASETS)
        hint = f"; did you mean {found!r}?" if found else ""
        raise ValueError(f"expected one of {', '.join(map(repr, DATASETS))}, or a path, got {str(name)!r}{hint}")
    if path.is_dir() and _holds_pictures(path):
        return images.read_image_folder(path, size)
    return texts.read_texts(path, encoding)


def _holds_pictures(folder: Path) -> bool:
    """Look at the files of the class folders: the first one that is a picture or a text decides."""
    start = part_folders(folder).get("train", folder)
    for path in visible(start, "*/**/*"):
        if path.suffix.lower() in images.ENDINGS:
            return True
        if path.suffix == ".txt":
            return False
    return False


def find(name: str, folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Say where the files of a data set lie, without reading them.

    Args:
        name: a key of `DATASETS`.
        folder: where to look; `data_folder()` if not given.

    Returns:
        A file or a folder of the set; None if it is not there, and for the sets that need no files.

    Raises:
        ValueError: an unknown name.

    Example:
        ```python
        from dlguide.data import find

        print(find("mnist", folder="an-empty-folder"))
        ```

        ``` {.text .output}
        None
        ```
    """
    if name not in DATASETS:
        raise ValueError(f"expected one of {', '.join(map(repr, DATASETS))}, got {name!r}")
    place = data_folder() if folder is None else Path(folder).expanduser()
    if name in pictures.IDX_SETS:
        file = pictures.find_idx_file(place, name, next(iter(pictures.IDX_SETS[name].files)))
        return file.parent if file else None
    return {"cifar10": cifar.find_cifar10, "imdb": texts.find_imdb}.get(name, lambda _: None)(place)
