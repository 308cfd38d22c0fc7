"""The other side: the same training step and inference as one writes them in PyTorch, eager.

channels_last, cuDNN's own search for the fastest algorithm, fused Adam, autocast with float16 and a
GradScaler for "mixed"; the target stays sparse: K bins are gathered from the log-softmax.

Notation: P = N h w pixels of the logits, Q bins, K neighbours.
"""

import warnings

import numpy as np
import torch
import torch.nn.functional as F

from mini_colorize import bins, color
from mini_colorize.modules import ConvTranspose2d
from mini_colorize.targets import GRAY

from .common import torch_twin


def set_precision(precision):
    """fp32 means float32: TF32 is off for products and for convolutions. Both on for "tf32"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch would like other names
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True


def half(device):
    """What "mixed" computes in; on the CPU, where only the code is tested, bfloat16."""
    return torch.float16 if device == "cuda" else torch.bfloat16


class Encoder:
    """From crops to the network's input and its target (targets.targets), on a device."""

    def __init__(self, device):
        self.linear = torch.tensor(color.LINEAR_FROM_BYTE, dtype=torch.float32, device=device)
        matrix = color.XYZ_FROM_RGB / color.WHITE[:, None]
        self.matrix = torch.tensor(matrix.T, dtype=torch.float32, device=device)
        self.bins = torch.tensor(bins.BINS, device=device)

    def __call__(self, rgb):
        """rgb: (N, S, S, 3) uint8. Returns x (N, 1, S, S), index (P, K), weight (P, K)."""
        lightness = 116 * self._f(self.linear[rgb.int()] @ self.matrix[:, 1]) - 16
        x = ((lightness - 50) / 100)[:, None].contiguous(memory_format=torch.channels_last)
        fx, fy, fz = self._f(self.linear[rgb[:, 2::4, 2::4].int()] @ self.matrix).unbind(-1)
        ab = torch.stack([500 * (fx - fy), 200 * (fy - fz)], dim=-1)
        index, weight = self.soft_encode(ab.reshape(-1, 2))
        colored = (ab.abs() > GRAY).flatten(1).any(dim=1)
        return x, index, weight * colored.repeat_interleave(len(index) // len(rgb))[:, None]

    @staticmethod
    def _f(t):
        return torch.where(t > color.FOOT, t.pow(1 / 3), 7.787 * t + 16 / 116)

    def soft_encode(self, ab):
        """ab: (P, 2). Returns index (P, K) int64, weight (P, K)."""
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False  # cdist is a product: bins would be mixed up
        distance = torch.cdist(ab, self.bins)
        torch.backends.cuda.matmul.allow_tf32 = allowed
        near, index = distance.topk(bins.K, dim=1, largest=False)
        weight = torch.exp(near.square() / (-2 * bins.SIGMA**2))
        return index, weight / weight.sum(dim=1, keepdim=True)


def sparse_loss(logits, index, weight, class_weight):
    """logits: (P, Q). The weighted loss of losses.softmax_cross_entropy, a number on the device."""
    nats = -(weight * F.log_softmax(logits.float(), dim=1).gather(1, index)).sum(dim=1)
    counted = (weight[:, 0] > 0).sum().clamp(min=1)
    return (class_weight[index[:, 0]] * nats).sum() / counted


def dense_loss(logits, ab, bins_, class_weight):
    """Encoding and loss with the dense target: cdist, topk, scatter, log_softmax. ab: (P, 2)."""
    near, index = torch.cdist(ab, bins_).topk(bins.K, dim=1, largest=False)
    weight = torch.exp(near.square() / (-2 * bins.SIGMA**2))
    weight = weight / weight.sum(dim=1, keepdim=True)
    dense = torch.zeros_like(logits).scatter_(1, index, weight)
    nats = -(dense * F.log_softmax(logits, dim=1)).sum(dim=1)
    return (class_weight[index[:, 0]] * nats).mean()


class TrainingStep:
    """Call it with crops (N, S, S, 3) uint8 on the device: one step. Returns the loss.

    network: ours, on the host, whose weights it copies. class_weight: (Q,), NumPy. decay, ema: as
    our optimiser and moving average have them.
    """

    def __init__(self, network, class_weight, precision, device, decay, ema, lr):
        self.precision, self.device, self.ema, self.t = precision, device, ema, 0
        self.twin = torch_twin(network).train().to(device, memory_format=torch.channels_last)
        self.encode = Encoder(device)
        self.class_weight = torch.tensor(class_weight, device=device)
        params = list(self.twin.parameters())
        groups = [
            {"params": [p for p in params if p.ndim == 4], "weight_decay": decay},
            {"params": [p for p in params if p.ndim != 4], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.Adam(groups, lr=lr, betas=(0.9, 0.99), eps=1e-8, fused=True)
        self.scaler = torch.amp.GradScaler(device, enabled=precision == "mixed")
        buffers = [b for b in self.twin.buffers() if b.is_floating_point()]
        self.learned = [*(p.detach() for p in params), *buffers]
        self.average = [a.clone() for a in self.learned]

    def __call__(self, rgb):
        self.adam.zero_grad()
        mixed = self.precision == "mixed"
        x, index, weight = self.encode(rgb)
        with torch.autocast(self.device, half(self.device), enabled=mixed):
            logits = self.twin(x).permute(0, 2, 3, 1).reshape(-1, bins.Q)
            loss = sparse_loss(logits, index, weight, self.class_weight)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.adam)
        self.scaler.update()
        self.t += 1
        share = 1 - min(self.ema, (1 + self.t) / (10 + self.t))
        torch._foreach_lerp_(self.average, self.learned, share)
        return loss.detach()


class Inference:
    """Call it with x (N, 1, S, S) float32 on the device: colours (N, h, w, 2)."""

    def __init__(self, network, precision, device):
        self.dtype = half(device) if precision == "mixed" else torch.float32
        twin = torch_twin(network).eval()
        self.twin = twin.to(device, self.dtype, memory_format=torch.channels_last)
        self.bins = torch.tensor(bins.BINS, device=device, dtype=self.dtype)

    @torch.inference_mode()
    def __call__(self, x):
        logits = self.twin(x.to(self.dtype, memory_format=torch.channels_last))
        return torch.softmax(logits.permute(0, 2, 3, 1) / 0.38, dim=-1) @ self.bins


def convolution(layer, x_shape, precision, device):
    """Forward and backward of one of our convolutions, with bias and ReLU, as a callable.

    x_shape: (N, H, W, C_in). The first layer's input wants no gradient, as in training.
    """
    dtype = half(device) if precision == "mixed" else torch.float32
    options = {"device": device, "dtype": dtype}
    weight = torch.randn(layer.params["weight"].shape, **options) * 0.05
    transposed = isinstance(layer, ConvTranspose2d)
    weight = weight.permute((2, 3, 0, 1) if transposed else (3, 2, 0, 1))
    weight = weight.contiguous(memory_format=torch.channels_last).requires_grad_()
    bias = torch.zeros(layer.params["bias"].size, requires_grad=True, **options)
    n, h, w, c = x_shape
    x = torch.randn((n, c, h, w), **options).contiguous(memory_format=torch.channels_last)
    x.requires_grad_(c > 1)
    run = F.conv_transpose2d if transposed else F.conv2d
    wanted = [weight, bias, *([x] if c > 1 else [])]

    def forward():
        y = run(x, weight, bias, **layer.geometry)
        return F.relu_(y) if layer.relu else y

    dy = torch.randn_like(forward())
    made, ours = dy.permute(0, 2, 3, 1).shape, (n, *layer.output_shape(x_shape[1:]))
    if made != ours:  # another layer would be timed
        raise ValueError(f"torch makes {tuple(made)} of {x_shape}, ours {ours}")

    def both():
        torch.autograd.grad(forward(), wanted, dy)

    return both


def to_torch(array, device):
    """A NumPy array on the device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
