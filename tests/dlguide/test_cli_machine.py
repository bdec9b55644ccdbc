"""What the command line says of the machine: doctor and bench."""

import subprocess
import sys

import pytest
import torch

from dlguide.cli import bench, doctor
from tests.dlguide.cli_runs import ENVIRONMENT, call, facts

BROKEN = """
raise RuntimeError("operator torchvision::nms does not exist")
"""


def test_doctor_finds_a_torchvision_that_does_not_fit(tmp_path):
    """A torchvision that fails as one that was built for another PyTorch, in processes of their own."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(BROKEN, "utf-8")
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"}
    done = subprocess.run([sys.executable, "-m", "dlguide", "doctor"], capture_output=True, text=True, check=False,
                          env=environment)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr == "dlguide: 1 problem found\n"
    assert "RuntimeError: operator torchvision::nms does not exist" in done.stdout
    assert "built for another PyTorch" in done.stdout
    assert "python -m pip install --upgrade torch torchvision" in done.stdout


def test_doctor_when_everything_fits(monkeypatch):
    probe = '{"cuda": ["a card"], "cuda_build": "13.2", "mps": false, "threads": 3, "data": "/no/such/folder"}\n'
    monkeypatch.setattr(doctor, "_try", lambda code: (0, probe, ""))
    found = facts("doctor")
    assert found["problems"] == []
    assert found["packages"]["torch"]
    assert found["data"] == {"folder": "/no/such/folder", "exists": False}
    text = call("doctor").stdout
    assert "cuda:0 (a card)" in text
    assert "everything fits together" in text


def test_doctor_names_what_is_missing(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    probe = f'{{"cuda": [], "mps": false, "threads": 3, "data": "{tmp_path / "file"}"}}\n'
    bad, good = (1, "", "OSError: libtorch.so"), (0, probe, "")
    monkeypatch.setattr(doctor, "_try", lambda code: bad if "torchvision" in code else good)
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "tqdm" else version(name))
    done = call("doctor", "--json", code=1)
    assert "tqdm is not installed: python -m pip install tqdm" in done.stdout
    assert "OSError: libtorch.so" in done.stdout
    assert "which is a file: set it to a folder" in done.stdout
    monkeypatch.setattr(doctor, "_try", lambda code: (-11, "", "exit code -11"))
    done = call("doctor", code=1)
    assert "torch cannot be imported (exit code -11)" in done.stdout
    assert done.stderr == "dlguide: 3 problems found\n"


def test_probes_run():
    """The probe of torchvision is what the page start/install shows; that of torch gives what doctor reads."""
    exec(doctor._TRY_TORCHVISION, {})
    end, out, _ = doctor._try("print('out')\nraise SystemExit(3)")
    assert (end, out) == (3, "out\n")


def test_bench(monkeypatch):
    found = facts("bench", "linear", "--runs", 2, "--batch-size", 128, "--device", "cpu")
    assert set(found["examples_per_second"]) == {"DataLoader", "tensors", "training"}
    for numbers in (*found["examples_per_second"].values(), found["step_milliseconds"]):
        assert 0 < numbers["lowest"] <= numbers["median"] <= numbers["highest"]
    assert found["threads"] == torch.get_num_threads()
    assert "examples/s" in call("bench", "linear", "--runs", 1).stdout


def test_median_of_runs():
    assert bench._summary([3.0, 1.0, 2.0]) == pytest.approx({"median": 2.0, "lowest": 1.0, "highest": 3.0})
    times = bench._times(lambda: sum(range(1000)), 3, lambda: None)
    assert len(times) == 3
    assert all(t > 0 for t in times)


def test_a_run_of_a_gpu_ends_when_it_has_finished(monkeypatch):
    """A GPU works behind the program: the clock is read when both are done."""
    told: list[object] = []

    def clock():
        told.append("clock")
        return 0.0

    monkeypatch.setattr(bench.time, "perf_counter", clock)
    bench._times(lambda: told.append("work"), 2, lambda: told.append("wait"))
    assert told == ["clock", "work", "wait", "clock"] * 2
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: told.append(device))
    bench._wait(torch.device("cuda", 1))
    assert told[-1] == torch.device("cuda", 1)
    bench._wait(torch.device("cpu"))
    assert len(told) == 9
