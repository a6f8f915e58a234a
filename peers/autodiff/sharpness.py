"""The largest eigenvalue of the Hessian of a perceptron's cross-entropy, 64-128-128-10 on 256 examples, to a relative residual of
1e-3, with products by torch.func: Lanczos' method with full reorthogonalisation, and power iteration."""

import sys
from pathlib import Path

import torch
from torch.func import grad, jvp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import Peer
from networks import classes, flat, like, perceptron, values

WIDTHS = [64, 128, 128, 10]

peer = Peer("autodiff/sharpness", __doc__)


def product_with_hessian(dtype):
    parameters, forward = perceptron(WIDTHS, dtype)
    inputs, targets = values((256, 64), 1.0, 100, dtype), classes(256)

    def loss(parameters):
        return torch.nn.functional.cross_entropy(forward(parameters, inputs), targets)

    def product(vector):
        return flat(jvp(grad(loss), (parameters,), (like(vector, parameters),))[1])

    return product, flat(parameters).numel()


def lanczos(product, dimension, dtype, tolerance, most=300):
    torch.manual_seed(0)
    current = torch.randn(dimension, dtype=dtype)
    current /= current.norm()
    basis = torch.empty(most, dimension, dtype=dtype)
    matrix = torch.zeros(most + 1, most + 1, dtype=torch.float64)
    for step in range(most):
        basis[step] = current
        image = product(current)
        matrix[step, step] = current @ image
        known = basis[: step + 1]
        image = image - known.T @ (known @ image)
        image = image - known.T @ (known @ image)
        beta = image.norm()
        eigenvalues, vectors = torch.linalg.eigh(matrix[: step + 1, : step + 1])
        if beta * vectors[step, -1].abs() <= tolerance * eigenvalues[-1].abs():
            return eigenvalues[-1].item()
        matrix[step, step + 1] = matrix[step + 1, step] = beta
        current = image / beta
    raise RuntimeError(f"not converged after {most} steps")


def power_iteration(product, dimension, dtype, tolerance, most=10_000):
    torch.manual_seed(0)
    vector = torch.randn(dimension, dtype=dtype)
    vector /= vector.norm()
    for _ in range(most):
        image = product(vector)
        value = vector @ image
        if (image - value * vector).norm() <= tolerance * value.abs():
            return value.item()
        vector = image / image.norm()
    raise RuntimeError(f"not converged after {most} steps")


def register(name, way):
    @peer.case(f"mlp-256-{name}")
    def prepare(_):
        product, dimension = product_with_hessian(torch.float32)

        def operation():
            way(product, dimension, torch.float32, 1e-3)

        return operation


register("lanczos", lanczos)
register("power", power_iteration)


@peer.values
def reference(_):
    product, dimension = product_with_hessian(torch.float64)
    return {"largest eigenvalue": lanczos(product, dimension, torch.float64, 1e-7)}


if __name__ == "__main__":
    peer.main()
