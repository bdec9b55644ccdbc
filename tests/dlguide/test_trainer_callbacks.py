"""Callbacks: averages, early stopping, the files of numbers, the bar; alone and together."""

import copy
import fcntl
import json
import math
import os
import pty
import struct
import termios
import threading
from pathlib import Path

import pytest
import torch

from dlguide.train import (
    EMA,
    Callback,
    Checkpoint,
    EarlyStopping,
    HistoryFile,
    ProgressBar,
    TensorBoard,
    Trainer,
    read_history,
    resume,
)
from dlguide.train.history import History
from tests.dlguide.training_runs import batches, bits, same, trainer


class Weights(Callback):
    """Keep the state of the model after each step, and what validation sees."""

    def __init__(self):
        self.steps, self.validated = [], []

    def on_step(self, trainer):
        self.steps.append(bits(trainer.model))

    def after_validation(self, trainer):
        self.validated.append(bits(trainer.model))


# ---- averages


def by_hand(states, decay, parameters):
    """The recursion, with buffers those of the last state."""
    average = dict(states[0])
    for state in states[1:]:
        average = {
            name: torch.lerp(average[name], tensor, 1 - decay) if name in parameters else tensor
            for name, tensor in state.items()
        }
    return average


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_the_average_follows_its_recursion(decay):
    """Validation and the end have it; training goes on with the weights themselves."""
    watch, alone = Weights(), trainer(Weights())
    run = trainer(EMA(decay), watch)
    parameters = dict(run.model.named_parameters()).keys()
    history = run.fit(batches(), batches(), epochs=2)
    alone.fit(batches(), batches(), epochs=2)
    assert all(same(a, b) for a, b in zip(watch.steps, alone.callbacks[0].steps, strict=True))
    for epoch, steps in enumerate((7, 14)):
        torch.testing.assert_close(watch.validated[epoch], by_hand(watch.steps[:steps], decay, parameters),
                                   rtol=1e-6, atol=1e-7)  # fmt: skip
    assert same(bits(run.model), watch.validated[-1])
    assert run.evaluate(batches())["loss"] == pytest.approx(history.validation_loss[-1], rel=1e-12)
    if decay:
        assert not same(bits(run.model), watch.steps[-1])
    else:
        assert same(bits(run.model), watch.steps[-1])


def test_the_recursion_in_its_own_words():
    """One number that moves by 1 in each step, decay 1/2: 1, 1.5, 2.25, 3.125."""
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()

    class Move(Callback):
        order = -2

        def on_step(self, trainer):
            with torch.no_grad():
                trainer.model.weight.fill_(trainer.step)

    ema, seen = EMA(0.5), []

    class Note(Callback):
        def on_step(self, trainer):
            seen.append(float(ema.average["weight"]))

    data = [(torch.ones(2, 1), torch.ones(2, 1))]
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.0), loss=torch.nn.functional.mse_loss,
                  callbacks=[ema, Note(), Move()], device="cpu")  # fmt: skip
    run.fit(data, epochs=4)
    assert seen == [1.0, 1.5, 2.25, 3.125]
    assert run.model.weight.item() == 3.125


def test_a_validation_that_breaks_off_leaves_the_weights_themselves():
    class Break(Callback):
        def before_validation(self, trainer):
            raise KeyboardInterrupt  # Ctrl-C for the second time

    run, alone = trainer(EMA(0.9), Break()), trainer()
    with pytest.raises(KeyboardInterrupt):
        run.fit(batches(), batches(), epochs=1)
    alone.fit(batches(), epochs=1)
    assert same(bits(run.model), bits(alone.model))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decays_that_do_not_fit(decay):
    with pytest.raises(ValueError, match=rf"expected a decay in \[0, 1\), got {decay}"):
        EMA(decay)


# ---- early stopping


class Scripted(Callback):
    """Give each epoch the validation loss that a test wants."""

    order = 1  # told before EarlyStopping, since validation is told in reverse

    def __init__(self, losses):
        self.losses, self.states = losses, []

    def after_validation(self, trainer):
        trainer.logs["validation_loss"] = self.losses[trainer.epoch - 1]
        self.states.append(bits(trainer.model))


