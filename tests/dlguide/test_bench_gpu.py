"""The GPU benchmark of CIFAR-10: its parts on a CPU, on pictures that a network can tell apart."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlguide.models import SpeedyNet
from tests.pages.paths import ROOT

SPEC = importlib.util.spec_from_file_location("gpu_cifar", ROOT / "tests/bench/gpu_cifar.py")
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)


def pictures(n, seed):
    """Four classes: which quarter of the picture is bright."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (n,), generator=generator)
    x = torch.randn(n, 3, 12, 12, generator=generator) * 0.5
    for i, label in enumerate(y):
        x[i, :, 6 * (label // 2) : 6 * (label // 2) + 6] += 1.0
    return x.contiguous(memory_format=torch.channels_last), y // 2


def test_the_recipe_learns(monkeypatch):
    parts = (*pictures(256, 0), *pictures(128, 1))
    monkeypatch.setattr(bench, "SpeedyNet", lambda widths: SpeedyNet((3, 12, 12), 10, widths))
    found = bench.run(0, parts, widths=(8, 16, 16), epochs=4, batch=32)
    assert found["accuracy"] > 0.9
    assert found["seconds"] > 0


def test_an_epoch_holds_every_picture_shifted_by_up_to_two():
    x = torch.arange(6 * 3 * 8 * 8.0).view(6, 3, 8, 8)
    batches = bench.Pictures(x, torch.arange(6), 2)
    for epoch in range(2):
        seen = list(batches)
        assert sorted(torch.cat([y for _, y in seen]).tolist()) == list(range(6))
        for inputs, labels in seen:
            for picture, label in zip(inputs, labels, strict=True):
                padded = F.pad(x[int(label)], [2] * 4, "reflect")
                windows = [padded[:, i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
                assert any(torch.equal(picture, w) or torch.equal(picture, w.flip(-1)) for w in windows), epoch
    assert len(batches) == 3


def test_views_are_weighted_by_their_shares():
    class Corner(nn.Module):
        def forward(self, x):
            return x[:, 0, :1, 0]

    x = torch.arange(16.0).view(1, 1, 4, 4)
    # as it is 0 and 3; shifted down-right, the corner is the mirror of (1, 1): 5 and 6; up-left, (1, 1) itself: 5 and 6
    expected = (0 + 3) / 4 + (5 + 6 + 5 + 6) / 8
    assert bench.views(Corner(), x).item() == pytest.approx(expected)


def test_without_a_gpu_nothing_is_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench, "RESULT", tmp_path / "r.json")
    monkeypatch.setattr(bench.sys, "argv", ["gpu_cifar.py"])
    assert bench.main() == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
