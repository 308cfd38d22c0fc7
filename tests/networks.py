"""What several tests do to a network."""

import numpy as np

from mini_colorize.files.config import Config
from mini_colorize.modules import BatchNorm2d
from mini_colorize.training import Trainer


def small_trainer(photos, folder, xp=np, **options):
    """Started; a step is quick, and in float16 none overflows."""
    settings = dict(size=24, resize=24, batch=3, steps=8, workers=0, schedule="steps") | options
    trainer = Trainer(Config([str(photos)], **settings), folder, xp)
    trainer.start()
    if trainer.learner.loss_scale:
        trainer.learner.loss_scale.scale[...] = 256
    return trainer


def leave_the_kinks(net, x):
    """Set the biases so that every channel is wholly on (3 of 4) or wholly off, by a margin.

    Where a sum is within rounding of 0, two float32 programs may disagree on which side of the
    ReLU it is, and then their gradients differ by whole percents (torch's own float32 from its
    float64 as well). So float32 gradients can be compared to many digits only away from there.
    """
    for name, layer in net.layers.items():
        if "weight" in layer.params and name != "conv8_313":
            layer.relu = False
            y = layer.forward(x)
            layer.relu = True
            on = np.arange(y.shape[3]) % 4 < 3
            low, high = y.min(axis=(0, 1, 2)), y.max(axis=(0, 1, 2))
            layer.params["bias"] += np.where(on, 0.1 - low, -0.1 - high)
        x = layer.forward(x, train=isinstance(layer, BatchNorm2d))
