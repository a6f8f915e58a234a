"""diffGrad as a PyTorch optimizer, one parameter tensor after another, beside torch's Adam.

    m <- b1 m + (1 - b1) g     v <- b2 v + (1 - b2) g^2     xi = sigmoid(|g_prev - g|)
    theta <- theta - lr mhat xi / (sqrt(vhat) + eps)

PyTorch has no diffGrad of its own. This one is written as optimizers usually are there: a Python loop over the parameters with
one tensor operation after the other. Every case is one `step()` over 10 million parameters with gradients already there,
in one tensor or in 200.
"""

import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, wave

PARAMETERS = 10_000_000

peer = Peer("optim/diffgrad", __doc__)


class DiffGrad(torch.optim.Optimizer):
    """`placement` says where eps goes: beside the uncorrected sqrt(v) ("authors") or the corrected one ("paper")."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, placement="authors"):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.placement = placement

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta_1, beta_2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                if group["weight_decay"] != 0.0:
                    gradient = gradient.add(parameter, alpha=group["weight_decay"])
                state = self.state[parameter]
                if not state:
                    state["time"] = 0
                    for name in ("first", "second", "previous"):
                        state[name] = torch.zeros_like(parameter)
                state["time"] += 1
                correction_1 = 1.0 - beta_1 ** state["time"]
                correction_2 = 1.0 - beta_2 ** state["time"]

                first, second = state["first"], state["second"]
                first.mul_(beta_1).add_(gradient, alpha=1.0 - beta_1)
                second.mul_(beta_2).addcmul_(gradient, gradient, value=1.0 - beta_2)
                friction = torch.sigmoid((state["previous"] - gradient).abs())
                state["previous"] = gradient.clone()
                if self.placement == "authors":
                    denominator = second.sqrt().add_(group["eps"])
                    rate = group["lr"] * math.sqrt(correction_2) / correction_1
                else:
                    denominator = second.sqrt().div_(math.sqrt(correction_2)).add_(group["eps"])
                    rate = group["lr"] / correction_1
                parameter.addcdiv_(first * friction, denominator, value=-rate)


def step_case(build, tensors):
    def prepare(_):
        torch.manual_seed(1)
        parameters = [torch.nn.Parameter(torch.randn(PARAMETERS // tensors)) for _ in range(tensors)]
        gradients = [torch.randn_like(parameter) * 0.01 for parameter in parameters]

        def new_gradients():
            """New tensors every time, as a backward pass makes them."""
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient * 1.0001

        return new_gradients, build(parameters).step

    return prepare


OPTIMIZERS = {
    "diffgrad-loop": DiffGrad,
    "adam-loop": lambda parameters: torch.optim.Adam(parameters, foreach=False),
    "adam-foreach": lambda parameters: torch.optim.Adam(parameters, foreach=True),
    "sgd-fused": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, fused=True),
    "adam-fused": lambda parameters: torch.optim.Adam(parameters, fused=True),
}
for name, build in OPTIMIZERS.items():
    for tensors in (1, 200):
        peer.case(f"{name}-{tensors}")(step_case(build, tensors))


@peer.values
def values(_):
    """Parameters after each of five steps from waves of parameters and gradients, in f64."""
    settings = {
        "authors": {},
        "paper": {"placement": "paper"},
        "authors lr=0.1 eps=0.001": {"lr": 0.1, "eps": 1e-3},
        "paper lr=0.1 eps=0.001": {"lr": 0.1, "eps": 1e-3, "placement": "paper"},
        "weight-decay=0.1": {"lr": 0.01, "weight_decay": 0.1},
    }
    answer = {}
    for name, chosen in settings.items():
        answer[name] = trajectory(torch.tensor(wave(12)), chosen, lambda step: torch.tensor(wave(12, 1.0, 0.9, step)))
    worked = torch.tensor([1.0], dtype=torch.float64)
    answer["worked"] = trajectory(worked, {"lr": 0.1}, lambda _: torch.ones(1, dtype=torch.float64))
    return answer


def trajectory(start, settings, gradient, steps=5):
    parameter = torch.nn.Parameter(start)
    optimizer = DiffGrad([parameter], **settings)
    path = []
    for step in range(steps):
        parameter.grad = gradient(step)
        optimizer.step()
        path.append(parameter.tolist())
    return path


if __name__ == "__main__":
    peer.main()
