"""What is looked at before a run begins, and what its folder and its model are when it has ended."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from dlguide.cli.folder import load_model
from dlguide.cli.trial import check_last_batch, check_parts, smallest_share
from dlguide.config import ConfigError
from dlguide.data import BatchOrder, Splits
from dlguide.models import CNN
from tests.dlguide.cli_runs import assert_same_run, call, facts, sentence
from tests.dlguide.test_data_images import fill

SMALL = ("train", "mlp", "--data", "digits", "--epochs", 2, "--lr", 0.01, "--batch-size", 128, "--quiet")


@pytest.mark.parametrize(("words", "said"), [
    (("rnn", "--augment", "flip"), "augment: expected none, got 'flip': it changes pictures, and rnn reads rows"),
    (("bag", "--data", "reviews", "--augment", "flip"),
     "augment: expected none, got 'flip': it changes pictures, and bag reads texts"),
    (("cnn", "--augment", "shift=8"), "augment: expected pictures larger than 8 pixels, got 8 x 8"),
    (("cnn", "--augment", "cutout=0"), "augment: expected a size of at least 1, got 0"),
    (("resnet", "--batch-size", 8),
     "batch_size: expected a number such as 9, got 8: of 1,257 examples it leaves one for the last batch, and BatchNorm"
     " finds no variance in a single one"),
    (("vgg", "--batch-size", 1, "--option", "width=2"),
     "batch_size: expected a number such as 3, got 1: of 1,257 examples it leaves one for the last batch, and BatchNorm"
     " finds no variance in a single one"),
    (("mlp", "--option", "hidden=64"), "mlp: expected a list as hidden, such as [128], got 64"),
    (("mlp", "--option", "num_classes=20"),
     "options: expected num_classes of 10, as the data have, got 20: leave it out"),
    (("cnn", "--option", "hidden=-5"), "expected a whole number of at least 1 as hidden, got -5"),
])  # fmt: skip
def test_what_cannot_be_trained_leaves_no_folder(tmp_path, words, said):
    """The corrected command would be refused in it, as another run."""
    run = tmp_path / "run"
    assert sentence("train", *words, "--quiet", "--out", run, code=2) == said
    assert not run.exists()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_each_process_needs_an_example_of_each_part(part):
    three, one = (TensorDataset(torch.zeros(n, 2), torch.zeros(n).long()) for n in (3, 1))
    splits = Splits(**{"train": three, "validation": three, "test": three, "classes": ("a", "b"), part: one})
    check_parts(splits, 1)
    with pytest.raises(ConfigError, match=f"{part}: expected a part of at least 2 examples, .* got 1"):
        check_parts(splits, 2)


# ---- a last batch of one example


def test_a_last_batch_of_one_is_refused_only_where_it_fails(tmp_path):
    """1,257 examples: batches of 8 leave one. MLP has no BatchNorm, and pictures of 2 x 2 have a variance."""
    for words in (("mlp",), ("resnet", "--option", "depth=8")):
        call("train", *words, "--batch-size", 8, "--steps", 1, "--quiet", "--out", tmp_path / words[0])


@pytest.mark.parametrize(("n", "size", "world_size", "share"), [
    (1257, 8, 1, 1), (1257, 9, 1, 6), (1257, 9, 2, 3), (1257, 11, 2, 1), (9, 8, 2, 4), (10, 8, 2, 1), (3, 64, 2, 1),
    (5, 1, 1, 1), (64, 8, 1, 8),
])  # fmt: skip
def test_smallest_share(n, size, world_size, share):
    orders = [BatchOrder(n, size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert smallest_share(n, size, world_size) == share == min(len(rows) for order in orders for rows in order)


def test_the_trial_changes_nothing():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Unflatten(1, (2, 2)), nn.BatchNorm1d(2)).eval()
    data = TensorDataset(torch.rand(9, 3), torch.zeros(9))
    kept, random = {name: t.clone() for name, t in net.state_dict().items()}, torch.get_rng_state()
    check_last_batch(net, data, 4, 1)  # two values for each channel
    assert all(torch.equal(t, kept[name]) for name, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not net.training


def test_the_proposed_size_fits():
    net, data = nn.BatchNorm1d(3), TensorDataset(torch.rand(21, 3), torch.zeros(21))
    for world_size, size, proposed in ((1, 4, 6), (1, 5, 6), (1, 20, 21), (2, 6, 7), (2, 2, 4)):
        with pytest.raises(ConfigError, match=f"batch_size: expected a number such as {proposed}, got {size}: "):
            check_last_batch(net, data, size, world_size)
        check_last_batch(net, data, proposed, world_size)
    with pytest.raises(ConfigError, match="more than one of the 3 examples for each of 2 processes"):
        check_last_batch(net, TensorDataset(torch.rand(3, 3), torch.zeros(3)), 8, 2)


# ---- the pictures and their channels


def test_colour_pictures_as_rows_without_standardizing(tmp_path):
    """A file is read with the channels that the model was trained on."""
    fill(tmp_path / "data", 12)
    words = ("rnn", "--data", tmp_path / "data", "--layout", "rows", "--no-standardize", "--option", "hidden_size=4")
    call("train", *words, "--steps", 1, "--quiet", "--out", tmp_path / "run")
    trained = load_model(tmp_path / "run")
    assert (trained.channels, trained.shape) == (3, (5, 18))
    file = tmp_path / "data" / "cat" / "0.png"
    pixels = torch.from_numpy(np.array(Image.open(file))).float() / 255  # [5, 6, 3]
    with torch.no_grad():
        expected = trained.model(pixels.permute(0, 2, 1).reshape(1, 5, 18)).softmax(1)[0]
    found = facts("predict", tmp_path / "run", file, "--top", 2)[0]["classes"]
    assert [found[name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-6)
    assert facts("export", tmp_path / "run", "-o", tmp_path / "rows.pt2")["largest_difference"] < 1e-5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("more", [("--augment", "flip,shift=1,cutout=2"), ("--loader", "workers", "--workers", 1),
                                  ("--loader", "workers", "--workers", 0)])  # fmt: skip
def test_channels_last_reaches_the_model(tmp_path, monkeypatch, more):
    """In each batch of each part, whatever augmentation or workers have made of it."""
    fill(tmp_path / "data", 12)
    own, seen = CNN.forward, []

    def noting(self, x):
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return own(self, x)

    monkeypatch.setattr(CNN, "forward", noting)
    words = ("train", "cnn", "--data", tmp_path / "data", "--epochs", 1, "--batch-size", 4, "--quiet")
    call(*words, "--channels-last", *more, "--out", tmp_path / "last")
    assert len(seen) == 5 + 1 + 1 + 1  # 17 training pictures, and one of them was tried
    assert all(seen)
    del seen[:]
    call(*words, *more, "--out", tmp_path / "first")
    assert not any(seen)


# ---- the folder


def test_fresh_deletes_all_or_says_what_it_cannot(tmp_path):
    """With the checkpoints left, "begin anew" would go on with the old run."""
    run = tmp_path / "run"
    call(*SMALL, "--epochs", 1, "--out", run)
    shutil.move(run / "checkpoints", tmp_path / "elsewhere")
    (run / "checkpoints").symlink_to(tmp_path / "elsewhere")
    said = sentence(*SMALL, "--seed", 1, "--out", run, "--fresh", code=1)
    assert said.startswith(f"{run / 'checkpoints'} cannot be deleted, ")
    (run / "checkpoints").unlink()
    call(*SMALL, "--seed", 1, "--out", run, "--fresh")  # nothing there is fine


def test_fresh_deletes_nothing_for_a_command_that_is_refused(tmp_path):
    run = tmp_path / "run"
    call(*SMALL, "--out", run)
    before = sorted(path.name for path in run.rglob("*"))
    sentence(*SMALL, "--option", "hiden=[3]", "--out", run, "--fresh", code=2)
    assert sorted(path.name for path in run.rglob("*")) == before
    assert "is finished" in call(*SMALL, "--out", run).stdout


def test_home_is_found_in_a_configuration_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("text,label\n" + "good,1\nbad,0\n" * 20, "utf-8")
    (tmp_path / "mine.toml").write_text('model = "bag"\ndata = "~/mine.csv"\nout = "~/runs/x"\nepochs = 1\n', "utf-8")
    done = call("train", "--config", "mine.toml", "--quiet")
    assert done.stdout.endswith(f"{tmp_path / 'runs' / 'x'}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "mine.toml", "runs"]
    said = sentence("train", "pretrained", "--option", "weights=~/w.pt", "--out", "~/y", code=1)
    assert said.startswith(f"{tmp_path / 'w.pt'} is missing")


def test_a_run_whose_model_is_gone_is_finished_again(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    call(*SMALL, "--ema", 0.9, "--out", whole)
    shutil.copytree(whole, run)
    (run / "model.pt").unlink()
    assert "the same `dlguide train` finishes the run" in sentence("evaluate", run, code=1)
    assert "is finished" not in call(*SMALL, "--ema", 0.9, "--out", run).stdout
    assert_same_run(whole, run)


def test_a_file_of_a_run_reaches_the_disk(tmp_path, monkeypatch):
    flushed, own = [], os.fsync

    def noting(number):
        flushed.append(os.fstat(number).st_ino)
        own(number)

    monkeypatch.setattr(os, "fsync", noting)
    call(*SMALL, "--out", tmp_path / "run")
    for name in ("config.toml", "result.json", "model.pt"):
        assert (tmp_path / "run" / name).stat().st_ino in flushed, name
    assert json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))["epochs"] == 2
