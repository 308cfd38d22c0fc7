"""The page's server: who is let in, what is refused, and that its files are infer.py's."""

import io
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
from photographs import noise, smooth
from PIL import Image, ImageCms
from programs import ROOT, called

import infer
from mini_colorize import album
from mini_colorize.color import lab_to_rgb, to_byte
from mini_colorize.colorizer import Colorizer, gray, lightness_of
from mini_colorize.fast import memory
from mini_colorize.files.canonical import SRGB
from mini_colorize.files.results import made_of, mark
from mini_colorize.hints import follow
from mini_colorize.layers.upsample import upsample
from mini_colorize.page import __main__ as program
from mini_colorize.page import server, studio
from mini_colorize.page.queue import MOST, Cancelled, Queue
from mini_colorize.page.server import create_app, is_ours
from mini_colorize.page.studio import Kept, Studio

PORT = 8313
DEFAULT = {
    "weights": 0,
    "size": 32,
    "temperature": 0.38,
    "strength": 1,
    "enlarge": "guided",
    "kind": "colour",
    "scale": "small",
    "format": "png",
}


class Client:
    """The page without a browser."""

    def __init__(self, colorizers):
        self.queue = Queue()
        self.studio = Studio(colorizers, self.queue.let_pass)
        app = create_app(self.studio, self.queue, "127.0.0.1", PORT)
        self.http = app.test_client()
        self.headers = {"Host": f"127.0.0.1:{PORT}", "X-Token": app.config["TOKEN"]}

    def get(self, path, **options):
        return self.http.get(path, headers=self.headers, query_string=DEFAULT | options)

    def send(self, data, name="photo.png"):
        """The answer to a photo, bytes or a PIL image."""
        if isinstance(data, Image.Image):
            data = encoded(data)
        return self.http.post(
            "/photos", query_string={"name": name}, data=data, headers=self.headers
        )

    def key(self, *photo):
        answer = self.send(*photo)
        assert answer.status_code == 200, answer.text
        return answer.json["key"]


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.data)))


@pytest.fixture(scope="module")
def colorizers(weights, regression):
    return {"small": Colorizer.load(weights), "ab": Colorizer.load(regression)}


@pytest.fixture
def client(colorizers):
    return Client(colorizers)


@pytest.fixture(scope="module")
def photo():
    return smooth(np.random.default_rng(1), (50, 40))


def test_what_stands_in_the_page_opens_the_rest(client, photo):
    page = client.http.get("/", headers={"Host": f"localhost:{PORT}"})
    assert page.status_code == 200 and client.headers["X-Token"] in page.text
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.http.get(name, headers=client.headers).status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "<style" not in page.text and "style=" not in page.text  # nothing within the page
    assert client.key(photo)


@pytest.mark.parametrize("host", ["evil.example:8313", "127.0.0.1", "127.0.0.1:80", "", "[::1"])
def test_another_host_is_refused(client, host):
    for path in ("/", "/page.js", "/photos"):
        answer = client.http.get(path, headers={**client.headers, "Host": host})
        assert answer.status_code == 403 and "script" not in answer.text


@pytest.mark.parametrize("token", ["", "guess", "é"])
def test_another_token_is_refused(client, photo, token):
    key = client.key(photo)
    headers = {**client.headers, "X-Token": token}
    for path in (f"/pictures/{key}", f"/files/{key}", f"/beliefs/{key}"):
        answer = client.http.get(path, headers=headers, query_string=DEFAULT)
        assert answer.status_code == 403 and list(answer.json) == ["error"]
    assert client.http.post("/photos", data=encoded(photo), headers=headers).status_code == 403


def test_addresses():
    """On every network numbers are taken, but no names, which strangers can make lead here."""
    for said, bound, known in (
        ("127.0.0.1:1", "127.0.0.1", True),
        ("localhost:1", "127.0.0.1", True),
        ("localhost:2", "127.0.0.1", False),
        ("192.168.1.5:1", "127.0.0.1", False),
        ("192.168.1.5:1", "192.168.1.5", True),
        ("192.168.1.5:1", "0.0.0.0", True),
        ("[fe80::1]:1", "::", True),
        ("localhost:1", "192.168.1.5", False),
        ("evil.example:1", "0.0.0.0", False),
        ("127.0.0.1.evil.example:1", "0.0.0.0", False),
        ("user@127.0.0.1:1", "127.0.0.1", False),
        ("127.0.0.1:1/x", "127.0.0.1", False),
        ("127.0.0.1:1?x", "127.0.0.1", False),
        ("127.0.0.1:", "127.0.0.1", False),
        ("1.2.3:1", "0.0.0.0", False),
    ):
        assert is_ours(said, bound, 1) == known, said
    assert is_ours("127.0.0.1", "127.0.0.1", 80)


