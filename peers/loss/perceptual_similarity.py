"""Structural similarity by pytorch-msssim and scikit-image: as a loss, forward and backward, and as a measure.

Cases `pytorch_msssim-step-*` are the forward and backward pass of MS-SSIM by one image, `pytorch_msssim-*` the forward pass;
`skimage-*` is `skimage.metrics.structural_similarity` with a Gaussian window, one picture on one thread.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, wave

SIZES = {"16x3x256x256": (16, 3, 256, 256), "64x1x32x32": (64, 1, 32, 32)}

peer = Peer("loss/perceptual_similarity", __doc__)


def pair(shape, dtype):
    count = torch.Size(shape).numel()
    images = wave(count, 0.4, 0.37, 0.0), wave(count, 0.35, 0.37, 0.2)
    return [torch.from_numpy(values).reshape(shape).to(dtype) + 0.5 for values in images]


def ms_ssim(x, y):
    """Five scales and a window of 11 where they fit, else three scales and a window of 5."""
    if x.shape[2] <= 160:
        return three_scales(x, y)
    import pytorch_msssim

    return pytorch_msssim.ms_ssim(x, y, data_range=1.0, size_average=False)


def three_scales(x, y):
    """`pytorch_msssim.ms_ssim` without its check for five scales."""
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim

    window = _fspecial_gauss_1d(5, 1.5).repeat([x.shape[1], 1, 1, 1])
    weights = x.new_tensor([0.2, 0.3, 0.5])
    factors = []
    for scale in range(3):
        ssim, cs = _ssim(x, y, win=window, data_range=1.0, size_average=False)
        if scale < 2:
            factors.append(torch.relu(cs))
            padding = [side % 2 for side in x.shape[2:]]
            x = torch.nn.functional.avg_pool2d(x, kernel_size=2, padding=padding)
            y = torch.nn.functional.avg_pool2d(y, kernel_size=2, padding=padding)
    factors.append(torch.relu(ssim))
    return torch.prod(torch.stack(factors) ** weights.view(-1, 1, 1), dim=0).mean(1)


def step_case(shape):
    def prepare(_):
        x, y = pair(shape, torch.float32)
        x.requires_grad_()

        def step():
            x.grad = None
            ms_ssim(x, y).mean().backward()

        return step

    return prepare


def forward_case(shape):
    def prepare(_):
        x, y = pair(shape, torch.float32)

        def forward():
            with torch.no_grad():
                ms_ssim(x, y).mean().item()

        return forward

    return prepare


for name, shape in SIZES.items():
    peer.case(f"pytorch_msssim-step-{name}")(step_case(shape))
    peer.case(f"pytorch_msssim-{name}")(forward_case(shape))


@peer.case("skimage-512x512")
def skimage(_):
    from skimage.metrics import structural_similarity

    x, y = (image[0, 0].numpy() for image in pair((1, 1, 512, 512), torch.float32))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return lambda: structural_similarity(x, y, data_range=1.0, **settings)


@peer.values
def values(_):
    """Similarities, and the sum of the absolute gradient of their sum."""
    import pytorch_msssim

    answer = {}
    for name, shape in {"classic": (2, 2, 161, 170), "small": (2, 1, 32, 33)}.items():
        # Ours in single precision is held against double precision as well.
        x, y = pair(shape, torch.float64)
        x.requires_grad_()
        similarities = ms_ssim(x, y)
        similarities.sum().backward()
        found = {
            "ms_ssim": similarities.tolist(),
            "ssim": pytorch_msssim.ssim(x, y, data_range=1.0, size_average=False).tolist(),
            "size_of_gradient": [x.grad.abs().sum().item()],
        }
        answer |= {f"{name} f32": found, f"{name} f64": found}
    return answer


if __name__ == "__main__":
    peer.main()
