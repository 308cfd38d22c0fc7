"""The same network, training and colouring on a GPU as on the CPU.

On a CUDA GPU with `pytest --gpu`; elsewhere on the emulator, with a network of few channels. The
operations one by one are in test_twins.py, the kernels in test_kernels.py.
"""

from unittest.mock import Mock

import numpy as np
import pytest
from emulator import standin
from emulator.standin import emulated
from networks import leave_the_kinks, small_trainer
from PIL import Image
from programs import arrays, flags, log

import infer
import train
from mini_colorize import rehearsal
from mini_colorize.backend import to_host, uploaded
from mini_colorize.colorizer import Colorizer
from mini_colorize.data import PhotoLoader
from mini_colorize.fast import cuda
from mini_colorize.fast.memory import whole
from mini_colorize.files import checkpoint
from mini_colorize.files.config import Config
from mini_colorize.network import Network
from mini_colorize.ops import chapters, ops
from mini_colorize.photos import find_photos
from mini_colorize.targets import measure_prior, targets
from mini_colorize.training import Trainer

WIDTH = 1 / 16


@pytest.mark.one_order
def test_whole_network(gpu):
    """Logits, losses, the gradient of every parameter and the running averages, in float32."""
    rgb = np.random.default_rng(2).integers(0, 256, (2, 32, 24, 3), dtype=np.uint8)
    here = Network(WIDTH)
    here.initialize(targets(rgb)[0])
    leave_the_kinks(here, targets(rgb)[0])
    there = Network(WIDTH)
    there.load_state(here.state())
    there.to(gpu)
    results = []
    for net, array in ((here, np.asarray), (there, gpu.asarray)):
        x, index, weight = targets(array(rgb))
        logits = net.forward(x, train=True)
        results.append({"logits": to_host(logits).copy()})
        v = array(np.linspace(1, 3, 313, dtype="f4"))
        loss = ops(logits).softmax_cross_entropy(logits, index, weight, v)
        results[-1]["losses"] = np.array([float(loss.weighted), float(loss.unweighted)])
        net.backward(loss.gradient)
        arrays = {**{f"d {n}": g for n, g in net.grads().items()}, **net.state()}
        results[-1].update({n: to_host(a) for n, a in arrays.items()})
    # A bias before BatchNorm has no influence: its gradient is rounding, not to be compared.
    size = np.linalg.norm(results[0]["d conv1_2.weight"])
    for name, reference in results[0].items():
        error = np.linalg.norm(results[1][name].astype(np.float64) - reference)
        assert error < 2e-4 * max(np.linalg.norm(reference), 1e-2 * size), name


@pytest.mark.one_order
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 5, 20), (1, 1, 1, 16)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_logits_lie_in_rows_that_divide_by_8(gpu, shape, dtype, frozen):
    """From the last convolution over the loss and back: nobody sees it, and all is as it was."""
    rng, limit = np.random.default_rng(0), 2e-3 if dtype == np.float16 else 5e-6
    x = rng.standard_normal(shape).astype(dtype)
    weight = (rng.standard_normal((1, 1, shape[3], 313)) / shape[3] ** 0.5).astype(dtype)
    bias, v = rng.standard_normal((2, 313)).astype(np.float32)
    pixels = shape[:3]
    index = np.argsort(rng.random((*pixels, 313)), axis=-1)[..., :5].astype(np.int32)
    share = np.full((*pixels, 5), 0.2, np.float32)
    exact = [a.astype(np.float64) for a in (x, weight, bias)]
    logits = chapters.conv2d(*exact)
    given = [gpu.asarray(a) for a in (x, weight, bias, index, share, v)]
    for _ in range(3):
        if frozen:  # backward first: it keeps the weight without the bias
            cuda.freeze(given[1])
            cuda.conv2d_backward(cuda.conv2d(*given[:3]), *given[:2])
        ours = cuda.conv2d(*given[:3])
        rows = whole(ours)
        assert rows.shape[3] == (320 if np.prod(pixels) > 1 else 313)
        near(ours, logits, limit)
        near(cuda.annealed_mean(ours), chapters.annealed_mean(to_host(ours).astype(float)), limit)
    assert not to_host(rows)[..., 313:].any()
    exact_loss = chapters.softmax_cross_entropy(to_host(ours).astype(float), index, share, v)
    loss = cuda.softmax_cross_entropy(ours, *given[3:], 1)
    dy, dbias = cuda.bias_relu_backward(loss.gradient, None, False)
    near(dbias, exact_loss.gradient.sum(axis=(0, 1, 2)), limit)
    dx, dweight = cuda.conv2d_backward(dy, *given[:2])
    truth = chapters.conv2d_backward(exact_loss.gradient, *exact[:2])
    near(dx, truth[0], limit)
    near(dweight, truth[1], limit)