BROKEN = {
    "nothing": b"",
    "a text": b"no picture at all",
    "a program": b"\x7fELF" + bytes(100),
    "cut off in its head": encoded(Image.new("RGB", (9, 9)))[:40],
    "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_broken_files(client, data):
    answer = client.send(data, "../../etc/passwd")
    assert answer.status_code == 400
    assert "/" not in answer.json["error"] and "\n" not in answer.json["error"]
    assert client.studio.photos.nbytes == 0


def test_too_many_bytes_and_pixels(client, monkeypatch):
    huge = client.send(bytes(server.MAX_BYTES + 1))
    assert huge.status_code == 413 and huge.json["error"] == "too large: over 64 MiB"
    bomb = encoded(Image.new("1", (10_000, 5_001)))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    bomb = client.send(bomb)
    assert bomb.status_code == 400 and bomb.json["error"] == "too large: over 50 megapixels"


def test_long_photos(client):
    """A JPEG cannot hold them; a PNG can. Of much longer ones a strip would take much memory."""
    key = client.key(Image.new("L", (65_501, 3), 99))
    for kind in ("colour", "photo"):
        shown = client.get(f"/pictures/{key}", kind=kind, scale="full")
        assert shown.mimetype == "image/png" and decoded(shown).shape == (3, 65_501, 3)
    refused = client.get(f"/files/{key}", format="jpg")
    assert refused.status_code == 400 and "choose PNG or TIFF" in refused.json["error"]
    assert decoded(client.get(f"/files/{key}", format="tiff")).shape == (3, 65_501, 3)
    refused = client.send(Image.new("L", (studio.MAX_SIDE + 1, 1)))
    assert refused.status_code == 400 and "too long" in refused.json["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": 2},
        {"weights": -1},
        {"weights": "../full"},
        {"size": 36},
        {"size": 0},
        {"size": 4096},
        {"temperature": -0.1},
        {"temperature": "nan"},
        {"strength": 11},
        {"strength": "inf"},
        {"kind": "other"},
        {"scale": "huge"},
        {"hints": "0.5,0.5,10"},
        {"hints": "0.5,0.5,10,10,10"},
        {"hints": "0.5,0.5,x,10"},
        {"hints": "0.5,1.01,10,10"},
        {"hints": "-0.1,0.5,10,10"},
        {"hints": "0.5,nan,10,10"},
        {"hints": "nan,0.5,10,10"},
        {"hints": "0.5,0.5,10,nan"},
        {"hints": "0.5,0.5,-111,0"},
        {"hints": "0.5,0.5,0,inf"},
        {"hints": ";".join(["0.5,0.5,1,1"] * 101)},
        {"hints": "9" * 10**5},
        {"size": ""},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_wrong_settings(client, photo, wrong):
    answer = client.get(f"/pictures/{client.key(photo)}", **wrong)
    assert answer.status_code == 400 and len(answer.json["error"]) < 50


def test_paths_lead_nowhere(client, photo):
    key = client.key(photo)
    for path in (
        "/server.py",
        "/..%2fpage%2fserver.py",
        "/page.html",
        f"/files/..%2f{key}",
        "/photos",
    ):
        assert client.get(path).status_code in (404, 405)
    assert client.get(f"/files/{key}", format="../x.png").status_code == 400
    for place in ({}, {"u": 2, "v": 0}, {"u": "nan", "v": 0}):
        assert client.get(f"/beliefs/{key}", **place).status_code == 400


def test_an_error_of_the_program_is_one_sentence(client, photo, monkeypatch, caplog):
    key = client.key(photo)
    monkeypatch.setattr(studio, "paint", lambda *_: 1 / 0)
    answer = client.get(f"/pictures/{key}")
    assert answer.status_code == 500 and "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text  # the terminal says more


@pytest.mark.parametrize("form", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_saved_file_is_that_of_infer(client, weights, tmp_path, monkeypatch, capsys, form, alpha):
    """To the byte, but for the hash of the folder in what the result says of its photo."""
    image = smooth(np.random.default_rng(2), (600, 450))
    if alpha:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[271], exif[274], exif[306] = "Leica", 6, "1931:05:06 07:08:09"  # orientation: lies
    source = tmp_path / "old photo.png"
    image.save(
        source, exif=exif, dpi=(300, 240), icc_profile=ImageCms.ImageCmsProfile(SRGB).tobytes()
    )
    data = source.read_bytes()
    monkeypatch.setattr(album, "mark_of", lambda p: mark(p.name, b"", io.BytesIO(p.read_bytes())))
    out = tmp_path / f"out.{form}"
    options = ["--weights", weights, "--size", 64, "--temperature", 0.7, "--strength", 1.3]
    assert called(infer.main, capsys, source, "--out", out, *options)[0] == 0
    chosen = {"size": 64, "temperature": 0.7, "strength": 1.3, "format": form}
    saved = client.get(f"/files/{client.key(data, source.name)}", **chosen)
    assert saved.data == out.read_bytes()
    assert made_of(out).startswith("old photo.png ")
    assert Image.open(out).size == (450, 600)


def test_pictures(client, colorizers, photo):
    """Small ones lose nothing; the grey one has the photo's lightness; bilinear is another one."""
    key, colorizer = client.key(photo), colorizers["small"]
    made = decoded(client.get(f"/pictures/{key}"))
    assert (made == np.asarray(colorizer(photo))).all()
    warm = decoded(client.get(f"/pictures/{key}", temperature=1, strength=2))
    colorizer = Colorizer(colorizer.network, 32, temperature=1, strength=2)
    assert (warm == np.asarray(colorizer(photo))).all()
    bilinear = decoded(client.get(f"/pictures/{key}", enlarge="bilinear", size=64))
    lightness = lightness_of(np.asarray(photo))
    logits, _ = colorizer.predict([lightness], 64)
    ab = upsample(colorizer.colors(logits, 0.38, 1), lightness.shape)[0]
    lab = np.concatenate([lightness[..., None], ab], axis=-1)
    assert (bilinear == to_byte(lab_to_rgb(lab))).all()
    grey = decoded(client.get(f"/pictures/{key}", kind="gray"))
    assert (grey == gray(lightness)).all()
    assert (decoded(client.get(f"/pictures/{key}", kind="photo")) == np.asarray(photo)).all()
    full = decoded(client.get(f"/pictures/{key}", scale="full"))
    assert abs(full.astype(int) - made).max() < 40 and full.shape == made.shape  # a JPEG


@pytest.mark.parametrize("network", [0, 1])
def test_chosen_colours(client, colorizers, photo, network):
    """After strength; in small, full and saved pictures; repeated, they change nothing."""
    key, lightness = client.key(photo), lightness_of(np.asarray(photo))
    colorizer = list(colorizers.values())[network]
    plain = {"weights": network, "strength": 1.3}
    before = decoded(client.get(f"/files/{key}", **plain))
    logits, _ = colorizer.predict([lightness], 32)
    (ab,) = colorizer.colors(logits, 0.38, 1.3)
    hints = [(0.9, 0.2, 60, -30), (0.1, 0.7, -20, 50)]
    ab = follow(ab, hints, lightness, None if network else logits[0])
    given = plain | {"hints": ";".join(",".join(map(str, hint)) for hint in hints)}
    wanted = studio.paint(lightness, ab)
    assert (wanted != before).any()
    assert (decoded(client.get(f"/files/{key}", **given)) == wanted).all()
    assert (decoded(client.get(f"/pictures/{key}", **given)) == wanted).all()
    grey = client.get(f"/pictures/{key}", kind="gray", **given)
    assert (decoded(grey) == gray(lightness)).all()
    for hints in ("", ";"):
        assert (decoded(client.get(f"/files/{key}", **plain, hints=hints)) == before).all()
    most = {"hints": ";".join(["0.5,0.5,110,-110"] * 100)}
    assert client.get(f"/pictures/{key}", **plain, **most).status_code == 200


def test_a_belief_is_the_logits_of_its_place(client, colorizers, photo):
    key = client.key(photo)
    lightness = lightness_of(np.asarray(photo))
    logits, _ = colorizers["small"].predict([lightness], 64)
    answer = client.get(f"/beliefs/{key}", size=64, u=0.99, v=0.3).json
    assert (answer["row"], answer["column"], answer["width"]) == (4, 15, 16)
    assert np.float32(answer["logits"]).tobytes() == logits[0, 4, 15].tobytes()
    assert answer["L"] == pytest.approx(lightness[12, 49])
    answer = client.get(f"/beliefs/{key}", weights=1, u=0, v=0).json
    _, ab = colorizers["ab"].predict([lightness])
    assert answer["ab"] == pytest.approx(ab[0, 0, 0]) and "logits" not in answer


def test_another_temperature_needs_no_network(client, colorizers, photo, monkeypatch):
    key = client.key(photo)
    client.get(f"/pictures/{key}")
    monkeypatch.setattr(Colorizer, "predict", lambda *_: pytest.fail("looked again"))
    for change in ({"temperature": 0}, {"strength": 0.5}, {"enlarge": "bilinear"}):
        assert client.get(f"/pictures/{key}", **change).status_code == 200
    assert client.get(f"/beliefs/{key}", u=0, v=0).status_code == 200


def test_what_is_kept_is_bounded(client, monkeypatch):
    rng = np.random.default_rng(0)
    each = 8 * studio.SMALL**2 + 6000
    monkeypatch.setattr(client.studio.photos, "most", 3 * each)
    client.studio.logits.most = 3 * 8 * 8 * 313 * 4
    files = [encoded(noise(rng, (40, 40))) for _ in range(6)]
    keys = [client.key(data) for data in files]
    for key in keys[3:]:
        assert client.get(f"/pictures/{key}").status_code == 200
    assert len(client.studio.photos.values) == 3 == len(client.studio.logits.values)
    gone = client.get(f"/pictures/{keys[0]}")
    assert gone.status_code == 404 and gone.json["gone"]
    assert client.key(files[0]) == keys[0]  # sent again, it has the same address
    assert client.get(f"/pictures/{keys[0]}").status_code == 200


def test_other_sizes_take_no_more_memory(client, photo):
    key, arena = client.key(photo), memory.empty.__self__
    kept = []
    for size in [512, *range(256, 520, 32), 512]:
        assert client.get(f"/pictures/{key}", size=size).status_code == 200
        client.studio.logits = Kept(0)
        kept.append(sum(buffer.nbytes for buffer in arena.buffers))
    assert max(kept) <= 1.1 * kept[0]


def test_kept():
    kept = Kept(10)
    for key, size in (("a", 4), ("b", 4), ("a", 5), ("c", 3)):
        kept.put(key, key, size)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), kept.nbytes) == ("a", None, "c", 8)
    kept.put("d", "d", 99)  # the newest is kept, however large
    assert list(kept.values) == ["d"] and kept.nbytes == 99


