"""Picture folders against torchvision's ImageFolder, and with files that are no pictures."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dlguide.data import DataError, load
from dlguide.data.images import read_image_folder

RNG = np.random.default_rng(0)


def save(path, mode="RGB", width=6, height=5):
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "RGBA": (4,), "L": (), "LA": (2,)}[mode]
    Image.fromarray(RNG.integers(0, 256, (height, width, *channels), dtype=np.uint8)).save(path)
    return path


def fill(folder, n=4, **options):
    for name in ("cat", "dog"):
        for i in range(n):
            save(folder / name / f"{i}.png", **options)
    return folder


def test_image_folder_reads_the_same(tmp_path):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.v2.functional import pil_to_tensor

    fill(tmp_path)
    save(tmp_path / "cat" / "grey.png", "L")
    save(tmp_path / "dog" / "clear.png", "RGBA")
    save(tmp_path / "dog" / "deep" / "er.JPG")
    Image.open(tmp_path / "dog" / "0.png").convert("P").save(tmp_path / "dog" / "palette.gif")
    (tmp_path / "dog" / "notes.csv").write_text("no picture")
    theirs = ImageFolder(tmp_path, is_valid_file=lambda path: not path.endswith(".csv"))
    ours = read_image_folder(tmp_path, None)
    assert ours.classes == tuple(theirs.classes)
    expected = sorted((pil_to_tensor(picture).tolist(), y) for picture, y in theirs)
    assert sorted(zip(ours.x.tolist(), ours.y.tolist(), strict=True)) == expected
    assert load(tmp_path, validation=0.2).train.tensors[0].shape == (7, 3, 5, 6)


def test_grey_pictures_have_one_channel(tmp_path):
    fill(tmp_path, mode="L")
    save(tmp_path / "cat" / "clear.png", "LA")
    x: Any = read_image_folder(tmp_path, None).x
    assert x.shape == (9, 1, 5, 6)
    assert torch.equal(x[0, 0], torch.from_numpy(np.array(Image.open(tmp_path / "cat" / "0.png"))))


def test_a_folder_with_parts_brings_its_own(tmp_path):
    for part, n in (("train", 5), ("val", 2), ("test", 3)):
        fill(tmp_path / part, n)
    parts = load(tmp_path)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (10, 4, 6)
    expected = read_image_folder(tmp_path / "test", None).x.float() / 255
    assert torch.equal(parts.test.tensors[0], expected)
    assert parts.test.tensors[1].tolist() == [0, 0, 0, 1, 1, 1]


def test_beside_other_classes_a_folder_called_train_is_a_class(tmp_path):
    fill(tmp_path)
    save(tmp_path / "train" / "engine.png")
    (tmp_path / ".cache").mkdir()
    assert read_image_folder(tmp_path, None).classes == ("cat", "dog", "train")


def test_a_stray_folder_beside_the_parts_is_refused(tmp_path):
    for part in ("train", "test"):
        fill(tmp_path / part)
    save(tmp_path / ".thumbnails" / "0.png")
    assert load(tmp_path).classes == ("cat", "dog")
    save(tmp_path / "samples" / "0.png")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} should hold the parts train and test, and holds the folder 'samples' beside them: move it away"
    )


def test_parts_may_have_capital_letters_and_each_comes_once(tmp_path):
    for part, n in (("Train", 5), ("TEST", 3)):
        fill(tmp_path / part, n)
    parts = load(tmp_path, validation=0.2)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (8, 2, 6)
    fill(tmp_path / "training", 2)
    with pytest.raises(DataError, match="holds 'Train' and 'training', and both say train part: move one away"):
        load(tmp_path)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    fill(tmp_path)
    save(tmp_path / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(tmp_path / "cat" / ".0.png")
    assert len(read_image_folder(tmp_path, None).x) == 8


def test_without_a_training_part_there_are_no_parts(tmp_path):
    for name in ("test", "val"):
        save(tmp_path / name / "0.png")
    assert read_image_folder(tmp_path, None).classes == ("test", "val")


def test_a_channel_that_never_changes_stays_finite(tmp_path):
    for i in range(10):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (i, 2 * i, 9)).save(tmp_path / f"{i % 2}" / f"{i}.png")
    parts = load(tmp_path, standardize=True)
    assert isinstance(parts.std, tuple)
    assert parts.std[2] == 1
    assert not parts.train.tensors[0][:, 2].any()
    assert parts.test.tensors[0].isfinite().all()


def test_mean_and_deviation_count_the_channels_even_if_nothing_is_standardized(tmp_path):
    fill(tmp_path / "colour")
    fill(tmp_path / "grey", mode="L")
    for name, mean, std in (("colour", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ("grey", 0.0, 1.0)):
        parts = load(tmp_path / name, layout="rows", validation=0.2)
        assert (parts.mean, parts.std) == (mean, std)


def test_without_a_test_folder_the_test_part_is_cut(tmp_path):
    for part, n in (("train", 10), ("val", 2)):
        fill(tmp_path / part, n)
    parts = load(tmp_path, test=0.2)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (16, 4, 4)


def test_size_scales_and_crops_as_torchvision_does(tmp_path):
    """A ramp, so that where the window lies shows: Resize of the shorter side, then CenterCrop."""
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize
    from torchvision.transforms.v2.functional import pil_to_tensor

    ramp = np.add.outer(3 * np.arange(40), 2 * np.arange(60)).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(ramp).save(tmp_path / name / "ramp.png")
        Image.fromarray(ramp.T.copy()).save(tmp_path / name / "turned.png")
    with pytest.raises(DataError, match=r"turned.png is 40 x 60 pixels and .*ramp.png is 60 x 40: .*size=64"):
        load(tmp_path)
    ours: Any = read_image_folder(tmp_path, 20).x
    theirs = Compose([Resize(20), CenterCrop(20)])(Image.fromarray(ramp))
    assert ours.shape == (4, 1, 20, 20)
    assert (ours[0].int() - pil_to_tensor(theirs).int()).abs().max() <= 2  # the window may lie half a pixel aside
    assert read_image_folder(tmp_path, (10, 20)).x.shape == (4, 1, 10, 20)


def test_pictures_that_cannot_fit_into_memory_are_refused_before_they_are_made(tmp_path, monkeypatch):
    fill(tmp_path)
    with pytest.raises(DataError, match=r"^8 pictures of 1,000,000 x 1,000,000 need at least 40,000 GB"):
        load(tmp_path, size=1_000_000)
    assert load(tmp_path).train.tensors[0].shape[1:] == (3, 5, 6)
    needed = 5 * 8 * 3 * 5 * 6
    monkeypatch.setattr("dlguide.data.images.memory", lambda: needed)
    load(tmp_path)
    monkeypatch.setattr("dlguide.data.images.memory", lambda: needed - 1)
    with pytest.raises(DataError, match="take fewer pictures"):
        load(tmp_path)


def test_a_note_of_the_camera_turns_the_picture(tmp_path):
    fill(tmp_path, 1, width=5, height=5)
    upright = Image.fromarray(np.tile(np.array([0, 60, 120, 180, 240], np.uint8), (5, 1)))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees to the right
    upright.save(tmp_path / "cat" / "0.png", exif=exif)
    x: Any = read_image_folder(tmp_path, None).x
    x = x[0, 0]
    assert x[:, 0].tolist() == [0, 60, 120, 180, 240]


BROKEN = {
    "truncated png": ("cat/0.png", lambda raw: raw[: len(raw) // 2]),
    "truncated header": ("cat/0.png", lambda raw: raw[:20]),
    "a web page": ("cat/0.png", lambda raw: b"<html>not found</html>"),
    "empty": ("cat/0.png", lambda raw: b""),
    "one bit": ("cat/0.png", lambda raw: raw[:45] + bytes([raw[45] ^ 4]) + raw[46:]),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_picture_is_named(tmp_path, damage):
    fill(tmp_path)
    name, change = BROKEN[damage]
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(DataError, match=r"0.png cannot be decoded as a picture, .*; take it out") as caught:
        load(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_named(tmp_path):
    fill(tmp_path)
    file = save(tmp_path / "dog" / "9.jpg", width=64, height=64)
    file.write_bytes(file.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"9.jpg cannot be decoded"):
        load(tmp_path)


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    fill(tmp_path)
    Image.fromarray(np.full((5, 6), 40_000, np.uint16)).save(tmp_path / "cat" / "deep.png")
    with pytest.raises(DataError, match=r"deep.png has pixels of kind 'I;16'"):
        load(tmp_path)


def test_an_empty_class_or_a_single_one_is_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "eel").mkdir()
    with pytest.raises(DataError, match=r"eel should hold pictures .*, and holds none"):
        load(tmp_path)
    save(tmp_path / "alone" / "cat" / "0.png")
    with pytest.raises(DataError, match="alone should hold a folder for each of at least two classes, and holds 1"):
        load(tmp_path / "alone")


def test_a_class_that_only_the_test_part_has_is_named(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test")
    save(tmp_path / "test" / "eel" / "0.png")
    with pytest.raises(DataError, match="test holds the class 'eel', which the training part does not have"):
        load(tmp_path)
