"""Parity with torch and scikit-image: the same numbers from code that others wrote.

Every layer forward and backward, the whole network with the gradient of every parameter, the
loss, Adam over 20 steps, and the colour conversions. `make test-peers` runs these. Without torch
or scikit-image they fail, they do not skip; the rest of the tests needs neither.
"""

import naive
import numpy as np
import pytest
from networks import leave_the_kinks

from mini_colorize import bins, color
from mini_colorize.fast.memory import Packed
from mini_colorize.layers.relu import bias_relu, bias_relu_backward
from mini_colorize.layers.upsample import upsample, upsample_backward
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.modules import Adam, BatchNorm2d, Conv2d, ConvTranspose2d
from mini_colorize.network import Network
from mini_colorize.targets import targets

try:
    import skimage.color
    import torch
    import torch.nn.functional as F

    missing = None
except ImportError as error:  # this file can still be collected: "-m 'not peers'" needs no torch
    missing = error

pytestmark = pytest.mark.peers

DTYPES = [(np.float32, 2e-6), (np.float64, 1e-13)]  # and the relative L2 error allowed of a layer


@pytest.fixture(autouse=True)
def peers_are_installed():
    if missing is not None:
        raise missing


def nchw(x):
    """NHWC array -> NCHW tensor that wants a gradient."""
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), requires_grad=True)


