"""EnsLoss in PyTorch: forward and backward on scores, and training steps of a small network.

Cases `bce-*` are `torch.nn.functional.binary_cross_entropy_with_logits`; `ens-*` draw a random calibrated loss at every call;
`step-bce` and `step-ens` are one step of a 64-256-256-256-1 network on 128 rows, without and with EnsLoss.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer

SIZES = [128, 1024]

peer = Peer("loss/ens_loss", __doc__)


def derivatives(margins, raw, clip=1.0, floor=1e-6):
    """The derivative at each margin: sizes cut and sorted, the largest for the smallest margin, 1 / z beyond 1."""
    sizes = raw.clamp(max=clip).sort(descending=True).values
    order = margins.argsort()
    found = torch.empty_like(sizes)
    found[order] = -sizes
    return torch.where(margins > 1.0, found / margins.clamp(min=1.0), found) - floor


def ens_loss(scores, targets):
    margins = scores * (2.0 * targets - 1.0)
    with torch.no_grad():
        drawn = derivatives(margins, torch.exp(torch.randn(margins.shape, dtype=margins.dtype)))
    return (drawn * margins).mean()


LOSSES = {"bce": F.binary_cross_entropy_with_logits, "ens": ens_loss}


def scores_case(loss, batch_size):
    def prepare(_):
        generator = torch.Generator().manual_seed(1)
        scores = torch.randn(batch_size, generator=generator).requires_grad_()
        targets = torch.randint(2, (batch_size,), generator=generator).float()

        def step():
            scores.grad = None
            loss(scores, targets).backward()

        return step

    return prepare


def training_case(loss):
    def prepare(_):
        torch.manual_seed(1)
        layers = []
        for inputs in (64, 256, 256):
            layers += [torch.nn.Linear(inputs, 256), torch.nn.BatchNorm1d(256), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(256, 1))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        inputs, targets = torch.randn(128, 64), torch.randint(2, (128,)).float()

        def step():
            optimizer.zero_grad()
            loss(network(inputs).squeeze(1), targets).backward()
            optimizer.step()

        return step

    return prepare


for name, loss in LOSSES.items():
    for batch_size in SIZES:
        peer.case(f"{name}-{batch_size}")(scores_case(loss, batch_size))
    peer.case(f"step-{name}")(training_case(loss))


@peer.values
def values(_):
    """Derivatives of given draws at given margins in f64."""
    margins = torch.tensor([-2.0, 0.5, 3.0, 1.5], dtype=torch.float64)
    raw = torch.tensor([0.2, 5.0, 0.7, 1.3], dtype=torch.float64)
    found = derivatives(margins, raw)
    return {"worked": {"derivatives": found.tolist(), "loss": (found * margins).mean().item()}}


if __name__ == "__main__":
    peer.main()