def near(value, truth, limit):
    """Within a part of the truth's size."""
    value = to_host(value).astype(np.float64)
    assert value.shape == truth.shape
    assert np.linalg.norm(value - truth) < limit * np.linalg.norm(truth)


def trained(folder, photos, xp, steps=3, **options):
    """The losses of a few steps, and the trainer."""
    trainer = small_trainer(photos, folder, xp, steps=steps, lr=2e-3, **options)
    batches = uploaded(trainer.loader.batches(0, steps), xp)
    losses = [trainer.train_step(rgb)[0] for rgb in batches]
    return np.array([[float(v) for v in pair] for pair in losses]), trainer


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_training_steps(gpu, precision, narrow, photos, tmp_path):
    """From crops to updated weights: the losses are those of the CPU.

    A difference in the last digit grows a hundredfold in every five steps of so small a network,
    as it would between two CPUs.
    """
    steps = 3 if emulated(gpu) else 20
    here, _ = trained(tmp_path / "cpu", photos, np, steps)
    there, trainer = trained(tmp_path / "gpu", photos, gpu, steps, precision=precision)
    first, all_steps = (1e-5, 2e-2) if precision == "fp32" else (2e-2, 4e-2)
    np.testing.assert_allclose(there[:3], here[:3], rtol=first)
    np.testing.assert_allclose(there, here, rtol=all_steps)
    assert np.ptp(here[:, 0]) > 0.1  # and they are not one number
    assert trainer.network.half == (precision == "mixed")


@pytest.mark.one_order
@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_a_step_does_not_wait_for_the_gpu(gpu, precision, narrow, photos, tmp_path):
    _, trainer = trained(tmp_path / "run", photos, gpu, steps=1, precision=precision)
    rgb = gpu.asarray(next(trainer.loader.batches(1, 2)))
    if not emulated(gpu):
        from cupyx import allow_synchronize

        with allow_synchronize(False):  # raises where the host would wait
            trainer.train_step(rgb)
        return
    before = standin.synchronisations
    trainer.train_step(rgb)
    assert standin.synchronisations == before
    trainer.train_step(rgb, measure=True)  # for the log, it may
    assert standin.synchronisations > before


@pytest.mark.one_order
def test_mixed_precision_leaves_out_a_step_that_overflows(gpu, narrow, photos, tmp_path):
    _, trainer = trained(tmp_path / "run", photos, gpu, steps=1, precision="mixed")
    trainer.learner.loss_scale.scale[...] = 2.0**24
    trainer.learner.class_weight *= 1e4  # far beyond float16
    before = {n: to_host(p).copy() for n, p in trainer.network.params().items()}
    trainer.train_step(gpu.asarray(next(trainer.loader.batches(1, 2))))
    for name, p in trainer.network.params().items():
        np.testing.assert_array_equal(to_host(p), before[name])
    assert float(trainer.learner.loss_scale.scale) == 2.0**23


@pytest.mark.one_order
def test_batches_are_uploaded_in_order_and_none_is_lost(gpu):
    for count in (0, 1, 2, 5):
        made = (np.full((2, 3), k, np.uint8) for k in range(count))
        seen = [to_host(batch).copy() for batch in uploaded(made, gpu)]
        assert [int(b[0, 0]) for b in seen] == list(range(count))


