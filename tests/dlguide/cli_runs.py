"""How the tests of the command line call it, and what they compare."""

import json
import os
import subprocess
import sys

import torch
from click.testing import CliRunner

from dlguide.cli.group import Group
from tests.pages.paths import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def call(*words, code=0, **options):
    """Run a command in this process and check its exit code."""
    done = CliRunner().invoke(Group(), [str(word) for word in words], prog_name="dlguide", **options)
    assert done.exit_code == code, f"exit code {done.exit_code}\n{done.output}"
    return done


def sentence(*words, code):
    """The one sentence that a command ends with; nothing else is printed."""
    done = call(*words, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("dlguide: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("dlguide: ").rstrip()


def facts(*words):
    """What a command prints with --json."""
    return json.loads(call(*words, "--json").stdout)


def process(*words, **options):
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "dlguide", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, **options)


def weights(run):
    """The weights of a finished run."""
    return torch.load(run / "model.pt", weights_only=True)["weights"]


def assert_same_run(one, other):
    """Two runs ended with the same bits and saw the same numbers on the way."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (one / "history.jsonl").read_text("utf-8") == (other / "history.jsonl").read_text("utf-8")
    results = [json.loads((run / "result.json").read_text("utf-8")) for run in (one, other)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]
