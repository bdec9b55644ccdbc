"""One epoch of an MLP on MNIST: how many pictures a second get through, in the loop that every tutorial has."""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from pictures import Pictures, mnist
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=60_000, help="use only so many examples")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    pixels, labels = (array[: options.limit] for array in mnist("train"))
    loader = DataLoader(Pictures(pixels, labels, transform), batch_size=64, shuffle=True, num_workers=options.workers)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    start = time.perf_counter()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rate": len(labels) / seconds}))


if __name__ == "__main__":
    main()
