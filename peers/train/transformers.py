"""A training step of two transformers for images: forward, cross-entropy, backward, Adam.

`encoder` has 4 blocks 64 wide with 4 heads on 49 patches of 28 x 28 pixels, batches of 64 (our size micro, the mean of the
tokens as features); `vit` has 12 blocks 192 wide with 3 heads (ViT-Ti) on 64 patches of 32 x 32 pixels and a class token, batches
of 32. Pre-norm blocks as in timm, attention by torch's `scaled_dot_product_attention`.
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

peer = Peer("train/transformers", __doc__)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, channels, side, width, depth, heads, hidden, class_token):
        super().__init__()
        tokens = (side // 4) ** 2 + int(class_token)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.patch_embed = nn.Conv2d(channels, width, 4, 4)
        self.blocks = nn.Sequential(*(Block(width, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = self.blocks(x + self.pos_embed)
        # Normalising every token and taking one is normalising that one.
        return self.head(self.norm(x.mean(1) if self.cls_token is None else x[:, 0]))


def encoder():
    return Transformer(1, 28, 64, 4, 4, 128, class_token=False)


def vit():
    return Transformer(3, 32, 192, 12, 3, 768, class_token=True)


def step_case(network, shape, adam):
    def prepare(_):
        torch.manual_seed(1)
        images = torch.from_numpy(noise(torch.Size(shape).numel())).float().reshape(shape)
        labels = 7 * torch.arange(shape[0]) % 10
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **adam)

        def operation():
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

        return operation

    return prepare


for name, adam in ADAM.items():
    peer.case(f"encoder-{name}")(step_case(encoder, (64, 1, 28, 28), adam))
    peer.case(f"vit-{name}")(step_case(vit, (32, 3, 32, 32), adam))


@peer.values
def values(_):
    """Losses of four Adam steps in f64 from wave weights on wave images."""
    batches = wave_batches(4, 8, (1, 28, 28))
    network = set_wave_weights(encoder().double())
    return {"encoder": {"losses": loss_curve(network, batches, lambda p: torch.optim.Adam(p, lr=1e-3))}}


if __name__ == "__main__":
    peer.main()
