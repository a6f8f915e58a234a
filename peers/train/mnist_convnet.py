"""Trains a LeNet-like convnet on the 10,000 MNIST digits of the data folder: Adam, batches of 64, grey values in [0, 1].

    conv 5x5 (padding 2) - ReLU - pool 2x2 - conv 5x5 - ReLU - pool 2x2 - linear - ReLU - linear - ReLU - linear

The time is that of the training alone, as in `digits_mlp.py`.
"""

import gzip
import sys
from pathlib import Path

import numpy
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from digits import data_folder, set_wave_weights
from measure import Peer, positive
from supervised import ADAM, flags, loss_curve, split, train, wave_batches


def all_flags(parser):
    flags(epochs=3)(parser)
    parser.add_argument("--channels", type=positive, nargs=2, default=[6, 16], metavar="N", help="default: 6 16")
    parser.add_argument("--hidden", type=positive, nargs=2, default=[120, 84], metavar="N", help="default: 120 84")
    parser.add_argument("--rows", type=positive, default=10_000, metavar="N", help="digits to use (default 10000)")


peer = Peer("train/mnist_convnet", __doc__, all_flags)


def read_mnist():
    """Images `[count, 1, 28, 28]` in [0, 1], and labels."""
    folder = data_folder() / "images" / "mnist"
    images = read_idx(folder / "train10k-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train10k-labels-idx1-ubyte.gz")
    return torch.from_numpy(images).unsqueeze(1).float() / 255.0, torch.from_numpy(labels).long()


def read_idx(path):
    with gzip.open(path, "rb") as file:
        content = file.read()
    rank = content[3]
    shape = numpy.frombuffer(content, ">u4", count=rank, offset=4)
    return numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def lenet(channels=(6, 16), hidden=(120, 84)):
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, channels[0], 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(channels[0], channels[1], 5),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(channels[1] * 25, hidden[0]),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden[0], hidden[1]),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden[1], 10),
    )


def training_case(adam):
    def prepare(arguments):
        images, labels = read_mnist()
        splits = split(images[: arguments.rows], labels[: arguments.rows], arguments)

        def operation():
            torch.manual_seed(arguments.seed)
            return train(lenet(arguments.channels, arguments.hidden), splits, arguments, adam)

        return operation

    return prepare


for name, adam in ADAM.items():
    peer.case(name)(training_case(adam))


@peer.values
def values(_):
    """Losses of five Adam steps in f64 from wave weights on wave images."""
    batches = wave_batches(5, 16, (1, 28, 28))
    network = set_wave_weights(lenet().double())
    return {"adam": {"losses": loss_curve(network, batches, lambda p: torch.optim.Adam(p, lr=1e-3))}}


if __name__ == "__main__":
    peer.main()