def test_what_nobody_waits_for_is_not_done(client, photo):
    key = client.key(photo)
    answer = client.http.get(
        f"/pictures/{key}",
        headers=client.headers,
        query_string=DEFAULT,
        environ_overrides={"waitress.client_disconnected": lambda: True},
    )
    assert answer.status_code == server.CANCELLED and not client.studio.logits.values


def test_a_full_picture_ends_between_two_strips(client):
    large = Image.new("L", (1500, 1500), 99)
    key, strips = client.key(large), []
    client.get(f"/pictures/{key}")

    def gone():
        strips.append(1)
        return len(strips) > 4

    with pytest.raises(Cancelled):
        chosen = studio.Settings("small", 32, 1.0, 1.0, True)
        client.queue.do(2, lambda: client.studio.picture(key, chosen, "colour", True), gone)
    assert len(strips) == 5


def test_urgent_work_goes_first_and_within_long_work():
    queue, log, started = Queue(), [], threading.Event()

    def long():
        started.set()
        while len(log) < 2:  # until the others have been let pass
            queue.let_pass()
        log.append("long")

    threads = [threading.Thread(target=queue.do, args=(2, long))]
    threads[0].start()
    started.wait()
    for urgency, name in ((3, "last"), (1, "b"), (0, "a")):
        threads.append(
            threading.Thread(target=queue.do, args=(urgency, lambda n=name: log.append(n)))
        )
        threads[-1].start()
    for thread in threads:
        thread.join(10)
    assert sorted(log[:2]) == ["a", "b"] and log[2:] == ["long", "last"]
    with pytest.raises(ZeroDivisionError):
        queue.do(0, lambda: 1 / 0)
    assert queue.do(0, lambda: 7) == 7


