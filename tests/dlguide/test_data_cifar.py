"""CIFAR-10: small pickles and small sheets, compared with torchvision, and damaged on purpose."""

import hashlib
import io
import lzma
import os
import pickle
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dlguide.data import DataError, cifar, find, load

EACH = 4  # pictures in each of the six files


def python2(data, labels):
    """A pickle as Python 2 wrote it: {"data": array, "labels": list}, with strings that are bytes."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(M"
        + len(data).to_bytes(2, "little") + b"M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + data.nbytes.to_bytes(4, "little") + data.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([y]) for y in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u."


@pytest.fixture
def pickles(tmp_path, monkeypatch):
    """A folder of six small files, and the module told to expect them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    expected = {}
    for name in cifar.PICKLES:
        raw = python2(rng.integers(0, 256, (EACH, 3072), dtype=np.uint8), rng.integers(0, 10, EACH).tolist())
        (folder / name).write_bytes(raw)
        expected[name] = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(cifar, "PICKLES", expected)
    monkeypatch.setattr(cifar, "TEST", EACH)
    return folder


def expect(monkeypatch, folder):
    """Tell the module that these damaged files are the published ones, so that the next check has to find it."""
    contents = {name: (folder / name).read_bytes() for name in cifar.PICKLES}
    found = {name: hashlib.md5(raw, usedforsecurity=False).hexdigest() for name, raw in contents.items()}
    monkeypatch.setattr(cifar, "PICKLES", found)


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_torchvision_reads_the_same(pickles, monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "train_list", [[n, m] for n, m in cifar.PICKLES.items() if n != "test_batch"])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", cifar.PICKLES["test_batch"]]])
    meta = pickle.dumps({"label_names": list(cifar.CLASSES)})
    (pickles / "batches.meta").write_bytes(meta)
    digest = hashlib.md5(meta, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": digest})
    parts = load("cifar10", folder=pickles.parent)
    for ours, train in ((parts.test.tensors, False), (cifar.read_cifar10(pickles.parent, False), True)):
        theirs = CIFAR10(pickles.parent, train=train)
        x, y = ours if isinstance(ours, tuple) else (ours.x[: 5 * EACH], ours.y[: 5 * EACH])
        pixels = (x * 255).round().byte() if x.dtype == torch.float32 else x
        assert torch.equal(pixels.permute(0, 2, 3, 1), torch.from_numpy(theirs.data))
        assert y.tolist() == theirs.targets
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (18, 2, 4)
    assert parts.train.tensors[0].shape == (18, 3, 32, 32)


def test_checksums_and_classes_are_torchvisions():
    from torchvision.datasets import CIFAR10

    assert dict(map(tuple, CIFAR10.train_list + CIFAR10.test_list)) == cifar.PICKLES


def test_a_pickle_by_python_3_opens_too():
    data = np.arange(3072, dtype=np.uint8).reshape(1, 3072)
    content = cifar.unpickle(pickle.dumps({b"data": data, b"labels": [3]}, protocol=4), "batch")
    assert content[b"data"].raw == data.tobytes()
    assert content[b"labels"] == [3]


def test_standardising_gives_each_channel_its_own_numbers(pickles):
    plain, standard = load("cifar10", folder=pickles), load("cifar10", folder=pickles, standardize=True)
    x, z = plain.train.tensors[0].double(), standard.train.tensors[0]
    torch.testing.assert_close(torch.tensor(standard.mean, dtype=torch.float64), x.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(standard.std, dtype=torch.float64), x.transpose(0, 1).flatten(1).std(1))
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.transpose(0, 1).flatten(1).std(1), torch.ones(3))
    rows = load("cifar10", folder=pickles, layout="rows").train.tensors[0]
    assert rows.shape == (18, 32, 96)
    assert torch.equal(rows[0, 5, 32:64], plain.train.tensors[0][0, 1, 5])  # row 5, the green channel


class Evil:
    """What a pickle may do when it is opened the usual way."""

    def __reduce__(self):
        return os.mkdir, ("evil",)


