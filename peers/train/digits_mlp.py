"""Trains the network 64-256-256-10 on the 8x8 digits: Adam, batches of 64, grey values in [0, 1].

One case for each of torch's three implementations of Adam (`adam` is what a plain `torch.optim.Adam(...)` gives). The time is
that of the training alone, validation after every epoch and the final test included; starting Python, importing PyTorch and
reading the file come before the clock starts.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from digits import digits_network, read_digits, set_wave_weights
from measure import Peer
from supervised import ADAM, flags, loss_curve, split, train, wave_batches

peer = Peer("train/digits_mlp", __doc__, flags(epochs=20))


def training_case(adam):
    def prepare(arguments):
        rows, labels = read_digits()
        splits = split(rows / 16.0, labels, arguments)

        def operation():
            torch.manual_seed(arguments.seed)
            return train(digits_network(), splits, arguments, adam)

        return operation

    return prepare


for name, adam in ADAM.items():
    peer.case(name)(training_case(adam))


@peer.values
def values(_):
    """Losses of ten steps in f64 from wave weights on wave inputs."""
    batches = wave_batches(10, 64, (64,))
    optimizers = {
        "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        "nesterov": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True),
    }
    return {
        name: {"losses": loss_curve(set_wave_weights(digits_network().double()), batches, optimizer)}
        for name, optimizer in optimizers.items()
    }


if __name__ == "__main__":
    peer.main()
