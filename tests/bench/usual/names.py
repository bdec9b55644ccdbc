"""Which language a surname is from, in the style of the official tutorial: a character RNN, one name at a time.

The gradients of 64 names are added up before each step: the step is that of a batch, but each name is a call.
"""

import argparse
import json
import os
import random
import string
import time
import unicodedata
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

LETTERS = string.ascii_letters + " .,;'-_"  # the last one stands for any other


def to_ascii(text):
    plain = (c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return "".join(c if c in LETTERS else "_" for c in plain)


def to_tensor(name):
    x = torch.zeros(len(name), 1, len(LETTERS))
    for place, letter in enumerate(name):
        x[place, 0, LETTERS.index(letter)] = 1
    return x


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.rnn = nn.RNN(len(LETTERS), 128)
        self.out = nn.Linear(128, classes)

    def forward(self, x):
        _, hidden = self.rnn(x)
        return F.log_softmax(self.out(hidden[0]), dim=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--limit", type=int, default=100_000, help="use only so many examples")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(0)  # the same examples are held out in every run

    examples = []
    files = sorted((Path(os.environ["DLGUIDE_DATA"]) / "names").glob("*.txt"))
    for label, file in enumerate(files):
        for line in file.read_text("utf-8").splitlines():
            examples.append((to_tensor(to_ascii(line.strip())), torch.tensor([label])))
    random.shuffle(examples)
    examples = examples[: options.limit]
    held_out, train = examples[: len(examples) // 5], examples[len(examples) // 5 :]

    random.seed(options.seed)
    model = Net(len(files))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        random.shuffle(train)
        running = 0.0
        for i in range(0, len(train), 64):
            optimizer.zero_grad()
            batch = train[i : i + 64]
            for x, y in batch:
                loss = F.nll_loss(model(x), y) / len(batch)
                loss.backward()
                running += loss.item()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {running * 64 / len(train):.3f}", flush=True)
    seconds = time.perf_counter() - start

    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).item() for x, y in held_out)
    print(json.dumps({"accuracy": right / len(held_out), "seconds": seconds}))


if __name__ == "__main__":
    main()
