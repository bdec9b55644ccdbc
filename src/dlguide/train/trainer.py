r"""The training loop, once, for two CPU cores and for many machines.

`Trainer.fit` is the loop that every PyTorch program repeats: forward pass, loss, `zero_grad`, `backward`, `step`.
Around it stands what a real run needs and a first program does not: mixed precision, accumulation and clipping of
gradients, schedules, validation, and a word to the callbacks. What can be added from outside is a callback: early
stopping, averages of weights, progress, files, checkpoints. The model knows nothing of all this, and the trainer
nothing of the model but that `model(*inputs)` gives what `loss(output, y)` takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dlguide.train import _check as check
from dlguide.train import _state as state
from dlguide.train._batches import Batch, Batches, read, take
from dlguide.train._diagnose import must_be_finite, not_finite
from dlguide.train._measure import Sums, measure
from dlguide.train._shares import check_shares
from dlguide.train.callbacks import Callback
from dlguide.train.devices import choose_device
from dlguide.train.distributed import add_up, share_buffers, total, without_exchange, world_size
from dlguide.train.history import History
from dlguide.train.interrupts import Interrupted, Interrupts

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    r"""Train a model: the loop, with everything else in callbacks.

    One step takes `accumulate` batches $B_1, \ldots, B_k$ and follows the gradient of the mean over all their examples,

    $$L = \frac{1}{\sum_i |B_i|} \sum_i |B_i|\, \operatorname{loss}(\operatorname{model}(x_i), y_i)$$

    so $k$ batches of size $B$ are one batch of size $kB$. Under `torchrun` the sum runs over the batches of all
    processes, and each process ends the step with the same weights.

    Args:
        model: called as `model(*inputs)`; moved to the device. `DistributedDataParallel` and FSDP2 models are welcome.
        optimizer: made from the parameters of this model.
        loss: called as `loss(output, y)`; gives the mean over the examples, a number.
        scheduler: made from this optimizer; it steps once after each step of the optimizer, not once per epoch.
        device: `"auto"` (CUDA, else MPS, else CPU) or what `torch.device` takes.
        precision: `"float32"`, or autocast to `"bf16"` or `"fp16"`, for fp16 with a scaled loss (`GradScaler`).
        accumulate: batches in one step, at least 1.
        clip: largest norm of the gradient of all parameters together, above 0; no clipping if not given.
        metrics: `{name: metric}` with torchmetrics' `update(output, y)`, `compute()` and `reset()`; see `evaluate`.
        callbacks: told of each step and epoch, in this order, but an `EMA` first and a `Checkpoint` last.
        deterministic: let PyTorch take deterministic algorithms, and refuse operations that have none.
        seed: what random choices inside the model (dropout) begin with. The order of the data has a seed of its own.

    Attributes:
        epoch: number of finished epochs.
        batch: number of batches that are used up in the unfinished epoch.
        step: number of finished steps.
        logs: the last numbers: `lr`, `norm` of the gradient if clipped, and those of the last epoch.
        last_loss: the mean loss of the examples of the last step, still on the device; of this process alone.
        stop: a callback sets it to end the run after this step.
        history: losses and accuracies of each epoch.

    Raises:
        ValueError: options that do not fit.

    Example:
        ```python
        import torch
        from dlguide.data import TensorBatches, load
        from dlguide.models import MLP
        from dlguide.train import Trainer

        torch.manual_seed(0)
        digits = load("digits")
        model = MLP(64)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        trainer = Trainer(model, optimizer, device="cpu")
        train = TensorBatches(digits.train, 32, shuffle=True)
        validation = TensorBatches(digits.validation, 1024)
        history = trainer.fit(train, validation, epochs=5)
        print(trainer.step, history.validation_accuracy[-1] > 0.9)
        ```

        ``` {.text .output}
        200 True
        ```

    References:
        - [Automatic mixed precision](https://docs.pytorch.org/docs/stable/amp.html)
        - [torch.nn.utils.clip_grad_norm_](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html)
        - [torchmetrics](https://lightning.ai/docs/torchmetrics/stable/)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy,
        scheduler: LRScheduler | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        accumulate: int = 1,
        clip: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        callbacks: Sequence[Callback] = (),
        deterministic: bool = False,
        seed: int = 0,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"expected the precision 'float32', 'bf16' or 'fp16', got {precision!r}")
        if accumulate < 1 or (clip is not None and not clip > 0):
            raise ValueError(f"expected accumulate >= 1 and clip > 0 or none, got {accumulate} and {clip}")
        check.parts(model, optimizer, scheduler)
        self.device = choose_device(device)
        self.model, self.optimizer, self.loss, self.scheduler = model.to(self.device), optimizer, loss, scheduler
        state.move(optimizer, self.device)
        self.dtype = PRECISIONS[precision]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.accumulate, self.clip, self.deterministic, self.seed = accumulate, clip, deterministic, seed
        self.metrics = {name: metric.to(self.device) for name, metric in (metrics or {}).items()}
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self.epoch, self.batch, self.step, self.stop = 0, 0, 0, False
        self.epochs: int | None = None
        self.steps: int | None = None
        self.steps_per_epoch = 0
        self.last_loss = torch.zeros((), device=self.device)
        self.logs: dict[str, float] = {}
        self.history = History()
        self.sums = Sums(self.device)
        self.random = state.Random(seed, self.device)

    def fit(
        self, train: Batches, validation: Batches | None = None, *, epochs: int | None = None, steps: int | None = None
    ) -> History:
        """Train until so many epochs or steps are finished, counted from the first one of a resumed run.

        A second call goes on where the first one ended, inside an epoch too, with the weights that the model now has:
        those that `EMA` or `EarlyStopping` put in at the end, if there is one.

        Args:
            train: `TensorBatches`, a `DataLoader`, or any other iterable with a length of tuples `(*inputs, y)`.
            validation: measured after each epoch, if given. Never the test part.
            epochs: how often each example is used, in all.
            steps: how many steps are taken, in all; the smaller of the two counts if both are given.

        Returns:
            Losses and accuracies of each epoch.

        Raises:
            ValueError: neither epochs nor steps, data without an end, or of another length than they say.
            FloatingPointError: the loss, the gradient or a weight is not finite; the message says where to look.
            Interrupted: Ctrl-C or SIGTERM; the step is finished and the callbacks have been told.
        """
        check.limits(train, epochs, steps, self.batch)
        check_shares(train)
        self.epochs, self.steps, self.stop = epochs, steps, False
        self.steps_per_epoch = -(-len(train) // self.accumulate)
        with self.random.continued(train, self.deterministic), Interrupts() as interrupts:
            try:
                self._tell("on_start")
                while not self._finished(len(train)):
                    self.model.train()
                    batches = read(train, self)
                    while not self._finished(len(train)) and (group := take(batches, self, interrupts)):
                        interrupted = self._step(group, interrupts.pending)
                        self._tell("on_step")
                        if interrupted or interrupts.stop:
                            interrupts.end(self)
                    if self.batch == len(train):
                        self._end_of_epoch(validation)
                    elif not self._finished(len(train)):  # else the steps are used up inside the epoch
                        raise ValueError(f"expected {len(train)} batches in an epoch, as len() says, got {self.batch}")
                if total(0, interrupts.pending, self.device)[1]:  # during the last validation
                    interrupts.end(self)
                must_be_finite(self)
                share_buffers(self.model)
                self._tell("on_end")
            finally:
                self._tell("close")
        self.model.eval()
        if interrupts.pending:  # it came at the very end
            raise Interrupted(self, interrupts.name)
        return self.history

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """Measure the model, in `eval` mode and without gradients; its mode is afterwards what it was before.

        Args:
            batches: of the same kind as for `fit`; under `torchrun` each process brings its share.

        Returns:
            `loss`, the mean over all examples; `accuracy`, where the output is logits `[N, classes]` and y is int64
            `[N]`; and each metric that the trainer was given.
        """
        share_buffers(self.model)
        with self.autocast():
            return measure(self.model, self.loss, batches, self.device, self.metrics)

    def _step(self, group: list[Batch], interrupted: bool) -> bool:
        """Take one step on the mean loss of a group of batches; say whether any process was interrupted."""
        here = sum(len(y) for _, y in group)
        count, stop = total(here, interrupted, self.device)
        self.optimizer.zero_grad()  # gradients add up: forget those of the last step
        losses = []
        for i, (inputs, y) in enumerate(group):
            with without_exchange(self.model, i + 1 < len(group)):
                with self.autocast():
                    output = self.model(*inputs)  # forward pass
                    loss = self.loss(check.output(output, y), y)
                share = len(y) * world_size() / count  # 1 for one batch of one process
                part = loss if share == 1 else loss * share
                self.scaler.scale(part).backward()
            losses.append(loss.detach() if len(group) == 1 else loss.detach() * (len(y) / here))
            self.sums.add(loss.detach(), output, y)
        self.batch += len(group)
        self.last_loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        look, place = self._is_time_to_look(), f"in step {self.step + 1} (epoch {self.epoch + 1})"
        if look and not math.isfinite(loss_everywhere := add_up(self.last_loss).item()):  # all processes stop together
            raise not_finite(self, f"the loss is {loss_everywhere} {place}", group)
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
            if look:
                self.logs["norm"] = norm.item()
                if not math.isfinite(self.logs["norm"]) and not self.scaler.is_enabled():
                    raise not_finite(self, f"the norm of the gradient is {self.logs['norm']} {place}", group)
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.clip, norm)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)  # without scaling this is optimizer.step()
        self.scaler.update()
        left_out = self.scaler.get_scale() < scale  # the gradient of the scaled loss was too large for fp16
        if left_out and scale < 1:
            raise not_finite(self, f"the gradient is not finite {place}, and it is not the scale of the loss", group)
        self.logs["lr"] = float(self.optimizer.param_groups[0]["lr"])  # a scheduler may have it in a tensor
        if self.scheduler is not None and not left_out:
            self.scheduler.step()
        self.step += 1
        return stop

    def _end_of_epoch(self, validation: Batches | None) -> None:
        """Measure, note the numbers of the epoch, and tell the callbacks."""
        self.epoch, self.batch = self.epoch + 1, 0
        of_before = ("train_", "validation_")
        self.logs = {name: value for name, value in self.logs.items() if not name.startswith(of_before)}
        self.logs |= {f"train_{name}": value for name, value in self.sums.means().items()}
        self.sums = Sums(self.device)
        if not math.isfinite(self.logs["train_loss"]):  # on a GPU it may not have been looked at before
            raise not_finite(self, f"the loss is {self.logs['train_loss']} in epoch {self.epoch}")
        if validation is not None:
            self._tell("before_validation")
            self.logs |= {f"validation_{name}": value for name, value in self.evaluate(validation).items()}
            for callback in reversed(self.callbacks):  # who puts other weights in comes first and takes them out last
                callback.after_validation(self)
            if not math.isfinite(self.logs["validation_loss"]):
                raise not_finite(self, f"the validation loss is {self.logs['validation_loss']} after step {self.step}")
        self.history.add(self.logs)
        self._tell("on_epoch")

    def _finished(self, batches: int) -> bool:
        """Whether the run is over; an epoch whose batches are used up comes to its end first."""
        limits = ((self.epochs, self.epoch), (self.steps, self.step))
        over = self.stop or any(limit is not None and done >= limit for limit, done in limits)
        return over and self.batch != batches

    def autocast(self) -> torch.autocast:
        """Return the context in which the model runs: autocast to the precision that was asked for, if any."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def _is_time_to_look(self) -> bool:
        """Reading a number back makes a GPU wait: there only every 50 steps."""
        return self.device.type == "cpu" or self.step % 50 == 0

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on as if it had not been stopped: plain values and tensors."""
        return state.capture(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, with a model and an optimizer of the same kind.

        Args:
            saved: what `state_dict` returned.
        """
        state.restore(self, saved)