@pytest.mark.parametrize(
    ("losses", "patience", "best", "ends"),
    [
        ([1.0, 0.8, 0.9, 0.7, 0.75, 0.72, 0.71, 0.6], 3, 4, 7),
        ([3.0, 2.0, 1.0], 2, 3, 3),
        ([1.0, 2.0, 3.0, 0.5], 2, 1, 3),
        ([1.0, 1.0, 1.0, 1.0], 3, 1, 4),  # equal is not better
        ([2.0, 3.0, 1.0, 4.0], None, 3, 4),
        ([2.0, 1.0, 3.0], 1, 2, 3),
    ],
)
def test_patience_and_the_best_weights(losses, patience, best, ends):
    """Buffers belong to the weights, too."""
    script, stopping = Scripted(losses), EarlyStopping(patience)
    run = trainer(stopping, script)
    history = run.fit(batches(), batches(), epochs=len(losses))
    assert (run.epoch, history.best_epoch, stopping.best) == (ends, best, losses[best - 1])
    assert same(bits(run.model), script.states[best - 1])
    assert "1.running_mean" in script.states[0]
    assert ends == best or not same(script.states[-1], script.states[best - 1])


def test_the_largest_number_can_be_the_best():
    run = trainer(EarlyStopping(monitor="validation_accuracy", largest=True))
    history = run.fit(batches(), batches(), epochs=6)
    best = max(history.validation_accuracy)
    assert history.best_epoch == history.validation_accuracy.index(best) + 1
    assert run.evaluate(batches())["accuracy"] == best


@pytest.mark.parametrize("order", [1, -1])
def test_early_stopping_keeps_the_average_whatever_stands_first(order):
    script = Scripted([2.0, 1.0, 3.0, 4.0])
    run = trainer(*[EarlyStopping(2), EMA(0.8)][::order], script)
    run.fit(batches(), batches(), epochs=9)
    assert run.epoch == 4
    assert same(bits(run.model), script.states[1])


def test_early_stopping_needs_something_to_look_at():
    with pytest.raises(ValueError, match="expected a patience of at least 1 epoch, got 0"):
        EarlyStopping(0)
    with pytest.raises(ValueError, match=r"expected 'validation_loss' among .*'train_loss'\]: give fit a validation"):
        trainer(EarlyStopping()).fit(batches(), epochs=2)
    with pytest.raises(ValueError, match="expected 'validation_f1' among the numbers of an epoch"):
        trainer(EarlyStopping(monitor="validation_f1")).fit(batches(), batches(), epochs=2)


def test_a_loss_that_is_no_number_is_never_the_best():
    run = trainer(EarlyStopping(monitor="validation_odd"), Odd([math.nan, 2.0, math.nan, 1.0, 3.0]))
    history = run.fit(batches(), batches(), epochs=5)
    assert history.best_epoch == 4


class Odd(Scripted):
    def after_validation(self, trainer):
        trainer.logs["validation_odd"] = self.losses[trainer.epoch - 1]


# ---- the file of numbers


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_history_file_holds_the_history(tmp_path):
    path = tmp_path / "new" / "history.jsonl"
    run = trainer(HistoryFile(path, every=3), clip=1.0)
    history = run.fit(batches(), batches(), epochs=2)
    read = read_history(path)
    assert read.best_epoch == read.validation_loss.index(min(read.validation_loss)) + 1
    read.best_epoch = 0
    assert read == history
    lines = rows(path)
    assert [(row.get("epoch"), row["step"]) for row in lines] == [
        (None, 3), (None, 6), (1, 7), (None, 9), (None, 12), (2, 14)]
    assert lines[-1].keys() == {"epoch", "step", "lr", "norm", "train_loss", "train_accuracy", "validation_loss",
                                "validation_accuracy"}  # fmt: skip
    assert lines[-2] == {"step": 12, "loss": lines[-2]["loss"], "lr": pytest.approx(0.05 * (
        1 + math.cos(math.pi * 11 / 60)) / 2)}


@pytest.mark.parametrize("stop", [3, 7, 8, 12, 14])
@pytest.mark.parametrize("every", [None, 1, 7])
def test_a_resumed_run_writes_the_file_of_one_that_was_not_stopped(tmp_path, stop, every):
    """Also if the checkpoint lies between the last step of an epoch and its end, and if lines came after it."""
    expected, path = tmp_path / "expected.jsonl", tmp_path / "history.jsonl"
    trainer(HistoryFile(expected, every=2)).fit(batches(), batches(), epochs=3)

    saved = {}

    class Save(Callback):
        order = 2

        def on_step(self, trainer):
            if trainer.step == stop:
                saved.update(copy.deepcopy(trainer.state_dict()))

    class End(Callback):  # it goes on for a while, then it is killed
        order = 2

        def on_step(self, trainer):
            if every and trainer.step == stop + every:
                raise OSError("killed")

    first = trainer(HistoryFile(path, every=2), Save(), End())
    try:
        first.fit(batches(), batches(), epochs=3)
    except OSError:
        with path.open("a") as file:
            file.write('{"step": 99')  # a line that it could not finish
    second = trainer(HistoryFile(path, every=2), Save(), End())
    second.load_state_dict(saved)
    second.callbacks = [c for c in second.callbacks if not isinstance(c, (Save, End))]
    second.fit(batches(), batches(), epochs=3)
    assert path.read_text() == expected.read_text()


