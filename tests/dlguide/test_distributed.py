"""Training by two and by four processes is training by one: gradients, weights, numbers, checkpoints, interruptions."""

import itertools
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from dlguide.data import TensorBatches
from dlguide.models import MLP
from dlguide.train import Trainer, distributed, processes, resume
from tests.dlguide import process_jobs as jobs
from tests.dlguide.training_runs import net
from tests.pages.paths import ROOT

pytestmark = pytest.mark.xdist_group("distributed")
WORLDS, HOWS, KINDS = (2, 4), ("ddp", "fsdp"), ("mlp", "transformer")
# two processes do everything, four what they can do wrong by themselves
TRAINED = [
    *((2, *case) for case in itertools.product(KINDS, HOWS, jobs.OPTIONS)),
    *((4, *case) for case in [("mlp", "ddp", "accumulated and clipped"), ("mlp", "fsdp", "plain"),
                              ("transformer", "fsdp", "accumulated and clipped")]),
]
EACH = [(2, "ddp"), (2, "fsdp"), (4, "fsdp")]


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process ends with."""
    group = jobs.alone()
    answers: dict[Any, jobs.Answer] = {("trained", *case): jobs.trained(group, case[0], "ddp", case[1])
                                       for case in itertools.product(KINDS, jobs.OPTIONS)}
    folder = tmp_path_factory.mktemp("alone")
    answers["averaged"] = jobs.averaged(group, "ddp")
    answers["first"] = jobs.first_part(group, "ddp", folder / "file")
    shutil.copytree(folder / "file", folder / "copy")
    answers["whole"] = jobs.second_part(group, "ddp", folder / "file")
    return answers, folder / "copy"


@pytest.fixture(scope="module")
def started(tmp_path_factory, alone):
    """What each of two and of four processes ended with; all jobs of a size in one start."""
    folder = tmp_path_factory.mktemp("together")
    answers = {}
    for world_size in WORLDS:
        here = folder / str(world_size)
        work: dict[str, Any] = {f"trained {c}": (jobs.trained, c) for size, *c in TRAINED if size == world_size}
        for how in [how for size, how in EACH if size == world_size]:
            work |= {
                f"averaged {how}": (jobs.averaged, (how,)),
                f"beginnings {how}": (jobs.beginnings, (how,)),
                f"not a number {how}": (jobs.not_a_number, (how,)),
            }
        work |= {
            "interrupted": (jobs.interrupted, (here / "interrupted",)),
            "one voice": (jobs.one_voice, (here / "voice",)),
            "refused": (jobs.refused, (here / "interrupted",)),
        }
        if world_size == 2:
            work["losses"] = (jobs.losses_of_steps, ())
            work |= {f"batchnorm {how}": (jobs.with_batchnorm, (how, folder / f"batchnorm {how}")) for how in HOWS}
            work |= {"to the end": (jobs.to_the_end, (here / "end",)), "exchanges": (jobs.exchanges, ())}
            for how in HOWS:
                shutil.copytree(alone[1], folder / f"file for {how}")
                work |= {
                    f"first {how}": (jobs.first_part, (how, folder / how)),
                    f"file {how}": (jobs.second_part, (how, folder / f"file for {how}")),
                    f"same bits {how}": (jobs.same_bits, (how, here / f"bits {how}")),
                    f"overflow {how}": (jobs.overflow, (how,)),
                }
        else:  # what two have begun, four go on with, the other way, and then one
            other = dict(zip(HOWS, reversed(HOWS), strict=True))
            work |= {f"second {how}": (jobs.second_part, (other[how], folder / how, 2)) for how in HOWS}
        answers[world_size] = jobs.together(world_size, here, work)
    return answers, folder


@pytest.mark.parametrize(("world_size", "kind", "how", "options"), TRAINED)
def test_training_equals_one_process(started, alone, world_size, kind, how, options):
    """The same global batches, the last one uneven: gradients, weights, losses, metrics; in every process."""
    expected = alone[0]["trained", kind, options]
    assert expected["step"] == (6 if options == "plain" else 4)
    for answer in started[0][world_size]:
        close(answer[f"trained {[kind, how, options]}"], expected)


@pytest.mark.parametrize(("world_size", "how"), EACH)
def test_callbacks_with_weights_of_their_own(started, alone, world_size, how):
    for answer in started[0][world_size]:
        close(answer[f"averaged {how}"], alone[0]["averaged"])


@pytest.mark.parametrize(("world_size", "how"), EACH)
def test_all_begin_with_the_same_weights_and_draw_different_numbers(started, world_size, how):
    """The seed of each process is its number."""
    answers = [answer[f"beginnings {how}"] for answer in started[0][world_size]]
    torch.manual_seed(0)
    close(answers[0]["begun"], dict(MLP(6, (8,), 3).state_dict()), 0)
    for answer in answers[1:]:
        close(answer["weights"], answers[0]["weights"], 0)
        assert not torch.equal(answer["drawn"], answers[0]["drawn"])


@pytest.mark.parametrize("how", HOWS)
def test_a_checkpoint_of_two_goes_on_with_four_and_then_with_one(started, alone, how):
    """The four spread the model in the other way than the two."""
    answers, folder = started
    for answer in answers[2]:
        assert answer[f"first {how}"]["saved"] == ["step-000000004"]
    for answer in answers[4]:
        second = answer[f"second {how}"]
        assert (second["found"], second["begun_at"], second["step"]) == (True, 4, 6)
    assert [path.name for path in (folder / how).iterdir()] == ["step-000000006"]
    shutil.copytree(folder / how, folder / f"{how} for one")
    last = jobs.second_part(jobs.alone(), "ddp", folder / f"{how} for one")
    assert (last.pop("begun_at"), last["step"]) == (6, 9)
    close(last, {name: value for name, value in alone[0]["whole"].items() if name != "begun_at"})


@pytest.mark.parametrize("how", HOWS)
def test_a_checkpoint_of_one_goes_on_with_two(started, alone, how):
    for answer in started[0][2]:
        close(answer[f"file {how}"], alone[0]["whole"])


@pytest.mark.parametrize("how", HOWS)
def test_resumed_by_as_many_processes_the_bits_are_the_same(started, how):
    """In the middle of an epoch, with dropout: each process draws on where it was."""
    for answer in started[0][2]:
        whole, resumed = answer[f"same bits {how}"].values()
        assert whole["step"] == resumed["step"] == 6
        close(resumed, whole, 0)


@pytest.mark.parametrize("world_size", WORLDS)
def test_an_interruption_of_one_process_stops_all_after_the_same_step(started, world_size):
    """The signal comes after step 3, so that all know of it in step 4."""
    for answer in started[0][world_size]:
        assert answer["interrupted"]["step"] == 4
        assert answer["interrupted"]["saved"] == ["step-000000004"]
        assert "step-000000004" in answer["interrupted"]["message"]


@pytest.mark.parametrize("how", HOWS)
def test_the_statistics_of_batchnorm_are_those_of_the_first_process(started, how):
    """In the checkpoint, in validation, and at the end; each process has gathered its own."""
    answers, folder = started
    zero, one = (answer[f"batchnorm {how}"] for answer in answers[2])
    assert not torch.equal(zero["own"][0], one["own"][0])
    model = net(p=0.0, dtype=torch.float64)
    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu")
    assert resume(run, folder / f"batchnorm {how}")
    close(list(model.buffers()), zero["own"], 0)
    close(one["end"], zero["end"], 0)
    model.load_state_dict(zero["model"])
    expected = run.evaluate(TensorBatches(jobs.points(1), 32))["loss"]
    assert zero["loss"] == one["loss"] == pytest.approx(expected, rel=1e-12)


def test_the_loss_of_a_step_is_the_mean_over_the_examples_of_the_process(started):
    for answer in started[0][2]:
        shown, seen = answer["losses"].values()
        (a, n), (b, m), (c, _) = seen
        assert n == m == 4
        assert shown == pytest.approx([(a * n + b * m) / (n + m), c], rel=1e-12)


@pytest.mark.parametrize(("world_size", "how"), EACH)
def test_a_loss_that_is_not_finite_in_one_process_stops_all(started, world_size, how):
    for answer in started[0][world_size]:
        assert answer[f"not a number {how}"]["step"] == 0
        assert answer[f"not a number {how}"]["message"].startswith("the loss is nan")


@pytest.mark.parametrize("how", HOWS)
def test_an_overflow_in_one_process_is_left_out_by_all(started, how):
    for answer in started[0][2]:
        close(answer[f"overflow {how}"]["after"], answer[f"overflow {how}"]["before"], 0)


@pytest.mark.parametrize("world_size", WORLDS)
def test_one_process_speaks_and_writes(started, world_size):
    first, *others = (answer["one voice"] for answer in started[0][world_size])
    assert len(first["lines"]) == len(first["file"]) == 2
    assert all(line.startswith(f"epoch {i}/2") for i, line in enumerate(first["lines"], 1))
    for other in others:
        assert other["lines"] == []
        assert other["file"] == first["file"]


@pytest.mark.parametrize("world_size", WORLDS)
def test_data_that_are_not_shared_out_are_refused(started, world_size):
    for rank, answer in enumerate(started[0][world_size]):
        share = f"expected share {rank} of {world_size} of the training data in this process, got "
        messages = answer["refused"]["messages"]
        for name in ("whole tensors", "whole loader", "share of one"):
            assert messages[name].startswith(share + "the whole: "), name
        assert messages["another share"].startswith(share + f"share {(rank + 1) % world_size} of {world_size}: ")
        assert f"got {[min(1 + r, 3) for r in range(world_size)]}" in messages["lengths"]
        nothing = ["step-000000004", *[None] * (world_size - 1)]
        assert str(nothing) in messages["folder"]
        assert answer["refused"]["step"] == 3


def test_gradients_are_exchanged_once_in_a_step(started):
    """Not after each of the batches whose gradients add up."""
    for answer in started[0][2]:
        assert len(answer["exchanges"]["ddp"]) == len(answer["exchanges"]["fsdp"]) == 1


# ---- torchrun


def torchrun(count, *words):
    """Start so many processes of a script and see them end well."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": paths}
    run = subprocess.run([*command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-5000:]


def test_a_killed_worker_is_started_again_and_all_end_with_the_same_bits(started, tmp_path):
    """SIGKILL in the middle of a checkpoint; torchrun starts both workers again, and they go on from the one before."""
    torchrun(2, "--max-restarts", "1", "-m", "tests.dlguide.torchrun_script", tmp_path)
    lives = [torch.load(tmp_path / f"life-{i}.pt", weights_only=True) for i in range(2)]
    assert [life["begun_at"] for life in lives] == [0, 2]  # a checkpoint after each second step
    assert lives[1]["there"] == ["step-000000002", "step-000000004.part"]
    last = torch.load(tmp_path / "answer.pt", weights_only=True)
    assert last.pop("begun_at") == 2
    close(last, {name: value for name, value in started[0][2][0]["to the end"].items() if name != "begun_at"}, 0)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000006"]


def test_the_threads_of_gloo_are_done_before_python_ends(tmp_path):
    """They drop their last tensors by Python, and abort after its end: in one run of three, if nobody waits."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; sys.setswitchinterval(100)\n"  # a thread gets its turn only where Python is given away
        "import torch\n"
        "from dlguide.train import distributed, processes\n"
        "with processes(device='cpu') as group:\n"
        "    model = group.spread(torch.nn.Linear(4, 4))\n"  # is there to the end, and with it the threads
        "    for _ in range(20):\n"
        "        distributed.add_up(torch.ones(3))\n"
    )
    torchrun(3, script)


def test_a_full_disk_is_one_sentence_in_all_processes_and_nothing_half_written(tmp_path):
    """A limit on the size of files, in the second process alone, is one that needs no disk."""
    script = tmp_path / "script.py"
    script.write_text(
        "import resource, sys\n"
        "import torch\n"
        "from dlguide.train import Checkpoint, Trainer, processes\n"
        "with processes(device='cpu') as group:\n"
        "    model = group.spread(torch.nn.Sequential(torch.nn.Linear(300, 300)), 'fsdp')\n"
        "    run = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device='cpu')\n"
        "    if group.rank == 1:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "    try:\n"
        "        Checkpoint(sys.argv[1]).save(run)\n"
        "    except OSError as error:\n"
        "        assert 'step-000000000 cannot be written (' in str(error), error\n"
        "        assert str(error).endswith('): is there room on the disk?'), error\n"
        "    else:\n"
        "        raise AssertionError('it was written')\n"
    )
    torchrun(2, script, tmp_path / "checkpoints")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def meet(store, timeout=30.0):
    """What two processes agree on that come to the same store."""
    with ThreadPoolExecutor(2) as pool:
        places = [pool.submit(distributed._of_this_life, store, number, 2, timeout) for number in (1, 0)]
        one, zero = (place.result() for place in places)
    zero.set("key", "said by 0")
    return one.get("key")


def test_a_second_life_does_not_read_what_the_first_one_wrote():
    """The agent's store outlives the workers; here the first life ended when only one of them had come."""
    store = torch.distributed.HashStore()
    store.set("dlguide/1", "the name of a dead process")
    store.set("key", "an old address")
    assert meet(store) == b"said by 0"
    keys = store.num_keys()
    assert meet(store) == b"said by 0"
    assert store.num_keys() > keys
    with pytest.raises(TimeoutError, match=r"expected 2 processes, waited 0.1 s for process 1"):
        distributed._of_this_life(torch.distributed.HashStore(), 0, 2, 0.1)


# ---- one process alone


def test_each_process_of_a_machine_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert distributed._device_of_process("auto") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match="got 1 for process 1: torchrun --nproc-per-node 1, or processes"):
        distributed._device_of_process("auto")
    assert distributed._device_of_process("cpu") == torch.device("cpu")


