"""Learning from the means of bags in PyTorch and NumPy.

    L_rho = (1/n) sum_a k_a (ybar_a - fbar_a)^2 + rho (1/n) sum_i (f_i - fbar_a(i))^2

Cases `mse-*` are `torch.nn.functional.mse_loss`, `bags-*` the loss on bags as an expression with `index_add`, `proportions-*` the
cross-entropy of class proportions, forward and backward on predictions; `step-mse` and `step-bags` one step of a 64-256-256-1
network on 1024 rows; `path-*` the linear model at eight shares, in NumPy, one Cholesky solution for each.
"""

import math
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, wave

RHO = 0.1
BAG_SIZE = 8
ROWS = [1024, 16384]
CLASSES = 10
RHOS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
FEATURES = [50, 150]
PATH_ROWS = 4096

peer = Peer("loss/aggregate_responses", __doc__)


def bag_means(values, bag_of_row, sizes):
    return torch.zeros(len(sizes), values.shape[1], dtype=values.dtype).index_add(0, bag_of_row, values) / sizes[:, None]


def squared(predictions, bag_of_row, responses, sizes, rho=RHO):
    means = bag_means(predictions, bag_of_row, sizes)
    bag = (sizes[:, None] * (responses - means) ** 2).sum()
    within = ((predictions - means[bag_of_row]) ** 2).sum()
    return (bag + rho * within) / predictions.numel()


def proportions(logits, bag_of_row, responses, sizes, rho=RHO):
    logs = F.log_softmax(logits, dim=1)
    index = bag_of_row[:, None].expand_as(logs)
    largest = torch.full((len(sizes), logs.shape[1]), -math.inf, dtype=logs.dtype)
    largest = largest.scatter_reduce(0, index, logs.detach(), "amax")
    powers = (logs - largest[bag_of_row]).exp()
    means = largest + torch.zeros_like(largest).index_add(0, bag_of_row, powers).log() - sizes[:, None].log()
    bag = -(sizes[:, None] * responses * means).sum()
    instance = -(responses[bag_of_row] * logs).sum()
    return ((1.0 - rho) * bag + rho * instance) / len(logits)


def of_rows(rows, width):
    generator = torch.Generator().manual_seed(1)
    predictions = torch.randn(rows, width, generator=generator).requires_grad_()
    bag_of_row = torch.arange(rows) // BAG_SIZE
    responses = torch.rand(rows // BAG_SIZE, width, generator=generator)
    sizes = torch.full((rows // BAG_SIZE,), float(BAG_SIZE))
    return predictions, bag_of_row, responses / responses.sum(1, keepdim=True), sizes


def loss_case(name, rows):
    def prepare(_):
        predictions, bag_of_row, responses, sizes = of_rows(rows, CLASSES if name == "proportions" else 1)
        targets = responses[bag_of_row]
        losses = {
            "mse": lambda: F.mse_loss(predictions, targets),
            "bags": lambda: squared(predictions, bag_of_row, responses, sizes),
            "proportions": lambda: proportions(predictions, bag_of_row, responses, sizes),
        }

        def step():
            predictions.grad = None
            losses[name]().backward()

        return step

    return prepare


def training_case(name):
    def prepare(_):
        torch.manual_seed(1)
        network = torch.nn.Sequential(
            torch.nn.Linear(64, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 1),
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        inputs = torch.randn(ROWS[0], 64)
        _, bag_of_row, responses, sizes = of_rows(ROWS[0], 1)
        targets = responses[bag_of_row]

        def step():
            optimizer.zero_grad()
            found = network(inputs)
            loss = F.mse_loss(found, targets) if name == "mse" else squared(found, bag_of_row, responses, sizes)
            loss.backward()
            optimizer.step()

        return step

    return prepare


def path_case(features):
    def prepare(_):
        random = numpy.random.default_rng(1)
        x, y = random.standard_normal((PATH_ROWS, features)), random.standard_normal((PATH_ROWS // BAG_SIZE, 1))

        def solve():
            return [linear(x, y, rho, BAG_SIZE) for rho in RHOS]

        return solve

    return prepare


def linear(x, y, rho, size):
    """The coefficients at one share, for bags of one size, one after the other."""
    means = x.reshape(len(x) // size, size, x.shape[1]).mean(1)
    system = (1.0 - rho) * size * means.T @ means + rho * x.T @ x
    return numpy.linalg.solve(system, size * means.T @ y)


for rows in ROWS:
    for name in ("mse", "bags", "proportions"):
        peer.case(f"{name}-{rows}")(loss_case(name, rows))
for name in ("mse", "bags"):
    peer.case(f"step-{name}")(training_case(name))
for features in FEATURES:
    peer.case(f"path-{features}")(path_case(features))


@peer.values
def values(_):
    """Losses and gradients in f64 on waves of predictions in unequal bags, and the coefficients of a linear model."""
    bag_of_row = torch.tensor([1, 3, 0, 1, 2, 3, 3, 2, 1, 3])
    sizes = torch.bincount(bag_of_row).double()
    answer = {}
    for name, loss, width in (("squared", squared, 2), ("proportions", proportions, 3)):
        responses = torch.from_numpy(wave(4 * width, 0.4, 0.9)).reshape(4, width) + 0.5
        if name == "proportions":
            responses = responses / responses.sum(1, keepdim=True)
        for rho in (0.0, 0.3, 1.0):
            predictions = torch.from_numpy(wave(10 * width, 3.0)).reshape(10, width).requires_grad_()
            found = loss(predictions, bag_of_row, responses, sizes, rho)
            found.backward()
            answer[f"{name} {rho}"] = {"loss": found.item(), "gradients": predictions.grad.tolist()}
    x, y = wave(60 * 4, 1.0, 0.71).reshape(60, 4) + wave(60 * 4, 0.5, 2.3).reshape(60, 4), wave(15, 2.0, 1.1).reshape(15, 1)
    for rho in (0.0, 0.3, 1.0):
        answer[f"linear {rho}"] = linear(x, y, rho, 4)[:, 0].tolist()
    return answer


if __name__ == "__main__":
    peer.main()
