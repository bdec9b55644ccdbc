r"""Train, measure and use a classifier whose examples lie in memory: each is one call.

`fit` builds a `Trainer` with the usual parts: cross-entropy, shuffled batches out of tensors that move to the device
once, validation after each epoch, and at the end the weights of the best epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from dlguide.data.batches import TensorBatches
from dlguide.train import _check as check
from dlguide.train._check import Examples
from dlguide.train._measure import measure
from dlguide.train.callbacks import EarlyStopping
from dlguide.train.devices import choose_device
from dlguide.train.history import History
from dlguide.train.progress import ProgressBar
from dlguide.train.trainer import Trainer


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    *,
    epochs: int = 30,
    lr: float = 1e-3,
    batch_size: int = 32,
    optimizer: Callable[..., Any] = torch.optim.Adam,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool = True,
) -> History:
    r"""Train a classifier on cross-entropy and keep the weights of its best epoch.

    Each step takes a batch $B$ of shuffled examples and lets the optimizer follow the gradient of

    $$L = -\frac{1}{|B|} \sum_{n \in B} \log \operatorname{softmax}(\operatorname{model}(x_n))_{y_n}$$

    where $x_n$ is the input of example $n$ and $y_n$ its class. The best epoch has the lowest validation loss.

    With the same seed, model and data, two runs on a CPU end with the same weights bit for bit. The seed decides the
    order of the examples and the random choices inside the model (dropout). PyTorch's global generators are left as
    they were. The weights a model starts with are drawn when it is built: call `torch.manual_seed` before that.

    Args:
        model: turns a batch of inputs into logits `[N, classes]`; moved to the device, and in `eval` mode afterwards.
        train: `TensorDataset(x, y)` or `(x, y)`, y int64 `[N]`; with more inputs the model is called with all of them.
        validation: examples of the same kind that choose the best epoch. Never the test part.
        epochs: how often each training example is used, at least 1.
        lr: learning rate, above 0.
        batch_size: examples in a step, at least 1; the last batch of an epoch may be smaller.
        optimizer: called as `optimizer(model.parameters(), lr=lr)`: a class of `torch.optim` or `dlguide.optim`, or a
            `functools.partial` of one with its other options.
        device: `"auto"` (CUDA, else MPS, else CPU) or what `torch.device` takes.
        seed: see above.
        progress: show a bar while stderr is a terminal (needs tqdm; nothing is shown without it).

    Returns:
        The losses and accuracies of each epoch, as a `History`.

    Raises:
        ValueError: options, shapes or a device that do not fit; the message says what does.
        TypeError: data or targets of the wrong type.
        FloatingPointError: a loss that is no longer a finite number.

    Example:
        ```python
        import torch
        from dlguide.data import load
        from dlguide.models import MLP
        from dlguide.train import evaluate, fit

        torch.manual_seed(0)
        data = load("digits")
        model = MLP(64)
        history = fit(model, data.train, data.validation, epochs=20, lr=0.01, device="cpu")
        print(len(history.train_loss), "epochs")
        print(evaluate(model, data.test).accuracy > 0.95)
        ```

        ``` {.text .output}
        20 epochs
        True
        ```

    References:
        - [Optimizing model parameters](https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html)
        - [torch.nn.functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html)
        - [Reproducibility](https://docs.pytorch.org/docs/stable/notes/randomness.html)
    """
    if epochs < 1 or batch_size < 1 or not lr > 0:
        raise ValueError(f"expected epochs >= 1, batch_size >= 1 and lr > 0, got {epochs}, {batch_size} and {lr}")
    device = choose_device(device)
    model.to(device)
    train = TensorDataset(*check.examples(model, train, "train"))  # now on the device, and they stay there
    validation = TensorDataset(*check.examples(model, validation, "validation"))
    trainer = Trainer(
        model,
        optimizer(model.parameters(), lr=lr),
        loss=_cross_entropy(train, validation),
        device=device,
        seed=seed,
        callbacks=[EarlyStopping(), *([ProgressBar(lines=False)] if progress else [])],
    )
    batches = TensorBatches(train, batch_size, shuffle=True, seed=seed)
    return trainer.fit(batches, TensorBatches(validation, 1024), epochs=epochs)


class Scores(NamedTuple):
    """The result of `evaluate`.

    Args:
        loss: mean cross-entropy over all examples, 0 or above.
        accuracy: share of the examples classified right, in `[0, 1]`.

    Example:
        ```python
        from dlguide.train import Scores

        loss, accuracy = Scores(loss=0.3, accuracy=0.9)
        print(accuracy)
        ```

        ``` {.text .output}
        0.9
        ```
    """

    loss: float
    accuracy: float


def evaluate(model: nn.Module, examples: Examples, *, batch_size: int = 1024) -> Scores:
    """Measure a classifier on examples, in `eval` mode and without gradients, on the device where the model is.

    Args:
        model: turns inputs into logits `[N, classes]`; its mode is afterwards what it was before.
        examples: `TensorDataset(x, y)` or `(x, y)`, y int64 `[N]`.
        batch_size: examples in one forward pass; it changes memory and speed, not the result.

    Returns:
        `Scores(loss, accuracy)`.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: data or targets of the wrong type.

    Example:
        ```python
        import torch
        from dlguide.train import evaluate

        model = torch.nn.Identity()  # its inputs are the logits
        x = torch.tensor([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]])
        print(f"{evaluate(model, (x, torch.tensor([0, 1, 1]))).accuracy:.3f}")
        ```

        ``` {.text .output}
        0.667
        ```
    """
    dataset = TensorDataset(*check.examples(model, examples, "examples"))
    batches, device = TensorBatches(dataset, batch_size), check.device_of(model)
    means = measure(model, _cross_entropy(dataset), batches, device, {})
    return Scores(means["loss"], means["accuracy"])


def _cross_entropy(*datasets: TensorDataset) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy that says in one sentence which logits the targets of these data need."""
    classes = max(int(dataset.tensors[-1].max()) for dataset in datasets) + 1
    return lambda logits, y: F.cross_entropy(check.logits(logits, len(y), classes), y)


@torch.no_grad()
def predict(model: nn.Module, *inputs: Tensor, batch_size: int = 1024) -> Tensor:
    """Give the class with the highest logit for each example, in `eval` mode and without gradients.

    Args:
        model: turns inputs into logits `[N, classes]`; its mode is afterwards what it was before.
        inputs: what the model is called with; each tensor is `[N, ...]`.
        batch_size: examples in one forward pass.

    Returns:
        Class indices `[N]`, int64, on the CPU.

    Raises:
        ValueError: inputs of different lengths, or none.

    Example:
        ```python
        import torch
        from dlguide.train import predict

        model = torch.nn.Identity()  # its inputs are the logits
        print(predict(model, torch.tensor([[9.0, 0.0], [0.0, 9.0]])))
        ```

        ``` {.text .output}
        tensor([0, 1])
        ```
    """
    if not inputs or len({len(x) for x in inputs}) != 1:
        raise ValueError(f"expected inputs of one length, got lengths {[len(x) for x in inputs]}")
    device = check.device_of(model)
    with check.eval_mode(model):
        batches = zip(*(x.split(batch_size) for x in inputs), strict=True)
        return torch.cat([model(*(x.to(device) for x in batch)).argmax(1).cpu() for batch in batches])