@pytest.mark.one_order
@pytest.mark.parametrize("precision", ["fp32", "tf32", "mixed"])
def test_both_doors_and_a_resumed_run(
    gpu, precision, narrow, photos, tmp_path, capsys, monkeypatch
):
    """train.py, stopped and resumed, ends where an unbroken run ends; infer.py uses the weights."""
    options = dict(data=photos, size=16, batch=3, log_every=2, save_every=2, sample_every=100)
    options |= dict(precision=precision, schedule="steps", lr_every=9)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train.main(flags(**options, steps=4, out=straight)) == 0
    assert train.main(flags(**options, steps=2, out=broken)) == 0
    assert train.main(["--resume", str(broken), "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert f"precision: {precision}" in out and "device memory held" in out and "(CuPy)" in out
    one, two = arrays(straight), arrays(broken)
    for group in one:
        for name, array in one[group].items():
            # a GPU adds up the prior's parts in any order; the rest is the same to the bit
            np.testing.assert_allclose(two[group][name], array, rtol=1e-4, atol=1e-6)
    assert all(entry["device_memory_mib"] >= 0 for entry in log(straight))
    photo, result = photos / "0.png", tmp_path / "result.png"
    options = dict(weights=straight, size=32, out=result, precision=precision, device="cuda")
    assert infer.main([str(photo), *flags(**options)]) == 0
    reference = np.asarray(Colorizer.load(straight, size=32)(photo), np.float64)
    off = abs(np.asarray(Image.open(result)) - reference).mean()
    assert off < (0.05 if precision == "fp32" else 3)


@pytest.mark.one_order
@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_minutes_validation_and_the_best_weights(
    gpu, precision, narrow, photos, tmp_path, monkeypatch
):
    """The rehearsal leaves nothing behind on the device; --val has a short last batch."""
    rehearse = rehearsal.rehearse
    monkeypatch.setattr(rehearsal, "REHEARSED", 3)
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: (rehearse(self), (6.0, 6.0, 1.0))[1])
    options = dict(size=16, batch=4, workers=0, lr=2e-3, precision=precision, cache=True)
    options |= dict(sample_every=2, val=[str(photos)])
    made = Trainer(Config([str(photos)], minutes=1.0, **options), tmp_path / "run", gpu)
    made.start()
    steps = made.config.steps
    assert 2 <= steps <= 6
    straight = Trainer(Config([str(photos)], steps=steps, **options), tmp_path / "straight", gpu)
    straight.start()
    for name, array in straight.network.state().items():
        np.testing.assert_array_equal(to_host(made.network.state()[name]), to_host(array))
    assert made.learner.optimizer.t == 0 and not to_host(made.learner.optimizer.m.flat).any()
    if made.learner.loss_scale:
        assert float(made.learner.loss_scale.scale) == 2.0**16
    assert made.train()
    judged = [e for e in made.log.read() if "best_step" in e]
    assert [e["step"] for e in judged] == sorted({2, *range(4, steps, 2), steps})
    best = min(judged, key=lambda e: e["val_loss_weighted"])
    assert checkpoint.load_meta(tmp_path / "run")["step"] == best["step"] == judged[-1]["best_step"]
    options["precision"] = "fp32"
    here = Trainer(Config([str(photos)], steps=steps, **options), tmp_path / "x")
    here.prepare(np.load(tmp_path / "run" / "prior.npy"))
    here.judge.network.load_state(checkpoint.load_network(tmp_path / "run")[0].state())
    for name, value in here.judge.validate(here.learner).items():
        assert best[name] == pytest.approx(value, rel=1e-4 if precision == "fp32" else 2e-2)


@pytest.mark.one_order
def test_prior(gpu, photos):
    loader = PhotoLoader(find_photos(photos), size=16, batch=2, workers=0)
    prior = measure_prior(loader, xp=gpu)
    assert isinstance(prior, np.ndarray)
    np.testing.assert_allclose(prior, measure_prior(loader), rtol=1e-4, atol=1e-9)


@pytest.mark.one_order
def test_a_run_moves_between_devices_and_precisions(gpu, narrow, photos, tmp_path, capsys):
    run = tmp_path / "run"
    options = dict(data=photos, size=16, batch=3, log_every=1, schedule="steps", lr_every=9)
    options |= dict(steps=1, out=run, device="cuda", precision="mixed")
    assert train.main(flags(**options)) == 0
    resume = ["--resume", str(run), "--steps"]
    assert train.main([*resume, "2", "--device", "cpu"]) == 2  # mixed is not for the CPU
    assert "--precision fp32" in capsys.readouterr().err
    assert train.main([*resume, "2", "--device", "cpu", "--precision", "fp32"]) == 0
    assert train.main([*resume, "3", "--device", "cuda", "--precision", "mixed"]) == 0
    assert train.main([*resume, "4", "--precision", "tf32"]) == 0
    assert [entry["step"] for entry in log(run)] == [1, 2, 3, 4]


class CUBLASError(RuntimeError):
    """As CuPy's, which is no MemoryError even if memory is what is missing."""

    __module__ = "cupy_backends.cuda.libs.cublas"


@pytest.mark.one_order
@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError("Out of memory allocating 9,000 bytes"), "not enough memory"),
        (CUBLASError("CUBLAS_STATUS_ALLOC_FAILED"), "the GPU failed: CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_gpu_that_fails_is_one_line(
    gpu, error, said, narrow, photos, tmp_path, capsys, monkeypatch
):
    for place in ("forward", "to"):
        monkeypatch.setattr(Network, place, Mock(side_effect=error))
        out = str(tmp_path / place)
        assert train.main(flags(data=photos, size=16, steps=1, out=out)) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("train.py: ") and said in lines[-1]
        assert infer.main([str(photos / "0.png"), "--out", out + ".png"]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("infer.py: ") and said in lines[0]