DAMAGES = {
    "missing": (None, FileNotFoundError, r"data_batch_3 .* is missing"),
    "truncated": (lambda raw: raw[:500], DataError, r"data_batch_3 .* is damaged or incomplete"),
    "one bit": (lambda raw: raw[:900] + bytes([raw[900] ^ 1]) + raw[901:], DataError, "its checksum is wrong"),
    "empty": (lambda raw: b"", DataError, r"data_batch_3 .*0 bytes.* is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pickles_get_one_sentence(pickles, damage):
    change, error, sentence = DAMAGES[damage]
    file = pickles / "data_batch_3"
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(error, match=sentence) as caught:
        load("cifar10", folder=pickles.parent)
    assert "download=True" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps(Evil()), "it wants to call posix.mkdir|it wants to call nt.mkdir"),
        (pickle.dumps({b"data": Evil(), b"labels": [1]}), "it wants to call"),
        (pickle.dumps([1, 2]), "should hold b'data' and b'labels'"),
        (pickle.dumps({b"data": b"raw", b"labels": [1]}), "should hold b'data' and b'labels'"),
        (pickle.dumps({"data": 1}), "should hold b'data' and b'labels'"),
        (b"\x80\x02}(U\x04da", "is no file of CIFAR-10"),
        (b"", "is no file of CIFAR-10"),
    ],
    ids=["a program", "a program inside", "a list", "no array", "text keys", "truncated", "empty"],
)
def test_a_pickle_runs_nothing(pickles, monkeypatch, tmp_path, content, sentence):
    monkeypatch.chdir(tmp_path)
    (pickles / "data_batch_1").write_bytes(content)
    expect(monkeypatch, pickles)
    with pytest.raises(DataError, match=sentence) as caught:
        load("cifar10", folder=pickles.parent)
    assert str(pickles / "data_batch_1") in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_download_is_torchvisions(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("torchvision.datasets.CIFAR10", lambda root, download: asked.append((root, download)))
    with pytest.raises(FileNotFoundError):
        load("cifar10", folder=tmp_path, download=True)
    assert asked == [(tmp_path, True)]


# ---- sheets


@pytest.fixture
def sheets(tmp_path, monkeypatch):
    """Three sheets of 2 x 3 pictures, the last sheet is the test part; and the pictures in order."""
    monkeypatch.setattr(cifar, "SHEETS", 3)
    monkeypatch.setattr(cifar, "ROWS", 2)
    monkeypatch.setattr(cifar, "COLUMNS", 3)
    monkeypatch.setattr(cifar, "TEST", 6)
    rng = np.random.default_rng(1)
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    x = rng.integers(0, 256, (18, 3, 32, 32), dtype=np.uint8)
    y = rng.integers(0, 10, 18)
    for sheet in range(3):
        page = Image.new("RGB", (96, 64))
        for tile in range(6):  # row by row
            picture = Image.fromarray(x[6 * sheet + tile].transpose(1, 2, 0))
            page.paste(picture, (32 * (tile % 3), 32 * (tile // 3)))
        page.save(folder / f"b{sheet:02d}.webp", lossless=True)
    lines = "".join(f"{label} picture_{i}.png\n" for i, label in enumerate(y))
    (folder / "labels_names.txt.xz").write_bytes(lzma.compress(lines.encode()))
    monkeypatch.setattr(cifar, "CHECKSUM", zlib.crc32(x.tobytes() + y.astype(np.uint8).tobytes()))
    return folder, torch.from_numpy(x), torch.from_numpy(y)


def test_sheets_hold_the_pictures_in_order(sheets):
    folder, x, y = sheets
    examples = cifar.read_cifar10(folder.parent, False)
    assert torch.equal(examples.x, x)
    assert torch.equal(examples.y, y)
    assert torch.equal(load("cifar10", folder=folder).test.tensors[0], x[12:].float() / 255)
    assert find("cifar10", folder.parent) == folder


def webp(width, height):
    kept = io.BytesIO()
    Image.new("RGB", (width, height)).save(kept, "webp", lossless=True)
    return kept.getvalue()


SHEET_DAMAGES = {
    "missing": ("b01.webp", None, FileNotFoundError, "b01.webp .* is missing"),
    "truncated": ("b01.webp", lambda raw: raw[:300], DataError, "b01.webp cannot be decoded"),
    "no picture": ("b01.webp", lambda raw: b"<html>", DataError, "b01.webp cannot be decoded"),
    "size": ("b01.webp", lambda raw: webp(64, 96), DataError, "should be 96 x 64 pixels, .* and is 64 x 96"),
    "other pictures": ("b01.webp", lambda raw: webp(96, 64), DataError, "are not those of CIFAR-10"),
    "labels truncated": ("labels_names.txt.xz", lambda raw: raw[:40], DataError, "cannot be unpacked"),
    "no labels": ("labels_names.txt.xz", lambda raw: lzma.compress(b"cat x\n"), DataError, "should hold lines"),
    "big label": ("labels_names.txt.xz", lambda raw: lzma.compress(b"300 x\n"), DataError, "should hold lines"),
    "few labels": ("labels_names.txt.xz", lambda raw: lzma.compress(b"1 x\n"), DataError, "not those of CIFAR-10"),
}


@pytest.mark.parametrize("damage", SHEET_DAMAGES)
def test_damaged_sheets_get_one_sentence(sheets, damage):
    folder = sheets[0]
    name, change, error, sentence = SHEET_DAMAGES[damage]
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(error, match=sentence) as caught:
        load("cifar10", folder=folder.parent)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
