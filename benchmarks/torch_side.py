"""What someone who has torch would write: the network, a training step, one photo from the shell.

    python -m benchmarks.torch_side PHOTO WEIGHTS.pt OUT     (the rival of infer.py, `small`)

The other side of all benchmarks, on the CPU and on a GPU. Eager; fused Adam; cuDNN searches for its
fastest algorithm; "mixed" is autocast to float16 with a GradScaler. The target stays sparse: K bins
are gathered from the log-softmax. Of mini_colorize it takes only the numbers of bins.py and
color.py, so that its start-up from the shell is its own.

Notation: P = N h w pixels of the logits, Q bins, K neighbours.
"""

import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mini_colorize import bins, color

# channels at width 1, dilation, number of 3x3 convolutions, stride of the last one
BLOCKS = [(64, 1, 2, 2), (128, 1, 2, 2), (256, 1, 3, 2), *((512, d, 3, 1) for d in (1, 2, 2, 1))]
# Axes of our weights, (kh, kw, C_in, C_out), in torch's order
AXES = {nn.Conv2d: (3, 2, 0, 1), nn.ConvTranspose2d: (2, 3, 0, 1)}
LAST = torch.channels_last
LAYOUTS = (torch.contiguous_format, LAST)
GRAY = 5  # a photo whose every |a| and |b| is at most this adds nothing to the loss


def set_precision(precision):
    """fp32 means float32: TF32 is off for products and for convolutions. Both on for "tf32"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch would like other names
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True


def from_nhwc(array, device="cpu", layout=LAST):
    """A NumPy array (N, H, W, C) as a tensor (N, C, H, W) on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(device).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=layout)


# The network -------------------------------------------------------------------------------------


def network(width=0.5):
    """The network of the paper."""
    modules, last = [], 1
    for channels, dilation, count, stride in BLOCKS:
        channels = max(1, round(channels * width))
        for i in range(count):
            s = stride if i == count - 1 else 1
            modules.append(nn.Conv2d(last, channels, 3, s, dilation, dilation))
            modules.append(nn.ReLU(inplace=True))
            last = channels
        modules.append(nn.BatchNorm2d(channels))
    channels = max(1, round(256 * width))
    modules += [nn.ConvTranspose2d(last, channels, 4, 2, 1), nn.ReLU(inplace=True)]
    for _ in range(2):
        modules += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules, nn.Conv2d(channels, bins.Q, 1))


def twin(ours):
    """The network with the weights of one of ours, a Network on the host that is not folded."""
    dtype = torch.from_numpy(next(iter(ours.params().values()))).dtype
    model = network(ours.width).to(dtype)
    modules = (module for module in model if not isinstance(module, nn.ReLU))
    for module, layer in zip(modules, ours.layers.values(), strict=True):
        arrays = [*layer.params.values(), *getattr(layer, "buffers", {}).values()]
        if type(module) in AXES:
            arrays[0] = arrays[0].transpose(AXES[type(module)])
        # BatchNorm has a fifth tensor, the count of batches.
        for tensor, array in zip(module.state_dict().values(), arrays, strict=False):
            tensor.copy_(torch.from_numpy(array))
    return model


# Colours -----------------------------------------------------------------------------------------


def f(t):
    """Lab's cube root with a linear foot."""
    return torch.where(t > color.FOOT, t ** (1 / 3), 7.787 * t + 16 / 116)


def lab_to_rgb(lab):
    """(..., 3) float32 -> (..., 3) uint8."""
    y = (lab[..., 0] + 16) / 116
    root = torch.stack([y + lab[..., 1] / 500, y, (y - lab[..., 2] / 200).clamp(min=0)], -1)
    xyz = torch.where(root > color.FOOT_ROOT, root**3, (root - 16 / 116) / 7.787)
    linear = (xyz @ torch.from_numpy(color.LINEAR_FROM_XYZ).float().T).clamp(min=0)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


