"""Checkpoints: every way to feed a run goes on with the same bits, every broken file gets one sentence."""

import errno
import os
import pickle
import random
import resource
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, WeightedRandomSampler

from dlguide.data import BatchOrder, TensorBatches
from dlguide.train import EMA, Callback, Checkpoint, EarlyStopping, Trainer, resume
from dlguide.train._files import checkpoints, read, write, write_text
from tests.dlguide.training_runs import batches, bits, net, points, same, trainer

# ---- resumed inside an epoch


class Noisy(Dataset):
    """Examples that draw random numbers of all kinds when they are read, as augmentation does."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        x, y = points()[i]
        return x + torch.randn(6) * random.random() * np.random.rand(), y


def own(seed=3):
    return torch.Generator().manual_seed(seed)


def weighted():
    return DataLoader(points(), 8, sampler=WeightedRandomSampler(torch.arange(1.0, 51), 50, generator=own()))


def drawn_in_parts():
    """The sampler of the batches draws 32 numbers at a time."""
    sampler = RandomSampler(points(), replacement=True, generator=own())
    return DataLoader(points(), batch_sampler=BatchSampler(sampler, 8, drop_last=False))


LOADERS = {
    "tensors": batches,
    "augmented tensors": lambda: batches(augment=lambda x, g: x + torch.randn(x.shape, generator=g)),
    "loader that shuffles": lambda: DataLoader(points(), 8, shuffle=True),
    "loader that draws": lambda: DataLoader(Noisy(), 8, shuffle=True),
    "loader with a generator": lambda: DataLoader(points(), 8, shuffle=True, generator=own()),
    "loader with even batches": lambda: DataLoader(points(48), 8, shuffle=True, generator=own()),
    "sampler with a generator": weighted,
    "batch sampler whose sampler has a generator": drawn_in_parts,
    "loader with our order": lambda: DataLoader(points(), batch_sampler=BatchOrder(50, 8)),
    "list": lambda: list(zip(*(t.split(8) for t in points().tensors), strict=True)),
}


def run_in_pieces(folder, loader, *stops, validation=None, build=trainer):
    """Stop after some steps, each time as a process that is started anew: nothing but the file is left."""
    for stop in stops:
        run = build(Checkpoint(folder, every=1))
        resume(run, folder)
        torch.manual_seed(7 * (stop or 0))  # another process draws other numbers before and after
        run.fit(loader(), validation, **({"steps": stop} if stop else {"epochs": 3}))
    return run


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_a_run_in_pieces_has_the_bits_of_one_run(tmp_path, name, accumulate):
    def build(*callbacks):
        return trainer(*callbacks, accumulate=accumulate)

    random.seed(0)
    np.random.seed(0)
    whole = build()
    expected = whole.fit(LOADERS[name](), batches(), epochs=3)
    random.seed(0)
    np.random.seed(0)
    pieces = run_in_pieces(tmp_path, LOADERS[name], 3, 4, 7, None, validation=batches(), build=build)
    assert pieces.step == whole.step
    assert same(bits(pieces.model), bits(whole.model))
    assert pieces.history == expected


@pytest.mark.parametrize("own_order", [False, True])
def test_workers_that_draw_go_on_too(tmp_path, own_order):
    def loader():
        n = len(Noisy())
        how = {"batch_sampler": BatchOrder(n, 8, seed=1)} if own_order else {"batch_size": 8, "shuffle": True}
        return DataLoader(Noisy(), num_workers=2, multiprocessing_context="fork", **how)

    random.seed(0)
    whole = trainer()
    whole.fit(loader(), steps=9)
    random.seed(0)
    first, second = (trainer(Checkpoint(tmp_path, every=1)) for _ in range(2))
    first.fit(loader(), steps=4)
    assert resume(second, tmp_path)
    second.fit(loader(), steps=9)
    assert same(bits(whole.model), bits(second.model))


def test_an_epoch_that_a_limit_of_steps_ends_is_not_lost(tmp_path):
    """Killed in the validation after step 14 of 14, which ends the second epoch."""

    class Kill(Callback):
        def before_validation(self, trainer):
            if trainer.step == 14:
                raise OSError("killed")

    whole = trainer()
    expected = whole.fit(batches(), batches(), steps=14)
    with pytest.raises(OSError, match="killed"):
        trainer(Kill(), Checkpoint(tmp_path, every=1)).fit(batches(), batches(), steps=14)
    rest = trainer(Checkpoint(tmp_path, every=1))
    assert resume(rest, tmp_path)
    assert rest.fit(batches(), batches(), steps=14) == expected
    assert (rest.epoch, rest.batch, len(expected.validation_loss)) == (2, 0, 2)
    assert same(bits(rest.model), bits(whole.model))


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "SGD"), (lambda p: torch.optim.AdamW(p, lr=0.01), "AdamW"),
     (lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True), "RMSprop"),
     (lambda p: torch.optim.Adagrad(p, lr=0.05), "Adagrad"), (lambda p: torch.optim.NAdam(p, lr=0.01), "NAdam")],
)
def test_every_optimizer_goes_on(tmp_path, make, name):
    def build(*callbacks):
        model = net()
        return Trainer(model, make(model.parameters()), callbacks=callbacks, device="cpu")

    whole = build()
    whole.fit(batches(), epochs=3)
    pieces = run_in_pieces(tmp_path, batches, 5, None, build=build)
    assert same(bits(whole.model), bits(pieces.model)), name


S = torch.optim.lr_scheduler
SCHEDULES = {
    "lambda": lambda o: S.LambdaLR(o, lambda step: np.exp(-step / 10)),  # a number of NumPy gets into the optimizer
    "steps": lambda o: S.MultiStepLR(o, [4, 9]),
    "one cycle": lambda o: S.OneCycleLR(o, 0.1, total_steps=30),
    "cycles": lambda o: S.CyclicLR(o, 0.01, 0.1, mode="exp_range", cycle_momentum=False),
    "warm-up": lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, total_iters=5), S.CosineAnnealingLR(o, 20)], [5]),
    "restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 6),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_goes_on(tmp_path, name):
    def build(*callbacks):
        model = net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        return Trainer(model, optimizer, scheduler=SCHEDULES[name](optimizer), callbacks=callbacks, device="cpu")

    whole = build()
    whole.fit(batches(), epochs=3)
    pieces = run_in_pieces(tmp_path, batches, 6, None, build=build)
    assert same(bits(whole.model), bits(pieces.model))


def test_fp16_goes_on_with_its_scale(tmp_path):
    def build(*callbacks):
        run = trainer(*callbacks, precision="fp16", clip=1.0)
        run.scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=4)
        return run

    whole = build()
    whole.fit(batches(), epochs=3)
    pieces = run_in_pieces(tmp_path, batches, 6, None, build=build)
    assert pieces.scaler.state_dict() == whole.scaler.state_dict()
    assert whole.scaler.get_scale() > 1024
    assert same(bits(whole.model), bits(pieces.model))


def test_what_is_left_out_is_missed(tmp_path):
    """Each part of the state matters: a run that goes on without one ends elsewhere."""
    whole, first = trainer(), trainer()
    whole.fit(batches(), epochs=3)
    first.fit(batches(), steps=10)
    path = tmp_path / "state.pt"
    write(path, first.state_dict())
    fresh = trainer().state_dict()
    for part in ("optimizer", "scheduler", "random", "step", "batch", "epoch"):
        other = trainer()
        saved = read(path)
        saved[part] = {"optimizer": fresh["optimizer"], "scheduler": fresh["scheduler"], "random": None}.get(part, 1)
        other.load_state_dict(saved)
        other.fit(batches(), steps=21)
        assert not same(bits(other.model), bits(whole.model)) or part == "epoch", part


# ---- files


def test_the_newest_files_stay(tmp_path):
    run = trainer(Checkpoint(tmp_path / "new" / "folder", every=3, keep=2))
    run.fit(batches(), epochs=2)
    assert [path.name for path in checkpoints(tmp_path / "new" / "folder")] == [
        "step-000000009.pt", "step-000000012.pt"]
    assert run.callbacks[0].saved == tmp_path / "new" / "folder" / "step-000000012.pt"


def test_without_steps_each_epoch_is_saved(tmp_path):
    trainer(Checkpoint(tmp_path, keep=9)).fit(batches(), epochs=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000007.pt", "step-000000014.pt"]


def test_a_step_of_ten_digits_is_the_newest(tmp_path):
    for name in ("step-1000000000.pt", "step-999999999.pt", "step-000000009.pt", "step-1.pt", "other.pt"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-000000009.pt", "step-999999999.pt", "step-1000000000.pt"]


@pytest.mark.parametrize(("every", "keep"), [(0, 1), (None, 0)])
def test_numbers_that_do_not_fit(tmp_path, every, keep):
    with pytest.raises(ValueError, match=f"expected keep >= 1 and every >= 1 or none, got {keep} and {every}"):
        Checkpoint(tmp_path, every=every, keep=keep)


def test_two_runs_do_not_mix_in_one_folder(tmp_path):
    trainer(Checkpoint(tmp_path)).fit(batches(), epochs=2)
    with pytest.raises(ValueError, match=r"expected a run that goes on from .*14\.pt, got one at step 0: call resume"):
        trainer(Checkpoint(tmp_path)).fit(batches(), epochs=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000014.pt"]


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("file", "file/folder"):
        run = trainer(Checkpoint(tmp_path / folder))
        with pytest.raises(OSError, match=r"expected a folder for checkpoints that can be written, got .*: ") as caught:
            run.fit(batches(), epochs=1)
        assert "\n" not in str(caught.value)
        assert run.step == 0
    run = trainer(Checkpoint(tmp_path / "new"))
    run.fit(batches(), steps=1)
    assert list((tmp_path / "new").iterdir()) == []  # the trial left nothing


def test_no_folder_is_no_checkpoint(tmp_path):
    assert not resume(trainer(), tmp_path / "none")
    assert not resume(trainer(), tmp_path)


class Code:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def plant_code(path):
    torch.save({"format": 2, "model": Code()}, path)


def plant_pickle(path):
    path.write_bytes(pickle.dumps(Code()))


def flip(path):
    """One bit in the middle of the numbers: PyTorch itself does not notice."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        largest = max((i for i in file.infolist() if "/data/" in i.filename), key=lambda info: info.file_size)
    start = content.index(largest.filename.encode()) + 1000
    content[start] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "is no complete checkpoint .*: delete it to go on from the one"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no complete checkpoint"),
    "half": (lambda path: path.write_bytes(path.read_bytes()[:2000]), "is no complete checkpoint"),
    "text": (lambda path: path.write_text("hello"), "is no complete checkpoint"),
    "one bit": (flip, "is no complete checkpoint .the bytes of .* have changed"),
    "another archive": (lambda path: zipfile.ZipFile(path, "w").close(), "is no complete checkpoint"),
    "code": (plant_code, "holds more than tensors and plain values, such as code, so it was not opened"),
    "a pickle with code": (plant_pickle, "is no complete checkpoint"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), "should hold the state of a run and holds a Tensor"),
    "another format": (lambda path: write(path, {"format": 99}), "expected a state of format 2, got 99"),
    "no format": (lambda path: write(path, {"model": {}}), "expected a state of format 2, got None"),
    "half a state": (lambda path: write(path, {"format": 2, "callbacks": [], "scheduler": {}}),
                     "was saved with another model, optimizer or trainer"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_none_gets_one_sentence_and_runs_no_code(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer(Checkpoint(tmp_path)).fit(batches(), epochs=1)
    [path] = checkpoints(tmp_path)
    damage, sentence = DAMAGE[kind]
    damage(path)
    with pytest.raises(ValueError, match=sentence) as caught:
        resume(trainer(), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


def other_model():
    model = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3))
    optimizer = torch.optim.Adam(model.parameters())
    return Trainer(model, optimizer, scheduler=S.CosineAnnealingLR(optimizer, 60), device="cpu")


def other_optimizer():
    model = net()
    optimizer = torch.optim.Adam([{"params": model[0].parameters()}, {"params": model[4].parameters()}])
    return Trainer(model, optimizer, scheduler=S.CosineAnnealingLR(optimizer, 60), device="cpu")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (other_model, r"\.pt was saved with another model, optimizer or trainer: Error\(s\) in loading state_dict"),
        (other_optimizer, "loaded state dict has a different number of parameter groups"),
        (lambda: trainer(EMA()), r"expected the callbacks \[\] and a scheduler, as in the saved run, got \['EMA'\]"),
        (lambda: trainer(scheduler=False), r"and a scheduler, as in the saved run, got \[\] and no scheduler"),
        (lambda: trainer(precision="fp16"), "was saved with another model, optimizer or trainer: The source"),
    ],
)
def test_another_trainer_gets_one_sentence(tmp_path, build, sentence):
    trainer(Checkpoint(tmp_path)).fit(batches(), epochs=1)
    with pytest.raises(ValueError, match=sentence) as caught:
        resume(build(), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


class Keeps(Callback):
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"kept": [self.value]}


