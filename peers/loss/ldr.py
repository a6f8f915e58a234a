"""Label-distributionally robust losses in PyTorch: forward and backward on logits.

    psi = lambda (logsumexp(d / lambda) - log K)        d_k = f_k - f_y + margin [k != y]

Cases `cross-entropy-*` are `torch.nn.functional.cross_entropy`; `ldr-kl-*` the loss with one temperature, `ldr-k-*` the mean of
the five largest gaps, `aldr-*` the loss with a temperature of its own for each row, adapted by one step, all written out. The other
cases are the losses that these are compared with.
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


def ldr_k_kl(logits, targets, k=2, temperature=0.5, margin=MARGIN):
    """No class has more than 1/k of the weight; the distribution by water filling, held fixed in the gradient."""
    d = gaps(logits, targets, margin)
    p = torch.stack([water_filling(row.detach(), k, temperature) for row in d])
    return (p * d).sum(1) - temperature * torch.special.xlogy(p, d.shape[1] * p).sum(1)


def water_filling(d, k, temperature):
    order = d.argsort(descending=True)
    for saturated in range(k + 1):
        p = torch.full_like(d, 1.0 / k)
        rest = order[saturated:]
        p[rest] = (1.0 - saturated / k) * torch.softmax(d[rest] / temperature, 0)
        if len(rest) == 0 or p[rest[0]] <= (1.0 + 1e-12) / k:
            return p
    raise AssertionError("no number of saturated classes fits")


def softplus_mean(logits):
    positive = F.softplus(logits)
    return positive / positive.mean(1, keepdim=True)


def l1_mean(logits):
    return logits / logits.abs().mean(1, keepdim=True)


def aldr_at(logits, targets, temperatures, lambda0=1.0, alpha=2.0):
    """The adaptive loss at temperatures `[rows, 1]`, which the gradient does not go through."""
    log_k = math.log(logits.shape[1])
    d = gaps(logits, targets) / temperatures
    penalty = 0.5 * alpha * log_k / lambda0 * (temperatures - lambda0) ** 2
    return (temperatures * (torch.logsumexp(d, dim=1, keepdim=True) - log_k) - penalty).squeeze(1)


def aldr_exact(logits, targets, lambda0=1.0, alpha=2.0):
    """At the best of many temperatures, then of many around that one, and so on."""
    with torch.no_grad():
        low = torch.full((logits.shape[0], 1), lambda0 * (1.0 - 1.0 / alpha), dtype=logits.dtype)
        high = torch.full_like(low, lambda0)
        steps = torch.linspace(0.0, 1.0, 101, dtype=logits.dtype)
        for _ in range(8):
            points = low + (high - low) * steps
            found = [aldr_at(logits, targets, points[:, [at]], lambda0, alpha) for at in range(len(steps))]
            best = torch.stack(found, 1).argmax(1, keepdim=True)
            low, high = points.gather(1, (best - 1).clamp(min=0)), points.gather(1, (best + 1).clamp(max=100))
    return aldr_at(logits, targets, 0.5 * (low + high), lambda0, alpha)


def aldr_joint(logits, targets, lambda0=1.0, alpha=2.0):
    aldr = Aldr(logits.shape[0], lambda0, alpha)
    for _ in range(3):
        found = aldr(logits, targets)
    return found


class Aldr:
    """One step of the temperatures at every call, as in the paper's algorithm 1."""

    def __init__(self, rows, lambda0=1.0, alpha=2.0):
        self.lambda0, self.alpha = lambda0, alpha
        self.temperatures = lambda0 * torch.ones(rows, 1)

    def __call__(self, logits, targets):
        num_classes = logits.shape[1]
        log_k = math.log(num_classes)
        with torch.no_grad():
            q = torch.softmax(logits / self.temperatures, dim=1) + 1e-5
            q = q / q.sum(1, keepdim=True)
            divergence = (q * (num_classes * q).log()).sum(1, keepdim=True)
            self.temperatures = self.lambda0 - self.lambda0 * divergence / (self.alpha * log_k)
        return aldr_at(logits, targets, self.temperatures, self.lambda0, self.alpha)


