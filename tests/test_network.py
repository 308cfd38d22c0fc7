"""Chapter 8, proven: the eight blocks, their sizes, and the chain rule through all of them.

Parameters and FLOPs are counted again from the paper's table. The gradient of the loss to weights
of every layer is compared with central differences through the whole network, in float64.
"""

import copy

import numpy as np
import pytest
from paper import NORMALISED, TABLE

from mini_colorize.bins import Q, soft_encode
from mini_colorize.color import normalize_lightness
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.modules import BatchNorm2d, Conv2d, ConvTranspose2d
from mini_colorize.network import WIDTHS, Network


def small_network(width=1 / 32, size=(16, 24), seed=0, dtype=np.float64):
    """An initialised network and its batch of two pictures."""
    x = np.random.default_rng(seed).standard_normal((2, *size, 1)).astype(dtype)
    net = Network(width, dtype)
    net.initialize(x, seed)
    return net, x


def shake(net, seed=3):
    """Give BatchNorm averages, scales and shifts, and all biases, random values."""
    rng = np.random.default_rng(seed)
    for layer in net.layers.values():
        for name, array in {**layer.params, **getattr(layer, "buffers", {})}.items():
            if name in ("gamma", "var"):
                array[...] = rng.uniform(0.5, 2, array.shape)
            elif name in ("beta", "mean", "bias"):
                array[...] = 0.3 * rng.standard_normal(array.shape)
    return net


# Architecture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, millions", [("tiny", 2.03), ("small", 8.08), ("full", 32.24)])
def test_parameters(name, millions):
    width = WIDTHS[name]

    def channels(c):
        return c if c in (1, 313) else round(c * width)

    count = sum(k * k * channels(i) * channels(o) + channels(o) for _, k, i, o, _ in TABLE)
    count += sum(2 * channels(c) for c in NORMALISED)
    assert sum(p.size for p in Network(width).params().values()) == count
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


def test_layers_shapes_and_flops():
    """2 FLOPs a weight and output pixel (of the transposed convolution: input pixel): 83 G."""
    net = Network(1.0)
    strided, dilated = {"conv1_2", "conv2_2", "conv3_3"}, ("conv5", "conv6")
    shape, rows, total = (256, 256, 1), iter(TABLE), 0
    names = list(net.layers)
    for name, layer in net.layers.items():
        before, shape, flops = shape[0], layer.output_shape(shape), layer.flops(shape)
        total += flops
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            expected, kernel, c_in, c_out, side = next(rows)
            assert name == expected
            assert layer.params["weight"].shape == (kernel, kernel, c_in, c_out)
            assert shape == (side, side, c_out)
            assert layer.relu == (name != "conv8_313")
            products = kernel**2 * c_in * c_out * min(before, side) ** 2
            assert flops == 2 * products + layer.relu * side**2 * c_out
            if name == "conv8_313":
                continue
            assert layer.geometry["dilation"] == (2 if name.startswith(dilated) else 1)
            assert layer.geometry["stride"] == (2 if name in strided | {"conv8_1"} else 1)
    assert next(rows, None) is None
    assert total == pytest.approx(83e9, rel=0.01)
    for block in range(1, 8):
        at = names.index(f"bn{block}")
        assert names[at - 1].startswith(f"conv{block}_") and names[at + 1] == f"conv{block + 1}_1"
    assert sum(isinstance(layer, BatchNorm2d) for layer in net.layers.values()) == 7


def test_summary_tells_the_totals():
    text = Network(0.25).summary(64)
    total = sum(p.size for p in Network(0.25).params().values())
    assert f"{total:,}" in text and "tiny, total" in text and "(16, 16, 313)" in text


WRONG = [(1, 12, 16, 1), (1, 16, 20, 1), (1, 16, 16, 3), (16, 16, 1), (16, 16)]


@pytest.mark.parametrize("shape", WRONG, ids=str)
def test_wrong_inputs_are_errors(shape):
    with pytest.raises(ValueError, match="multiples of 8"):
        Network(1 / 32).forward(np.zeros(shape, np.float32))


def test_normalize_lightness():
    lightness = np.array([0.0, 50, 75, 100])
    np.testing.assert_array_equal(normalize_lightness(lightness), [-0.5, 0, 0.25, 0.5])


# Gradients ----------------------------------------------------------------------------------------


def test_gradients_through_the_whole_network():
    """A few entries of every learned array against central differences, relative error < 1e-5.

    A step of 1e-6 that carries some pixel across a ReLU's kink would measure a mixture of two
    slopes, so an entry is measured at two step sizes, and one where these disagree is left out:
    the test counts how many.
    """
    net, x = small_network()
    shake(net)
    rng = np.random.default_rng(5)
    index, weight = soft_encode(rng.uniform(-70, 70, (2, 4, 6, 2)))
    weight[0, 0, :2] = 0  # two pixels that do not count
    target = index, weight.astype(np.float64), rng.uniform(0.5, 3, Q)

    def loss():
        return float(softmax_cross_entropy(net.forward(x, train=True), *target).weighted)

    gradient = softmax_cross_entropy(net.forward(x, train=True), *target).gradient
    net.backward(gradient)
    grads = {name: g.copy() for name, g in net.grads().items()}
    assert grads.keys() == net.params().keys()
    measured = kinks = 0
    for name, p in net.params().items():
        assert grads[name].shape == p.shape
        flat, g = p.reshape(-1), grads[name].reshape(-1)
        assert np.shares_memory(flat, p)
        for at in rng.choice(p.size, size=min(3, p.size), replace=False):
            slopes = []
            for eps in (1e-6, 5e-7):
                kept, values = flat[at], []
                for moved in (kept + eps, kept - eps):
                    flat[at] = moved
                    values.append(loss())
                flat[at] = kept
                slopes.append((values[0] - values[1]) / (2 * eps))
            scale = max(abs(slopes[0]), np.sqrt(np.mean(g**2)))
            if abs(slopes[0] - slopes[1]) > 1e-5 * scale:
                kinks += 1
                continue
            measured += 1
            assert abs(g[at] - slopes[0]) < 1e-5 * scale, f"{name}[{at}]: {g[at]} {slopes}"
    assert measured > 165 and kinks < 10, (measured, kinks)


