"""The measures by hand and by scipy; sums and their intervals; systems; the loop over photos."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from photographs import mixed_album
from PIL import Image
from scipy.integrate import trapezoid

from mini_colorize import bins, measures
from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.evaluation.evaluate import evaluate, limited, painted
from mini_colorize.evaluation.systems import Checkpoint, Gray, Photo, Random, Truth
from mini_colorize.evaluation.tally import B, Tally, interval, times_drawn
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.measures import classes, colorfulness, curves, histogram
from mini_colorize.photos import DataError, find_photos
from mini_colorize.targets import targets

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "photos-256-val.tar"


@pytest.fixture
def photos(tmp_path):
    return mixed_album(tmp_path / "photos")


def photos_of(folder):
    return [Photo(path, path.name) for path in find_photos(folder)]


def tallied(*histograms):
    tally = Tally()
    for number, counts in enumerate(histograms):
        tally.add(times_drawn("abcd"[number], 0), counts, 1, 1.0)
    return tally


def scores(tally, min_count=1):
    return {name: values[0] for name, values in tally.scores(min_count).items()}


# The measures ------------------------------------------------------------------------------------


def test_the_area_is_that_under_the_curves():
    """Of the shares within every threshold, of all and of each class, by scipy. Classes that have
    fewer pixels than the minimum are left out; where all have, nothing is left to average."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(-60, 60, (7, 9, 2)).astype(np.float32).round(-1)
    ab = (truth + rng.normal(0, 60, truth.shape)).astype(np.float32)
    ab[0, 0], ab[0, 1] = truth[0, 0], truth[0, 1] + 150 / np.sqrt(2)
    label, minimum = classes(truth), 2
    nearest = np.linalg.norm(bins.BINS - truth[:, :, None], axis=-1).argmin(axis=-1)
    np.testing.assert_array_equal(label, nearest)
    distance = np.linalg.norm(ab.astype(np.float64) - truth, axis=-1)
    within = distance[..., None] <= np.arange(151)
    of_classes = [within[label == q] for q in np.unique(label)]
    shares = [hits.mean(axis=0) for hits in of_classes if len(hits) >= minimum]
    assert 1 < len(shares) < len(of_classes)
    all_shares, areas = within.mean(axis=(0, 1)), trapezoid(shares) / 1.5
    counts = histogram(ab, truth, label)
    found = scores(tallied(counts), minimum)
    assert found["auc_raw"] == pytest.approx(trapezoid(all_shares) / 1.5, abs=1e-9)
    assert found["auc_balanced"] == pytest.approx(areas.mean(), abs=1e-9)
    raw, balanced = curves(counts, minimum)
    np.testing.assert_allclose(raw, all_shares, atol=1e-12)
    np.testing.assert_allclose(balanced, np.mean(shares, axis=0), atol=1e-12)
    assert np.isnan(scores(tallied(counts), 64)["auc_balanced"])
    assert np.isnan(curves(counts, 64)[1]).all()


AREAS = [(0, 150), (1e-3, 149.5), (1, 149.5), (1.001, 148.5), (149.5, 0.5), (150, 0.5)]


@pytest.mark.parametrize("d, area", [*AREAS, (150.01, 0), (300, 0)])
def test_the_area_of_a_pixel(d, area):
    truth = np.zeros((1, 1, 2), np.float32)
    counts = histogram(np.array([[[0, d]]], np.float32), truth, classes(truth))
    assert (counts @ measures.HALVES).sum() / 2 == area


# The sums and their intervals --------------------------------------------------------------------


def test_times_drawn_are_poisson_and_belong_to_the_name():
    drawn = np.stack([times_drawn(f"{i}.jpg", 0) for i in range(400)])
    assert drawn.shape == (400, 1 + B) and (drawn[:, 0] == 1).all()
    assert drawn[:, 1:].mean() == pytest.approx(1, abs=0.01)
    assert drawn[:, 1:].var() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(drawn[:50, 1:]) - np.eye(50)).max() < 0.2
    np.testing.assert_array_equal(drawn[7], times_drawn("7.jpg", 0))
    assert (drawn[7] != times_drawn("7.jpg", 1)).any()


def one_pixel_kinds(near, far):
    """A photo with so many grey pixels that are right and so many that are off by 200."""
    counts = np.zeros((bins.Q, measures.STEPS), np.int64)
    gray = int(classes(np.zeros(2, np.float32)))
    counts[gray, 0], counts[gray, -1] = near, far
    return counts


