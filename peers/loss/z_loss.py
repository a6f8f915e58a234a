"""Output layers over many classes in PyTorch: one training step (forward, backward, SGD update), and the dense Z-loss.

    z_k = (o_k - mean(o)) / std(o)        L = softplus(a (b - z_c)) / a

Cases `linear-cross-entropy-D` are `Linear` + `CrossEntropyLoss` over D classes, `adaptive-softmax-D` is
`AdaptiveLogSoftmaxWithLoss`; both take hidden vectors that want a gradient, as in a network, and update their own weights by
SGD. Hidden vectors are random; targets follow a Zipf law, as words do. `z-loss-*` and its like are forward and backward of the dense losses on logits.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, positive, wave

CLASSES = [10_000, 100_000, 200_000, 1_000_000]


def flags(parser):
    parser.add_argument("--hidden", type=positive, default=256, metavar="N", help="width of the hidden layer (default 256)")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="rows of a step (default 128)")


peer = Peer("loss/z_loss", __doc__, flags)


def hidden_and_targets(arguments, num_classes):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(arguments.batch_size, arguments.hidden, generator=generator).requires_grad_()
    uniform = torch.rand(arguments.batch_size, generator=generator, dtype=torch.float64)
    targets = (num_classes**uniform - 1.0).long().clamp(max=num_classes - 1)
    return hidden, targets


def layer_case(build, num_classes):
    def prepare(arguments):
        torch.manual_seed(1)
        hidden, targets = hidden_and_targets(arguments, num_classes)
        layer, loss_of = build(arguments.hidden, num_classes)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)

        def step():
            hidden.grad = None
            optimizer.zero_grad()
            loss_of(layer, hidden, targets).backward()
            optimizer.step()

        return step

    return prepare


def linear_cross_entropy(hidden_width, num_classes):
    criterion = torch.nn.CrossEntropyLoss()
    layer = torch.nn.Linear(hidden_width, num_classes)
    return layer, lambda layer, hidden, targets: criterion(layer(hidden), targets)


def adaptive_softmax(hidden_width, num_classes):
    cutoffs = [cutoff for cutoff in (2_000, 20_000, 100_000) if cutoff < num_classes]
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(hidden_width, num_classes, cutoffs)
    return layer, lambda layer, hidden, targets: layer(hidden, targets).loss


for num_classes in CLASSES:
    peer.case(f"linear-cross-entropy-{num_classes}")(layer_case(linear_cross_entropy, num_classes))
for num_classes in CLASSES:
    peer.case(f"adaptive-softmax-{num_classes}")(layer_case(adaptive_softmax, num_classes))


def z_loss(logits, targets, a=0.1, b=10.0):
    """Dense Z-loss of each example."""
    centred = logits - logits.mean(1, keepdim=True)
    deviation = centred.square().mean(1).sqrt()
    score = centred.gather(1, targets[:, None]).squeeze(1) / deviation
    return F.softplus(a * (b - score), threshold=1e9) / a


def spherical_softmax(logits, targets, eps=1e-3):
    """-log((o_c^2 + eps) / (sum o^2 + D eps))"""
    squares = logits.square() + eps
    return squares.sum(1).log() - squares.gather(1, targets[:, None]).squeeze(1).log()


def taylor_softmax(logits, targets):
    """-log((1 + o_c + o_c^2 / 2) / sum_k (1 + o_k + o_k^2 / 2))"""
    terms = 1.0 + logits + logits.square() / 2.0
    return terms.sum(1).log() - terms.gather(1, targets[:, None]).squeeze(1).log()


def squared_error(logits, targets):
    """|| o - e_c ||^2"""
    return (logits - F.one_hot(targets, logits.shape[1]).to(logits.dtype)).square().sum(1)


def dense_case(loss, batch_size, num_classes):
    def prepare(_):
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(batch_size, num_classes, generator=generator).requires_grad_()
        targets = torch.randint(num_classes, (batch_size,), generator=generator)

        def step():
            logits.grad = None
            loss(logits, targets).mean().backward()

        return step

    return prepare


FAMILY = {
    "z-loss a=1 b=0": lambda logits, targets: z_loss(logits, targets, 1.0, 0.0),
    "z-loss a=0.5 b=2": lambda logits, targets: z_loss(logits, targets, 0.5, 2.0),
    "z-loss a=0.1 b=10": z_loss,
    "spherical-softmax eps=0.001": spherical_softmax,
    "taylor-softmax": taylor_softmax,
    "squared-error": squared_error,
}

for batch_size, num_classes in [(256, 1000), (1024, 10)]:
    for loss in (z_loss, spherical_softmax, taylor_softmax, squared_error):
        name = loss.__name__.replace("_", "-")
        peer.case(f"{name}-{batch_size}x{num_classes}")(dense_case(loss, batch_size, num_classes))


@peer.values
def values(_):
    """Dense losses with the gradients of their sum, and five exact SGD steps of the output layer for each loss, all in f64."""
    answer = {}
    inputs = {
        "worked c=3": (torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64), torch.tensor([3])),
        "worked c=0": (torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64), torch.tensor([0])),
        "waves": (torch.from_numpy(wave(48, 2.0)).reshape(4, 12), torch.tensor([0, 5, 5, 11])),
    }
    for name, (logits, targets) in inputs.items():
        for member, loss in FAMILY.items():
            leaf = logits.clone().requires_grad_()
            losses = loss(leaf, targets)
            losses.sum().backward()
            answer[f"{name}/{member}"] = {"losses": losses.tolist(), "gradients": leaf.grad.tolist()}
    for member, loss in FAMILY.items():
        answer[f"layer/{member}"] = layer_trajectory(loss)
    return answer


def layer_trajectory(loss, num_classes=20, hidden_width=6, batch_size=3, steps=5, learning_rate=0.05):
    """SGD on the mean loss; weights and hidden vectors are waves, targets repeat in the third batch."""
    weights = torch.from_numpy(wave(num_classes * hidden_width, 0.5)).reshape(num_classes, hidden_width)
    losses, hidden_gradients = [], []
    for step in range(steps):
        hidden = torch.from_numpy(wave(batch_size * hidden_width, 1.0, frequency=0.9, phase=step))
        hidden = hidden.reshape(batch_size, hidden_width).requires_grad_()
        targets = torch.tensor([(7 * step + 3 * i) % num_classes if step != 2 else 4 for i in range(batch_size)])
        weights = weights.detach().requires_grad_()
        mean = loss(hidden @ weights.T, targets).mean()
        mean.backward()
        losses.append(mean.item())
        hidden_gradients.append(hidden.grad.tolist())
        weights = weights - learning_rate * weights.grad
    return {"losses": losses, "hidden_gradients": hidden_gradients, "weights": weights.tolist()}


if __name__ == "__main__":
    peer.main()
