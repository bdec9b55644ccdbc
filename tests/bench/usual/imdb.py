"""Reviews of films in the style of many tutorials: `collate` numbers the words, a bidirectional LSTM reads them."""

import argparse
import json
import lzma
import os
import re
import time
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader


def tokens(text):
    return re.findall(r"[a-z']+", text.lower())


def read(part, limit):
    with lzma.open(Path(os.environ["DLGUIDE_DATA"]) / f"imdb/{part}.jsonl.xz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = rows[:: max(1, len(rows) // limit)]
    return [(row["text"], row["label"]) for row in rows]


class Net(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embedding = nn.Embedding(words, 100, padding_idx=0)
        self.lstm = nn.LSTM(100, 64, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(128, 2)

    def forward(self, ids):
        states, _ = self.lstm(self.dropout(self.embedding(ids)))
        return self.out(self.dropout(states.amax(1)))  # the largest value of each number over the text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--limit", type=int, default=25_000, help="use only so many examples")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    train, test = read("train", options.limit), read("test", options.limit)
    counts = Counter(word for text, _ in train for word in tokens(text))
    vocabulary = {word: i for i, (word, _) in enumerate(counts.most_common(20_000), 2)}  # 0: padding, 1: any other

    def collate(batch):
        ids = [torch.tensor([vocabulary.get(word, 1) for word in tokens(text)][:200] or [1]) for text, _ in batch]
        return pad_sequence(ids, batch_first=True), torch.tensor([label for _, label in batch])

    loader = DataLoader(train, batch_size=64, shuffle=True, collate_fn=collate)
    model = Net(len(vocabulary) + 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        running = 0.0
        for ids, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(ids), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
        print(f"epoch {epoch + 1}: loss {running / len(loader):.3f}", flush=True)
    seconds = time.perf_counter() - start

    model.eval()
    right = 0
    with torch.no_grad():
        for ids, y in DataLoader(test, batch_size=64, collate_fn=collate):
            right += (model(ids).argmax(1) == y).sum().item()
    print(json.dumps({"accuracy": right / len(test), "seconds": seconds}))


if __name__ == "__main__":
    main()