def test_too_much_work(client, photo):
    """It is refused, and what nobody waits for makes way."""
    key, held, hold = client.key(photo), threading.Event(), threading.Event()
    jobs = [(0, lambda: (held.set(), hold.wait()))]
    jobs += [(3, lambda: 0)] * (MOST - 1) + [(3, lambda: 0, lambda: left.is_set())]
    left = threading.Event()

    def do(*job):
        with suppress(Cancelled):
            client.queue.do(*job)

    threads = [threading.Thread(target=do, args=job) for job in jobs]
    for thread in threads:
        thread.start()
        held.wait()
    while len(client.queue._jobs) < MOST:
        time.sleep(0.01)
    answer = client.get(f"/pictures/{key}")
    assert answer.status_code == 503 and "try again" in answer.json["error"]
    left.set()
    threads.append(threading.Thread(target=client.get, args=(f"/pictures/{key}",)))
    threads[-1].start()
    threads[-2].join(10)
    assert not threads[-2].is_alive()
    hold.set()
    for thread in threads:
        thread.join(10)


@pytest.fixture
def running(started, weights):
    """running(*options) -> the process, its address and its token."""

    def start(*options):
        given = ["-m", "mini_colorize.page", "--no-browser", "--port", 0, "--weights", weights]
        process = started(*given, *options, stdout=-1, cwd=ROOT)
        line = process.stdout.readline()
        url = re.search(r"http://\S+", line)[0]
        with urllib.request.urlopen(url) as page:
            return process, url, re.search(r'"token": ?"([^"]+)"', page.read().decode())[1]

    return start


