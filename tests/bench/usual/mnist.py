"""MNIST in the style of the official example: two convolutions, Adadelta, batches of 64 from a DataLoader."""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from pictures import Pictures, mnist
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(9216, 128)
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout1(x).flatten(1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def train_epoch(model, loader, optimizer):
    model.train()
    for batch, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.nll_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if batch % 100 == 0:
            print(f"batch {batch} of {len(loader)}: loss {loss.item():.4f}", flush=True)


def test(model, loader):
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--limit", type=int, default=60_000, help="use only so many examples")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    parts = [[array[: options.limit] for array in mnist(part)] for part in ("train", "t10k")]
    train_loader = DataLoader(Pictures(*parts[0], transform), batch_size=64, shuffle=True)
    test_loader = DataLoader(Pictures(*parts[1], transform), batch_size=1000)

    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    seconds = 0.0
    for _ in range(options.epochs):
        start = time.perf_counter()
        train_epoch(model, train_loader, optimizer)
        scheduler.step()
        seconds += time.perf_counter() - start
        accuracy = test(model, test_loader)
    print(json.dumps({"accuracy": accuracy, "seconds": seconds}))


if __name__ == "__main__":
    main()
