"""Ctrl-C and SIGTERM: the step is finished, the run is saved, and the message says how to go on."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from dlguide.train import EMA, Callback, Checkpoint, Interrupted, interrupts, resume
from dlguide.train._files import checkpoints, read
from dlguide.train.interrupts import Interrupts
from tests.dlguide.killed_runs import processes, train_until_interrupted
from tests.dlguide.training_runs import batches, bits, points, same, trainer


def heard(pipe):
    assert pipe.poll(60)  # else it hangs
    return pipe.recv_bytes()


def interrupted(folder, signals, with_checkpoint=True):
    """Let a process take three steps, send it signals before it has leave to go on from the third, and give leave."""
    ours, its = processes().Pipe()
    process = processes().Process(
        target=train_until_interrupted, args=(folder, 3, its, with_checkpoint), daemon=True)
    process.start()
    its.close()
    try:
        for _ in range(3):
            ours.send_bytes(b"go")
        for _ in range(3):
            assert heard(ours) == b"step"
        for number in signals:
            os.kill(process.pid, number)
            assert heard(ours) == b"noted"
        if len(signals) == 1:  # a second one ends it where it is
            ours.send_bytes(b"go")
        while heard(ours) != b"end":
            pass
        end = ours.recv()
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    return end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, number):
    kind, words, name, step, _ = interrupted(tmp_path, [number])
    assert (kind, name, step) == ("Interrupted", number.name, 3)
    path = tmp_path / "step-000000003.pt"
    assert words == (
        f"stopped by {number.name} after step 3 (epoch 1); it goes on from {path}:"
        " build the same trainer and call resume(trainer, folder) before fit"
    )
    assert checkpoints(tmp_path) == [path]
    assert read(path)["step"] == 3


class Press(Callback):
    """Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, trainer):
        if trainer.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def assert_goes_on(rest, folder, whole, expected):
    """From where the folder says, to the end of the run that was not stopped: the same numbers and bits."""
    assert resume(rest, folder)
    assert rest.fit(batches(), batches(), epochs=whole.epochs) == expected
    assert same(bits(rest.model), bits(whole.model))


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole, stopped, rest = trainer(), trainer(Press(10), Checkpoint(tmp_path)), trainer(Checkpoint(tmp_path))
    expected = whole.fit(batches(), batches(), epochs=3)
    with pytest.raises(Interrupted, match=r"stopped by SIGINT after step 10 \(epoch 2\)"):
        stopped.fit(batches(), batches(), epochs=3)
    assert_goes_on(rest, tmp_path, whole, expected)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    kind, _, name, step, _ = interrupted(tmp_path, [signal.SIGINT, signal.SIGINT])
    assert (kind, name, step) == ("KeyboardInterrupt", None, 3)
    assert checkpoints(tmp_path) == [tmp_path / "step-000000002.pt"]


def test_without_a_checkpoint_the_message_names_it(tmp_path):
    _, words, _, step, _ = interrupted(tmp_path, [signal.SIGINT], with_checkpoint=False)
    assert step == 3
    assert "nothing was saved: the callback Checkpoint(folder) would have" in words


def test_a_signal_in_the_last_validation_is_saved_too(tmp_path):
    """What is left to do is the end: the average of the weights takes their place."""

    class Late(Callback):
        def before_validation(self, trainer):
            if trainer.epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    whole, run, rest = trainer(EMA(0.9)), trainer(EMA(0.9), Late(), Checkpoint(tmp_path, every=10)), trainer(EMA(0.9))
    expected = whole.fit(batches(), batches(), epochs=2)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM after step 14 \(epoch 2\); it goes on from .*014\.pt"):
        run.fit(batches(), batches(), epochs=2)
    assert_goes_on(rest, tmp_path, whole, expected)


def test_a_signal_at_the_very_end_is_not_lost():
    class Late(Callback):
        def on_end(self, trainer):
            os.kill(os.getpid(), signal.SIGTERM)

    run = trainer(Late())
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM after step 14 \(epoch 2\)"):
        run.fit(batches(), batches(), epochs=2)
    assert not run.model.training


def test_a_signal_in_validation_ends_the_run_before_the_next_epoch(tmp_path):
    class Term(Callback):
        def before_validation(self, trainer):
            os.kill(os.getpid(), signal.SIGTERM)

    whole, rest = trainer(), trainer(Checkpoint(tmp_path))
    expected = whole.fit(batches(), batches(), epochs=3)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM after step 7 \(epoch 1\); it goes on from .*007\.pt"):
        trainer(Term(), Checkpoint(tmp_path)).fit(batches(), batches(), epochs=3)
    assert_goes_on(rest, tmp_path, whole, expected)


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not before[0]
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_ignored_signal_stays_ignored():
    """As in a process that nohup started."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as caught:
            os.kill(os.getpid(), signal.SIGINT)
            assert not caught.pending
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_a_thread_leaves_the_handlers_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    class Look(Callback):
        def on_step(self, trainer):
            seen.append(signal.getsignal(signal.SIGINT))

    def work():
        torch.set_num_threads(1)
        trainer(Look()).fit(batches(), steps=2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, before]


SCRIPT = """
import os, signal, sys
from dlguide.train import Callback, Checkpoint
from tests.dlguide.training_runs import batches, trainer

