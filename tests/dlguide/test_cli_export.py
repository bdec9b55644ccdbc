"""Exported files give the logits of the model, for any number of examples."""

import builtins

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dlguide.cli import export
from dlguide.cli.folder import load_model
from dlguide.data import load
from tests.dlguide.cli_runs import call, facts, sentence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a convolutional network."""
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    small = ("--option", "channels=[4,8]", "--option", "hidden=16")
    call("train", "cnn", "--epochs", 1, *small, "--out", folder, "--quiet")
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A finished run on texts."""
    folder = tmp_path_factory.mktemp("runs") / "bag"
    call("train", "bag", "--data", "reviews", "--epochs", 1, "--out", folder, "--quiet", "--option", "buckets=512")
    return folder


def test_onnx_takes_raw_pixels(run):
    found = facts("export", run)
    assert found["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(found["file"], providers=["CPUExecutionProvider"])
    raw = load("digits").test.tensors[0][:37]  # in [0, 1]
    standardized = load("digits", standardize=True).test.tensors[0][:37]
    logits = session.run(["logits"], {"x": raw.numpy()})[0]
    with torch.no_grad():
        expected = load_model(run).model(standardized)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
    properties = {entry.key: entry.value for entry in onnx.load(found["file"]).metadata_props}
    assert properties["classes"].split("\n") == [str(digit) for digit in range(10)]


def test_pt2(run, tmp_path):
    text = call("export", run, "-o", tmp_path / "cnn.pt2").stdout
    assert "largest difference of logits 0.0e+00 on batches of 1, 2, 5, 17" in text
    program = torch.export.load(tmp_path / "cnn.pt2").module()
    raw, standardized = (load("digits", standardize=s).test.tensors[0][:9] for s in (False, True))
    with torch.no_grad():
        torch.testing.assert_close(program(raw), load_model(run).model(standardized), atol=1e-5, rtol=1e-5)


def test_texts(bag, capfd):
    """Ids and lengths go in, and the exporter's own words do not come out."""
    for name in ("bag.pt2", "bag.onnx"):
        assert facts("export", bag, "-o", bag / name)["largest_difference"] < 1e-5
    assert capfd.readouterr() == ("", "")


def test_file_that_differs_is_not_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_pt2", lambda model, trained, path: path.write_bytes(b"x") and 0.5)
    said = sentence("export", run, "-o", tmp_path / "a.pt2", code=1)
    assert said == "the file's logits differ from PyTorch's by 5.0e-01, more than 1.0e-04: nothing was written"
    monkeypatch.setattr(export, "_pt2", lambda *_: float("nan"))
    assert "differ" in sentence("export", run, "-o", tmp_path / "a.pt2", code=1)
    assert list(tmp_path.iterdir()) == []


def test_wrong_ending_and_missing_package(run, tmp_path, monkeypatch):
    assert "did you mean 'onnx'?" in sentence("export", run, "-o", tmp_path / "x.onx", code=2)
    own = builtins.__import__

    def without(name, *rest):
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'", name=name)
        return own(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert sentence("export", run, code=1) == "onnxruntime is not installed: python -m pip install 'dlguide[export]'"


@pytest.mark.parametrize("layout", ["pictures", "rows"])
def test_standardization_of_colours(layout):
    from dlguide.cli.folder import Trained
    from dlguide.config import Config

    raw = torch.rand(2, 3, 4, 5)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = (raw - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    if layout == "rows":
        raw, expected = (x.transpose(1, 2).flatten(2) for x in (raw, expected))
    trained = Trained(torch.nn.Identity(), Config(), (), mean, std, None, tuple(raw.shape[1:]), 3, layout)
    torch.testing.assert_close(export._with_standardization(trained)(raw), expected)
