"""Empirical tangent kernels of 256 x 256 examples, summed over 10 outputs, of a perceptron and a small convnet, by torch.func as
its tutorial "Neural Tangent Kernels" does: contraction of vmapped Jacobians, and products of Jacobians with vectors."""

import sys
from pathlib import Path

import torch
from torch.func import jacrev, jvp, vjp, vmap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import Peer
from networks import convnet, perceptron, values

EXAMPLES = 256
WIDTHS = [64, 128, 128, 10]

peer = Peer("autodiff/ntk", __doc__)


def by_jacobians(forward, parameters, left, right, equation="naf,maf->nm"):
    def rows(examples):
        def of_one(x):
            return jacrev(lambda parameters: forward(parameters, x.unsqueeze(0)).squeeze(0))(parameters)

        return [jacobian.flatten(2) for jacobian in vmap(of_one)(examples).values()]

    pairs = zip(rows(left), rows(right))
    return sum(torch.einsum(equation, one, other) for one, other in pairs)


def by_products(forward, parameters, left, right):
    def of_pair(x, y):
        _, pull = vjp(lambda parameters: forward(parameters, x.unsqueeze(0)).squeeze(0), parameters)

        def product(vector):
            push = lambda parameters: forward(parameters, y.unsqueeze(0)).squeeze(0)
            return jvp(push, (parameters,), pull(vector))[1]

        unit = torch.eye(10, dtype=x.dtype)
        return vmap(product)(unit).diagonal().sum()

    return vmap(lambda x: vmap(lambda y: of_pair(x, y))(right), chunk_size=8)(left)


def of_perceptron(dtype, counts):
    parameters, forward = perceptron(WIDTHS, dtype)
    return forward, parameters, values((counts[0], 64), 1.0, 100, dtype), values((counts[1], 64), 1.0, 101, dtype)


def of_convnet(dtype, counts):
    parameters, forward = convnet(dtype)
    left, right = (values((count, 1, 16, 16), 1.0, seed, dtype) for count, seed in zip(counts, (100, 101)))
    return forward, parameters, left, right


def register(name, way, network, setup):
    @peer.case(f"{network}-256x256-{name}")
    def prepare(_):
        case = setup(torch.float32, (EXAMPLES, EXAMPLES))

        def operation():
            way(*case)

        return operation


for network, setup in {"mlp": of_perceptron, "convnet": of_convnet}.items():
    register("jacobians", by_jacobians, network, setup)
register("products", by_products, "mlp", of_perceptron)


@peer.values
def reference(_):
    answer = {}
    for network, setup in {"mlp": of_perceptron, "convnet": of_convnet}.items():
        case = setup(torch.float64, (4, 3))
        answer[f"{network} trace"] = by_jacobians(*case).reshape(-1).tolist()
        answer[f"{network} all"] = by_jacobians(*case, "naf,mbf->namb").reshape(-1).tolist()
    return answer


if __name__ == "__main__":
    peer.main()