class Press(Callback):
    def on_step(self, trainer):
        if trainer.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

trainer(Press(), Checkpoint(sys.argv[1])).fit(batches(), epochs=2)
print("not reached")
"""


def test_a_script_ends_with_the_message(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert "finishing the step; Ctrl-C again ends at once" in lines
    assert lines[-1].startswith("dlguide.train.interrupts.Interrupted: stopped by SIGINT after step 1 (epoch 1); it")


class Full:
    """As an os whose stderr is a pipe to a program that has ended."""

    @staticmethod
    def write(number, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_pipe_that_is_closed_does_not_end_the_step(tmp_path, monkeypatch):
    """As in `python train.py 2>&1 | tee log`: Ctrl-C ends tee too, and nobody reads what is said."""
    monkeypatch.setattr(interrupts, "os", Full)
    run = trainer(Press(2), Checkpoint(tmp_path))
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 2"):
        run.fit(batches(), epochs=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000002.pt"]


# ---- workers


class Starting(list):
    """Ctrl-C comes while workers are started."""

    num_workers = 1

    def __iter__(self):
        signal.raise_signal(signal.SIGINT)
        return super().__iter__()


def test_ctrl_c_while_workers_are_started_is_heard(tmp_path):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(Interrupted, match="stopped by SIGINT after step 1"):
        trainer(Checkpoint(tmp_path)).fit(Starting(batches()), epochs=1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


WITH_WORKER = """
import sys, time
from torch.utils.data import DataLoader
from dlguide.train import Checkpoint
from tests.dlguide.killed_runs import Signals
from tests.dlguide.training_runs import trainer

folder, method, number, item = sys.argv[1:]
run = trainer(Checkpoint(folder), accumulate=4)
run.optimizer.register_step_pre_hook(lambda *_: time.sleep(run.step == 1))  # the worker is ahead of step 2
data = Signals(int(item), int(number))
run.fit(DataLoader(data, 4, num_workers=1, prefetch_factor=1, multiprocessing_context=method), epochs=2)
"""


@pytest.mark.parametrize(
    ("method", "number", "item", "step"),
    [  # a step has 16 examples, and the worker reads 4 ahead
        ("fork", signal.SIGINT, 20, 2), ("spawn", signal.SIGINT, 20, 2), ("forkserver", signal.SIGINT, 20, 2),
        ("fork", signal.SIGTERM, 20, 1), ("fork", signal.SIGTERM, 32, 2), ("spawn", signal.SIGTERM, 32, 2),
    ],
)  # fmt: skip
def test_a_signal_to_all_processes_of_a_run_ends_it_between_two_steps(tmp_path, method, number, item, step):
    """As a terminal sends SIGINT, and `timeout` and systemd SIGTERM. SIGINT spares the workers, SIGTERM does not."""
    command = [sys.executable, "-c", WITH_WORKER, str(tmp_path), method, str(int(number)), str(item)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True, timeout=120)
    last = done.stderr.splitlines()[-1]
    assert f"Interrupted: stopped by {number.name} after step {step} (epoch 1); it goes on from" in last, done.stderr
    assert done.stderr.count("finishing the step") == (number == signal.SIGINT)
    assert "Exception ignored" not in done.stderr
    assert [path.name for path in checkpoints(tmp_path)] == [f"step-{step:09}.pt"]


class Dying(DataLoader):
    """Its workers end with the SIGTERM that the run gets, and so it can read no further."""

    def __init__(self, at=None):
        generator = torch.Generator().manual_seed(3)
        sampler = RandomSampler(points(), replacement=True, generator=generator)  # draws the order 32 by 32
        super().__init__(points(), 8, sampler=sampler)
        self.at, self.count = at, 0

    def __iter__(self):
        for batch in super().__iter__():
            if self.count == self.at:
                signal.raise_signal(signal.SIGTERM)
                raise RuntimeError("DataLoader worker exited unexpectedly")
            self.count += 1
            yield batch


@pytest.mark.parametrize("at", [0, 3, 7, 11])
def test_what_was_read_in_vain_does_not_change_the_rest(tmp_path, at):
    """At the beginning, inside an epoch, between two; and again while the resumed run looks for its place."""
    whole = trainer()
    expected = whole.fit(Dying(), batches(), epochs=3)
    for again in (at, at % 7 and 1):
        run = trainer(Checkpoint(tmp_path))
        resume(run, tmp_path)
        with pytest.raises(Interrupted, match=f"stopped by SIGTERM after step {at} ") as caught:
            run.fit(Dying(again), batches(), epochs=3)
        assert "worker exited" in str(caught.value.__cause__)
    rest = trainer(Checkpoint(tmp_path))
    assert resume(rest, tmp_path)
    assert rest.fit(Dying(), batches(), epochs=3) == expected
    assert same(bits(rest.model), bits(whole.model))


def test_an_error_of_the_data_without_a_signal_stays_what_it_is():
    class Broken(Dying):
        def __iter__(self):
            raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        trainer().fit(Broken(), epochs=1)
