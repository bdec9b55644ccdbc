"""CIFAR-10 in the style of the official tutorial: LeNet's shape, SGD with momentum, batches of 4 from a DataLoader."""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from pictures import Pictures, cifar10
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=50_000, help="use only so many examples")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
    parts = [[array[: options.limit] for array in cifar10(part)] for part in ("train", "test")]
    train_loader = DataLoader(Pictures(*parts[0], transform), batch_size=4, shuffle=True, num_workers=2)
    test_loader = DataLoader(Pictures(*parts[1], transform), batch_size=4, num_workers=2)

    model = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        running = 0.0
        for i, (x, y) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
            if i % 2000 == 1999:
                print(f"epoch {epoch + 1}, batch {i + 1}: loss {running / 2000:.3f}", flush=True)
                running = 0.0
    seconds = time.perf_counter() - start

    right = 0
    with torch.no_grad():
        for x, y in test_loader:
            right += (model(x).argmax(1) == y).sum().item()
    print(json.dumps({"accuracy": right / len(parts[1][1]), "seconds": seconds}))


if __name__ == "__main__":
    main()
