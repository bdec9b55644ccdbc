"""Ctrl-C and SIGTERM: the step is finished, the run is saved, and the message says how to go on."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from dlguide.train import Callback, Checkpoint, Interrupted, resume
from dlguide.train._files import checkpoints, read
from dlguide.train.interrupts import Interrupts
from tests.dlguide.killed_runs import processes, train_until_interrupted
from tests.dlguide.training_runs import batches, bits, same, trainer


def heard(pipe):
    assert pipe.poll(60)  # else it hangs
    return pipe.recv_bytes()


def interrupted(folder, signals, with_checkpoint=True):
    """Let a process take three steps, send it signals while it waits for leave to take the fourth, and give leave."""
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
    assert (kind, name, step) == ("Interrupted", number.name, 4)
    path = tmp_path / "step-000000004.pt"
    assert words == (
        f"stopped by {number.name} after step 4 (epoch 1); it goes on from {path}:"
        " build the same trainer and call resume(trainer, folder) before fit"
    )
    assert checkpoints(tmp_path) == [path]
    assert read(path)["step"] == 4


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    class Signal(Callback):
        def on_step(self, trainer):
            if trainer.step == 10:
                os.kill(os.getpid(), signal.SIGINT)

    whole, stopped, rest = trainer(), trainer(Signal(), Checkpoint(tmp_path)), trainer(Checkpoint(tmp_path))
    expected = whole.fit(batches(), batches(), epochs=3)
    with pytest.raises(Interrupted, match=r"stopped by SIGINT after step 11 \(epoch 2\)"):
        stopped.fit(batches(), batches(), epochs=3)
    assert resume(rest, tmp_path)
    assert rest.fit(batches(), batches(), epochs=3) == expected
    assert same(bits(rest.model), bits(whole.model))


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    kind, _, name, step, _ = interrupted(tmp_path, [signal.SIGINT, signal.SIGINT])
    assert (kind, name, step) == ("KeyboardInterrupt", None, 3)
    assert checkpoints(tmp_path) == [tmp_path / "step-000000002.pt"]


def test_without_a_checkpoint_the_message_names_it(tmp_path):
    _, words, _, step, _ = interrupted(tmp_path, [signal.SIGINT], with_checkpoint=False)
    assert step == 4
    assert "nothing was saved: the callback Checkpoint(folder) would have" in words


def test_a_signal_after_the_last_step_is_not_lost():
    class Late(Callback):
        def before_validation(self, trainer):
            if trainer.epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    run = trainer(Late())
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM after step 14 \(epoch 2\)"):
        run.fit(batches(), batches(), epochs=2)
    assert len(run.history.validation_loss) == 2
    assert not run.model.training


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
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.pending
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
    assert lines[-1].startswith("dlguide.train.interrupts.Interrupted: stopped by SIGINT after step 2 (epoch 1); it")
