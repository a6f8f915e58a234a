"""Training steps of two convolutional networks, on images without pattern that are in memory.

    resnet20    ResNet-20 with option A, 3 x 32 x 32, batches of 128, SGD with momentum
    convnet     conv 3x3 (32) - ReLU - pool 2x2 - conv 3x3 (64) - ReLU - pool 2x2 - linear (128) - ReLU - linear,
                1 x 28 x 28, batches of 64, Adam

The time is that of a pass over 1280 images, shuffled: batches, forward, backward, step. The network is trained on from one
call to the next. ReLUs work in place, as in torchvision.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from digits import set_wave_weights
from measure import Peer, noise
from supervised import ADAM, loss_curve, wave_batches

IMAGES = 1280
SGD = {"lr": 0.05, "momentum": 0.9}

peer = Peer("train/convnets", __doc__)


class Block(nn.Module):
    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.stride, self.padded = stride, (channels_out - channels_in) // 2

    def forward(self, x):
        hidden = F.relu(self.bn1(self.conv1(x)), inplace=True)
        hidden = self.bn2(self.conv2(hidden))
        if self.stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padded, self.padded))
        hidden += x
        return F.relu(hidden, inplace=True)


class ResNet(nn.Module):
    def __init__(self, depth, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, width = [], 16
        for stage in range(3):
            for block in range((depth - 2) // 6):
                wider = 16 << stage
                blocks.append(Block(width, wider, 2 if stage > 0 and block == 0 else 1))
                width = wider
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.fc(self.blocks(x).mean((2, 3)))


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(inplace=True), nn.Linear(128, 10),
    )  # fmt: skip


def training_case(build, make_optimizer, batch_size, shape):
    def prepare(_):
        torch.manual_seed(1)
        count = shape[0] * shape[1] * shape[2]
        images = torch.from_numpy(noise(IMAGES * count, 1.0, 1)).float().reshape(IMAGES, *shape)
        labels = torch.arange(IMAGES) % 10
        network = build()
        optimizer = make_optimizer(network.parameters())

        def operation():
            for rows in torch.randperm(IMAGES).split(batch_size):
                optimizer.zero_grad()
                F.cross_entropy(network(images[rows]), labels[rows]).backward()
                optimizer.step()

        return operation

    return prepare


peer.case("resnet20")(training_case(lambda: ResNet(20), lambda p: torch.optim.SGD(p, **SGD), 128, (3, 32, 32)))
for name, adam in ADAM.items():
    make_optimizer = lambda p, adam=adam: torch.optim.Adam(p, lr=1e-3, **adam)  # noqa: E731
    peer.case(f"convnet-{name}")(training_case(convnet, make_optimizer, 64, (1, 28, 28)))


@peer.values
def values(_):
    """Losses of three steps in f64 from wave weights on wave images."""
    resnet = set_wave_weights(ResNet(8).double())
    small = set_wave_weights(convnet().double())
    sgd = lambda p: torch.optim.SGD(p, **SGD)  # noqa: E731
    return {
        "resnet8": {"losses": loss_curve(resnet, wave_batches(3, 8, (3, 16, 16)), sgd)},
        "convnet": {"losses": loss_curve(small, wave_batches(3, 8, (1, 28, 28)), lambda p: torch.optim.Adam(p, lr=1e-3))},
    }


if __name__ == "__main__":
    peer.main()