def test_the_interval_is_that_of_an_ordinary_bootstrap():
    """200 photos, drawn with replacement 4000 times: the same ends, to a tenth of the width."""
    rng = np.random.default_rng(1)
    near = rng.integers(0, 101, 200)
    tally = Tally()
    for i, n in enumerate(near):
        tally.add(times_drawn(str(i), 0), one_pixel_kinds(n, 100 - n), 1, float(n))
    again = near[rng.integers(0, 200, (4000, 200))].mean(axis=1)
    low, high = np.percentile(again, (2.5, 97.5))
    for name in ("auc_raw", "auc_balanced", "colorfulness"):
        values = tally.scores(1)[name]
        assert values[0] == pytest.approx(near.mean())
        assert interval(values) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_a_class_that_a_resample_lacks_keeps_its_real_value():
    """One photo alone has the class (50, 0): resamples without it are not shifted."""
    red = np.zeros((bins.Q, measures.STEPS), np.int64)
    red[classes(np.array([50, 0], np.float32)), 0] = 10
    tally = tallied(one_pixel_kinds(0, 10), red, one_pixel_kinds(0, 10), one_pixel_kinds(0, 10))
    values = tally.scores(1)["auc_balanced"]
    assert values[0] == 50
    kept = values[np.isfinite(values)]
    assert (kept == 50).all()


def test_the_interval_of_what_is_no_number():
    assert interval(np.full(11, np.inf)) is None and interval(np.full(11, np.nan)) is None
    assert interval(np.array([1, np.nan, 2, 2, np.nan])) == (2, 2)


# The systems -------------------------------------------------------------------------------------


def test_truth_is_100(photos):
    result = evaluate(find_photos(photos), [Truth()], progress=False)
    found = scores(result.tallies[0])
    assert found["auc_raw"] == 100 and found["auc_balanced"] == 100
    assert found["psnr_db"] == np.inf  # Lab and back gives the very same bytes
    expected = [colorfulness(Photo(p, p.name).rgb) for p in find_photos(photos)]
    assert found["colorfulness"] == pytest.approx(np.mean(expected))
    assert np.isnan(found["loss_nats"]) and np.isnan(found["seconds"])


def test_gray_by_hand(photos):
    """The distance of grey to a colour is its chroma; its PSNR that of the grey picture."""
    result = evaluate(find_photos(photos), [Gray()], progress=False)
    found = scores(result.tallies[0])
    pictures = photos_of(photos)
    k = np.concatenate([np.ceil(np.hypot(*p.lab[..., 1:].reshape(-1, 2).T)) for p in pictures])
    area = np.where(k == 0, 150, np.clip(150.5 - k, 0, None))
    assert found["auc_raw"] == pytest.approx(area.mean() / 1.5, abs=0.01)
    grays = [painted(p, np.zeros((*p.size, 2), np.float32)) for p in pictures]
    pairs = zip(grays, pictures, strict=True)
    mse = np.concatenate([np.square(g.astype(float) - p.rgb).ravel() for g, p in pairs]).mean()
    assert found["psnr_db"] == pytest.approx(10 * np.log10(255**2 / mse))
    assert found["colorfulness"] < 0.5


def test_random_lends_in_a_circle(photos):
    paths = find_photos(photos)
    system = Random(paths[::-1], seed=3)
    assert system.circle == Random(paths, seed=3).circle  # whatever the order
    assert sorted(system.circle, key=str) == paths
    photo = Photo(system.circle[-1], "x")
    for lender in system.circle[:2]:
        image = Image.open(lender.path).convert("RGB")
        image = image.resize(photo.size[::-1], Image.Resampling.BICUBIC)
        expected = rgb_to_lab(np.asarray(image))[..., 1:]
        np.testing.assert_allclose(system.answer([photo])[0].ab, expected, atol=1e-5)
        lender.path.write_bytes(b"broken")  # the next one steps in


def test_a_checkpoint_colors_as_infer_does(photos, weights, regression):
    for path in (weights, regression):
        system = Checkpoint(path, 0.5)
        for photo in photos_of(photos):
            expected = Colorizer.load(path, temperature=0.5)(photo.file.path).convert("RGB")
            picture = painted(photo, system.answer([photo])[0].ab)
            assert abs(picture.astype(int) - np.asarray(expected)).max() <= 1
            assert (picture != np.asarray(expected)).mean() < 0.01


def test_the_loss_is_that_of_training(photos, weights):
    """On the photo at 32 x 32; a photo without colour has none."""
    system = Checkpoint(weights)
    pictures = photos_of(photos)
    answers = system.answer(pictures)
    assert answers[-1].nats is None and pictures[-1].name == "sub/gray.png"
    for photo, answer in zip(pictures[:-1], answers, strict=False):
        small = np.asarray(Image.fromarray(photo.rgb).resize((32, 32), Image.Resampling.BICUBIC))
        x, index, weight = targets(small[None])
        ones = np.ones(bins.Q, np.float32)
        loss = softmax_cross_entropy(system.colorizer.network.forward(x), index, weight, ones)
        assert answer.nats == pytest.approx(float(loss.unweighted), rel=0.01)


