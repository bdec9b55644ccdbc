"""The real data sets, where the folder DLGUIDE_DATA holds them: their parts, labels, and published numbers."""

import os
from collections import Counter

import pytest
import torch

from dlguide.data import cifar, data_folder, find, load, texts


def real(name):
    """Whether a set is there; a test of it is listed as not run otherwise."""
    if not os.environ.get("DLGUIDE_DATA") or find(name) is None:
        pytest.skip(f"needs {name} in the folder DLGUIDE_DATA")


def real_folder(name):
    if not os.environ.get("DLGUIDE_DATA") or not (data_folder() / name).is_dir():
        pytest.skip(f"needs {name} in the folder DLGUIDE_DATA")
    return data_folder() / name


@pytest.fixture(scope="module")
def cifar10():
    real("cifar10")
    return cifar.read_cifar10(data_folder(), False)


def test_real_cifar10_has_the_published_mean_and_deviation(cifar10):
    """Of all pixels of the 50,000 training pictures. The widely copied 0.2023 0.1994 0.2010 are something else."""
    x = cifar10.x[:50_000]
    means, deviations, copied = [], [], []
    for c in range(3):
        counts = torch.bincount(x[:, c].flatten(), minlength=256).double()
        shares, values = counts / counts.sum(), torch.arange(256) / 255
        mean = (shares * values).sum()
        means.append(round(mean.item(), 4))
        deviations.append(round((shares * (values - mean) ** 2).sum().sqrt().item(), 4))
        inside = x[:, c].flatten(1).float().std(1) / 255  # the deviation inside each picture
        copied.append(round(inside.mean().item(), 4))
    assert means == [0.4914, 0.4822, 0.4465]
    assert deviations == [0.2470, 0.2435, 0.2616]
    assert copied == [0.2023, 0.1994, 0.2010]


def test_real_cifar10_has_its_parts_and_labels(cifar10):
    assert cifar10.x.shape == (60_000, 3, 32, 32)
    assert cifar10.test == 10_000
    assert torch.bincount(cifar10.y[:50_000]).tolist() == [5_000] * 10
    assert torch.bincount(cifar10.y[50_000:]).tolist() == [1_000] * 10
    assert [cifar10.classes[y] for y in cifar10.y[:4]] == ["frog", "truck", "truck", "deer"]
    assert [cifar10.classes[y] for y in cifar10.y[50_000:50_004]] == ["cat", "ship", "ship", "airplane"]


def test_real_imdb_has_its_parts_and_reads_well():
    real("imdb")
    found = texts.read_imdb(data_folder())
    assert len(found.x) == 50_000
    assert found.test == 25_000
    assert found.classes == ("neg", "pos")
    assert torch.bincount(found.y).tolist() == [25_000, 25_000]
    assert not any("<br />" in text for text in found.x)
    good = Counter(y for text, y in zip(found.x, found.y.tolist(), strict=True) if "a masterpiece" in text)
    assert good[1] > 2 * good[0]


def test_real_names_are_characters():
    parts = load(real_folder("names"), unit="characters")
    assert len(parts.classes) == 18
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 20_050
    ids, _, y = parts.train.tensors
    listed = (data_folder() / "names" / f"{parts.classes[y[0]]}.txt").read_text("utf-8").splitlines()
    assert parts.vocabulary.decode(ids[0]) in [name.strip() for name in listed]


def test_real_sentences_of_rotten_tomatoes():
    folder = real_folder("mr")
    found = texts.read_texts(folder, "latin-1")
    assert found.classes == ("neg", "pos")
    assert torch.bincount(found.y).tolist() == [5_331, 5_331]