def test_ctrl_c_ends_it(running):
    process, url, _ = running()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stderr.read() == "page: the page is closed\n"


def test_served_without_a_file(colorizers, monkeypatch):
    """Photos and answers of megabytes stay in memory; a browser that leaves is noticed."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_: pytest.fail("a file"))
    queue = Queue()
    app = create_app(Studio(colorizers, queue.let_pass), queue, "127.0.0.1")
    served = program.new_server(app, "127.0.0.1", 0)
    app.config["PORT"] = port = int(served.effective_port)
    threading.Thread(target=served.run, daemon=True).start()
    headers = {"X-Token": app.config["TOKEN"]}

    def ask(path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
        return urllib.request.urlopen(request, timeout=30).read()

    data = encoded(noise(np.random.default_rng(0), (1200, 900)))
    key = re.search(r'"key":"(\w+)"', ask("/photos?name=a.png", data).decode())[1]
    chosen = "&".join(f"{name}={value}" for name, value in DEFAULT.items())
    assert len(ask(f"/files/{key}?{chosen}")) > 2**20 < len(data)

    stranger = urllib.request.Request(f"http://127.0.0.1:{port}/photos", bytes(2**25))
    tracemalloc.start()
    with pytest.raises(urllib.error.HTTPError, match="403"):  # read, and not kept
        urllib.request.urlopen(stranger, timeout=30)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()

    half = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for connection in half:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    assert ask("/page.js")
    for connection in half:
        connection.close()

    held, hold = threading.Event(), threading.Event()
    waiting = threading.Thread(target=queue.do, args=(0, lambda: (held.set(), hold.wait())))
    waiting.start()
    held.wait()  # else it would itself be what is in the queue
    with socket.create_connection(("127.0.0.1", port)) as leaver:
        head = f"GET /files/{key}?{chosen} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        leaver.sendall(f"{head}X-Token: {headers['X-Token']}\r\n\r\n".encode())
        while not queue._jobs:
            time.sleep(0.01)
    time.sleep(0.5)
    gone = queue._jobs[0][3]
    assert gone()
    hold.set()
    waiting.join(10)


def test_starting(capsys, monkeypatch, tmp_path, weights):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = ["--no-browser", "--device", "cpu", "--weights", weights]
        code, _, err = called(program.main, capsys, *run, "--port", port)
        assert code == 2 and "--port chooses another" in err and err.count("\n") == 1
    wrong = called(program.main, capsys, *run, "--host", "192.0.2.1")
    assert wrong[0] == 2 and "--port" not in wrong[2]
    for options, word in (
        (["--weights", tmp_path / "no.npz"], "no such file"),
        (["--host", "no.such.host.invalid", "--weights", weights], "no such address"),
        (["--port", "70000"], "--port"),
    ):
        code, _, err = called(program.main, capsys, "--no-browser", "--device", "cpu", *options)
        assert code == 2 and word in err
    assert "Ctrl-C" in called(program.main, capsys, "--help")[1]
    monkeypatch.setitem(sys.modules, "flask", None)
    monkeypatch.delitem(sys.modules, "mini_colorize.page.server")
    code, _, err = called(program.main, capsys, *run)
    assert code == 2 and "pip install 'mini_colorize[page]'" in err