def test_what_could_not_be_read_is_not_written(tmp_path):
    """A file with a function in it would be refused when it is needed."""
    with pytest.raises(TypeError, match=r"got type at state\['callbacks'\]\[0\]\[1\]\['kept'\]\[0\]"):
        trainer(Keeps(Callback), Checkpoint(tmp_path)).fit(batches(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_become_plain_ones(tmp_path):
    state = {"a": np.float64(0.5), "b": [np.int64(3), (np.bool_(True), None)], "c": Counter({2: 1}), "d": {1, "x"}}
    write(tmp_path / "state.pt", state)
    found = read(tmp_path / "state.pt")
    assert found == state
    assert [type(found["a"]), type(found["b"][0]), type(found["b"][1][0])] == [float, int, bool]
    assert isinstance(found["c"], Counter)


# ---- a crash at every stage of a write


class Crash(BaseException):
    """As sudden as a kill."""


@pytest.mark.parametrize("stage", ["open", "save", "half", "fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path, stage, monkeypatch):
    path = tmp_path / "step-000000001.pt"
    write(path, {"value": torch.ones(3)})
    before = path.read_bytes()
    save = torch.save

    def crash(*_):
        raise Crash

    def half(state, file):
        save(state, file)
        file.truncate(100)
        raise Crash

    with monkeypatch.context() as patch:
        if stage == "open":
            patch.setattr(Path, "open", crash)
        elif stage in ("save", "half"):
            patch.setattr(torch, "save", crash if stage == "save" else half)
        else:
            patch.setattr(*((os, "fsync") if stage == "fsync" else (Path, "replace")), crash)
        with pytest.raises(Crash):
            write(path, {"value": torch.zeros(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
    assert torch.equal(read(path)["value"], torch.ones(3))


def test_a_file_is_flushed_before_it_gets_its_name_and_its_name_after(tmp_path, monkeypatch):
    """Else a power cut could leave a name with nothing behind it."""
    calls: list[str] = []

    def noting(name, function):
        def note(*args):
            calls.append(name)
            return function(*args)

        return note

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", noting("replace", Path.replace))
    write(tmp_path / "a.pt", {"value": 1})
    assert calls == ["fsync", "replace", "fsync"]


def test_a_text_is_written_in_the_same_way(tmp_path, monkeypatch):
    calls, path = [], tmp_path / "new" / "folder" / "text.toml"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: calls.append(Path(f"/proc/self/fd/{number}").readlink()))
        write_text(path, "größer\n")
    assert calls == [Path(f"{path}.part"), path.parent]
    assert path.read_bytes() == "größer\n".encode()

    def crash(*_):
        raise Crash

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(Crash):
        write_text(path, "another")
    assert path.read_text("utf-8") == "größer\n"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / "step-000000003.pt.part").write_bytes(b"half")
    run = trainer(Checkpoint(tmp_path))
    assert not resume(run, tmp_path)
    run.fit(batches(), epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000007.pt"]


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(state, file):
        file.write(b"something")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left on device"):
        trainer(Checkpoint(tmp_path)).fit(batches(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_says_of_a_full_disk_is_said_with_the_file(tmp_path):
    """A limit on the size of files is one that needs no disk; torch's writer hides what it meets."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size, limit in ((10, 500), (100_000, 5_000)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match="so it was not written") as caught:
                write(tmp_path / "step-000000001.pt", {"weights": torch.zeros(size)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (caught.value.filename, caught.value.errno) == (str(tmp_path / "step-000000001.pt"), errno.EFBIG)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_reads_as_weights_of_a_plain_model(tmp_path):
    """The file needs no package of ours: torch.load and load_state_dict are enough."""
    run = trainer(EarlyStopping(), Checkpoint(tmp_path))
    run.fit(batches(), TensorBatches(points(20, seed=1), 20), epochs=2)
    saved = torch.load(run.callbacks[-1].saved, weights_only=True)
    model = net(seed=9)
    model.load_state_dict(saved["model"])
    best = dict(saved["callbacks"])["EarlyStopping"]["weights"]
    assert same(best, bits(run.model))
