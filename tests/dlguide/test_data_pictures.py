"""The idx files of MNIST and Fashion-MNIST: made small, compared with torchvision, and damaged on purpose."""

import gzip
import hashlib
import zlib
from urllib.error import URLError

import numpy as np
import pytest
import torch

from dlguide.data import DataError, find, load, pictures

SIZES = {"train-images-idx3-ubyte": (20, 28, 28), "train-labels-idx1-ubyte": (20,)}
SIZES |= {"t10k-images-idx3-ubyte": (5, 28, 28), "t10k-labels-idx1-ubyte": (5,)}
NAME = "train-images-idx3-ubyte"


def idx(values):
    """The idx format: 0, 0, type 8 (bytes), number of dimensions, each size as four bytes, then the values."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()


def pack(raw):
    return gzip.compress(raw, mtime=0)


def make(name, root, monkeypatch):
    """A folder with files like those of a set, 20 + 5 pictures, and the module told to expect them."""
    known = pictures.IDX_SETS[name]
    rng = np.random.default_rng(0)
    folder = root / known.place / "raw"
    folder.mkdir(parents=True)
    files = {}
    for file, shape in SIZES.items():
        raw = idx(rng.integers(0, 10 if len(shape) == 1 else 256, shape, dtype=np.uint8))
        (folder / f"{file}.gz").write_bytes(pack(raw))
        md5 = hashlib.md5(pack(raw), usedforsecurity=False).hexdigest()
        crc = None if known.files[file].crc is None else zlib.crc32(raw)
        files[file] = pictures.IdxFile(known.files[file].what, shape, md5, crc)
    monkeypatch.setitem(pictures.IDX_SETS, name, known._replace(files=files))
    return folder


@pytest.fixture(params=["mnist", "fashion-mnist"])
def small(request, tmp_path, monkeypatch):
    """Name, root and folder of a small set."""
    return request.param, tmp_path, make(request.param, tmp_path, monkeypatch)


def unpack_all(folder):
    for file in list(folder.iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()


def tensors(name, root):
    parts = load(name, folder=root)
    return [t for part in (parts.train, parts.validation, parts.test) for t in part.tensors]


def test_packed_and_unpacked_files_read_the_same(small):
    name, root, folder = small
    packed = tensors(name, root)
    unpack_all(folder)
    assert [t.shape for t in packed] == [(18, 1, 28, 28), (18,), (2, 1, 28, 28), (2,), (5, 1, 28, 28), (5,)]
    for one, other in zip(packed, tensors(name, root), strict=True):
        assert torch.equal(one, other)


def test_loading_writes_nothing(small):
    name, root, _ = small
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    tensors(name, root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_torchvision_reads_the_same(small):
    import torchvision.datasets

    name, root, folder = small
    parts = load(name, folder=root)
    unpack_all(folder)
    theirs = getattr(torchvision.datasets, pictures.IDX_SETS[name].place)
    test = theirs(root, train=False, download=False)
    x, y = parts.test.tensors
    assert torch.equal((x * 255).round().byte().squeeze(1), test.data)
    assert torch.equal(y, test.targets)
    train = theirs(root, train=True, download=False)
    both = [torch.cat([a, b]) for a, b in zip(parts.train.tensors, parts.validation.tensors, strict=True)]
    ours = sorted(zip((both[0] * 255).round().byte().flatten(1).tolist(), both[1].tolist(), strict=True))
    assert ours == sorted(zip(train.data.flatten(1).tolist(), train.targets.tolist(), strict=True))
    assert parts.classes == tuple(theirs.classes) or name == "mnist"  # torchvision writes "0 - zero"


def test_checksums_are_torchvisions():
    import torchvision.datasets

    for known in pictures.IDX_SETS.values():
        theirs = dict(getattr(torchvision.datasets, known.place).resources)
        assert {f"{file}.gz": about.md5 for file, about in known.files.items()} == theirs


@pytest.mark.parametrize("place", ["raw", "own", "short", "plain"])
def test_files_are_found_in_several_places(small, place):
    name, root, folder = small
    known = pictures.IDX_SETS[name]
    new = {"raw": folder, "own": root / known.folder, "short": root / known.place, "plain": root}[place]
    new.mkdir(exist_ok=True)
    for file in list(folder.iterdir()):
        file.rename(new / file.name)
    assert find(name, root) == new
    assert len(load(name, folder=root).test) == 5


DAMAGES = {
    "missing": (None, FileNotFoundError, "is missing"),
    "truncated": (lambda packed: packed[:200], DataError, "cannot be unpacked"),
    "a web page": (lambda packed: b"<html>not found</html>", DataError, "cannot be unpacked"),
    "one bit": (
        lambda packed: packed[:100] + bytes([packed[100] ^ 1]) + packed[101:],
        DataError,
        "cannot be unpacked|damaged",
    ),
    "short": (lambda packed: pack(gzip.decompress(packed)[:-5]), DataError, "should hold"),
    "shape": (lambda packed: pack(idx(np.zeros((20, 27, 28), np.uint8))), DataError, "should hold"),
    "turned": (lambda packed: pack(idx(np.zeros((28, 20, 28), np.uint8))), DataError, "should hold"),
    "empty": (lambda packed: pack(b""), DataError, "begin with nothing"),
    "other bytes": (lambda packed: pack(idx(np.zeros((20, 28, 28), np.uint8))), DataError, "checksum is wrong"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_get_one_sentence_with_name_and_remedy(small, damage):
    name, root, folder = small
    change, error, sentence = DAMAGES[damage]
    file = folder / f"{NAME}.gz"
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(error, match=sentence) as caught:
        load(name, folder=root)
    message = str(caught.value)
    assert str(file) in message
    assert f"load('{name}', download=True)" in message
    assert "DLGUIDE_DATA" in message
    assert "\n" not in message


def test_unpacked_labels_of_fashion_stay_in_their_range(tmp_path, monkeypatch):
    """No checksum of its unpacked files is published; a label above 9 is told from a genuine one all the same."""
    folder = make("fashion-mnist", tmp_path, monkeypatch)
    unpack_all(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([0, 1, 2, 10, 4], np.uint8)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte .* is damaged"):
        load("fashion-mnist", folder=tmp_path)


def test_a_file_that_cannot_be_read_is_named(small):
    name, root, folder = small
    (folder / f"{NAME}.gz").unlink()
    (folder / f"{NAME}.gz").symlink_to(folder / "labels.gz")
    (folder / "labels.gz").symlink_to(folder / f"{NAME}.gz")  # a circle
    with pytest.raises(FileNotFoundError, match="is missing"):
        load(name, folder=root)


def test_download_is_torchvisions(monkeypatch, tmp_path):
    for name, known in pictures.IDX_SETS.items():
        asked: list[tuple[object, bool]] = []
        monkeypatch.setattr(
            f"torchvision.datasets.{known.place}", lambda root, download, asked=asked: asked.append((root, download))
        )
        with pytest.raises(FileNotFoundError):
            load(name, folder=tmp_path, download=True)
        assert asked == [(tmp_path, True)]


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("cifar10", "CIFAR10")])
@pytest.mark.parametrize("error", [
    RuntimeError("Error downloading a.gz:\nTried x, got:\nno host"), URLError("no route to host"),
])  # fmt: skip
def test_a_failed_download_is_one_sentence(monkeypatch, tmp_path, name, kind, error):
    def fails(root, download):
        raise error

    monkeypatch.setattr(f"torchvision.datasets.{kind}", fails)
    with pytest.raises(ConnectionError, match=f"torchvision cannot fetch {kind} into .*: .*no ") as caught:
        load(name, folder=tmp_path, download=True)
    assert "\n" not in str(caught.value)


def test_rows_and_standardising_of_a_set_with_its_own_test_part(small):
    name, root, _ = small
    plain, rows = load(name, folder=root), load(name, folder=root, layout="rows", standardize=True)
    pixels = plain.train.tensors[0].double()
    assert rows.mean == pytest.approx(pixels.mean().item(), rel=1e-12)
    assert rows.std == pytest.approx(pixels.std().item(), rel=1e-12)
    for part in ("train", "validation", "test"):
        x, z = getattr(plain, part).tensors[0], getattr(rows, part).tensors[0]
        torch.testing.assert_close(z, (x.squeeze(1) - rows.mean) / rows.std)