def test_without_torchrun_nothing_happens(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with processes("cpu") as group:
        model = torch.nn.Linear(2, 2)
        assert (group.rank, group.world_size, group.device) == (0, 1, torch.device("cpu"))
        assert group.spread(model) is group.spread(model, "fsdp") is model
        assert not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match="'ddp' or 'fsdp', got 'dp'"):
        group.spread(model, "dp")


def flip(file):
    """Change one bit in the middle of a file."""
    found = bytearray(file.read_bytes())
    found[len(found) // 2] ^= 1
    file.write_bytes(found)


def test_a_damaged_checkpoint_of_several_is_refused(started, tmp_path):
    """A part that is missing or cut off, and an index that would run code."""
    import pickle

    whole = started[1] / "fsdp" / "step-000000006"
    for name, damage, reason in [
        ("missing", lambda folder: (folder / "rank-00000.pt").unlink(), "rank-00000.pt is no complete"),
        ("cut", lambda folder: (folder / "rank-00001.pt").write_bytes(b"PK"), "rank-00001.pt is no complete"),
        ("index", lambda folder: (folder / ".metadata").write_bytes(b""), ".metadata cannot be read"),
        ("no index", lambda folder: (folder / ".metadata").unlink(), ".metadata cannot be read"),
        ("a tensor cut", lambda folder: os.truncate(folder / "__0_0.distcp", 500), "__0_0.distcp have changed"),
        ("a bit", lambda folder: flip(folder / "__1_0.distcp"), "the bytes of __1_0.distcp have changed.: delete it"),
        ("a tensor gone", lambda folder: (folder / "__0_0.distcp").unlink(), "No such file .*__0_0.distcp"),
        ("code", lambda folder: (folder / ".metadata").write_bytes(pickle.dumps(shutil.rmtree)), "found shutil.rmtree"),
    ]:
        copy = tmp_path / name / whole.name
        shutil.copytree(whole, copy)
        damage(copy)
        with pytest.raises(ValueError, match=reason):
            jobs.second_part(jobs.alone(), "ddp", copy.parent)
