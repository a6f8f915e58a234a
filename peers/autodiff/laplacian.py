"""The Laplacian of a perceptron of four hidden layers of 64 tanh units with respect to its inputs, at 1024 points in 2 and in 10
dimensions, by torch.func: the trace of vmapped Hessians, a jvp of the gradient for each direction, and a jvp of a jvp."""

import sys
from pathlib import Path

import torch
from torch.func import grad, hessian, jvp, vmap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import Peer
from networks import perceptron, values

POINTS = 1024

peer = Peer("autodiff/laplacian", __doc__)


def trace_of_hessian(function, points):
    return vmap(lambda x: hessian(function)(x).diagonal().sum())(points)


def gradient_moved(function, points):
    """`sum_i e_i' d/dt grad f(x + t e_i)`, all directions at once."""
    directions = torch.eye(points.shape[1], dtype=points.dtype)

    def at(x):
        return vmap(lambda direction: jvp(grad(function), (x,), (direction,))[1] @ direction)(directions).sum()

    return vmap(at)(points)


def moved_twice(function, points):
    """`sum_i d^2/dt^2 f(x + t e_i)`, forward mode alone."""
    directions = torch.eye(points.shape[1], dtype=points.dtype)

    def at(x):
        def second(direction):
            return jvp(lambda x: jvp(function, (x,), (direction,))[1], (x,), (direction,))[1]

        return vmap(second)(directions).sum()

    return vmap(at)(points)


WAYS = {"hessian": trace_of_hessian, "gradient-moved": gradient_moved, "moved-twice": moved_twice}


def setup(dimension, count, dtype):
    parameters, forward = perceptron([dimension, 64, 64, 64, 64, 1], dtype)
    return lambda x: forward(parameters, x).squeeze(-1), values((count, dimension), 1.0, 100, dtype)


def register(name, way, dimension):
    @peer.case(f"mlp-4x64-{dimension}d-{name}")
    def prepare(_):
        function, points = setup(dimension, POINTS, torch.float32)

        def operation():
            way(function, points)

        return operation


for name, way in WAYS.items():
    for dimension in (2, 10):
        register(name, way, dimension)


@peer.values
def reference(_):
    return {f"{dimension}d": trace_of_hessian(*setup(dimension, 5, torch.float64)).tolist() for dimension in (2, 10)}


if __name__ == "__main__":
    peer.main()