def test_a_new_run_begins_a_new_file(tmp_path):
    path = tmp_path / "history.jsonl"
    for epochs in (3, 1):
        trainer(HistoryFile(path)).fit(batches(), epochs=epochs)
    assert len(rows(path)) == 1


def test_a_run_that_is_refused_changes_no_file(tmp_path):
    """Also if another callback refuses it, and if its data cannot be read."""

    class Refuse(Callback):
        def on_start(self, trainer):
            raise ValueError("not this one")

    class Unreadable:
        def __len__(self):
            return 7

        def __iter__(self):
            raise OSError("no such file")

    path, folder = tmp_path / "history.jsonl", tmp_path / "checkpoints"
    trainer(HistoryFile(path), Checkpoint(folder)).fit(batches(), epochs=2)
    kept = path.read_text()
    assert len(rows(path)) == 2
    with pytest.raises(ValueError, match="expected a run that goes on from"):
        trainer(HistoryFile(path), Checkpoint(folder)).fit(batches(), epochs=2)
    with pytest.raises(ValueError, match="not this one"):
        trainer(HistoryFile(path), TensorBoard(tmp_path / "events"), Refuse()).fit(batches(), epochs=2)
    with pytest.raises(OSError, match="no such file"):
        trainer(HistoryFile(path)).fit(Unreadable(), epochs=2)
    assert path.read_text() == kept
    assert sorted(found.name for found in tmp_path.iterdir()) == ["checkpoints", "history.jsonl"]


def test_the_numbers_reach_the_disk_before_the_checkpoint_that_comes_after_them(tmp_path, monkeypatch):
    """Else a power cut could leave a checkpoint that knows of an epoch which the file has lost."""
    calls, fsync = [], os.fsync

    def note(number):
        calls.append(Path(f"/proc/self/fd/{number}").readlink().name)
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    trainer(HistoryFile(tmp_path / "history.jsonl"), Checkpoint(tmp_path)).fit(batches(), epochs=2)
    files = [name for name in calls if name != tmp_path.name]
    assert files == ["history.jsonl.part", "history.jsonl", "step-000000007.pt.part", "history.jsonl",
                     "step-000000014.pt.part"]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b'{"step": 1}\nhello\n', "line 2 should be a JSON object with a step and is 'hello'"),
     (b'{"epoch": 1}\n', "line 1 should be a JSON object with a step"), (b"[1]\n", "line 1"),
     (b"\xff\xfe\n", "line 1")],
)
def test_another_file_gets_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_history(path)
    assert str(path) in str(caught.value)


def test_reading_no_file_or_an_empty_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a file that HistoryFile wrote, found nothing at"):
        read_history(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    assert read_history(tmp_path / "empty.jsonl") == History()
    with pytest.raises(ValueError, match="expected every >= 1 or none, got 0"):
        HistoryFile(tmp_path / "x.jsonl", every=0)


# ---- TensorBoard


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_the_numbers_back(tmp_path):
    run = trainer(TensorBoard(tmp_path, every=5))
    history = run.fit(batches(), batches(), epochs=2)
    found = scalars(tmp_path)
    assert found.keys() == {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy",
                            "train/loss_of_step", "lr"}  # fmt: skip
    assert [step for step, _ in found["lr"]] == [5, 10]
    for part in ("train", "validation"):
        for number in ("loss", "accuracy"):
            wanted = getattr(history, f"{part}_{number}")
            assert found[f"{part}/{number}"] == [(7, pytest.approx(wanted[0])), (14, pytest.approx(wanted[1]))]


def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path):
    first = trainer(TensorBoard(tmp_path, every=1))
    first.fit(batches(), batches(), steps=7)
    saved = copy.deepcopy(first.state_dict())
    first.fit(batches(), batches(), steps=12)
    second = trainer(TensorBoard(tmp_path, every=1))
    second.load_state_dict(saved)
    second.fit(batches(), batches(), epochs=2)
    assert [step for step, _ in scalars(tmp_path)["train/loss_of_step"]] == [*range(1, 15)]