def test_a_regression_has_no_loss_in_nats_and_no_temperature(photos, regression):
    photo = Photo(find_photos(photos)[0], "x")
    one, two = (Checkpoint(regression, t).answer([photo])[0] for t in (0.38, 0.1))
    assert one.nats is None and (one.ab == two.ab).all()
    assert "regression" in Checkpoint(regression).name


def test_at_several_temperatures_the_network_runs_once(photos, weights):
    pictures, calls = photos_of(photos), []
    first = Checkpoint(weights, 0.5)
    forward = first.colorizer.inference.forward
    first.colorizer.inference.forward = lambda x: calls.append(1) or forward(x)
    for system in (first, first.at(0.1), first.at(1.0)):
        alone = Checkpoint(weights, system.temperature)
        assert system.name == alone.name
        for one, two in zip(system.answer(pictures), alone.answer(pictures), strict=True):
            np.testing.assert_array_equal(one.ab, two.ab)
            assert one.nats == two.nats
    assert len(calls) == 1
    first.answer(pictures[:2])  # other photos: another list
    assert len(calls) == 2
    with pytest.raises(ValueError, match="temperature"):
        first.at(-1)


@pytest.mark.one_order
def test_a_checkpoint_on_a_gpu(gpu, photos, weights, regression):
    pictures = photos_of(photos)[:2]
    for path in (weights, regression):
        there = Checkpoint(path, device="cuda")
        there.warm_up()
        for one, two in zip(Checkpoint(path).answer(pictures), there.answer(pictures), strict=True):
            assert isinstance(two.ab, np.ndarray) and two.seconds > 0
            np.testing.assert_allclose(two.ab, one.ab, atol=1e-2)
            assert one.nats == two.nats or two.nats == pytest.approx(one.nats, rel=1e-4)


# The loop ----------------------------------------------------------------------------------------


def evaluated(paths, folder, weights, **options):
    systems = [Truth(), Gray(), Random(paths, 0), Checkpoint(weights)]
    return evaluate(paths, systems, data=str(folder), progress=False, **options)


def assert_same(one, two, tolerance):
    for a, b in zip(one.tallies, two.tallies, strict=True):
        assert abs(a.histogram - b.histogram).sum() <= tolerance * a.histogram.sum()
        ours, theirs = a.scores(10), b.scores(10)
        for name in ours.keys() - {"seconds"}:
            close = dict(rtol=max(tolerance, 1e-12), equal_nan=True)
            np.testing.assert_allclose(ours[name], theirs[name], **close, err_msg=name)


def test_order_batch_and_folder_change_nothing(photos, weights, tmp_path):
    """Not one count, nor the intervals; the batch only the rounding of matrix products."""
    paths = find_photos(photos)
    one = evaluated(paths, photos, weights)
    for order in (paths[::-1], paths[3:] + paths[:3]):
        assert_same(one, evaluated(order, photos, weights), 0)
    for batch in (2, 4, 100):
        assert_same(one, evaluated(paths, photos, weights, batch=batch), 2e-4)
    moved = photos.rename(tmp_path / "elsewhere")
    assert_same(one, evaluated(find_photos(moved), moved, weights), 0)


def test_no_photo_is_kept(photos, monkeypatch):
    """However many photos: no more are in memory than a batch holds."""
    alive, most = weakref.WeakSet(), []

    class Counted(Photo):
        def __init__(self, *args):
            super().__init__(*args)
            gc.collect()
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr("mini_colorize.evaluation.evaluate.Photo", Counted)
    paths = find_photos(photos)
    evaluate(paths, [Truth(), Gray(), Random(paths)], batch=2, progress=False)
    assert len(most) == 6 and max(most) <= 3  # the last one is let go when the next has come
    sums = Tally()
    assert sums.sums.nbytes + sums.histogram.nbytes < 6e6


def test_broken_photos_are_skipped(photos):
    (photos / "1.png").write_bytes(b"no picture")
    paths = find_photos(photos)
    result = evaluate(paths, [Truth(), Random(paths)], progress=False)
    assert result.photos == 5 and list(result.skipped) == [str(photos / "1.png")]
    for photo in paths[:-1]:
        photo.path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="at least two"):
        evaluate(paths, [Truth()], progress=False)
    with pytest.raises(DataError, match="at least two"):
        Random(paths[:1])


def test_a_limit_takes_evenly():
    assert limited(list(range(10)), 3) == [0, 3, 6]
    assert limited([1, 2], 5) == limited([1, 2], None) == [1, 2]


@pytest.mark.skipif(not SHARED.exists(), reason="the validation photos are not here")
def test_gray_on_real_photos_lies_near_the_published():
    """89.1 in the paper, of other photos."""
    result = evaluate(find_photos(SHARED)[::3], [Truth(), Gray()], progress=False)
    truth, gray = (scores(tally, 100) for tally in result.tallies)
    assert truth["auc_raw"] == truth["auc_balanced"] == 100
    assert abs(gray["auc_raw"] - 89.1) < 1.5 and 55 < gray["auc_balanced"] < 70
