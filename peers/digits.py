"""Where data is, the 8x8 digits, and the network that is trained on them."""

import csv
import gzip
import os
from pathlib import Path

import torch

from measure import wave


def data_folder():
    """`KILN_DATA`, or `data/` of this repository."""
    return Path(os.environ.get("KILN_DATA") or Path(__file__).resolve().parents[1] / "data")


def read_digits():
    """Rows `[1797, 64]` of grey values 0 to 16, and their labels, from the file that the program embeds."""
    path = Path(__file__).resolve().parents[1] / "crates" / "kiln-data" / "assets" / "digits8x8.csv.gz"
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        table = torch.tensor([[float(cell) for cell in line] for line in lines])
    return table[:, :-1].contiguous(), table[:, -1].long()


def digits_network(sizes=(64, 256, 256, 10)):
    """Linear layers with ReLU between them."""
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def set_wave_weights(network, scale=0.1):
    """Weights that any language can make again: one wave over all parameters, layer by layer, `[outputs, inputs]` row by row."""
    count = sum(parameter.numel() for parameter in network.parameters())
    numbers = torch.from_numpy(wave(count, scale, frequency=0.7))
    taken = 0
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(numbers[taken : taken + parameter.numel()].reshape(parameter.shape))
            taken += parameter.numel()
    return network
