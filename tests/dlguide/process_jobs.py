"""What the tests of several processes run in each of them, and how they are started: without ports, from one server."""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from dlguide.data import BatchOrder, TensorBatches
from dlguide.models import MLP, TransformerClassifier
from dlguide.train import (
    EMA,
    Callback,
    Checkpoint,
    EarlyStopping,
    HistoryFile,
    Interrupted,
    Processes,
    ProgressBar,
    Trainer,
    processes,
    resume,
)
from tests.dlguide.training_runs import net

N, BATCH = 21, 8  # two full batches and one of 5: with four processes 2, 1, 1 and 1 examples
Answer = dict[str, Any]
Job = tuple[Callable[..., Answer], tuple[Any, ...]]  # and what follows the group


def texts(seed: int = 0) -> TensorDataset:
    """Texts whose class is whether they have more of the ids 1 to 5 than of the others."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 11, (N, 6), generator=generator)
    lengths = torch.randint(2, 7, (N,), generator=generator)
    ids = torch.where(torch.arange(6) < lengths[:, None], ids, 0)
    return TensorDataset(ids, lengths, ((ids > 0) & (ids < 6)).sum(1).ge(lengths / 2).long())


def points(seed: int = 0) -> TensorDataset:
    """Points whose class is the largest of their first three numbers."""
    x = torch.randn(N, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return TensorDataset(x, x[:, :3].argmax(1))


def model_of(kind: str, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    if kind == "mlp":
        return MLP(6, (8,), 3).double()
    return TransformerClassifier(11, width=8, heads=2, depth=2, max_length=6, dropout=dropout).double()


def build(group: Processes, kind: str, how: str = "ddp", *, dropout: float = 0.0, lr: float = 0.01, **options: Any
          ) -> tuple[Trainer, TensorBatches, TensorBatches]:  # fmt: skip
    """The same trainer and the same data for any number of processes."""
    model = group.spread(model_of(kind, dropout), how)
    # the gradient of a key's bias is 0 but for rounding, which Adam would make as large as the others
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    share = {"rank": group.rank, "world_size": group.world_size}
    data = points if kind == "mlp" else texts
    train = TensorBatches(data(), BATCH, shuffle=True, seed=3, **share)
    validation = TensorBatches(data(1), 32, **share)
    return Trainer(model, optimizer, scheduler=scheduler, device="cpu", **options), train, validation


def state(group: Processes, trainer: Trainer) -> Answer:
    """What the run ended with: whole weights, the gradient of the last step, the numbers."""
    parameters = [p for p in trainer.model.parameters() if p.grad is not None]
    return {
        "weights": group.gather(trainer.model),
        "gradients": [getattr(p.grad, "full_tensor", lambda p=p: p.grad)() for p in parameters],
        "history": trainer.history.state_dict(),
        "norm": trainer.logs.get("norm"),
        "step": trainer.step,
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated and clipped": {"accumulate": 2, "clip": 0.05},  # three batches: a step of two and one of one
}


def trained(group: Processes, kind: str, how: str, options: str) -> Answer:
    """Two epochs with validation."""
    from torchmetrics.classification import MulticlassF1Score  # not for what torchrun starts: it takes a second

    metrics = {"f1": MulticlassF1Score(3 if kind == "mlp" else 2, average="macro")}
    trainer, train, validation = build(group, kind, how, metrics=metrics, **OPTIONS[options])
    trainer.fit(train, validation, epochs=2)
    return {**state(group, trainer), "evaluation": trainer.evaluate(validation)}


def averaged(group: Processes, how: str) -> Answer:
    """Callbacks that keep weights of their own."""
    trainer, train, validation = build(group, "transformer", how, callbacks=[EMA(0.8), EarlyStopping()])
    trainer.fit(train, validation, epochs=2)
    return state(group, trainer)


def first_part(group: Processes, how: str, folder: Path) -> Answer:
    """Five steps of six, in the middle of the second epoch, with a checkpoint after the fourth."""
    callbacks = [EMA(0.8), EarlyStopping(), Checkpoint(folder, every=4)]
    trainer, train, validation = build(group, "transformer", how, callbacks=callbacks)
    trainer.fit(train, validation, steps=5)
    return {"saved": sorted(path.name for path in folder.iterdir())}


def second_part(group: Processes, how: str, folder: Path, epochs: int = 3, **options: Any) -> Answer:
    """The rest, by any number of processes."""
    callbacks = [EMA(0.8), EarlyStopping(), Checkpoint(folder)]
    trainer, train, validation = build(group, "transformer", how, callbacks=callbacks, **options)
    found = resume(trainer, folder)
    begun_at = trainer.step
    trainer.fit(train, validation, epochs=epochs)
    return {"found": found, "begun_at": begun_at, **state(group, trainer)}


def same_bits(group: Processes, how: str, folder: Path) -> Answer:
    """With dropout: a run without a stop, and one that another trainer goes on with in the middle of an epoch."""
    whole, train, validation = build(group, "transformer", how, dropout=0.3)
    whole.fit(train, validation, epochs=2)
    begun, *data = build(group, "transformer", how, dropout=0.3, callbacks=[Checkpoint(folder, every=4)])
    begun.fit(*data, steps=5)
    rest, *data = build(group, "transformer", how, dropout=0.3, callbacks=[Checkpoint(folder, every=4)])
    resume(rest, folder)
    rest.fit(*data, epochs=2)
    return {"whole": state(group, whole), "resumed": state(group, rest)}


def to_the_end(group: Processes, folder: Path, *callbacks: Callback) -> Answer:
    """Two epochs with dropout, from where the folder says; what torchrun_script.py does in each of its lives."""
    trainer, *data = build(
        group, "transformer", "fsdp", dropout=0.3, callbacks=[*callbacks, Checkpoint(folder, every=2)])  # fmt: skip
    resume(trainer, folder)
    begun_at = trainer.step
    trainer.fit(*data, epochs=2)
    return {"begun_at": begun_at, **state(group, trainer)}


class At(Callback):
    """Do something after a step."""

    def __init__(self, step: int, action: Callable[[Trainer], object]) -> None:
        self.step, self.action = step, action

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            self.action(trainer)


def interrupted(group: Processes, folder: Path) -> Answer:
    """SIGTERM reaches one process only."""
    last = group.rank == group.world_size - 1
    kill = At(3, lambda _: os.kill(os.getpid(), signal.SIGTERM) if last else None)
    trainer, train, _ = build(group, "mlp", callbacks=[kill, Checkpoint(folder, every=100)])
    try:
        trainer.fit(train, epochs=2)
    except Interrupted as error:
        return {"step": trainer.step, "message": str(error), "saved": [path.name for path in folder.iterdir()]}
    return {"step": -1}


def with_batchnorm(group: Processes, how: str, folder: Path) -> Answer:
    """Each process sees other examples, so that the running statistics of its BatchNorm are others."""
    model = group.spread(net(p=0.0, dtype=torch.float64), how)
    own: dict[str, Tensor] = {}
    look = At(5, lambda trainer: own.update({name: t.clone() for name, t in trainer.model.named_buffers()}))
    share = {"rank": group.rank, "world_size": group.world_size}
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu",
                      callbacks=[look, Checkpoint(folder, every=5)])  # fmt: skip
    train, validation = TensorBatches(points(), BATCH, **share), TensorBatches(points(1), 32, **share)
    trainer.fit(train, validation, epochs=2)  # of 3 steps
    answer = {"own": list(own.values()), "model": group.gather(model), "loss": trainer.logs["validation_loss"]}
    trainer.fit(train, validation, steps=trainer.step + 1)
    return {**answer, "end": group.gather(model)}


def losses_of_steps(group: Processes) -> Answer:
    """What is shown of each step, and the losses of its two batches with their numbers of examples."""
    trainer, train, _ = build(group, "mlp", accumulate=2)
    seen: list[tuple[float, int]] = []

    def loss(output: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(output, y)
        seen.append((value.item(), len(y)))
        return value

    shown: list[float] = []
    trainer.loss, trainer.callbacks = loss, [At(step, lambda t: shown.append(t.last_loss.item())) for step in (1, 2)]
    trainer.fit(train, epochs=1)
    return {"shown": shown, "seen": seen}


def not_a_number(group: Processes, how: str) -> Answer:
    """The data of one process hold a nan."""
    trainer, train, _ = build(group, "mlp", how)
    if group.rank == group.world_size - 1:
        train.tensors[0][:] = torch.nan
    try:
        trainer.fit(train, epochs=1)
    except FloatingPointError as error:
        return {"step": trainer.step, "message": str(error)}
    return {"step": -1}


def overflow(group: Processes, how: str) -> Answer:
    """The gradient of one process is too large for float16: all leave the step out and halve the scale."""
    torch.manual_seed(0)
    model = group.spread(MLP(6, (8,), 3), how)
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), precision="fp16", device="cpu")
    dataset = TensorDataset(points().tensors[0].float(), points().tensors[1])
    train = TensorBatches(dataset, BATCH, rank=group.rank, world_size=group.world_size)
    trainer.scaler.load_state_dict({**trainer.scaler.state_dict(), "scale": 2.0 ** (21 if group.rank else 14)})
    before = group.gather(model)
    trainer.fit(train, steps=1)
    return {"before": before, "after": group.gather(model)}


def one_voice(group: Processes, folder: Path) -> Answer:
    """What is printed and written."""
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        trainer, *data = build(group, "mlp", callbacks=[ProgressBar(), HistoryFile(folder / "history.jsonl")])
        trainer.fit(*data, epochs=2)
    dist.barrier()
    return {"lines": error.getvalue().splitlines(), "file": (folder / "history.jsonl").read_text().splitlines()}


def beginnings(group: Processes, how: str) -> Answer:
    """Processes that begin with different weights and different random numbers."""
    torch.manual_seed(group.rank)
    model = group.spread(MLP(6, (8,), 3), how)
    begun = group.gather(model)
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), device="cpu")
    drawn: list[Tensor] = []
    trainer.callbacks = [At(1, lambda _: drawn.append(torch.rand(3)))]
    trainer.fit(shared(group), steps=1)
    return {"begun": begun, "weights": group.gather(model), "drawn": drawn[0]}


def shared(group: Processes) -> DataLoader[Any]:
    """Each process's share by torch's own sampler."""
    dataset = TensorDataset(points().tensors[0].float(), points().tensors[1])
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, group.world_size, group.rank)
    return DataLoader(dataset, BATCH // group.world_size, sampler=sampler)


def exchanges(group: Processes) -> Answer:
    """How often gradients are exchanged in a step of three batches: parts of a sum need not be."""
    os.environ["KINETO_LOG_LEVEL"] = "99"
    found = {}
    for how, name in (("ddp", "gloo:all_reduce"), ("fsdp", "c10d::_reduce_scatter_base_")):
        trainer, train, _ = build(group, "mlp", how, accumulate=3)
        parameters = sum(p.numel() for p in trainer.model.parameters())
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as record:
            trainer.fit(train, epochs=1)
        sizes = [max(map(math.prod, event.input_shapes)) for event in record.events() if event.name == name]
        found[how] = [size / parameters for size in sizes if size >= parameters]
    return found


def refused(group: Processes, folder: Path) -> Answer:
    """Data that are not shared out, data of different lengths, and a folder that only one process has."""
    wrong: dict[str, Any] = {
        "whole tensors": TensorBatches(points(), BATCH),
        "whole loader": DataLoader(points(), BATCH),
        "share of one": DataLoader(points(), batch_sampler=BatchOrder(N, BATCH)),
        "another share": TensorBatches(
            points(), BATCH, rank=(group.rank + 1) % group.world_size, world_size=group.world_size
        ),
        "lengths": list(TensorBatches(points(), BATCH))[: 1 + group.rank],
    }
    messages = {}
    for name, batches in wrong.items():
        trainer, *_ = build(group, "mlp")
        try:
            trainer.fit(batches, epochs=1)
        except ValueError as error:
            messages[name] = str(error)
    trainer, *_ = build(group, "mlp")
    try:
        resume(trainer, folder if group.rank == 0 else folder / "of another machine")
    except ValueError as error:
        messages["folder"] = str(error)
    order = BatchOrder(N, BATCH, rank=group.rank, world_size=group.world_size)
    trainer.fit(DataLoader(points(), batch_sampler=order), epochs=1)
    return {"messages": messages, "step": trainer.step}


def by_hand(group: Processes) -> Answer:
    """The gradient that DDP leaves, without the trainer."""
    model = group.spread(model_of("mlp"))
    x, y = points().tensors
    F.cross_entropy(model(x[group.rank :: group.world_size][:6]), y[group.rank :: group.world_size][:6]).backward()
    return {"gradients": [p.grad for p in model.parameters()]}


def _work(rank: int, world_size: int, folder: Path, jobs: dict[str, Job]) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    answers: dict[str, Answer] = {}
    store = dist.FileStore(str(folder / "store"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=120))
    try:
        with processes("cpu") as group:
            for name, (job, arguments) in jobs.items():
                answers[name] = job(group, *arguments)
        dist.destroy_process_group()
    except BaseException:
        answers["error"] = {"traceback": traceback.format_exc(), "job": list(jobs)[len(answers)]}
        raise
    finally:
        torch.save(answers, folder / f"answers-{rank}.pt")


def together(world_size: int, folder: Path, jobs: dict[str, Job]) -> list[Answer]:
    """Run jobs in so many processes, one after the other, and return what each process answered."""
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")  # forks from a process without threads that has torch loaded
    slow = ["torch.distributed.fsdp", "torch.distributed.checkpoint", "torchmetrics.classification"]
    context.set_forkserver_preload([__name__, *slow])
    workers = [context.Process(target=_work, args=(rank, world_size, folder, jobs)) for rank in range(world_size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    for worker in workers:
        worker.kill()
        worker.join()
    answers = [torch.load(folder / f"answers-{rank}.pt", weights_only=True) for rank in range(world_size)]
    for rank, answer in enumerate(answers):
        wrong = answer.get("error", {})
        assert not wrong, f"process {rank} of {world_size}, {wrong['job']}: {wrong['traceback']}"
    return answers


def alone() -> Processes:
    return Processes(0, 1, torch.device("cpu"))