def test_tensorboard_says_what_is_missing(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"tensorboard: python -m pip install 'dlguide\[tensorboard\]'"):
        trainer(TensorBoard(tmp_path)).fit(batches(), epochs=1)
    with pytest.raises(ValueError, match="expected every >= 1, got 0"):
        TensorBoard(tmp_path, every=0)


# ---- the bar


def test_plain_lines_where_there_is_no_terminal(capsys):
    trainer(ProgressBar()).fit(batches(), batches(), epochs=2)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 2
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"epoch {number}/2  loss ")
        assert "  validation_loss " in line
        assert "  validation_accuracy " in line
        assert line.endswith(" s left")
        assert " steps/s, " in line
    assert "\r" not in err


def test_silence_where_it_is_wanted(capsys):
    trainer(ProgressBar(lines=False)).fit(batches(), epochs=2)
    assert capsys.readouterr() == ("", "")


def on_a_terminal(work):
    """What a pseudo-terminal receives while `work` runs with it as its stderr."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 120, 0, 0))
    received = []

    def read():
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux says so when the other end is closed
                return
            if not data:
                return
            received.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(slave, "w") as terminal:
        patch.setattr("sys.stderr", terminal)
        try:
            work()
        finally:
            terminal.flush()
    reader.join()
    os.close(master)
    return b"".join(received).decode()


def test_a_bar_on_a_terminal_with_loss_rate_and_time_left():
    run = trainer(ProgressBar())
    shown = on_a_terminal(lambda: run.fit(batches(), batches(), epochs=3))
    last = shown.split("\r")[-2] if shown.endswith("\r\n") else shown.split("\r")[-1]
    assert "epoch 3/3: 100%" in last
    assert "21/21" in last
    assert f"loss={run.logs['train_loss']:.4g}" in last
    assert f"validation_loss={run.logs['validation_loss']:.4g}" in last
    assert "step/s" in last or "s/step" in last
    assert " steps/s, " not in shown  # no lines beside it


def test_a_bar_goes_on_where_the_run_goes_on():
    run = trainer(ProgressBar())
    run.fit(batches(), steps=10)
    shown = on_a_terminal(lambda: run.fit(batches(), epochs=2))
    assert "10/14" in shown
    assert "14/14" in shown


def test_the_bar_is_closed_after_an_error():
    class Break(Callback):
        def on_step(self, trainer):
            raise OSError("broken")

    bar = ProgressBar()

    def work():
        with pytest.raises(OSError, match="broken"):
            trainer(bar, Break()).fit(batches(), epochs=1)

    on_a_terminal(work)
    assert bar._bar is None


def test_without_tqdm_a_terminal_gets_lines(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tqdm", None)
    shown = on_a_terminal(lambda: trainer(ProgressBar()).fit(batches(), epochs=1))
    assert shown.startswith("epoch 1/1  loss ")


# ---- all together, resumed


@pytest.mark.parametrize("stop", [5, 14, 28])
def test_averages_and_early_stopping_go_on_as_if_nothing_had_happened(tmp_path, stop):
    """Killed after the checkpoint of a step; the stop at step 28 is that of the epoch in which patience ends."""
    losses = [2.0, 1.0, 3.0, 4.0, 0.5, 0.4]

    def build(folder, *more):
        return trainer(EarlyStopping(2), EMA(0.8), Checkpoint(folder), Scripted(losses), *more)

    class Kill(Callback):
        order = 3

        def on_step(self, trainer):
            if trainer.step == stop and stop % 7:
                next(c for c in trainer.callbacks if isinstance(c, Checkpoint)).save(trainer)
                raise OSError("killed")

        def on_epoch(self, trainer):
            if trainer.step == stop:
                raise OSError("killed")

    whole = build(tmp_path / "whole")
    expected = whole.fit(batches(), batches(), epochs=6)
    assert whole.epoch == 4
    with pytest.raises(OSError, match="killed"):
        build(tmp_path / "killed", Kill()).fit(batches(), batches(), epochs=6)
    second = build(tmp_path / "killed", ProgressBar(lines=False))  # which has no state, and may be added
    assert resume(second, tmp_path / "killed")
    history = second.fit(batches(), batches(), epochs=6)
    assert history == expected
    assert same(bits(second.model), bits(whole.model))
    again = build(tmp_path / "killed")
    assert resume(again, tmp_path / "killed")
    assert again.fit(batches(), batches(), epochs=6) == expected  # a run that is finished stays finished
    assert same(bits(again.model), bits(whole.model))
