"""Values of small PyTorch networks, which the tests of `kiln-nn` hold its networks against.

    python3 peers/nn/fixtures.py          # writes crates/kiln-nn/tests/fixtures/*.json again

One file a network: names and shapes of the tensors of its `state_dict`, and features and outputs in f64. Weights and inputs are
not stored. Both languages make them, rounded to f32, by

    value[i] = offset + scale * sin(0.37 i + 0.011 i^2 + phase)

whose square makes the rows of a matrix independent. Networks that PyTorch's libraries have (torchvision's ResNet, the ResNets for
CIFAR, timm's vision transformer, GPT-2 of transformers) are written here with the names that their files have.
"""

import argparse
import json
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).resolve().parents[2] / "crates/kiln-nn/tests/fixtures"


def chirp(shape, offset, scale, phase):
    """The values of a tensor: in f32, kept in f64."""
    index = numpy.arange(int(numpy.prod(shape)), dtype=numpy.float64)
    values = offset + scale * numpy.sin(0.37 * index + 0.011 * (index * index) + phase)
    return torch.from_numpy(values.astype(numpy.float32).astype(numpy.float64)).reshape(shape)


class Mlp(nn.Module):
    def __init__(self, norm, activation):
        super().__init__()
        widths = [5, 7, 6]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(norm(width) for width in widths[1:]) if norm else []
        self.head = nn.Linear(6, 3)
        self.activation = activation

    def features(self, x):
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if self.norms:
                x = self.norms[index](x)
            x = self.activation(x)
        return x


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 5, padding=2)
        self.conv2 = nn.Conv2d(4, 6, 5)
        self.fc1 = nn.Linear(6 * 2 * 3, 10)
        self.fc2 = nn.Linear(10, 8)
        self.fc3 = nn.Linear(8, 3)

    def features(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return functional.relu(self.fc2(functional.relu(self.fc1(x.flatten(1)))))

    def head(self, features):
        return self.fc3(features)


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        channels = [3, 4, 6, 8]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(channels, channels[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in channels[1:])
        self.head = nn.Linear(8, 3)

    def features(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = functional.max_pool2d(functional.leaky_relu(norm(conv(x))), 2)
        return x.mean((2, 3))


class CifarBlock(nn.Module):
    """Without projection, option A: every second pixel, zeros around the channels."""

    def __init__(self, channels_in, channels_out, stride, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.changes = stride != 1 or channels_in != channels_out
        if self.changes and projects:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        hidden = functional.relu(self.bn1(self.conv1(x)))
        hidden = self.bn2(self.conv2(hidden))
        if hasattr(self, "shortcut"):
            x = self.shortcut(x)
        elif self.changes:
            added = (hidden.shape[1] - x.shape[1]) // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
        return functional.relu(hidden + x)


class CifarResNet8(nn.Module):
    def __init__(self, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(CifarBlock(4, 4, 1, projects))
        self.layer2 = nn.Sequential(CifarBlock(4, 8, 2, projects))
        self.layer3 = nn.Sequential(CifarBlock(8, 16, 2, projects))
        self.linear = nn.Linear(16, 3)

    def features(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))

    def head(self, features):
        return self.linear(features)


class BasicBlock(nn.Module):
    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        hidden = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(hidden + (self.downsample(x) if self.downsample else x))


class ResNet18(nn.Module):
    """Width 4 instead of 64."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 4
        for stage in range(4):
            wide = 4 << stage
            first = BasicBlock(channels, wide, 2 if stage else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, BasicBlock(wide, wide, 1)))
            channels = wide
        self.fc = nn.Linear(channels, 3)

    def features(self, x):
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))

    def head(self, features):
        return self.fc(features)


class VitAttention(nn.Module):
    def __init__(self, dimension, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dimension, 3 * dimension)
        self.proj = nn.Linear(dimension, dimension)

    def forward(self, x):
        batch, length, dimension = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, dimension // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, dimension))


class VitMlp(nn.Module):
    def __init__(self, dimension, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dimension, hidden)
        self.fc2 = nn.Linear(hidden, dimension)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    def __init__(self, dimension, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(dimension, eps=1e-6)
        self.attn = VitAttention(dimension, heads)
        self.norm2 = nn.LayerNorm(dimension, eps=1e-6)
        self.mlp = VitMlp(dimension, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, channels, dimension, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, dimension, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    """12 wide, 2 blocks, 3 heads, on 2 x 8 x 12 pixels in patches of 4."""

    def __init__(self, class_token):
        super().__init__()
        self.patch_embed = PatchEmbed(2, 12, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 12)) if class_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, 6 + int(class_token), 12))
        self.blocks = nn.Sequential(*(VitBlock(12, 3, 24) for _ in range(2)))
        self.norm = nn.LayerNorm(12, eps=1e-6) if class_token else nn.Identity()
        self.fc_norm = nn.Identity() if class_token else nn.LayerNorm(12, eps=1e-6)
        self.head = nn.Linear(12, 3)

    def features(self, x):
        x = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = self.norm(self.blocks(x + self.pos_embed))
        return self.fc_norm(x[:, 0] if self.cls_token is not None else x.mean(1))


class NgramEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.layers = nn.ModuleList([nn.Linear(3 * 4, 8), nn.Linear(8, 6)])

    def forward(self, words):
        x = self.embedding(words).flatten(1)
        for layer in self.layers:
            x = functional.silu(layer(x))
        return x


class Ngram(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = NgramEncoder()
        self.head = nn.Linear(6, 11)

    def features(self, words):
        return self.encoder(words)


class Conv1d(nn.Module):
    """GPT-2's linear layer: its weight is [inputs, outputs]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Gpt2Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("bias", torch.ones(1, 1, 6, 6).tril())
        self.register_buffer("masked_bias", torch.tensor(-1e4))
        self.c_attn = Conv1d(12, 36)
        self.c_proj = Conv1d(12, 12)

    def forward(self, x):
        batch, length, dimension = x.shape
        query, key, value = (
            part.reshape(batch, length, 3, 4).transpose(1, 2) for part in self.c_attn(x).split(dimension, 2)
        )
        scores = query @ key.transpose(2, 3) / 2.0
        visible = self.bias[:, :, :length, :length] > 0
        scores = scores.masked_fill(~visible, float("-inf"))
        return self.c_proj((scores.softmax(3) @ value).transpose(1, 2).reshape(batch, length, dimension))


class Gpt2Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = Conv1d(12, 48)
        self.c_proj = Conv1d(48, 12)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))


class Gpt2Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(12)
        self.attn = Gpt2Attention()
        self.ln_2 = nn.LayerNorm(12)
        self.mlp = Gpt2Mlp()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt2Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(11, 12)
        self.wpe = nn.Embedding(6, 12)
        self.h = nn.ModuleList(Gpt2Block() for _ in range(2))
        self.ln_f = nn.LayerNorm(12)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class Gpt2(nn.Module):
    """12 wide, 2 blocks, 3 heads, 11 tokens, a context of 6."""

    def __init__(self, tied):
        super().__init__()
        self.transformer = Gpt2Model()
        self.lm_head = nn.Linear(12, 11, bias=False)
        if tied:
            self.lm_head.weight = self.transformer.wte.weight

    def features(self, tokens):
        return self.transformer(tokens)

    def head(self, features):
        return self.lm_head(features)


class Halving(nn.Module):
    """The encoder's convolutions, each of which halves the sides."""

    def __init__(self, channels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, 2, 2) for a, b in zip(channels, channels[1:]))

    def forward(self, x):
        for conv in self.convs:
            x = torch.tanh(conv(x))
        return x.flatten(1)


class Doubling(nn.Module):
    """From a code of 5 to maps of 3 x 2, and on to 5 x 4 and 9 x 8."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 4 * 3 * 2)])
        self.convs = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, 2, 2, (0, 1)) for a, b in [(4, 3), (3, 2)])

    def forward(self, x):
        x = torch.tanh(self.layers[0](x)).reshape(-1, 4, 3, 2)
        return torch.sigmoid(self.convs[1](torch.tanh(self.convs[0](x))))


class Autoencoder(nn.Module):
    """Images of 2 x 9 x 8, whose sides are halved twice."""

    def __init__(self):
        super().__init__()
        self.encoder = Halving([2, 3, 4])
        self.code = nn.Linear(4 * 3 * 2, 5)
        self.decoder = Doubling()

    def features(self, x):
        return self.code(self.encoder(x))

    def head(self, features):
        return self.decoder(features)


class SrCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.conv2 = nn.Conv2d(4, 3, 1)
        self.conv3 = nn.Conv2d(3, 1, 3)

    def features(self, x):
        return x

    def head(self, x):
        hidden = functional.relu(self.conv1(functional.pad(x, (3, 3, 3, 3), "replicate")))
        return x + self.conv3(functional.relu(self.conv2(hidden)))


NETWORKS = {
    "mlp": (lambda: Mlp(None, functional.relu), [4, 5]),
    "mlp-batch": (lambda: Mlp(nn.BatchNorm1d, functional.gelu), [4, 5]),
    "mlp-layer": (lambda: Mlp(nn.LayerNorm, torch.tanh), [4, 5]),
    "lenet": (LeNet, [2, 2, 16, 20]),
    "convnet": (ConvNet, [2, 3, 9, 14]),
    "resnet8-padding": (lambda: CifarResNet8(False), [2, 3, 9, 10]),
    "resnet8-projection": (lambda: CifarResNet8(True), [2, 3, 9, 10]),
    "resnet18": (ResNet18, [2, 3, 64, 66]),
    "vit-class-token": (lambda: Vit(True), [2, 2, 8, 12]),
    "vit-mean": (lambda: Vit(False), [2, 2, 8, 12]),
    "ngram": (Ngram, [4, 3]),
    "gpt2-tied": (lambda: Gpt2(True), [2, 5]),
    "gpt2-untied": (lambda: Gpt2(False), [2, 5]),
    "autoencoder": (Autoencoder, [2, 2, 9, 8]),
    "srcnn": (SrCnn, [2, 1, 7, 9]),
}

WORDS = 11


def recipe(name, tensor, module, place):
    """Offset, scale and phase of one tensor, so that signals neither vanish nor explode."""
    phase = round(0.5 + 1.7 * place, 4)
    if name.endswith("running_var"):
        return 1.0, 0.5, phase
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)) and name.endswith("weight"):
        return 1.0, 0.3, phase
    if tensor.dim() < 2:
        return 0.0, 0.2, phase
    if isinstance(module, nn.Embedding) or name.endswith(("cls_token", "pos_embed")):
        return 0.0, 1.0, phase
    fan_in = tensor.shape[0] if isinstance(module, Conv1d) else tensor[0].numel()
    return 0.0, round(1.8 / fan_in**0.5, 4), phase


def fixture(name):
    build, dims = NETWORKS[name]
    network = build().double().eval()
    state, tensors, places = network.state_dict(), [], {}
    for key, tensor in state.items():
        module = network.get_submodule(key.rpartition(".")[0])
        if not tensor.is_floating_point() or key.endswith((".attn.bias", ".attn.masked_bias")):
            # Kept as they are: what they hold means nothing to a network of ours.
            tensors.append({"name": key, "shape": list(tensor.shape)})
            continue
        # A tensor that two names share has the values of the first.
        place = places.setdefault(tensor.data_ptr(), len(places))
        if place == len(places) - 1:
            first = recipe(key, tensor, module, place)
            tensor.copy_(chirp(tensor.shape, *first))
            tensors.append({"name": key, "shape": list(tensor.shape), "values": first})
        else:
            shared = next(t for t in tensors if t.get("values", [0, 0, None])[2] == round(0.5 + 1.7 * place, 4))
            tensors.append({"name": key, "shape": list(tensor.shape), "values": shared["values"]})
    if name.startswith(("ngram", "gpt2")):
        inputs = torch.arange(dims[0] * dims[1]).mul(7).add(3).remainder(WORDS).reshape(dims)
        given = inputs.flatten().tolist()
    else:
        given = (0.1, 1.2, 0.3)
        inputs = chirp(dims, *given)
    with torch.no_grad():
        features = network.features(inputs)
        outputs = network.head(features)
    return {
        "input_shape": dims,
        "inputs": given,
        "tensors": tensors,
        "features": features.flatten().tolist(),
        "outputs": outputs.flatten().tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files (default: that of the tests)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        content = fixture(name)
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items() if key != "tensors")
        tensors = ",\n".join(json.dumps(tensor) for tensor in content["tensors"])
        text = f'{{\n{lines},\n"tensors": [\n{tensors}\n]\n}}\n'
        (arguments.out / f"{name}.json").write_text(text, encoding="utf-8")
        spread = max(content["outputs"]) - min(content["outputs"])
        print(f"{name:20} {len(text):7} bytes, outputs {min(content['outputs']):.3f} .. {max(content['outputs']):.3f}, spread {spread:.3f}")


if __name__ == "__main__":
    main()
