"""The bodies of tests/gpu/test_distributed.py without a GPU: gloo takes the place of nccl."""

import pytest
import torch
import torch.distributed as dist

from tests.gpu import test_distributed as gpu


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def test_an_exchange_among_one_changes_nothing(tmp_path):
    results = gpu.collectives("cpu", tmp_path)
    assert len(results) == 4
    for given, expected in results.values():
        assert torch.equal(given, expected)


@pytest.mark.parametrize("kind", gpu.KINDS)
def test_a_world_of_one_trains_like_a_plain_model(kind, tmp_path):
    weights, measured = gpu.trained(kind, "cpu", tmp_path)
    plain, expected = gpu.trained("plain", "cpu", tmp_path)
    for a, b in zip(weights, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert measured == pytest.approx(expected, rel=1e-5)
    assert expected["accuracy"] > 0.5
    assert not dist.is_initialized()
