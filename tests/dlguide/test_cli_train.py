"""Runs: what lies in their folder, and that a stopped one goes on to the same end."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from dlguide.cli.run import make_scheduler
from dlguide.config import Config, read_config
from dlguide.train import Trainer
from tests.dlguide.cli_runs import ENVIRONMENT, assert_same_run, call, facts, sentence, weights
from tests.pages.paths import ROOT

SMALL = ("train", "mlp", "--data", "digits", "--epochs", 4, "--lr", 0.01, "--batch-size", 128, "--quiet")
# with everything that has a state: a moving average, momentum, a scheduler, checkpoints inside an epoch
FULL = (*SMALL, "--ema", 0.9, "--schedule", "cosine", "--warmup", 0.1, "--every", 7, "--momentum", 0.9, "--optimizer",
        "sgd", "--nesterov", "--lr", 0.2, "--clip", 5, "--accumulate", 2, "--label-smoothing", 0.1)  # fmt: skip


def stop_at(step, number):
    """Let the process get a signal in the middle of its training."""
    own = Trainer._step

    def stopping(self, *arguments):
        if self.step == step:
            os.kill(os.getpid(), number)
        return own(self, *arguments)

    return stopping


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    call(*FULL, "--out", folder)
    return folder


def test_folder_of_a_run(whole):
    assert sorted(path.name for path in whole.iterdir()) == [
        "checkpoints", "config.toml", "history.jsonl", "model.pt", "result.json"]  # fmt: skip
    config = Config(**read_config(whole / "config.toml"))
    assert (config.optimizer, config.ema, config.schedule) == ("SGD", 0.9, "cosine")
    rows = [json.loads(line) for line in (whole / "history.jsonl").read_text("utf-8").splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    result = json.loads((whole / "result.json").read_text("utf-8"))
    assert result["epochs"] == 4
    assert result["steps"] == 4 * 5  # 10 batches, two of them in a step
    assert result["test_accuracy"] > 0.8
    assert result["parameters"] == sum(w.numel() for w in weights(whole).values())


def test_finished_run_says_so(whole):
    done = call(*FULL, "--out", whole)
    assert done.stdout.startswith(f"{whole} is finished: test accuracy 0.")
    assert "--fresh begins anew" in done.stdout
    assert facts(*FULL, "--out", whole)["epochs"] == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_goes_on(whole, tmp_path, monkeypatch, number, code):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop_at(8, number))
        done = call(*FULL, "--out", run, code=code)
    assert done.stdout == ""
    said = f"dlguide: stopped after step 9 of epoch 2 and saved in {run}; the same command goes on from there\n"
    assert done.stderr.endswith(said)
    assert not (run / "result.json").exists()
    call(*FULL, "--out", run)
    assert_same_run(whole, run)


def test_killed_run_goes_on(whole, tmp_path):
    run = tmp_path / "run"
    code = (
        "import os, signal, sys\n"
        "from dlguide.cli import main\n"
        "from tests.dlguide.test_cli_train import Trainer, stop_at\n"
        "Trainer._step = stop_at(12, signal.SIGKILL)\n"
        "main(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", code, *map(str, FULL), "--out", str(run)]
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"}
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000007.pt"]
    call(*FULL, "--out", run)
    assert_same_run(whole, run)


def test_other_settings_are_not_mixed(whole):
    said = sentence(*FULL, "--out", whole, "--seed", 3, code=2)
    assert said == (
        f"{whole} holds a run with other settings (seed 0 there, 3 here): take another folder with --out, or begin anew"
        " with --fresh"
    )


def test_fresh(tmp_path):
    run = tmp_path / "run"
    call(*SMALL, "--epochs", 1, "--out", run, "--tensorboard")
    (run / "notes.txt").write_text("mine", "utf-8")
    assert (run / "tensorboard").is_dir()
    call(*SMALL, "--epochs", 2, "--out", run, "--fresh")
    assert json.loads((run / "result.json").read_text("utf-8"))["epochs"] == 2
    assert not (run / "tensorboard").exists()
    assert (run / "notes.txt").read_text("utf-8") == "mine"


def test_folder_of_something_else(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    assert "holds files, but no run" in sentence(*SMALL, "--out", tmp_path, code=2)
    assert "holds files, but no run" in sentence(*SMALL, "--out", tmp_path, "--fresh", code=2)
    assert "is a file" in sentence(*SMALL, "--out", tmp_path / "mine.txt", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_default_folder_progress_and_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("train", "linear", "--data", "digits", "--epochs", 2, "--json")
    assert json.loads(done.stdout)["epochs"] == 2
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert (tmp_path / "runs" / "linear-digits" / "model.pt").is_file()


def test_layers_of_settings(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('model = "rnn"\nlr = 0.5\nclip = 2\n\n[options]\nhidden_size = 8\n', "utf-8")
    shown = tmp_path / "shown.toml"

    def settings(*words):
        shown.write_text(call("train", *words, "--print-config").stdout, "utf-8")
        return Config(**read_config(shown))

    assert settings("rnn", "--data", "digits").batch_size == 32  # the recipe
    assert settings("rnn", "--data", "digits").clip == 1.0
    assert settings("--config", file).clip == 2.0  # the file over the recipe
    assert settings("--config", file).batch_size == 32
    config = settings("--config", file, "--clip", "none", "--option", "hidden_size=4")  # the flag over the file
    assert (config.clip, config.lr, config.options) == (None, 0.5, {"hidden_size": 4})
    assert settings("gru", "--config", file).model == "gru"
    assert settings("cnn", "--compile").compile
    assert not settings("cnn", "--no-standardize").standardize
    assert settings("--config", shown) == settings("cnn", "--no-standardize")


def test_failing_loss_is_a_sentence(tmp_path):
    said = sentence(*SMALL, "--lr", 1e30, "--optimizer", "sgd", "--out", tmp_path / "run", code=1)
    assert "the loss is" in said or "not finite" in said


def test_workers_bring_the_same(tmp_path):
    words = (*SMALL, "--epochs", 1)
    call(*words, "--out", tmp_path / "tensors")
    call(*words, "--out", tmp_path / "workers", "--loader", "workers", "--workers", 0)
    first, second = weights(tmp_path / "tensors"), weights(tmp_path / "workers")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_recipes_reach_what_they_promise(tmp_path):
    assert facts("train", "cnn", "--data", "digits", "--quiet", "--out", tmp_path / "cnn")["test_accuracy"] > 0.98
    assert facts("train", "rnn", "--data", "digits", "--quiet", "--out", tmp_path / "rnn")["test_accuracy"] > 0.95


def test_pretrained_network_is_used_without_its_file(tmp_path):
    """The weights come from a file when the run begins, and afterwards from the run."""
    import torchvision

    file, run = tmp_path / "weights.pt", tmp_path / "run"
    torch.save(torchvision.models.get_model("mobilenet_v3_small").state_dict(), file)
    network = ("--option", "network=mobilenet_v3_small", "--option", f"weights={file}")
    result = facts("train", "pretrained", "--data", "digits", "--steps", 1, "--quiet", *network, "--out", run)
    file.unlink()
    assert facts("evaluate", run)["accuracy"] == pytest.approx(result["test_accuracy"])


def test_augment_and_precision(tmp_path):
    result = facts("train", "cnn", "--epochs", 1, "--augment", "flip,shift=1,cutout", "--precision", "bf16", "--quiet",
                   "--channels-last", "--out", tmp_path / "a", "--option", "channels=[4,8]")  # fmt: skip
    assert result["test_accuracy"] > 0.1


def factors(steps, **given):
    """The learning rate of each step."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make_scheduler(Config(lr=1.0, **given), optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_schedules():
    assert factors(4, warmup=0.5) == [0.5, 1.0, 1.0, 1.0]
    assert factors(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert factors(6, schedule="linear", warmup=1 / 3) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert factors(4, schedule="cosine") == pytest.approx([1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    rise = factors(101, schedule="onecycle")
    assert rise.index(max(rise)) in (29, 30)  # 0.3 of the steps
    assert rise[-1] < 1e-4
    assert factors(100, schedule="onecycle", warmup=0.1).index(pytest.approx(1.0)) == 9
    for steps, warmup in ((10, 0.1), (2, 0.5), (4, 0.25)):  # the first step is the top
        assert factors(steps, schedule="onecycle", warmup=warmup)[0] == pytest.approx(1.0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    assert make_scheduler(Config(), torch.optim.SGD([parameter], lr=1.0), 5) is None


def test_a_loader_draws_nothing_that_dropout_would(tmp_path):
    """textcnn has dropout, which takes its numbers from the global generator."""
    words = ("train", "textcnn", "--data", "reviews", "--steps", 6, "--quiet", "--option", "filters=8")
    for loader in ("tensors", "workers"):
        call(*words, "--loader", loader, "--workers", 0, "--out", tmp_path / loader)
    first, second = weights(tmp_path / "tensors"), weights(tmp_path / "workers")
    assert all(torch.equal(first[name], second[name]) for name in first)


def two_processes(*words):
    """What the first of two processes prints that torchrun starts."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dlguide"]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fsdp_takes_a_recipe_with_channels_last(tmp_path):
    """Convolutions over pictures with channels last, their weights contiguous: FSDP takes no others."""
    two_processes("train", "cnn", "--data", "digits", "--steps", 2, "--batch-size", 8, "--channels-last",
                  "--device", "cpu", "--spread", "fsdp", "--quiet", "--out", tmp_path / "run")  # fmt: skip
    assert weights(tmp_path / "run")


def test_two_processes_are_one(tmp_path):
    """`torchrun -m dlguide train` with two processes ends with the weights of one."""
    words = ("train", "mlp", "--data", "digits", "--epochs", 2, "--optimizer", "sgd", "--lr", 0.1, "--schedule", "none",
             "--quiet", "--json")  # fmt: skip
    result = json.loads(two_processes(*words, "--out", tmp_path / "two"))  # one of them prints
    assert result["processes"] == 2
    one = facts(*words[:-1], "--out", tmp_path / "one")
    assert result["test_accuracy"] == pytest.approx(one["test_accuracy"], abs=0.01)
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-4)
