"""Proofs of practice/checkpoints: what it says of each part, and its exercises."""

import random

import numpy as np
import pytest
import torch

PAGE = "practice/checkpoints"


@pytest.mark.parametrize("stop", [1, 9, 10, 11, 25, 39])
def test_the_state_is_enough_wherever_the_run_stops(page, tmp_path, stop):
    names = page(PAGE)
    Run, path = names["Run"], tmp_path / "run.pt"
    expected = Run().train(40)
    run = Run()
    run.train(stop)
    torch.save(names["state"](run), path)
    other = Run(seed=5)
    names["restore"](other, torch.load(path))
    assert torch.equal(other.train(40), expected)


@pytest.mark.parametrize("left_out", ["model", "optimizer", "scheduler", "random", "order"])
def test_each_part_matters(page, tmp_path, left_out):
    names = page(PAGE)
    Run, path = names["Run"], tmp_path / "run.pt"
    expected = Run().train(40)
    run = Run()
    run.train(25)
    torch.save(names["state"](run), path)
    saved = torch.load(path)
    del saved[left_out]
    other = Run(seed=1)
    names["restore"](other, saved)
    assert (other.train(40) - expected).norm() > 1e-3


@pytest.mark.parametrize("size", [0, 1, 500, 1000])
def test_a_cut_write_leaves_the_old_file(page, tmp_path, size):
    names, path = page(PAGE), tmp_path / "kept.pt"
    names["save"]({"step": 100}, path)
    with pytest.raises(names["PowerCut"]):
        names["save"]({"step": 200, "weight": torch.ones(size)}, path, cut=True)
    assert torch.load(path) == {"step": 100}
    with pytest.raises(names["PowerCut"]):
        names["save_carelessly"]({"step": 200, "weight": torch.ones(1000)}, path)
    with pytest.raises((RuntimeError, OSError)):
        torch.load(path)


def test_a_changed_bit_is_not_noticed_by_torch_alone(tmp_path):
    from dlguide.train._files import read, write

    path, ones = tmp_path / "state.pt", torch.ones(1000)
    write(path, {"weight": ones})
    content = bytearray(path.read_bytes())
    content[content.index(ones.numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["weight"], ones)
    with pytest.raises(ValueError, match="have changed"):
        read(path)


def check_newest(function, folder):
    folder.mkdir()
    answers = [function(folder)]
    for step in (5, 20, 100):
        torch.save({"step": step}, folder / f"step-{step:09}.pt")
    answers.append(function(folder))
    (folder / "step-000000100.pt").write_bytes(b"")
    (folder / "step-000000200.pt").write_bytes((folder / "step-000000020.pt").read_bytes()[:50])
    (folder / "step-000000300.pt.part").write_bytes(b"x")
    answers.append(function(folder))
    (folder / "step-000000300.pt").write_bytes(b"half of a")
    answers.append(function(folder))
    twenty = ("step-000000020.pt", 20)
    return answers == [None, ("step-000000100.pt", 100), twenty, twenty]


def test_exercise_newest(page, tmp_path):
    assert check_newest(page(PAGE)["newest_readable"], tmp_path / "right")

    def only_the_newest(folder):
        path = max(folder.glob("step-*.pt"), default=None)
        try:
            return path and (path.name, torch.load(path)["step"])
        except Exception:
            return None

    def the_oldest(folder):
        for path in sorted(folder.glob("step-*.pt")):
            try:
                return path.name, torch.load(path)["step"]
            except Exception:
                continue
        return None

    assert not check_newest(only_the_newest, tmp_path / "newest")
    assert not check_newest(the_oldest, tmp_path / "oldest")


def check_random(get, put, folder):
    """Both generators go on from the file, also between two normal numbers, of which Python keeps one back."""
    path, results = folder / "random.pt", []
    random.seed(3)
    random.gauss(0, 1)
    torch.save(get(), path)
    for _ in range(2):
        results.append((random.gauss(0, 1), random.random(), torch.rand(2).tolist()))
        random.seed(9)
        torch.manual_seed(9)
        put(torch.load(path))
    return results[0] == results[1]


def test_exercise_random(page, tmp_path):
    names = page(PAGE)
    before = random.getstate(), np.random.get_state()
    assert check_random(names["full_random"], names["set_random"], tmp_path)
    assert not check_random(torch.get_rng_state, torch.set_rng_state, tmp_path)
    assert not check_random(lambda: {"seed": torch.initial_seed()}, lambda saved: random.seed(saved["seed"]), tmp_path)
    random.setstate(before[0])


def test_what_the_page_shows(page):
    names = page(PAGE)
    assert torch.equal(names["weights"](names["second"]), names["weights"](names["whole_run"]))
    assert names["result"].missing_keys == ["4.weight", "4.bias"]
