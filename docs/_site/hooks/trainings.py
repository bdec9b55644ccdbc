"""Tables of what training costs: docs/results/mnist.json and its like, tricks.json and gpu-cifar.json."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

Words = Callable[[str], str]

_MACHINE = (
    "Measured on {date}: {cores} CPU cores ({machine}{unit}), {threads} threads, Python {python}, torch {torch}",
    "测量于 {date}：{cores} 个 CPU 核（{machine}{unit}），{threads} 个线程，Python {python}，torch {torch}",
)
WORDS = {  # key: English, Chinese
    "missing": ("Not measured yet: `{command}` writes the table.", "尚未测量：运行 `{command}` 会写出这张表。"),
    "training": (_MACHINE[0] + ", torchvision {torchvision}, scikit-learn {scikit-learn}.",
                 _MACHINE[1] + "，torchvision {torchvision}，scikit-learn {scikit-learn}。"),
    "tricks": (_MACHINE[0] + ", seed {seed}, {runs} runs of both in turn.",
               _MACHINE[1] + "，种子 {seed}，两者轮流运行 {runs} 次。"),
    "gpu-cifar": ("Measured on {date}: {device}, Python {python}, torch {torch}, CUDA {cuda}; {runs} runs.",
                  "测量于 {date}：{device}，Python {python}，torch {torch}，CUDA {cuda}；运行 {runs} 次。"),
    "unit": (", with a matrix unit for bfloat16", "，带 bfloat16 矩阵单元"),
    "what": ("what", "项目"),
    "accuracy": ("accuracy, %", "准确率，%"),
    "mean accuracy": ("mean accuracy, %", "平均准确率，%"),
    "seconds": ("training, s", "训练，s"),
    "program": ("whole program, s", "整个程序，s"),
    "rate": ("pictures in a second", "每秒图片数"),
    "runs": ("runs, one seed each", "次数，每次一个种子"),
    "trick": ("trick", "做法"),
    "task": ("network", "网络"),
    "ratio": ("times as fast", "加速比"),
    "first": ("first epoch, s", "第一轮，s"),
    "mnist.usual": ("in the style of the official example, 240,000 pictures", "官方示例的写法，240,000 张图片"),
    "mnist.fast": ("this package, 90,000 pictures", "本程序包，90,000 张图片"),
    "mlp.loader": ("`DataLoader`, transforms one by one, batches of 64", "`DataLoader`，逐张变换，批大小 64"),
    "mlp.workers": ("the same with 2 workers", "同上，2 个工作进程"),
    "mlp.tensors": ("`TensorBatches`, batches of 64", "`TensorBatches`，批大小 64"),
    "mlp.large": ("`TensorBatches`, batches of 1024", "`TensorBatches`，批大小 1024"),
    "cifar.usual": ("in the style of the official tutorial, 2 epochs", "官方教程的写法，2 轮"),
    "cifar.fast": ("SpeedyNet, 2 epochs", "SpeedyNet，2 轮"),
    "names.usual": ("character RNN, one name at a time", "字符 RNN，一次一个名字"),
    "names.fast": ("character RNN, batches of one length", "字符 RNN，每批长度相同"),
    "imdb.usual": ("bidirectional LSTM in the style of tutorials", "双向 LSTM，常见教程的写法"),
    "imdb.lstm": ("bidirectional LSTM, batches of similar length, 400 words", "双向 LSTM，每批长度相近，400 词"),
    "imdb.transformer": ("Transformer", "Transformer"),
    "imdb.bag": ("bag of words and pairs", "词与词对的词袋"),
    "imdb.linear": ("logistic regression on 1-, 2- and 3-grams", "1、2、3 元词组上的逻辑回归"),
    "tricks.tensors": ("tensors in memory, no `DataLoader`", "内存中的张量，不用 `DataLoader`"),
    "tricks.workers": ("`DataLoader` with 2 workers, not 0", "`DataLoader` 用 2 个工作进程，不是 0 个"),
    "tricks.batch": ("batches of 512, not 64", "批大小 512，不是 64"),
    "tricks.channels_last": ("`channels_last`", "`channels_last`"),
    "tricks.bf16": ("bfloat16 by autocast", "用 autocast 以 bfloat16 计算"),
    "tricks.compile": ("`torch.compile`", "`torch.compile`"),
    "tricks.set_to_none": ("gradients set to `None`, not 0", "梯度置为 `None`，不是 0"),
    "tricks.foreach": ("`foreach=True` in AdamW", "AdamW 的 `foreach=True`"),
    "tricks.fused": ("`fused=True` in AdamW", "AdamW 的 `fused=True`"),
    "tricks.no item": ("no `loss.item()` in each step", "不在每一步调用 `loss.item()`"),
    "tricks.no_grad": ("prediction under `no_grad`", "在 `no_grad` 下预测"),
    "tricks.inference_mode": ("`inference_mode`, not `no_grad`", "`inference_mode`，不是 `no_grad`"),
    "tricks.flush denormals": ("`set_flush_denormal(True)`", "`set_flush_denormal(True)`"),
    "tricks.not packed": ("sequences of one length, not packed", "长度相同的序列，不打包"),
    "tricks.together": (
        "tensors, batches of 192, `channels_last`, bfloat16, `fused`, no `item()`",
        "张量、批大小 192、`channels_last`、bfloat16、`fused`，不用 `item()`",
    ),
}
SHOWN = {"accuracy": (100.0, 2), "rate": (1.0, 0), "seconds": (1.0, 1), "program": (1.0, 1)}  # factor, digits


def spread(found: dict[str, float], factor: float, digits: int) -> str:
    """Return a median with the smallest and the largest value."""
    middle, low, high = (f"{factor * found[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return middle if low == high else f"{middle} ({low}–{high})"


def training(name: str, data: dict[str, Any], words: Words) -> list[str]:
    """Return the table of one training task: a row for each program."""
    shown = [key for key in SHOWN if key in data["rows"][0]]
    lines = ["| " + " | ".join(words(key) for key in ("what", *shown, "runs")) + " |",
             "| --- |" + " ---: |" * (len(shown) + 1)]
    for row in data["rows"]:
        cells = [spread(row[key], *SHOWN[key]) for key in shown]
        lines.append(f"| {words(name + '.' + row['name'])} | {' | '.join(cells)} | {row['runs']} |")
    return lines


def tricks(data: dict[str, Any], words: Words) -> list[str]:
    """Return the table of the tricks of the page on speed; a first call that compiles has its seconds beside it."""
    lines = [f"| {words('trick')} | {words('task')} | {words('ratio')} | {words('first')} |",
             "| --- | --- | ---: | ---: |"]
    return lines + [
        f"| {words('tricks.' + row['name'])} | {row['task']} |"
        f" {row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f}) | {row.get('first', '')} |" for row in data["rows"]]


def gpu_cifar(data: dict[str, Any], words: Words) -> list[str]:
    """Return the table of the GPU's runs."""
    accuracy, seconds = spread(data["accuracy"], 100, 2), spread(data["seconds"], 1, 2)
    return [f"| {words('mean accuracy')} | {words('accuracy')} | {words('seconds')} |", "| ---: | ---: | ---: |",
            f"| {100 * data['mean accuracy']:.2f} | {accuracy} | {seconds} |"]


# name of the file: what makes its table
TABLES: dict[str, Callable[[dict[str, Any], Words], list[str]]] = {
    **{name: partial(training, name) for name in ("mnist", "mlp", "cifar", "names", "imdb")},
    "tricks": tricks, "gpu-cifar": gpu_cifar,
}


def missing(name: str, lang: str) -> str:
    """Say that a result is not there yet, and what writes it."""
    command = "tests/bench/gpu_cifar.py" if name == "gpu-cifar" else f"tests/bench/training.py {name}"
    return WORDS["missing"][lang == "zh"].format(command=command)


def table(name: str, data: dict[str, Any], lang: str) -> str:
    """Return the sentence on the machine and the table."""
    def words(key: str) -> str:
        return WORDS[key][lang == "zh"]

    facts = data | {"unit": words("unit") if data.get("matrix unit") else ""}
    head = words(name if name in WORDS else "training").format_map(facts)
    return "\n".join([head, "", *TABLES[name](data, words)])