# Initialisation -----------------------------------------------------------------------------------


def test_initialize_gives_unit_variance():
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 32, 48, 1)).astype(np.float32)
    net = Network(1 / 8)
    net.initialize(x, seed=1)
    deviations = {}
    for name, layer in net.layers.items():
        relu, layer.relu = getattr(layer, "relu", False), False  # before the ReLU
        x = layer.forward(x, train=isinstance(layer, BatchNorm2d))
        if "weight" in layer.params:
            deviations[name] = float(x.std())
            assert (layer.params["bias"] == 0).all()
        x = np.maximum(x, 0) if relu else x
    assert len(deviations) == 23
    for name, deviation in deviations.items():
        assert deviation == pytest.approx(1, abs=0.001), name


def test_initialize_depends_on_the_seed_only():
    (one, x), (same, _), (other, _) = (small_network(seed=0) for _ in range(3))
    other.initialize(x, seed=9)
    for name, p in one.params().items():
        np.testing.assert_array_equal(p, same.params()[name])
    assert not np.array_equal(one.params()["conv4_2.weight"], other.params()["conv4_2.weight"])


# Inference ----------------------------------------------------------------------------------------


def held(net):
    """Layers that keep something for a backward pass."""

    def keeps(layer):
        return any(getattr(layer, name, None) is not None for name in ("x", "y", "between"))

    return [name for name, layer in net.layers.items() if keeps(layer)]


def test_inference_keeps_nothing_and_training_lets_go():
    net, x = small_network()
    assert held(net) == []
    net.forward(x)
    assert held(net) == []
    logits = net.forward(x, train=True)
    assert held(net) == list(net.layers)
    net.backward(np.ones_like(logits))
    assert held(net) == []


def test_inference_does_not_change_input_or_state():
    net, x = small_network()
    kept, state = x.copy(), {name: a.copy() for name, a in net.state().items()}
    first = net.forward(x)
    np.testing.assert_allclose(net.forward(x), first, atol=1e-12)
    np.testing.assert_array_equal(x, kept)
    for name, a in net.state().items():
        np.testing.assert_array_equal(a, state[name])


@pytest.mark.parametrize("dtype, limit", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_folded_equals_the_network(dtype, limit):
    """Also at the borders, where the padding must be what BatchNorm maps to zero."""
    net, x = small_network(1 / 8, size=(24, 40), dtype=dtype)
    shake(net)
    truth = net.forward(x)
    folded = net.folded()
    # bn7 stays: a transposed convolution follows it.
    assert [n for n in folded.layers if n.startswith("bn")] == ["bn7"]
    assert folded.forward(x).dtype == dtype
    np.testing.assert_allclose(folded.forward(x), truth, rtol=0, atol=limit * abs(truth).max())
    for layer in net.layers.values():  # the original is as it was
        assert not isinstance(layer, Conv2d) or layer.fill == 0
    np.testing.assert_allclose(net.forward(x), truth, atol=1e-12)


@pytest.mark.parametrize("zeros", ["one", "all"])
def test_folded_leaves_batchnorm_where_a_gamma_is_zero(zeros):
    net, x = small_network(1 / 16)
    shake(net)
    gamma = net.layers["bn3"].params["gamma"]
    gamma[1 if zeros == "one" else slice(None)] = 0
    folded = net.folded()
    assert [n for n in folded.layers if n.startswith("bn")] == ["bn3", "bn7"]
    truth = net.forward(x)
    np.testing.assert_allclose(folded.forward(x), truth, rtol=0, atol=1e-12 * abs(truth).max())


# State --------------------------------------------------------------------------------------------


def test_state_round_trip():
    net, x = small_network()
    shake(net)
    other = Network(1 / 32, np.float64)
    other.load_state(copy.deepcopy(net.state()))
    np.testing.assert_allclose(other.forward(x), net.forward(x), atol=1e-12)
    other.params()["conv1_1.weight"][...] = 0  # a copy: the source is left alone
    assert net.params()["conv1_1.weight"].any()
    assert len(net.state()) == len(net.params()) + 2 * 7


@pytest.mark.parametrize("name", ["bn3.mean", "conv9_1.weight", "conv4_2.bias", "another width"])
def test_load_state_errors(name):
    """An array is missing, unknown, of another shape; all are those of another network."""
    net, _ = small_network()
    before = {name: a.copy() for name, a in net.state().items()}
    state = {name: 2 * a for name, a in before.items()} | {name: np.zeros(3)}
    if name == "bn3.mean":
        del state[name]
    elif name == "another width":
        state, name = Network(1 / 16).state(), ""
    with pytest.raises(ValueError, match=f"^[^\n]*not for this network[^\n]*{name}[^\n]*$"):
        net.load_state(state)
    for name, a in net.state().items():  # nothing was half loaded
        np.testing.assert_array_equal(a, before[name])
