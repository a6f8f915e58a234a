"""The training that both scripts of this folder time: minibatches, Adam, validation after every epoch, test at the end."""

import math

import torch
import torch.nn.functional as F

from measure import positive, wave


def flags(epochs):
    """Flags with the defaults of `kiln train`."""

    def add(parser):
        parser.add_argument("--epochs", type=positive, default=epochs, metavar="N", help=f"passes (default {epochs})")
        parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="rows of a step (default 64)")
        parser.add_argument("--lr", type=float, default=1e-3, metavar="R", help="Adam's rate (default 0.001)")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="weights, splits and order (default 1)")
        parser.add_argument("--test", type=float, default=0.2, metavar="F", help="fraction for the test (default 0.2)")
        parser.add_argument(
            "--validation", type=float, default=0.1, metavar="F", help="fraction of the rest for validation (default 0.1)"
        )
        parser.set_defaults(repeats=1)

    return add


def split(inputs, labels, arguments):
    """Train, validation and test rows as three pairs."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(arguments.seed))
    test = round(arguments.test * len(inputs))
    validation = round(arguments.validation * (len(inputs) - test))
    parts = order[test + validation :], order[test : test + validation], order[:test]
    return [(inputs[part], labels[part]) for part in parts]


def train(network, splits, arguments, adam):
    """Trains the network and says what came of it; `adam` holds options of `torch.optim.Adam`."""
    (inputs, labels), validation, test = splits
    optimizer = torch.optim.Adam(network.parameters(), lr=arguments.lr, **adam)
    best = 0.0
    steps = 0
    for _ in range(arguments.epochs):
        network.train()
        for rows in torch.randperm(len(inputs)).split(arguments.batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            steps += 1
        best = max(best, accuracy(network, *validation))
    return {"steps": steps, "validation_accuracy": best, "test_accuracy": accuracy(network, *test)}


@torch.no_grad()
def accuracy(network, inputs, labels, batch_size=1024):
    network.eval()
    batches = zip(inputs.split(batch_size), labels.split(batch_size))
    return sum((network(rows).argmax(1) == wanted).sum().item() for rows, wanted in batches) / len(inputs)


def wave_batches(count, batch_size, shape):
    """Batches of wave inputs in f64 and of classes that follow from row and batch."""
    numbers = [wave(batch_size * math.prod(shape), 0.5, phase=float(batch)) for batch in range(count)]
    classes = [(3 * torch.arange(batch_size) + batch) % 10 for batch in range(count)]
    return [(torch.from_numpy(x).reshape(batch_size, *shape), y) for x, y in zip(numbers, classes)]


def loss_curve(network, batches, make_optimizer):
    """Loss before each step on batches given in order: the part of a training that has one right answer."""
    optimizer = make_optimizer(network.parameters())
    losses = []
    for inputs, labels in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


ADAM = {"adam": {}, "adam-foreach": {"foreach": True}, "adam-fused": {"fused": True}}