def focal(logits, targets, gamma=2.0):
    nll = F.cross_entropy(logits, targets, reduction="none")
    return (1.0 - torch.exp(-nll)) ** gamma * nll


def weston_watkins(logits, targets):
    return gaps(logits, targets, 1.0).clamp(min=0.0).mean(1)


def crammer_singer(logits, targets):
    return gaps(logits, targets, 1.0).max(1).values


def of_rivals(function, margin):
    """The mean over all classes of a function of the gaps to the rivals."""

    def loss(logits, targets):
        rivals = 1.0 - F.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return (function(gaps(logits, targets, margin)) * rivals).mean(1)

    return loss


def smooth_hinge(gap):
    violation = gap.clamp(min=0.0)
    return torch.where(violation < 1.0, violation.square() / 2.0, violation - 0.5)


def robust_log(logits, targets, offset=1.0):
    p = torch.softmax(logits, dim=1)
    logs = torch.log(offset + p)
    own = logs.gather(1, targets[:, None]).squeeze(1)
    others = (logs.sum(1) - own) / (logits.shape[1] - 1)
    return math.log((offset + 1.0) / offset) - own + others


def likelihood(function):
    return lambda logits, targets: function(torch.softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1))


def normalized_cross_entropy(logits, targets):
    log_p = torch.log_softmax(logits, dim=1)
    return log_p.gather(1, targets[:, None]).squeeze(1) / log_p.sum(1)


def squared_error(logits, targets):
    return (F.one_hot(targets, logits.shape[1]) - torch.softmax(logits, dim=1)).square().sum(1)


def jensen_shannon(logits, targets, weight=0.5):
    p, e = torch.softmax(logits, dim=1), F.one_hot(targets, logits.shape[1]).to(logits.dtype)
    m = weight * e + (1.0 - weight) * p
    divergences = -weight * (e * m.log()).sum(1) + (1.0 - weight) * (p * (p / m).log()).sum(1)
    return divergences / (-(1.0 - weight) * math.log(1.0 - weight))


def active_passive(logits, targets):
    reverse = likelihood(lambda p: -math.log(1e-4) * (1.0 - p))
    return 5.0 * normalized_cross_entropy(logits, targets) + 5.0 * reverse(logits, targets)


BASELINES = {
    "sce 0.5": likelihood(lambda p: -0.5 * p.log() + 0.5 * 4.0 * (1.0 - p)),
    "gce 0.7": likelihood(lambda p: (1.0 - p**0.7) / 0.7),
    "rce": likelihood(lambda p: -math.log(1e-4) * (1.0 - p)),
    "aul": likelihood(lambda p: ((6.0 - p) ** 1.5 - 5.0**1.5) / 1.5),
    "agce": likelihood(lambda p: (4.0**1.5 - (3.0 + p) ** 1.5) / 1.5),
    "js 0.5": jensen_shannon,
    "nce": normalized_cross_entropy,
    "mse": squared_error,
    "mae": likelihood(lambda p: 1.0 - p),
    "capped-gce": likelihood(lambda p: ((1.0 - p**0.7) / 0.7).clamp(max=(1.0 - 0.5**0.7) / 0.7)),
    "active-passive": active_passive,
    "crammer-singer": crammer_singer,
    "squared-hinge": of_rivals(lambda gap: gap.clamp(min=0.0).square(), 1.0),
    "smooth-hinge": of_rivals(smooth_hinge, 1.0),
    "logistic-margin": of_rivals(F.softplus, 0.0),
    "smoothed": lambda logits, targets: F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.1),
}


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
} | {name.split()[0]: (lambda rows, loss=loss: loss) for name, loss in BASELINES.items()}


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
    losses |= {"ldr-k-kl 2": ldr_k_kl, "ldr-kl-softplus 1.0": lambda x, y: ldr_kl(softplus_mean(x), y)}
    losses |= {"aldr 1.0": lambda x, y: Aldr(len(x))(x, y), "aldr-joint 1.0": aldr_joint, "aldr-exact 1.0": aldr_exact}
    losses |= {"aldr-l1 1.0": lambda x, y: Aldr(len(x))(l1_mean(x), y)}
    losses |= BASELINES
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