def nhwc(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def hwio(tensor, transposed=False):
    """torch's (C_out, C_in, kh, kw), transposed: (C_in, C_out, kh, kw) -> (kh, kw, C_in, C_out)."""
    return tensor.numpy().transpose((2, 3, 0, 1) if transposed else (2, 3, 1, 0))


def vector(array):
    return torch.tensor(array.copy(), requires_grad=True)


def random(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(ours, theirs, limit):
    """Relative L2 error below the limit, and the same dtype."""
    assert ours.dtype == theirs.dtype
    assert naive.relative_error(ours, theirs) < limit


def fill(layer, dtype):
    for seed, p in enumerate(layer.params.values()):
        p[...] = random(p.shape, dtype, seed + 10)
    return layer


# Layers -------------------------------------------------------------------------------------------


# kernel, stride, dilation; of the transposed convolution the padding, too
CONVS = [(Conv2d, g) for g in ((1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2))]
CONVS += [(ConvTranspose2d, g) for g in ((4, 2, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2))]


@pytest.mark.parametrize("dtype, limit", DTYPES)
@pytest.mark.parametrize("kind, geometry", CONVS)
def test_convolutions(kind, geometry, dtype, limit):
    layer, transposed = fill(kind(5, 7, *geometry, dtype=dtype), dtype), kind is ConvTranspose2d
    x = random((3, 13, 17, 5), dtype)
    tx, b = nchw(x), vector(layer.params["bias"])
    w = vector(layer.params["weight"].transpose((2, 3, 0, 1) if transposed else (3, 2, 0, 1)))
    ty = (F.conv_transpose2d if transposed else F.conv2d)(tx, w, b, **layer.geometry)
    y = layer.forward(x, train=True)
    close(y, nhwc(ty), limit)
    dy = random(y.shape, dtype, 2)
    ty.backward(nchw(dy))
    close(layer.backward(dy), nhwc(tx.grad), limit)
    close(layer.grads["weight"], hwio(w.grad, transposed), limit)
    close(layer.grads["bias"], b.grad.numpy(), limit)


@pytest.mark.parametrize("dtype, limit", DTYPES)
def test_batch_norm(dtype, limit):
    layer = fill(BatchNorm2d(5, dtype=dtype), dtype)
    gamma, beta = vector(layer.params["gamma"]), vector(layer.params["beta"])
    mean, var = torch.zeros(5, dtype=gamma.dtype), torch.ones(5, dtype=gamma.dtype)
    for step in range(3):
        x = 2 * random((3, 13, 17, 5), dtype, step) + 1
        tx = nchw(x)
        ty = F.batch_norm(tx, mean, var, gamma, beta, training=True, momentum=0.1, eps=1e-5)
        y = layer.forward(x, train=True)
        close(y, nhwc(ty), limit)
        close(layer.buffers["mean"], mean.numpy(), limit)
        close(layer.buffers["var"], var.numpy(), limit)
    dy = random(y.shape, dtype, 7)
    ty.backward(nchw(dy))
    close(layer.backward(dy), nhwc(tx.grad), limit)
    close(layer.grads["gamma"], gamma.grad.numpy(), limit)
    close(layer.grads["beta"], beta.grad.numpy(), limit)
    inference = F.batch_norm(tx, mean, var, gamma, beta, training=False, eps=1e-5)
    close(layer.forward(x), nhwc(inference), limit)


@pytest.mark.parametrize("dtype, limit", DTYPES)
def test_bias_relu(dtype, limit):
    x, dy = random((3, 7, 5, 4), dtype), random((3, 7, 5, 4), dtype, 1)
    bias = random(4, dtype, 2)
    x[0, 0, 0] = -bias  # at 0 both take the derivative 0
    tx, b = nchw(x), vector(bias)
    ty = F.relu(tx + b[:, None, None])
    ty.backward(nchw(dy))
    y = bias_relu(x, bias)
    np.testing.assert_array_equal(y, nhwc(ty))
    dx, db = bias_relu_backward(dy, y)
    close(db, b.grad.numpy(), limit)
    np.testing.assert_array_equal(dx, nhwc(tx.grad))


@pytest.mark.parametrize("dtype, limit", DTYPES)
@pytest.mark.parametrize("source, size", [((7, 5), (28, 20)), ((4, 9), (13, 31)), ((1, 3), (5, 4))])
def test_upsample(source, size, dtype, limit):
    x = random((2, *source, 3), dtype)
    tx = nchw(x)
    ty = F.interpolate(tx, size=size, mode="bilinear", align_corners=False)
    y = upsample(x, size)
    close(y, nhwc(ty), limit)
    dy = random(y.shape, dtype, 2)
    ty.backward(nchw(dy))
    close(upsample_backward(dy, source), nhwc(tx.grad), limit)


# Network, loss, optimiser -------------------------------------------------------------------------


@pytest.fixture
def torch_side():
    from benchmarks import torch_side

    return torch_side


def torch_loss(logits, index, weight, class_weight):
    """logits (N, Q, h, w). Soft targets; the class weight of a pixel is that of its largest bin."""
    z = torch.tensor(bins.dense_target(index, weight)).permute(0, 3, 1, 2).to(logits.dtype)
    nats = F.cross_entropy(logits, z, reduction="none")
    v = torch.tensor(class_weight)[z.argmax(dim=1)]
    counted = z.sum(dim=1) > 0.5
    return (v * nats)[counted].mean(), nats[counted].mean()


def batch(dtype, size, n=2):
    rng = np.random.default_rng(4)
    x = rng.uniform(-0.5, 0.5, (n, *size, 1)).astype(dtype)
    index, weight = bins.soft_encode(rng.uniform(-70, 70, (n, size[0] // 4, size[1] // 4, 2)))
    weight = weight.astype(dtype)
    weight /= weight.sum(-1, keepdims=True)  # to this dtype's last digit
    weight[0, 0, :3] = 0
    return x, (index, weight, rng.uniform(0.5, 4, bins.Q).astype(dtype))


@pytest.mark.parametrize("dtype, limit", [(np.float32, 1e-4), (np.float64, 1e-10)])
def test_whole_network(torch_side, dtype, limit):
    """Width 1/4: logits, both losses, the gradient of every parameter, the running averages."""
    x, target = batch(dtype, (64, 64))
    net = Network(0.25, dtype)
    net.initialize(x)
    for name, p in net.params().items():
        if p.ndim == 1:
            p += 0.2 * random(p.shape, dtype, len(name))
    if dtype == np.float32:
        leave_the_kinks(net, x)
    theirs = torch_side.twin(net)
    torch_logits = theirs(nchw(x))
    weighted, unweighted = torch_loss(torch_logits, *target)
    weighted.backward()
    logits = net.forward(x, train=True)
    close(logits, nhwc(torch_logits), limit)
    loss = softmax_cross_entropy(logits, *target)
    assert float(loss.weighted) == pytest.approx(weighted.item(), rel=limit)
    assert float(loss.unweighted) == pytest.approx(unweighted.item(), rel=limit)
    net.backward(loss.gradient)
    grads, torch_grads = net.grads(), {}
    for name, p in zip(grads, theirs.parameters(), strict=True):
        torch_grads[name] = p.grad.numpy() if p.ndim == 1 else hwio(p.grad, "conv8_1." in name)
    for name, g in torch_grads.items():
        size = np.linalg.norm(g)
        if dtype == np.float32 and name.endswith("bias"):
            # Away from the kinks BatchNorm takes a bias out again: its gradient is 0 and noise.
            size = max(size, np.linalg.norm(torch_grads[name.replace("bias", "weight")]))
        assert np.linalg.norm(grads[name] - g) < limit * size, name
    averages = [a for name, a in net.state().items() if name not in grads]
    torch_averages = [b for b in theirs.buffers() if b.ndim]  # and not the count of batches
    for ours, a in zip(averages, torch_averages, strict=True):
        close(ours, a.numpy(), limit)
    inferred = nhwc(theirs.eval()(nchw(x)))
    close(net.forward(x), inferred, limit)
    close(net.folded().forward(x), inferred, limit)


def test_full_width(torch_side):
    x, _ = batch(np.float32, (32, 32), n=1)
    net = Network(1.0)
    net.initialize(x)
    close(net.forward(x), nhwc(torch_side.twin(net).eval()(nchw(x))), 1e-4)


@pytest.mark.parametrize("dtype, limit", DTYPES)
def test_cross_entropy(dtype, limit):
    _, target = batch(dtype, (28, 52), n=3)
    logits = 3 * random((3, 7, 13, bins.Q), dtype)
    tz = nchw(logits)
    weighted, unweighted = torch_loss(tz, *target)
    weighted.backward()
    loss = softmax_cross_entropy(logits, *target)
    assert float(loss.weighted) == pytest.approx(weighted.item(), rel=limit)
    assert float(loss.unweighted) == pytest.approx(unweighted.item(), rel=limit)
    close(loss.gradient, nhwc(tz.grad), limit)


@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_adam(decay):
    """20 steps in float64; the decay on the array of 4 dimensions, as ours has it."""
    arrays = {"weight": random((3, 3, 2, 4), np.float64), "bias": random(4, np.float64, 1)}
    params = Packed(arrays)
    theirs = {name: torch.tensor(p.copy(), requires_grad=True) for name, p in params.items()}
    ours = Adam(params, betas=(0.9, 0.99), eps=1e-8, decay=decay)
    groups = [{"params": [theirs["weight"]], "weight_decay": decay}, {"params": [theirs["bias"]]}]
    optimizer = torch.optim.Adam(groups, lr=0.01, betas=(0.9, 0.99), eps=1e-8)
    for step in range(20):
        optimizer.zero_grad()
        grads = {name: random(p.shape, np.float64, 100 + step) for name, p in params.items()}
        for name, p in theirs.items():
            p.grad = torch.tensor(grads[name].copy())
        optimizer.step()
        ours.step(Packed(grads), lr=0.01)
    for name, p in params.items():
        np.testing.assert_allclose(p, theirs[name].detach().numpy(), rtol=0, atol=1e-12)


# The rival of the benchmarks ----------------------------------------------------------------------


def gray_and_colored_crops(n, size):
    """One photo without colour, which has no say in the loss, and others."""
    rgb = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    rgb[0] = rgb[0, ..., :1]
    return rgb


def test_the_rival_has_our_network(torch_side):
    """Logits and colours; the running averages are not those of a new network."""
    x, _ = batch(np.float32, (32, 48))
    net = Network(1 / 8)
    net.initialize(x)
    net.forward(x, train=True)
    theirs, t_x = torch_side.Inference(net), torch_side.from_nhwc(x)
    logits = net.forward(x)
    close(logits, nhwc(theirs.logits(t_x)), 1e-5)
    close(bins.annealed_mean(logits), theirs(t_x).numpy(), 1e-5)


def test_the_rival_has_our_targets(torch_side):
    rgb = gray_and_colored_crops(4, 32)
    x, index, weight = targets(rgb)
    t_x, t_index, t_weight = torch_side.Encoder()(torch.from_numpy(rgb))
    np.testing.assert_allclose(nhwc(t_x), x, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(t_index.numpy().reshape(index.shape), index)
    np.testing.assert_allclose(t_weight.numpy().reshape(weight.shape), weight, rtol=0, atol=2e-4)
    assert (t_weight[:64] == 0).all() and (t_weight[64:] > 0).any(dim=1).all()


@pytest.mark.parametrize("layout", [0, 1])
def test_the_rival_takes_our_training_step(torch_side, layout):
    """Three steps: the losses, how far the weights moved and to where, the moving average."""
    from benchmarks.common import Step

    rgb, lr, decay = gray_and_colored_crops(4, 32), 1e-3, 1e-3
    net = Network(1 / 8)
    net.initialize(targets(rgb)[0])
    leave_the_kinks(net, targets(rgb)[0])
    v = np.random.default_rng(1).uniform(0.5, 4, bins.Q).astype(np.float32)
    layout = torch_side.LAYOUTS[layout]
    theirs = torch_side.TrainingStep(net, v, lr, decay, ema=0.5, layout=layout)
    before = average = [p.clone() for p in theirs.learned]
    ours = Step(net, decay)
    ours.class_weight = v
    for limit in (1e-6, 1e-5, 1e-4):  # Adam follows the sign of gradients that are only noise
        loss = theirs(torch.from_numpy(rgb)).item()
        assert float(ours(rgb, lr).weighted) == pytest.approx(loss, rel=limit)
        average = [(a + p) / 2 for a, p in zip(average, theirs.learned, strict=True)]
    weights = list(zip(torch_side.twin(net).parameters(), theirs.learned, before, strict=False))
    for p, t, b in weights:
        assert abs(t - b).max() > lr / 2
        if p.ndim == 4:
            assert naive.relative_error(p.detach().numpy() - b.numpy(), (t - b).numpy()) < 0.04
    for mine, its in zip(average, theirs.average, strict=True):
        torch.testing.assert_close(mine, its)


def test_both_losses_of_the_rival_agree(torch_side):
    _, (index, weight, v) = batch(np.float32, (28, 52), n=3)
    logits = torch.tensor(3 * random((index.size // 5, bins.Q), np.float32))
    target = [torch.tensor(a.reshape(-1, 5)) for a in (index.astype(np.int64), weight)]
    counted = target[1].sum(dim=1) > 0.5
    sparse = torch_side.sparse_loss(logits, *target, torch.tensor(v))
    dense = torch_side.dense_loss(logits[counted], *(t[counted] for t in target), torch.tensor(v))
    assert sparse.item() == pytest.approx(dense.item(), rel=1e-5)


def test_the_layers_that_the_benchmark_times_are_ours(torch_side):
    """Each convolution of the network: output and all gradients, from the same arrays."""
    from benchmarks.gpu_layers import convolutions

    for _, layer, shape in convolutions(Network(1 / 32), (2, 24, 16, 1)):
        fill(layer, np.float32)
        x = random(shape, np.float32)
        dy = random((2, *layer.output_shape(shape[1:])), np.float32, 1)
        relu, layer.relu = layer.relu, False
        dy *= abs(layer.forward(x)) > 1e-3  # away from the kink
        layer.relu = relu
        theirs = [t.numpy() for t in torch_side.convolution(layer, x, dy)()]
        y, dx = layer.forward(x, train=True), layer.backward(dy)
        ours = (y, layer.grads["weight"], layer.grads["bias"], dx)[: len(theirs)]
        assert len(theirs) == (4 if shape[3] > 1 else 3)
        for a, b in zip(ours, theirs, strict=True):
            close(a, b, 1e-5)


# Colour -------------------------------------------------------------------------------------------

LEVELS = (0, 1, 10, 11, 128, 254, 255)  # the curve's linear foot ends between 10 and 11
CORNERS = np.array([[r, g, b] for r in LEVELS for g in LEVELS for b in LEVELS])
RANDOM = np.random.default_rng(0).integers(0, 256, (20000, 3))
RGB = np.concatenate([CORNERS, RANDOM]).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_rgb_to_lab(dtype):
    rgb = RGB if dtype == np.uint8 else (RGB / 255).astype(dtype)
    theirs = skimage.color.rgb2lab(RGB / 255)
    np.testing.assert_allclose(color.rgb_to_lab(rgb), theirs, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lab_to_rgb(dtype):
    """Half of these colours, and more, lie outside the sRGB gamut."""
    lab = np.random.default_rng(0).uniform((0, -128, -128), (100, 128, 128), (20000, 3))
    lab = np.concatenate([lab, skimage.color.rgb2lab(RGB / 255)])
    theirs = skimage.color.lab2rgb(lab)
    assert ((theirs == 0) | (theirs == 1)).any(axis=1).mean() > 0.25
    np.testing.assert_allclose(color.lab_to_rgb(lab.astype(dtype)), theirs, rtol=0, atol=1e-4)
