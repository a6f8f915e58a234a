"""A Hessian-vector product of a perceptron's cross-entropy, by torch.func (forward over reverse, and reverse over reverse) and
by two passes of autograd, over 64-256-256-10 and 256 examples."""

import sys
from pathlib import Path

import torch
from torch.func import grad, jvp, vjp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import Peer
from networks import classes, flat, like, perceptron, values

peer = Peer("autodiff/hvp", __doc__)


def setup(examples, widths, dtype):
    parameters, forward = perceptron(widths, dtype)
    inputs, targets = values((examples, 64), 1.0, 100, dtype), classes(examples)
    direction = like(values((flat(parameters).numel(),), 1.0, 101, dtype), parameters)

    def loss(parameters):
        return torch.nn.functional.cross_entropy(forward(parameters, inputs), targets)

    return parameters, direction, loss


def forward_over_reverse(parameters, direction, loss):
    return jvp(grad(loss), (parameters,), (direction,))[1]


def reverse_over_reverse(parameters, direction, loss):
    return vjp(grad(loss), parameters)[1](direction)[0]


def autograd(parameters, direction, loss):
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    gradients = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=True)
    products = torch.autograd.grad(gradients, list(leaves.values()), list(direction.values()))
    return dict(zip(leaves, products))


WAYS = {
    "forward-over-reverse": forward_over_reverse,
    "reverse-over-reverse": reverse_over_reverse,
    "autograd": autograd,
}


def register(name, way):
    @peer.case(f"mlp-256-{name}")
    def prepare(_):
        parameters, direction, loss = setup(256, [64, 256, 256, 10], torch.float32)

        def operation():
            way(parameters, direction, loss)

        return operation


for name, way in WAYS.items():
    register(name, way)


@peer.values
def reference(_):
    return {"hvp": flat(forward_over_reverse(*setup(8, [64, 12, 10], torch.float64))).tolist()}


if __name__ == "__main__":
    peer.main()
