"""What tests/gpu/record.py writes, and that the GPU tests need few packages."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.gpu import record
from tests.pages.paths import ROOT

MACHINE = {"device": "a card", "torch": "2.0"}
TESTS = '''
import pytest

@pytest.mark.parametrize("name", ["a", "b"])
def test_reaches(name, record_property):
    record_property("accuracy", 0.98765)
def test_other():
    {body}
'''
SEEN_BY_GPU = '''
import sys
from tests.gpu import record
record.torch.cuda.is_available = lambda: True
record.describe = lambda: {machine}
sys.exit(record.main(record.Path({folder!r}), record.Path({path!r})))
'''
# What a GPU machine may not have; the code that the GPU tests use must do without.
ABSENT = '''
import sys
class Absent:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"no module {{name}}", name=name)
sys.meta_path.insert(0, Absent())
import pytest
sys.exit(pytest.main(["-q", "-c", "tests/gpu/pytest.ini", "--collect-only", "tests/gpu"]))
'''


def run(code):
    """In a process of its own, without the plugins that happen to be installed here."""
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)


def test_refuses_without_a_gpu(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert record.main(path=tmp_path / "gpu.json") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("body", "code"), [("pass", 0), ('pytest.skip("no")', 1)])
def test_writes_what_passed_and_nothing_else(tmp_path, body, code):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_some.py").write_text(TESTS.format(body=body))
    path = tmp_path / "gpu.json"
    done = run(SEEN_BY_GPU.format(machine=MACHINE, folder=str(tmp_path / "tests"), path=str(path)))
    assert done.returncode == code, done.stdout + done.stderr
    assert path.exists() == (code == 0)
    if code:
        assert "1 tests did not pass" in done.stderr
        return
    result = json.loads(path.read_text())
    assert result["passed"] == 3
    assert [(row["file"], row["passed"]) for row in result["rows"]] == [("test_some.py", 3)]
    assert result["accuracies"] == {"test_reaches[a]": 0.9877, "test_reaches[b]": 0.9877}
    assert result | MACHINE == result
    assert {"claim", "date", "seed", "runs", "seconds"} <= set(result)


def test_gpu_tests_need_few_packages():
    absent = {"tqdm", "click", "torchmetrics", "matplotlib", "hypothesis", "expecttest", "tensorboard", "onnx", "bs4"}
    done = run(ABSENT.format(absent=absent))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "error" not in done.stdout.lower()
