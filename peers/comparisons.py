"""Which of our cases is set beside which case of a peer, and the bound that the ratio of times has to meet."""

import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A case of the example `crates/kiln/examples/peer`."""

    bench: str
    case: str
    flags: tuple = ()


@dataclass(frozen=True)
class Script:
    """A case of a Python script of this folder."""

    path: str
    case: str
    flags: tuple = ()


@dataclass(frozen=True)
class Kiln:
    """A whole run of the program; `{out}` in its arguments is a fresh folder. Its time is that of the process."""

    arguments: tuple


@dataclass(frozen=True)
class Comparison:
    name: str
    ours: object
    peer: object
    #: Largest ratio of times, ours over the peer's, that is good enough.
    bound: float | None = None
    #: Largest size in bytes that our side may grow to beyond its start.
    work_bound: int | None = None
    about: str = ""
    #: Whether whole processes are timed, from start to end, and not the work inside them.
    whole: bool = False
    #: A file that both sides read, and the script that writes it when given `--write FILE`.
    reads: tuple | None = None


def comp_sum():
    for size in ("256x1000", "1024x10"):
        for tau in ("1", "1.5"):
            ours = Example("loss/comp_sum", f"comp-sum-{tau}-{size}")
            yield Comparison(
                f"comp-sum {tau} {size} / torch cross_entropy",
                ours,
                Script("loss/comp_sum.py", f"cross-entropy-{size}"),
                bound=1.15,
            )
            expression = f"expression-{size}" if tau == "1" else f"comp-sum-1.5-{size}"
            yield Comparison(
                f"comp-sum {tau} {size} / torch expression", ours, Script("loss/comp_sum.py", expression), bound=1.15
            )
        yield Comparison(
            f"comp-sum 1 {size} / Burn cross-entropy",
            Example("loss/comp_sum", f"comp-sum-1-{size}"),
            Example("loss/comp_sum", f"burn-cross-entropy-{size}"),
            bound=1.15,
        )
    for method in ("trades", "smooth"):
        yield Comparison(
            f"{method} step on digits / torch",
            Example("loss/comp_sum", f"{method}-digits"),
            Script("loss/comp_sum.py", f"{method}-digits"),
        )


def z_loss():
    for num_classes in (10_000, 100_000, 200_000, 1_000_000):
        ours = Example("loss/z_loss", f"factored-{num_classes}")
        yield Comparison(
            f"factored Z-loss, {num_classes} classes / torch Linear + CrossEntropy",
            ours,
            Script("loss/z_loss.py", f"linear-cross-entropy-{num_classes}"),
            bound=1 / 40 if num_classes >= 200_000 else None,
            work_bound=int(1.1 * num_classes * 257 * 4) + 30_000_000,
        )
        yield Comparison(
            f"factored Z-loss, {num_classes} classes / torch adaptive softmax",
            ours,
            Script("loss/z_loss.py", f"adaptive-softmax-{num_classes}"),
        )
    yield Comparison(
        "factored Z-loss, 200000 classes / our dense log-softmax",
        Example("loss/z_loss", "factored-200000"),
        Example("loss/z_loss", "log-softmax-200000"),
        bound=1 / 40,
    )
    for size in ("256x1000", "1024x10"):
        for name in ("z-loss", "spherical-softmax", "taylor-softmax", "squared-error"):
            ours, peer = Example("loss/z_loss", f"{name}-{size}"), Script("loss/z_loss.py", f"{name}-{size}")
            yield Comparison(f"dense {name} {size} / torch expression", ours, peer, bound=0.7)


#: The losses that the label-distributionally robust ones are compared with.
BASELINES = (
    "focal", "weston-watkins", "robust-log", "sce", "gce", "rce", "aul", "agce", "js", "nce", "mse", "mae", "capped-gce",
    "active-passive", "crammer-singer", "squared-hinge", "smooth-hinge", "logistic-margin", "smoothed",
)  # fmt: skip


def ldr():
    for size in ("128x1000", "256x1000", "1024x10"):
        for name in ("ldr-kl", "ldr-k", "aldr", *BASELINES):
            ours = Example("loss/ldr", f"{name}-{size}")
            yield Comparison(f"{name} {size} / torch expression", ours, Script("loss/ldr.py", f"{name}-{size}"), bound=0.7)
        yield Comparison(
            f"ldr-kl {size} / torch cross_entropy",
            Example("loss/ldr", f"ldr-kl-{size}"),
            Script("loss/ldr.py", f"cross-entropy-{size}"),
            bound=1.3,
        )
        exact = Example("loss/ldr", f"aldr-exact-{size}")
        burn, torch = Example("loss/comp_sum", f"burn-cross-entropy-{size}"), Script("loss/ldr.py", f"cross-entropy-{size}")
        yield Comparison(f"exact aldr {size} / Burn cross-entropy", exact, burn, bound=6.0)
        yield Comparison(f"exact aldr {size} / torch cross_entropy", exact, torch, bound=6.0)
        yield Comparison(f"exact aldr {size} / our cross-entropy", exact, Example("loss/ldr", f"cross-entropy-{size}"))


def ens_loss():
    for size in ("128", "1024"):
        ours = Example("loss/ens_loss", f"ens-{size}")
        yield Comparison(f"EnsLoss, {size} scores / torch EnsLoss", ours, Script("loss/ens_loss.py", f"ens-{size}"), bound=0.7)
        yield Comparison(f"EnsLoss, {size} scores / torch BCE", ours, Script("loss/ens_loss.py", f"bce-{size}"))
    ours = Example("loss/ens_loss", "step-ens")
    yield Comparison("training step with EnsLoss / with BCE", ours, Example("loss/ens_loss", "step-bce"), bound=1.03)
    yield Comparison("training step with EnsLoss / torch", ours, Script("loss/ens_loss.py", "step-ens"))


def perceptual_similarity():
    def pair(ours, peer, bound=None):
        return Comparison(
            f"{ours} / {peer.split('-')[0]}",
            Example("loss/perceptual_similarity", ours),
            Script("loss/perceptual_similarity.py", peer),
            bound=bound,
        )

    for size in ("16x3x256x256", "64x1x32x32"):
        yield pair(f"ms-ssim-step-{size}", f"pytorch_msssim-step-{size}", bound=0.7)
    yield pair("ms-ssim-16x3x256x256", "pytorch_msssim-16x3x256x256")
    # scikit-image has one thread, so that ours is given one too.
    yield pair("ssim-alone-512x512", "skimage-512x512", bound=0.2)

def aggregate_responses():
    script = "loss/aggregate_responses.py"
    for rows in (1024, 16384):
        for name, what in (("bags", "squared error of bags"), ("proportions", "proportions of bags")):
            yield Comparison(
                f"{what}, {rows} rows / torch expression",
                Example("loss/aggregate_responses", f"{name}-{rows}"),
                Script(script, f"{name}-{rows}"),
                bound=0.7,
            )
    step = Example("loss/aggregate_responses", "step-bags")
    yield Comparison(
        "training step with bags / with squared error", step, Example("loss/aggregate_responses", "step-mse"), bound=1.1
    )
    yield Comparison("training step with bags / torch", step, Script(script, "step-bags"))
    for features in (50, 150):
        yield Comparison(
            f"linear model at 8 shares, {features} features / NumPy",
            Example("loss/aggregate_responses", f"path-{features}"),
            Script(script, f"path-{features}"),
            bound=0.7,
        )


def diffgrad():
    for tensors in (1, 200):
        ours = Example("optim/diffgrad", f"diffgrad-{tensors}")
        shape = f"10M parameters in {tensors}"
        yield Comparison(f"diffGrad, {shape} / torch loop", ours, Script("optim/diffgrad.py", f"diffgrad-loop-{tensors}"), 0.5)
        yield Comparison(f"diffGrad, {shape} / Burn Adam", ours, Example("optim/diffgrad", f"burn-adam-{tensors}"), 1.15)
        for kind in ("foreach", "fused"):
            yield Comparison(
                f"diffGrad, {shape} / torch Adam {kind}", ours, Script("optim/diffgrad.py", f"adam-{kind}-{tensors}")
            )
        yield Comparison(f"SGD, {shape} / torch SGD fused", Example("optim/diffgrad", f"sgd-{tensors}"),
                         Script("optim/diffgrad.py", f"sgd-fused-{tensors}"), 1.0)  # fmt: skip
        adam = Example("optim/diffgrad", f"adam-{tensors}")
        yield Comparison(f"Adam, {shape} / Burn Adam", adam, Example("optim/diffgrad", f"burn-adam-{tensors}"))
        for kind in ("foreach", "fused"):
            peer = Script("optim/diffgrad.py", f"adam-{kind}-{tensors}")
            yield Comparison(f"Adam, {shape} / torch Adam {kind}", adam, peer, 0.8)


def csv_reading():
    for case, name in [("frame", "polars frame"), ("array", "polars to f32 array")]:
        peer = Script("data/csv_read.py", case)
        yield Comparison(f"CSV 1M x 20 / {name}", Example("data/csv_read", case), peer, 3.0,
                         work_bound=2 * 20_000_000 * 4, reads=(CSV, peer.path))  # fmt: skip


def training():
    digits = Kiln(("train", "--data", "digits", "--model", "mlp:hidden=256-256", "--loss", "cross-entropy", "--optimizer", "adam",
                   "--epochs", "20", "--batch-size", "64", "--lr", "0.001", "--out", "{out}"))  # fmt: skip
    mnist = Kiln(("train", "--data", "mnist", "--model", "lenet", "--loss", "cross-entropy", "--optimizer", "adam",
                  "--epochs", "3", "--batch-size", "64", "--lr", "0.001", "--out", "{out}"))  # fmt: skip
    for name, bound in (("digits_mlp", 0.5), ("mnist_convnet", None)):
        for adam in ("adam", "adam-fused"):
            ours, peer = Example(f"train/{name}", "adam"), Script(f"train/{name}.py", adam)
            yield Comparison(f"{name} loop / torch {adam}", ours, peer, bound)
    for name, ours, bound in (("digits", digits, 0.6), ("mnist", mnist, None)):
        script = "train/digits_mlp.py" if name == "digits" else "train/mnist_convnet.py"
        for adam in ("adam", "adam-fused"):
            yield Comparison(
                f"kiln train on {name} / torch {adam} script", ours, Script(script, adam), bound, whole=True,
                about="process against process: start, reading, training, test; ours writes model, checkpoints and report too",
            )  # fmt: skip
            yield Comparison(
                f"kiln train on {name} / torch {adam} loop", ours, Script(script, adam),
                about="the whole run of the program against the training alone of the script",
            )  # fmt: skip


def convnets():
    yield Comparison("ResNet-20 training / torch", Example("train/convnets", "resnet20"), Script("train/convnets.py", "resnet20"), 1.0)
    for adam in ("adam", "adam-fused"):
        ours, peer = Example("train/convnets", "convnet"), Script("train/convnets.py", f"convnet-{adam}")
        yield Comparison(f"convnet training / torch {adam}", ours, peer, 1.0)


def maps():
    convolutions = ("1x28-32", "32x14-64", "3x32-16", "16x32-16", "16x32-32-stride-2", "32x16-32", "64x8-64", "64x14-128-pointwise")
    norms = ("batch-norm-relu-16x32", "batch-norm-relu-64x8", "batch-norm-relu-rows-64x256")
    pools = ("max-pool-32x28", "max-pool-64x56-3-stride-2", "avg-pool-32x28", "mean-64x8")
    layers = [(f"conv-{name}", 1.0) for name in convolutions] + [(name, 0.8) for name in (*norms, *pools)]
    for name, bound in layers:
        for what in ("forward", "step"):
            case = f"{name}-{what}"
            yield Comparison(f"{case} / torch", Example("nn/maps", case), Script("nn/maps.py", case), bound)


def autodiff():
    for way in ("forward-over-reverse", "reverse-over-reverse", "autograd"):
        yield Comparison(f"Hessian product of an MLP / torch {way}", Example("autodiff/hvp", "mlp-256"),
                         Script("autodiff/hvp.py", f"mlp-256-{way}"), 1.0)  # fmt: skip
    for dimension in (2, 10):
        for way in ("hessian", "gradient-moved", "moved-twice"):
            yield Comparison(f"Laplacian of an MLP in {dimension}d / torch {way}",
                             Example("autodiff/laplacian", f"mlp-4x64-{dimension}d"),
                             Script("autodiff/laplacian.py", f"mlp-4x64-{dimension}d-{way}"), 1.0)  # fmt: skip
    # Products of Jacobians with vectors take torch.func a minute: `mlp-256x256-products` is left to be run by hand.
    for network in ("mlp", "convnet"):
        yield Comparison(f"NTK of 256 x 256, {network} / torch Jacobians", Example("autodiff/ntk", f"{network}-256x256"),
                         Script("autodiff/ntk.py", f"{network}-256x256-jacobians"), 1.0)  # fmt: skip
    for way in ("lanczos", "power"):
        yield Comparison(f"sharpness of an MLP to 1e-3 / torch {way}", Example("autodiff/sharpness", "mlp-256"),
                         Script("autodiff/sharpness.py", f"mlp-256-{way}"), 1.0)  # fmt: skip


def transformers():
    for name, about in (("encoder", "49 tokens, 64 wide, 4 blocks, batch 64"), ("vit", "65 tokens, 192 wide, 12 blocks, batch 32")):
        for adam in ("adam", "adam-fused"):
            yield Comparison(f"{name} step / torch {adam}", Example("train/transformers", f"{name}-adam"),
                             Script("train/transformers.py", f"{name}-{adam}"), 1.0, about=about)  # fmt: skip
    elementwise = [f"{name}-{size}" for size in ("3136x128", "2080x768") for name in ("gelu", "gelu-tanh", "silu")]
    softmaxes = [f"{name}-{size}" for size in ("12544x49", "6240x65") for name in ("softmax", "log-softmax")]
    attentions = [f"attention-{size}{mask}" for size in ("64x49x4x16", "32x65x3x64", "1x2048x4x64") for mask in ("", "-causal")]
    for case in ["exp-1000000", *elementwise, *softmaxes, "layer-norm-3136x64", "layer-norm-2080x192", *attentions]:
        yield Comparison(f"operation {case} / torch", Example("kernels/transformer_ops", case),
                         Script("kernels/transformer_ops.py", case), 1.0 if case in attentions else 0.8)  # fmt: skip


CSV = Path(tempfile.gettempdir()) / "kiln-peer-1000000x20.csv"

COMPARISONS = [
    *comp_sum(), *z_loss(), *ldr(), *ens_loss(), *perceptual_similarity(), *aggregate_responses(), *diffgrad(), *csv_reading(),
    *training(), *convnets(), *maps(), *transformers(), *autodiff(),
]  # fmt: skip

#: Scripts whose `--values` ours are held against, with the largest relative difference.
VALUES = {
    "loss/comp_sum": 1e-9,
    "loss/z_loss": 1e-9,
    "loss/ldr": 1e-9,
    "loss/aggregate_responses": 1e-9,
    # Draws are given in single precision.
    "loss/ens_loss": 1e-6,
    # pytorch-msssim keeps its window in single precision.
    "loss/perceptual_similarity": 1e-5,
    "optim/diffgrad": 1e-6,
    "train/digits_mlp": 1e-6,
    "train/mnist_convnet": 1e-6,
    "train/convnets": 1e-6,
    "nn/maps": 1e-9,
    "train/transformers": 1e-6,
    # Of single precision on both sides.
    "kernels/transformer_ops": 1e-5,
    "data/csv_read": 1e-5,
    "autodiff/hvp": 1e-9,
    "autodiff/laplacian": 1e-9,
    "autodiff/ntk": 1e-9,
    "autodiff/sharpness": 1e-6,
}
