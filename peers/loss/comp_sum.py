"""Comp-sum losses in PyTorch: forward and backward on logits, and adversarial training steps of the digits network.

    l_tau = (p_y^(tau - 1) - 1) / (1 - tau)     and     -log p_y for tau = 1

Cases `cross-entropy-*` are `torch.nn.functional.cross_entropy`; `expression-*` the same loss written out; `comp-sum-*` the family's
member tau = 1.5 as an expression; `trades-digits` and `smooth-digits` one training step (inner attack of 10 steps, then the
update) of the 64-256-256-10 network on 64 rows of digits.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from digits import digits_network, read_digits
from measure import Peer, wave

TAUS = [0.0, 0.5, 0.99999, 1.0, 1.00001, 1.5, 1.7, 2.0, 3.0]
SIZES = [(256, 1000), (1024, 10)]
EPSILON, ATTACK_STEPS, BATCH_SIZE = 0.1, 10, 64

peer = Peer("loss/comp_sum", __doc__)


def comp_sum(logits, targets, tau):
    """Loss of each example, from the log-probability so that nothing overflows before the value itself does."""
    log_p = F.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)
    distance = tau - 1.0
    if abs(distance) < 1e-4:
        return -log_p * (1.0 + distance * log_p / 2.0 + (distance * log_p) ** 2 / 6.0)
    return torch.expm1(distance * log_p) / -distance


def cross_entropy_expression(logits, targets, tau):
    return -F.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)


def logits_case(loss, batch_size, num_classes, tau=1.0):
    def prepare(_):
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(batch_size, num_classes, generator=generator).requires_grad_()
        targets = torch.randint(num_classes, (batch_size,), generator=generator)

        def step():
            logits.grad = None
            loss(logits, targets, tau).mean().backward()

        return step

    return prepare


for batch_size, num_classes in SIZES:
    size = f"{batch_size}x{num_classes}"
    peer.case(f"cross-entropy-{size}")(
        logits_case(lambda logits, targets, _: F.cross_entropy(logits, targets), batch_size, num_classes)
    )
    peer.case(f"expression-{size}")(logits_case(cross_entropy_expression, batch_size, num_classes))
    peer.case(f"comp-sum-1.5-{size}")(logits_case(comp_sum, batch_size, num_classes, 1.5))


def attack(inputs, start, objective, epsilon=EPSILON, steps=ATTACK_STEPS):
    """Projected gradient ascent in the l-infinity ball and in [0, 1], gradients of the input only."""
    attacked = start
    for _ in range(steps):
        attacked.requires_grad_()
        (gradient,) = torch.autograd.grad(objective(attacked), attacked)
        moved = attacked.detach() + epsilon / 4 * gradient.sign()
        attacked = torch.clamp(torch.minimum(torch.maximum(moved, inputs - epsilon), inputs + epsilon), 0.0, 1.0)
    return attacked


def adversarial_case(objective):
    def prepare(_):
        torch.manual_seed(1)
        rows, labels = read_digits()
        network = digits_network()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        inputs, targets = rows[:BATCH_SIZE] / 16.0, labels[:BATCH_SIZE]

        def step():
            optimizer.zero_grad()
            objective(network, inputs, targets).backward()
            optimizer.step()

        return step

    return prepare


def trades(network, inputs, targets, beta=6.0):
    """CE(s(x), y) + beta KL(softmax s(x) || softmax s(x'))."""
    logits = network(inputs)
    clean = F.softmax(logits.detach(), dim=1)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    attacked = attack(
        inputs,
        inputs + 0.001 * torch.randn_like(inputs),
        lambda x: F.kl_div(F.log_softmax(network(x), dim=1), clean, reduction="sum"),
    )
    for parameter in network.parameters():
        parameter.requires_grad_()
    natural = F.cross_entropy(logits, targets)
    robust = F.kl_div(F.log_softmax(network(attacked), dim=1), F.softmax(logits, dim=1), reduction="batchmean")
    return natural + beta * robust


def margin_shift(clean, attacked, targets):
    """|| Delta(x', y) - Delta(x, y) ||_2 of each example, with Delta the margins s_y - s_y'."""
    change = attacked - clean
    margins = change.gather(1, targets[:, None]) - change
    return (margins.square().sum(1) + 1e-12).sqrt()


def smooth_adversarial(network, inputs, targets, nu=1.0):
    """Logistic loss + nu sup || Delta(x') - Delta(x) ||_2."""
    logits = network(inputs)
    clean = logits.detach()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    start = (inputs + EPSILON * (2.0 * torch.rand_like(inputs) - 1.0)).clamp(0.0, 1.0)
    attacked = attack(inputs, start, lambda x: margin_shift(clean, network(x), targets).sum())
    for parameter in network.parameters():
        parameter.requires_grad_()
    shift = margin_shift(logits, network(attacked), targets).mean()
    return F.cross_entropy(logits, targets) + nu * shift


peer.case("trades-digits")(adversarial_case(trades))
peer.case("smooth-digits")(adversarial_case(smooth_adversarial))


@peer.values
def values(_):
    """Losses and gradients of their sum in f64: the worked example, waves of logits, and logits far apart."""
    inputs = {
        "worked": (torch.tensor([[2.0, 1.0, 0.5]], dtype=torch.float64), torch.tensor([1])),
        "waves": (torch.from_numpy(wave(80, 3.0)).reshape(8, 10), torch.arange(8) * 3 % 10),
        "extreme": (torch.tensor([[20.0, -20.0, 0.0], [-20.0, 20.0, 0.0]], dtype=torch.float64), torch.tensor([0, 0])),
    }
    answer = {}
    for name, (logits, targets) in inputs.items():
        for tau in TAUS:
            leaf = logits.clone().requires_grad_()
            losses = comp_sum(leaf, targets, tau)
            losses.sum().backward()
            answer[f"{name}/tau={tau}"] = {"losses": losses.tolist(), "gradients": leaf.grad.tolist()}
    return answer


if __name__ == "__main__":
    peer.main()
