"""dlguide.data against scikit-learn, torchvision, and files damaged on purpose."""

import gzip
import os
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dlguide import data
from dlguide.data import data_folder, load


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
        ({"name": "cifar"}, "expected the name 'digits' or 'mnist', got 'cifar'"),
        ({"layout": "columns"}, "expected layout 'pictures' or 'rows', got 'columns'"),
        ({"validation": 0.0}, "expected shares above 0"),
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


# ---- MNIST's files, made small and damaged

SIZES = {"train-images-idx3-ubyte": (20, 28, 28), "train-labels-idx1-ubyte": (20,)}
SIZES |= {"t10k-images-idx3-ubyte": (5, 28, 28), "t10k-labels-idx1-ubyte": (5,)}


def idx(values):
    """The idx format: 0, 0, type 8 (bytes), number of dimensions, each size as four bytes, then the values."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A folder with files like MNIST's, 20 + 5 pictures, and the module told to expect them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    expected = {}
    for name, shape in SIZES.items():
        raw = idx(rng.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8))
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        expected[name] = (f"{name}", shape, zlib.crc32(raw))
    monkeypatch.setattr(data, "_MNIST_FILES", expected)
    return tmp_path


def read_all(folder):
    return {name: data._read_idx(folder, name) for name in SIZES}


def test_packed_and_unpacked_files_read_the_same(small_mnist):
    packed = read_all(small_mnist)
    for file in list((small_mnist / "MNIST" / "raw").iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    unpacked = read_all(small_mnist)
    for name, values in packed.items():
        assert values.shape == SIZES[name]
        assert torch.equal(values, unpacked[name])


def test_torchvision_reads_the_same(small_mnist):
    from torchvision.datasets import MNIST

    ours = read_all(small_mnist)
    for file in list((small_mnist / "MNIST" / "raw").iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    theirs = MNIST(small_mnist, train=True, download=False)
    assert torch.equal(ours["train-images-idx3-ubyte"], theirs.data)
    assert torch.equal(ours["train-labels-idx1-ubyte"].long(), theirs.targets)


NAME = "train-images-idx3-ubyte"


def pack(raw):
    return gzip.compress(raw)


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (None, FileNotFoundError, "is missing"),
        (lambda packed: packed[:200], ValueError, "cannot be unpacked"),
        (lambda packed: b"<html>not found</html>", ValueError, "cannot be unpacked"),
        (
            lambda packed: packed[:100] + bytes([packed[100] ^ 1]) + packed[101:],
            ValueError,
            "cannot be unpacked|damaged",
        ),
        (lambda packed: pack(gzip.decompress(packed)[:-5]), ValueError, "should hold"),
        (lambda packed: pack(idx(np.zeros((20, 27, 28), np.uint8))), ValueError, "should hold"),
        (lambda packed: pack(b""), ValueError, "begin with nothing"),
        (lambda packed: pack(idx(np.zeros((20, 28, 28), np.uint8))), ValueError, "checksum is wrong"),
    ],
    ids=["missing", "truncated", "a web page", "one bit", "short", "shape", "empty", "other bytes"],
)
def test_damaged_files_get_one_sentence_with_name_and_remedy(small_mnist, damage, error, sentence):
    file = small_mnist / "MNIST" / "raw" / f"{NAME}.gz"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(error, match=sentence) as caught:
        load("mnist", folder=small_mnist)
    message = str(caught.value)
    assert str(file) in message
    assert "load('mnist', download=True)" in message
    assert "DLGUIDE_DATA" in message
    assert "\n" not in message


def test_download_is_torchvisions(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("torchvision.datasets.MNIST", lambda root, download: asked.append((root, download)))
    with pytest.raises(FileNotFoundError):
        load("mnist", folder=tmp_path, download=True)
    assert asked == [(tmp_path, True)]


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
