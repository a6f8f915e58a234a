"""Label-distributionally robust losses in PyTorch: forward and backward on logits.

    psi = lambda (logsumexp(d / lambda) - log K)        d_k = f_k - f_y + margin [k != y]

Cases `cross-entropy-*` are `torch.nn.functional.cross_entropy`; `ldr-kl-*` the loss with one temperature, `ldr-k-*` the mean of
the five largest gaps, `aldr-*` the loss with a temperature of its own for each row, adapted by one step, all written out; `focal-*`,
`weston-watkins-*` and `robust-log-*` three of the baselines.
"""

import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, wave

SIZES = [(128, 1000), (256, 1000), (1024, 10)]
MARGIN = 0.1

peer = Peer("loss/ldr", __doc__)


def gaps(logits, targets, margin=MARGIN):
    own = logits.gather(1, targets[:, None])
    return logits - own + margin * (1.0 - F.one_hot(targets, logits.shape[1]).to(logits.dtype))


def ldr_kl(logits, targets, temperature=1.0, margin=MARGIN):
    d = gaps(logits, targets, margin) / temperature
    return temperature * (torch.logsumexp(d, dim=1) - math.log(logits.shape[1]))


def ldr_k(logits, targets, k=5, margin=MARGIN):
    return gaps(logits, targets, margin).topk(k, dim=1).values.mean(1)


class Aldr:
    """One step of the temperatures at every call, as in the paper's algorithm 1."""

    def __init__(self, rows, lambda0=1.0, alpha=2.0):
        self.lambda0, self.alpha = lambda0, alpha
        self.temperatures = torch.full((rows, 1), lambda0)

    def __call__(self, logits, targets):
        num_classes = logits.shape[1]
        log_k = math.log(num_classes)
        with torch.no_grad():
            q = torch.softmax(logits / self.temperatures, dim=1) + 1e-5
            q = q / q.sum(1, keepdim=True)
            divergence = (q * (num_classes * q).log()).sum(1, keepdim=True)
            self.temperatures = self.lambda0 - self.lambda0 * divergence / (self.alpha * log_k)
        lam = self.temperatures
        d = gaps(logits, targets) / lam
        penalty = 0.5 * self.alpha * log_k / self.lambda0 * (lam - self.lambda0) ** 2
        return (lam * (torch.logsumexp(d, dim=1, keepdim=True) - log_k) - penalty).squeeze(1)


def focal(logits, targets, gamma=2.0):
    nll = F.cross_entropy(logits, targets, reduction="none")
    return (1.0 - torch.exp(-nll)) ** gamma * nll


def weston_watkins(logits, targets):
    return gaps(logits, targets, 1.0).clamp(min=0.0).mean(1)


def robust_log(logits, targets, offset=1.0):
    p = torch.softmax(logits, dim=1)
    logs = torch.log(offset + p)
    own = logs.gather(1, targets[:, None]).squeeze(1)
    others = (logs.sum(1) - own) / (logits.shape[1] - 1)
    return math.log((offset + 1.0) / offset) - own + others


def cross_entropy(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none")


LOSSES = {
    "cross-entropy": lambda rows: cross_entropy,
    "ldr-kl": lambda rows: ldr_kl,
    "ldr-k": lambda rows: ldr_k,
    "aldr": Aldr,
    "focal": lambda rows: focal,
    "weston-watkins": lambda rows: weston_watkins,
    "robust-log": lambda rows: robust_log,
}


def logits_case(name, batch_size, num_classes):
    def prepare(_):
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(batch_size, num_classes, generator=generator).requires_grad_()
        targets = torch.randint(num_classes, (batch_size,), generator=generator)
        loss = LOSSES[name](batch_size)

        def step():
            logits.grad = None
            loss(logits, targets).mean().backward()

        return step

    return prepare


for batch_size, num_classes in SIZES:
    for name in LOSSES:
        peer.case(f"{name}-{batch_size}x{num_classes}")(logits_case(name, batch_size, num_classes))


@peer.values
def values(_):
    """Losses and gradients of their sum in f64: the worked example and waves of logits."""
    inputs = {
        "worked": (torch.tensor([[2.0, 1.0, 0.5, -1.0]], dtype=torch.float64), torch.tensor([1])),
        "waves": (torch.from_numpy(wave(80, 3.0)).reshape(8, 10), torch.arange(8) * 3 % 10),
    }
    losses = {f"ldr-kl {lam}": (lambda x, y, lam=lam: ldr_kl(x, y, lam)) for lam in (0.1, 1.0, 10.0)}
    losses |= {f"ldr-k {k}": (lambda x, y, k=k: ldr_k(x, y, k)) for k in (1, 2, 4)}
    losses |= {"focal 2": focal, "weston-watkins 1": weston_watkins, "robust-log 1": robust_log}
    answer = {}
    for name, (logits, targets) in inputs.items():
        for label, loss in losses.items():
            leaf = logits.clone().requires_grad_()
            found = loss(leaf, targets)
            found.sum().backward()
            answer[f"{name}/{label}"] = {"losses": found.tolist(), "gradients": leaf.grad.tolist()}
    return answer


if __name__ == "__main__":
    peer.main()
