"""What someone who has torch would write: a training step, and one photo from the shell.

    python -m benchmarks.torch_side PHOTO WEIGHTS.pt OUT     (the rival of infer.py, `small`)

The other side of benchmarks/cpu.py. It imports nothing of mini_colorize but the bins' numbers,
and in the shell not even the benchmarks' helpers, so that its start-up is its own.
"""

import sys

import numpy as np
import torch
from torch import nn

BLOCKS = [
    (64, 1, 2, 2),
    (128, 1, 2, 2),
    (256, 1, 3, 2),
    (512, 1, 3, 1),
    (512, 2, 3, 1),
    (512, 2, 3, 1),
    (512, 1, 3, 1),
]
# The authors' 313 bins: for each a = -90, -80 ... 100 the lowest and the highest b.
B = [
    (50, 90),
    (20, 90),
    (0, 90),
    (-20, 90),
    (-30, 100),
    (-40, 100),
    (-50, 100),
    (-50, 100),
    (-60, 100),
    (-70, 100),
    (-80, 90),
    (-80, 90),
    (-90, 90),
    (-100, 90),
    (-100, 80),
    (-110, 80),
    (-110, 80),
    (-110, 70),
    (-110, 70),
    (-90, 0),
]
BINS = torch.tensor(
    [(10.0 * i - 90, float(b)) for i, (low, high) in enumerate(B) for b in range(low, high + 1, 10)]
)
RGB_TO_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
WHITE = torch.tensor([0.95047, 1.0, 1.08883])


def network(width=0.5):
    """The network of the paper."""
    modules, last = [], 1
    for channels, dilation, count, stride in BLOCKS:
        channels = int(channels * width)
        for i in range(count):
            s = stride if i == count - 1 else 1
            modules.append(nn.Conv2d(last, channels, 3, s, dilation, dilation))
            modules.append(nn.ReLU(inplace=True))
            last = channels
        modules.append(nn.BatchNorm2d(channels))
    channels = int(256 * width)
    modules += [nn.ConvTranspose2d(last, channels, 4, 2, 1), nn.ReLU(inplace=True)]
    for _ in range(2):
        modules += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules, nn.Conv2d(channels, 313, 1))


def rgb_to_lab(rgb):
    """(..., 3) uint8 -> (..., 3) float32."""
    table = torch.arange(256) / 255
    table = torch.where(table > 0.04045, ((table + 0.055) / 1.055) ** 2.4, table / 12.92)
    xyz = table[rgb.int()] @ (RGB_TO_XYZ / WHITE[:, None]).T
    f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_to_rgb(lab):
    """(..., 3) float32 -> (..., 3) uint8."""
    y = (lab[..., 0] + 16) / 116
    f = torch.stack([y + lab[..., 1] / 500, y, (y - lab[..., 2] / 200).clamp(min=0)], -1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * WHITE
    linear = (xyz @ torch.linalg.inv(RGB_TO_XYZ).T).clamp(min=0)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


class TrainingStep:
    """Lab, soft-encoding, forward, loss, backward, Adam, from uint8 crops (N, S, S, 3)."""

    def __init__(self, model, layout, rgb):
        self.model = model.train().to(memory_format=layout)
        self.layout, self.rgb, self.class_weight = layout, torch.from_numpy(rgb), torch.ones(313)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), 1e-5, (0.9, 0.99), weight_decay=1e-6
        )

    def __call__(self):
        # Only lightness is needed of every pixel; colour of one in 16.
        linear_y = rgb_to_lab(self.rgb)[..., 0]
        x = ((linear_y - 50) / 100)[:, None].to(memory_format=self.layout)
        ab = rgb_to_lab(self.rgb[:, 2::4, 2::4])[..., 1:]
        distance, index = torch.cdist(ab.reshape(-1, 2), BINS).topk(5, largest=False)
        weight = torch.softmax(-(distance**2) / 50, -1)
        logits = self.model(x).permute(0, 2, 3, 1).reshape(-1, 313)
        nats = -(weight * torch.log_softmax(logits, -1).gather(-1, index)).sum(-1)
        loss = (self.class_weight[index[:, 0]] * nats).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@torch.inference_mode()
def main(photo, weights, out):
    from PIL import Image

    model = network().eval()
    model.load_state_dict(torch.load(weights))
    rgb = torch.from_numpy(np.array(Image.open(photo).convert("RGB")))
    lightness = rgb_to_lab(rgb)[..., 0]
    small = Image.fromarray(lightness.numpy()).resize((256, 256), Image.Resampling.BICUBIC)
    x = (torch.from_numpy(np.array(small)) - 50) / 100
    ab = torch.softmax(model(x[None, None])[0].permute(1, 2, 0) / 0.38, -1) @ BINS
    ab = nn.functional.interpolate(ab.permute(2, 0, 1)[None], lightness.shape, mode="bilinear")[0]
    lab = torch.cat([lightness[..., None], ab.permute(1, 2, 0)], -1)
    Image.fromarray(lab_to_rgb(lab).numpy()).save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