class Encoder:
    """From sRGB to lightness, to colour and to soft targets, on a device."""

    def __init__(self, device="cpu"):
        self.linear = torch.tensor(color.LINEAR_FROM_BYTE, dtype=torch.float32, device=device)
        self.matrix = torch.tensor(color.XYZ_OVER_WHITE.T, dtype=torch.float32, device=device)
        self.bins = torch.tensor(bins.BINS, device=device)

    def lightness(self, rgb):
        """(..., 3) uint8 -> (...) float32."""
        return 116 * f(self.linear[rgb.int()] @ self.matrix[:, 1]) - 16

    def ab(self, rgb):
        """(..., 3) uint8 -> (..., 2) float32."""
        x, y, z = f(self.linear[rgb.int()] @ self.matrix).unbind(-1)
        return torch.stack([500 * (x - y), 200 * (y - z)], -1)

    def soft_encode(self, ab):
        """(P, 2) -> index (P, K) int64, weight (P, K)."""
        near, index = torch.cdist(ab, self.bins).topk(bins.K, dim=1, largest=False)
        return index, torch.softmax(near.square() / (-2 * bins.SIGMA**2), dim=1)

    def __call__(self, rgb):
        """Crops (N, S, S, 3) uint8 -> x (N, 1, S, S), index (P, K), weight (P, K).

        Only lightness is needed of every pixel; colour of one in 16.
        """
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False  # cdist is a product: bins would be mixed up
        x, ab = (
            ((self.lightness(rgb) - 50) / 100)[:, None],
            self.ab(rgb[:, color.EVERY, color.EVERY]),
        )
        index, weight = self.soft_encode(ab.reshape(-1, 2))
        torch.backends.cuda.matmul.allow_tf32 = allowed
        colored = (ab.abs() > GRAY).flatten(1).any(dim=1)
        return x, index, weight * colored.repeat_interleave(len(index) // len(rgb))[:, None]


# Training ----------------------------------------------------------------------------------------


def sparse_loss(logits, index, weight, class_weight):
    """logits: (P, Q). The weighted loss of losses.softmax_cross_entropy, a number on the device."""
    nats = -(weight * F.log_softmax(logits.float(), dim=1).gather(1, index)).sum(dim=1)
    counted = (weight[:, 0] > 0).sum().clamp(min=1)
    return (class_weight[index[:, 0]] * nats).sum() / counted


def dense_loss(logits, index, weight, class_weight):
    """The same with the target in full, where all pixels count: scatter to (P, Q),
    cross-entropy."""
    dense = torch.zeros_like(logits).scatter_(1, index, weight)
    return (class_weight[index[:, 0]] * F.cross_entropy(logits, dense, reduction="none")).mean()


class TrainingStep:
    """Call it with crops (N, S, S, 3) uint8 on the device: one step. Returns the loss.

    ours: the Network whose weights it copies, on the host. class_weight: (Q,) float32, NumPy.
    decay, ema: as our optimiser and moving average have them; ema 0 is none.
    """

    def __init__(
        self, ours, class_weight, lr, decay, ema=0, precision="fp32", device="cpu", layout=LAST
    ):
        set_precision(precision)
        self.device, self.layout, self.mixed = device, layout, precision == "mixed"
        self.model = twin(ours).train().to(device, memory_format=layout)
        self.encode, self.class_weight = Encoder(device), torch.tensor(class_weight, device=device)
        params = list(self.model.parameters())
        groups = [
            {"params": [p for p in params if p.ndim == 4], "weight_decay": decay},
            {"params": [p for p in params if p.ndim != 4], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.Adam(groups, lr=lr, betas=(0.9, 0.99), eps=1e-8, fused=True)
        self.scaler = torch.amp.GradScaler(device, enabled=self.mixed)
        buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self.learned = [*(p.detach() for p in params), *buffers]
        self.average = [a.clone() for a in self.learned] if ema else []
        self.ema = ema

    def __call__(self, rgb):
        self.adam.zero_grad()
        x, index, weight = self.encode(rgb)
        x = x.contiguous(memory_format=self.layout)
        with torch.autocast(self.device, torch.float16, enabled=self.mixed):
            logits = self.model(x).permute(0, 2, 3, 1).reshape(-1, bins.Q)
            loss = sparse_loss(logits, index, weight, self.class_weight)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.adam)
        self.scaler.update()
        if self.average:
            torch._foreach_lerp_(self.average, self.learned, 1 - self.ema)
        return loss.detach()


def convolution(layer, x, dy, precision="fp32", device="cpu"):
    """One of our convolutions, with bias and ReLU: a callable, forward and backward.

    layer: a Conv2d or ConvTranspose2d on the host. x, dy: (N, H, W, C), NumPy. It returns tensors
    with axes in our order: y, the gradients to the weight and the bias, and dx unless C_in is 1:
    as in training, the picture wants none.
    """
    from mini_colorize.modules import ConvTranspose2d  # not from the shell

    set_precision(precision)
    transposed = isinstance(layer, ConvTranspose2d)
    run = F.conv_transpose2d if transposed else F.conv2d
    axes = AXES[nn.ConvTranspose2d if transposed else nn.Conv2d]
    back = np.argsort(axes).tolist()
    dtype = torch.float16 if precision == "mixed" else torch.float32
    weight = torch.from_numpy(layer.params["weight"].transpose(axes)).to(device, dtype)
    weight = weight.contiguous(memory_format=LAST).requires_grad_()
    bias = torch.from_numpy(layer.params["bias"]).to(device, dtype).requires_grad_()
    x, dy = (from_nhwc(a, device).to(dtype) for a in (x, dy))
    wanted = [weight, bias, *([x.requires_grad_()] if x.shape[1] > 1 else [])]

    def both():
        y = run(x, weight, bias, **layer.geometry)
        y = F.relu_(y) if layer.relu else y
        dweight, dbias, *dx = torch.autograd.grad(y, wanted, dy)
        y, *dx = (pictures.detach().permute(0, 2, 3, 1) for pictures in (y, *dx))
        return y, dweight.permute(back), dbias, *dx

    return both


# Inference ---------------------------------------------------------------------------------------


class Inference:
    """Call it with x (N, 1, S, S) float32 on the device: colours (N, h, w, 2)."""

    def __init__(self, ours, precision="fp32", device="cpu", layout=LAST):
        set_precision(precision)
        self.dtype, self.layout = torch.float16 if precision == "mixed" else torch.float32, layout
        self.model = twin(ours).eval().to(device, self.dtype, memory_format=layout)
        self.bins = torch.tensor(bins.BINS, device=device, dtype=self.dtype)

    @torch.inference_mode()
    def logits(self, x):
        """Of the same x: (N, Q, h, w)."""
        return self.model(x.to(self.dtype, memory_format=self.layout))

    @torch.inference_mode()
    def __call__(self, x):
        return annealed_mean(self.logits(x).permute(0, 2, 3, 1), self.bins)


def annealed_mean(logits, centers):
    """(..., Q), (Q, 2) -> (..., 2)."""
    return torch.softmax(logits / bins.TEMPERATURE, dim=-1) @ centers


@torch.inference_mode()
def main(photo, weights, out):
    from PIL import Image

    model, encode = network().eval(), Encoder()
    model.load_state_dict(torch.load(weights))
    lightness = encode.lightness(torch.from_numpy(np.array(Image.open(photo).convert("RGB"))))
    small = Image.fromarray(lightness.numpy()).resize((256, 256), Image.Resampling.BICUBIC)
    x = (torch.from_numpy(np.array(small)) - 50) / 100
    ab = annealed_mean(model(x[None, None]).permute(0, 2, 3, 1), encode.bins).permute(0, 3, 1, 2)
    ab = F.interpolate(ab, lightness.shape, mode="bilinear")[0]
    lab = torch.cat([lightness[..., None], ab.permute(1, 2, 0)], -1)
    Image.fromarray(lab_to_rgb(lab).numpy()).save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
