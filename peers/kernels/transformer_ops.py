"""The operations that transformers are made of, forward and backward, on the shapes of the networks in `train/transformers.py`.

The gradient of the output is one everywhere on both sides. `attention-...` begins with the joint projection to queries, keys and
values, and ends with heads side by side.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, noise

peer = Peer("kernels/transformer_ops", __doc__)


def tensor(*shape, seed=0):
    return torch.from_numpy(noise(torch.Size(shape).numel(), 2.0, seed)).float().reshape(shape)


def attention(qkv, heads, is_causal):
    batch, length, joint = qkv.shape
    width = joint // (3 * heads)
    query, key, value = qkv.reshape(batch, length, 3, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
    return mixed.transpose(1, 2).reshape(batch, length, heads * width)


def both_ways(make, *shapes):
    """Forward and backward of a function of tensors of these shapes."""

    def prepare(_):
        inputs = [tensor(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
        ones = torch.ones_like(make(*inputs))
        return lambda: torch.autograd.grad(make(*inputs), inputs, ones)

    return prepare


def forward(function, *shape):
    def prepare(_):
        x = tensor(*shape)
        return lambda: function(x)

    return prepare


peer.case("exp-1000000")(forward(torch.exp, 1_000_000))
for rows, width in ((3136, 128), (2080, 768)):
    peer.case(f"gelu-{rows}x{width}")(both_ways(F.gelu, (rows, width)))
    peer.case(f"gelu-tanh-{rows}x{width}")(both_ways(lambda x: F.gelu(x, approximate="tanh"), (rows, width)))
    peer.case(f"silu-{rows}x{width}")(both_ways(F.silu, (rows, width)))
for rows, width in ((12544, 49), (6240, 65)):
    peer.case(f"softmax-{rows}x{width}")(both_ways(lambda x: F.softmax(x, 1), (rows, width)))
    peer.case(f"log-softmax-{rows}x{width}")(both_ways(lambda x: F.log_softmax(x, 1), (rows, width)))
for rows, width in ((3136, 64), (2080, 192)):
    norm = lambda x, gamma, beta: F.layer_norm(x, gamma.shape, gamma, beta)  # noqa: E731
    peer.case(f"layer-norm-{rows}x{width}")(both_ways(norm, (rows, width), (width,), (width,)))
for batch, length, heads, width in ((64, 49, 4, 16), (32, 65, 3, 64), (1, 2048, 4, 64)):
    for causal in (False, True):
        name = f"attention-{batch}x{length}x{heads}x{width}{'-causal' if causal else ''}"
        attend = lambda qkv, heads=heads, causal=causal: attention(qkv, heads, causal)  # noqa: E731
        peer.case(name)(both_ways(attend, (batch, length, 3 * heads * width)))


@peer.values
def values(_):
    """Outputs and gradients of single precision, for an upstream gradient that is the output."""
    found = {}
    for name, make, shapes in (
        ("gelu", F.gelu, [(7, 5)]),
        ("gelu-tanh", lambda x: F.gelu(x, approximate="tanh"), [(7, 5)]),
        ("silu", F.silu, [(7, 5)]),
        ("softmax", lambda x: F.softmax(x, 1), [(3, 21)]),
        ("log-softmax", lambda x: F.log_softmax(x, 1), [(3, 21)]),
        ("layer-norm", lambda x, gamma, beta: F.layer_norm(x, gamma.shape, gamma, beta), [(5, 19), (19,), (19,)]),
        ("attention", lambda qkv: attention(qkv, 2, False), [(2, 9, 30)]),
        ("attention-causal", lambda qkv: attention(qkv, 2, True), [(2, 9, 30)]),
    ):
        inputs = [tensor(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
        output = make(*inputs)
        gradients = torch.autograd.grad(output, inputs, output.detach())
        found[name] = {"output": output.flatten().tolist(), "gradients": [g.flatten().tolist() for g in gradients]}
    return found


if __name__ == "__main__":
    peer.main()
