"""Networks and data of the derivatives' cases, with the numbers that `crates/kiln/examples/peer/networks.rs` gives them.

A network is a function of a dictionary of parameters, as `torch.func` takes it.
"""

import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import noise


def values(shape, scale, seed, dtype):
    return torch.tensor(noise(math.prod(shape), scale, seed)).reshape(shape).to(dtype)


def dense(inputs, outputs, seed, dtype):
    weight = values((inputs, outputs), math.sqrt(3 / inputs), 2 * seed, dtype)
    return weight, values((outputs,), 0.1, 2 * seed + 1, dtype)


def perceptron(widths, dtype):
    parameters = {}
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        parameters[f"weight{index}"], parameters[f"bias{index}"] = dense(inputs, outputs, index, dtype)
    last = len(widths) - 2

    def forward(parameters, x):
        for index in range(last + 1):
            x = x @ parameters[f"weight{index}"] + parameters[f"bias{index}"]
            if index < last:
                x = torch.tanh(x)
        return x

    return parameters, forward


def convnet(dtype):
    parameters = {}
    for name, (channels, outputs), seed in (("first", (1, 8), 10), ("second", (8, 16), 11)):
        shape = (outputs, channels, 3, 3)
        parameters[f"{name}_weight"] = values(shape, math.sqrt(3 / (9 * channels)), 2 * seed, dtype)
        parameters[f"{name}_bias"] = values((outputs,), 0.1, 2 * seed + 1, dtype)
    parameters["last_weight"], parameters["last_bias"] = dense(16 * 8 * 8, 10, 12, dtype)

    def forward(parameters, x):
        convolve = torch.nn.functional.conv2d
        x = torch.tanh(convolve(x, parameters["first_weight"], parameters["first_bias"], padding=1))
        x = torch.tanh(convolve(x, parameters["second_weight"], parameters["second_bias"], stride=2, padding=1))
        return x.flatten(-3) @ parameters["last_weight"] + parameters["last_bias"]

    return parameters, forward


def classes(count):
    return torch.arange(count) * 7 % 10


def flat(parameters):
    """One vector; a dictionary's tensors in its order."""
    return torch.cat([tensor.reshape(-1) for tensor in parameters.values()])


def like(vector, parameters):
    """A vector as tensors with the names and shapes of parameters."""
    answer, start = {}, 0
    for name, tensor in parameters.items():
        answer[name] = vector[start : start + tensor.numel()].reshape(tensor.shape)
        start += tensor.numel()
    return answer
