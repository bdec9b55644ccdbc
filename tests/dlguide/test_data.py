"""load, its parts and its folder, against scikit-learn."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dlguide.data import DATASETS, data_folder, find, load


def rows_of(part):
    """Each example as bytes with its label: something that can be counted."""
    x, y = part.tensors
    return [(example.numpy().tobytes(), int(label)) for example, label in zip(x, y, strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_parts_of_digits_are_disjoint_and_cover_scikit_learns(seed):
    parts = load("digits", seed=seed)
    ours = Counter(row for part in (parts.train, parts.validation, parts.test) for row in rows_of(part))
    bunch = load_digits()
    pictures = (bunch.images / 16).astype(np.float32)
    theirs = Counter((x.tobytes(), int(y)) for x, y in zip(pictures, bunch.target, strict=True))
    assert ours == theirs  # as multisets: nothing lost, nothing twice
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1257, 180, 360)


def test_digits_as_pictures_and_as_rows():
    x, y = load("digits").train.tensors
    rows, same = load("digits", layout="rows").train.tensors
    assert x.shape == (1257, 1, 8, 8)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert x.min() == 0
    assert x.max() == 1
    assert torch.equal(x.squeeze(1), rows)
    assert torch.equal(y, same)


def test_a_seed_decides_the_parts():
    first, again, other = load("digits"), load("digits"), load("digits", seed=1)
    assert torch.equal(first.train.tensors[0], again.train.tensors[0])
    assert set(rows_of(first.test)) != set(rows_of(other.test))


def test_loading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    load("digits", seed=3)
    assert torch.equal(before, torch.get_rng_state())


def test_every_class_is_in_every_part():
    parts = load("digits")
    for part in (parts.train, parts.validation, parts.test):
        assert sorted(set(part.tensors[1].tolist())) == list(range(len(parts.classes)))


def test_standardising_uses_the_training_part_alone():
    plain, standard = load("digits"), load("digits", standardize=True)
    pixels = plain.train.tensors[0].double()
    assert standard.mean == pytest.approx(pixels.mean().item(), rel=1e-12)
    assert standard.std == pytest.approx(pixels.std().item(), rel=1e-12)
    for name in ("train", "validation", "test"):
        x, z = getattr(plain, name).tensors[0], getattr(standard, name).tensors[0]
        torch.testing.assert_close(z, (x - standard.mean) / standard.std)
    assert (plain.mean, plain.std) == (0.0, 1.0)


def test_a_dataloader_takes_the_parts_too():
    x, y = next(iter(torch.utils.data.DataLoader(load("digits").train, batch_size=32)))
    assert x.shape == (32, 1, 8, 8)
    assert y.shape == (32,)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "cifar"}, "expected one of 'digits', .*, or a path, got 'cifar'; did you mean 'cifar10'[?]$"),
        ({"name": "IMDB"}, "got 'IMDB'; did you mean 'imdb'[?]$"),
        ({"name": "qqqq"}, "got 'qqqq'$"),
        ({"name": "digits", "download": True}, "expected download=False for 'digits': comes with scikit-learn"),
        ({"name": "imdb", "download": True}, "expected download=False for 'imdb': unpack aclImdb_v1.tar.gz"),
        ({"max_length": 0}, "expected max_length of at least 1, got 0"),
        ({"name": "reviews", "max_words": 0}, "expected max_words of at least 1, got 0"),
        ({"name": "reviews", "unit": "lines"}, "expected unit 'words' or 'characters', got 'lines'"),
        ({"layout": "columns"}, "expected layout 'pictures' or 'rows', got 'columns'"),
        ({"validation": 0.0}, "expected shares above 0"),
        ({"test": 0.0}, "expected shares above 0"),
        ({"validation": 0.6, "test": 0.6}, "expected shares above 0"),
        ({"validation": 0.0001}, "leave a part of 1797 examples empty"),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        load(**arguments)
    assert "\n" not in str(caught.value)


# ---- the folder


def test_the_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("DLGUIDE_DATA", "~/sets")
    assert data_folder() == Path.home() / "sets"


@pytest.mark.parametrize(
    ("platform", "variable", "value", "ending"),
    [
        ("linux", "XDG_CACHE_HOME", "/cache", ("cache", "dlguide")),
        ("linux", "XDG_CACHE_HOME", "", (".cache", "dlguide")),
        ("darwin", "HOME", "/home/reader", ("Library", "Caches", "dlguide")),
        ("win32", "LOCALAPPDATA", "/local", ("local", "dlguide")),
    ],
)
def test_without_the_variable_the_platform_decides(monkeypatch, platform, variable, value, ending):
    monkeypatch.delenv("DLGUIDE_DATA", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, value)
    assert data_folder().parts[-len(ending) :] == ending


# ---- what there is


def test_every_set_is_described_in_one_line_each():
    assert list(DATASETS) == ["digits", "reviews", "mnist", "fashion-mnist", "cifar10", "imdb"]
    for about in DATASETS.values():
        assert about.kind in ("pictures", "texts")
        assert all(line and "\n" not in line for line in (about.what, about.sizes, about.source, about.get))


@pytest.mark.parametrize("name", ["digits", "reviews"])
def test_the_description_tells_what_comes(name):
    parts = load(name)
    total = len(parts.train) + len(parts.validation) + len(parts.test)
    assert f"{total:,} in all" == DATASETS[name].sizes
    assert f"{len(parts.classes)} classes" in DATASETS[name].what
    assert (DATASETS[name].kind == "texts") == (parts.vocabulary is not None)


@pytest.mark.parametrize("name", list(DATASETS))
def test_nothing_is_found_in_an_empty_folder(name, tmp_path, monkeypatch):
    assert find(name, tmp_path) is None
    assert find(name, tmp_path / "none") is None
    monkeypatch.setenv("DLGUIDE_DATA", str(tmp_path))
    assert find(name) is None


def test_finding_an_unknown_set_says_what_there_is():
    with pytest.raises(ValueError, match=r"expected one of 'digits', .*, got 'minst'"):
        find("minst")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "imdb"])
def test_a_missing_set_says_where_it_belongs_and_how_to_get_it(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is missing: .*DLGUIDE_DATA") as caught:
        load(name, folder=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no/such", "none.csv", "/none/such"])
def test_a_missing_path_says_what_was_expected(name):
    with pytest.raises(FileNotFoundError, match=f"{name} does not exist; expected a .csv or .jsonl file"):
        load(name)


# ---- the real MNIST, where there is one


@pytest.fixture(scope="module")
def mnist():
    if not os.environ.get("DLGUIDE_DATA"):
        pytest.skip("needs MNIST in the folder DLGUIDE_DATA")
    try:
        return load("mnist")
    except FileNotFoundError:
        pytest.skip("needs MNIST in the folder DLGUIDE_DATA")


def test_real_mnist_has_its_parts(mnist):
    assert (len(mnist.train), len(mnist.validation), len(mnist.test)) == (54_000, 6_000, 10_000)
    x, y = mnist.train.tensors
    assert x.shape == (54_000, 1, 28, 28)
    assert x.min() == 0
    assert x.max() == 1
    assert mnist.test.tensors[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = torch.bincount(torch.cat([y, mnist.validation.tensors[1]]))
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_real_mnist_has_the_published_mean_and_deviation(mnist):
    pixels = torch.cat([mnist.train.tensors[0], mnist.validation.tensors[0]]).double()
    assert round(pixels.mean().item(), 4) == 0.1307
    assert round(pixels.std().item(), 4) == 0.3081
