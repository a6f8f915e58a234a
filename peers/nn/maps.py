"""Single layers over maps: convolutions, batch normalisation with ReLU, pooling; forward, and forward with backward.

`NAME-forward` runs without a graph; `NAME-step` runs forward and backward, with the gradients by the input and all weights.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, wave

peer = Peer("nn/maps", __doc__)

#: Images, channels, side; outputs, side of the kernel, stride.
CONVOLUTIONS = {
    "conv-1x28-32": (64, 1, 28, 32, 3, 1),
    "conv-32x14-64": (64, 32, 14, 64, 3, 1),
    "conv-3x32-16": (128, 3, 32, 16, 3, 1),
    "conv-16x32-16": (128, 16, 32, 16, 3, 1),
    "conv-16x32-32-stride-2": (128, 16, 32, 32, 3, 2),
    "conv-32x16-32": (128, 32, 16, 32, 3, 1),
    "conv-64x8-64": (128, 64, 8, 64, 3, 1),
    "conv-64x14-128-pointwise": (64, 64, 14, 128, 1, 1),
}


def layers():
    for name, (images, channels, side, outputs, kernel, stride) in CONVOLUTIONS.items():
        layer = nn.Conv2d(channels, outputs, kernel, stride, kernel // 2)
        yield name, layer, (images, channels, side, side)
    yield "batch-norm-relu-16x32", nn.Sequential(nn.BatchNorm2d(16), nn.ReLU(inplace=True)), (128, 16, 32, 32)
    yield "batch-norm-relu-64x8", nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(inplace=True)), (128, 64, 8, 8)
    yield "batch-norm-relu-rows-64x256", nn.Sequential(nn.BatchNorm1d(256), nn.ReLU(inplace=True)), (64, 256)
    yield "max-pool-32x28", nn.MaxPool2d(2), (64, 32, 28, 28)
    yield "max-pool-64x56-3-stride-2", nn.MaxPool2d(3, 2, 1), (16, 64, 56, 56)
    yield "avg-pool-32x28", nn.AvgPool2d(2), (64, 32, 28, 28)
    yield "mean-64x8", nn.AdaptiveAvgPool2d(1), (128, 64, 8, 8)


def forward_case(layer, shape):
    def prepare(_):
        torch.manual_seed(1)
        x = torch.randn(shape)
        layer.eval()

        def operation():
            with torch.no_grad():
                layer(x)

        return operation

    return prepare


def step_case(layer, shape):
    def prepare(_):
        torch.manual_seed(1)
        x = torch.randn(shape, requires_grad=True)
        upstream = torch.randn_like(layer(x))

        def operation():
            x.grad = None
            layer.zero_grad()
            layer(x).backward(upstream)

        return operation

    return prepare


for name, layer, shape in layers():
    peer.case(f"{name}-forward")(forward_case(layer, shape))
    peer.case(f"{name}-step")(step_case(layer, shape))


@peer.values
def values(_):
    """Sums of output and gradients in f64, weighted by waves."""
    answer = {}
    for name, layer, shape in [
        ("conv", nn.Conv2d(3, 5, 3, 2, 1), (2, 3, 9, 11)),
        ("batch-norm-relu", nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), (2, 3, 5, 7)),
        ("max-pool", nn.MaxPool2d(3, 2, 1), (2, 3, 9, 11)),
        ("avg-pool", nn.AvgPool2d(3, 2, 1), (2, 3, 9, 11)),
    ]:
        layer = layer.double()
        with torch.no_grad():
            for index, parameter in enumerate(layer.parameters()):
                parameter.copy_(tensor(parameter.shape, 0.5, 0.7, float(index)))
        x = tensor(shape, 1.0, 0.37, 0.0).requires_grad_()
        y = layer(x)
        y.backward(tensor(y.shape, 1.0, 0.9, 0.0))
        answer[name] = {"output": y.sum().item(), "gradient": (x.grad * tensor(shape, 1.0, 0.5, 0.0)).sum().item()}
    return answer


def tensor(shape, scale, frequency, phase):
    count = torch.Size(shape).numel()
    return torch.from_numpy(wave(count, scale, frequency, phase)).reshape(shape)


if __name__ == "__main__":
    peer.main()
