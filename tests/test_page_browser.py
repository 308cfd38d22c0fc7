"""The page in a real Chromium: drop, slide, click, save, and what strangers try."""

import base64
import contextlib
import functools
import http.server
import io
import json
import threading
import time
import zipfile

import browser
import numpy as np
import pytest
from browser import CONTRAST, CUT_OFF, Colorist, chromium, requests
from photographs import smooth
from PIL import Image
from programs import called

import infer
from mini_colorize.color import lab_to_rgb, rgb_to_lab, to_byte
from mini_colorize.colorizer import Colorizer, lightness_of, paint
from mini_colorize.hints import follow

flask = pytest.importorskip("flask", reason="pip install -e '.[browser]'")

from mini_colorize.bins import BINS, annealed_mean  # noqa: E402
from mini_colorize.page.__main__ import new_server  # noqa: E402
from mini_colorize.page.queue import Queue  # noqa: E402
from mini_colorize.page.server import create_app  # noqa: E402
from mini_colorize.page.studio import Studio  # noqa: E402

pytestmark = pytest.mark.skipif(
    bool(browser.why_unavailable()), reason=str(browser.why_unavailable())
)

FIRST = "document.querySelector('#first img')"


def photo(seed, size=(640, 480), **options):
    """A PNG or JPEG, bytes."""
    file = io.BytesIO()
    smooth(np.random.default_rng(seed), size).save(file, options.pop("form", "PNG"), **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def page(weights, regression):
    """The page, served: its address, and what is behind it."""

    class Page:
        queue, answers = Queue(), set()  # answers: (address, status)
        colorizers = {
            "small": Colorizer.load(weights),
            "tiny": Colorizer.load("tiny", temperature=0.385),
            "ab": Colorizer.load(regression),
        }
        studio = Studio(colorizers, queue.let_pass)

    app = create_app(Page.studio, Page.queue, "127.0.0.1")

    @app.after_request
    def note(answer):
        Page.answers.add((flask.request.full_path, answer.status_code))
        return answer

    served = new_server(app, "127.0.0.1", 0)
    app.config["PORT"] = Page.port = int(served.effective_port)
    threading.Thread(target=served.run, daemon=True).start()
    Page.url = f"http://127.0.0.1:{Page.port}/"
    return Page


@pytest.fixture(scope="module")
def desk(page, tmp_path_factory):
    """A browser; downloads go into its folder."""
    folder = tmp_path_factory.mktemp("downloads")
    with chromium(downloads=folder) as driver:
        driver.folder = folder
        yield driver


@pytest.fixture
def person(desk, page):
    """Someone before the page, loaded anew; at the end nothing was complained of."""
    yield Colorist(desk, page.url)
    assert desk.get_log("browser") == []


def saved(person, name):
    path, end = person.driver.folder / name, time.monotonic() + 20
    while not path.exists() or list(person.driver.folder.glob("*.crdownload")):
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.02)
    return path


def module(person, name, script):
    """What a script makes of a module of the page, `m`."""
    return person.driver.execute_async_script(
        f"const done = arguments[0]; import('/{name}').then((m) => done({script}))"
    )


def test_drop_slide_and_save(person, page, weights, tmp_path, capsys):
    """What is saved is what infer.py writes with the same settings."""
    data = photo(1)
    person.give(("portrait.png", data))
    person.settle()
    before = person.run(f"{FIRST}.src")
    person.slide(temperature=0.9, strength=1.4)
    person.wait(f"{FIRST}.src !== '{before}'")
    person.slide(size=64)
    assert person.run("[...document.querySelectorAll('output')].map((o) => o.value)") == [
        "0.90",
        "1.40",
        "64",
    ]
    person.settle()
    source = tmp_path / "portrait.png"
    source.write_bytes(data)
    options = ["--weights", weights, "--temperature", 0.9, "--strength", 1.4, "--size", 64]
    for form in ("png", "jpg", "tiff"):
        person.slide(format=form)
        person.click("save")
        out = tmp_path / f"out.{form}"
        assert called(infer.main, capsys, source, "--out", out, *options)[0] == 0
        ours, theirs = Image.open(saved(person, f"portrait.color.{form}")), Image.open(out)
        assert ours.format == theirs.format and ours.size == (640, 480)
        assert ours.tobytes() == theirs.tobytes()
        person.wait("!document.getElementById('save').disabled")
    asked = {url for url in requests(person.driver) if not url.startswith(page.url)}
    assert not asked  # nothing leaves the machine


def test_several_and_all_as_a_zip(person, page):
    """The server may have lost them: they are sent again."""
    person.give(("a.png", photo(2)), ("b.jpg", photo(3, form="JPEG")), ("A.png", photo(4)))
    person.wait("document.querySelectorAll('#strip button').length === 3")
    person.settle()
    assert person.run("document.querySelectorAll('#strip [aria-current]').length") == 1
    assert person.run("[...document.querySelectorAll('#strip canvas')].every((c) => c.width > 1)")
    assert person.text("say") == "a.png is coloured. "
    person.give(("b.jpg", photo(3, form="JPEG")))  # it is there
    person.wait("document.querySelectorAll('#strip button')[1].ariaCurrent")
    person.give(("c.png", photo(24)))
    person.wait("document.querySelectorAll('#strip button')[3]?.ariaCurrent")
    person.settle()
    person.click("remove")
    person.settle()
    assert person.text("about").startswith("A.png")
    assert person.run("document.querySelectorAll('#strip button').length") == 3
    page.studio.photos.values.clear()
    page.studio.photos.nbytes = 0
    person.click("all")
    with zipfile.ZipFile(saved(person, "coloured.zip")) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.color.png", "b.color.png", "A-2.color.png"]
        for name, seed in (("a.color.png", 2), ("A-2.color.png", 4)):
            made = np.asarray(Image.open(archive.open(name)))
            colored = page.studio.colorizers["small"](Image.open(io.BytesIO(photo(seed))))
            assert (made == np.asarray(colored)).all()
    log = person.driver.get_log("browser")  # the browser's own lines about what was not there
    assert len(log) == 3 and all("404 (NOT FOUND)" in entry["message"] for entry in log)


def test_names_of_files(person):
    names = ["cat.jpg", "..\\..\\evil.jpg", "/x/y.z.png", "a\r\nb:c?.png", "Con.png", "\u202egnp.a"]
    plain = ["cat", "evil", "y.z", "a__b_c_", "_Con", "_gnp"]
    assert module(person, "save.js", f"{json.dumps(names)}.map(m.stem)") == plain


def test_a_pixel(person, page):
    data = photo(5, (320, 320))
    person.give(("x.png", data), how="paste")
    person.settle()
    person.slide(**{"with": "nothing"})
    person.point(0.3, 0.6)
    person.wait("!document.getElementById('beliefs').hidden && say.textContent")
    image = Image.open(io.BytesIO(data))
    colorizer = page.studio.colorizers["small"]
    logits, _ = colorizer.predict([lightness_of(np.asarray(image))])
    z = logits[0, int(0.6 * 8), int(0.3 * 8)].astype(np.float64)
    assert "place 3, 5 of 8 × 8" in person.run("document.querySelector('.place').textContent")

    def likely():
        return person.run(
            "[...document.querySelectorAll('.likely li')].map((li) => li.textContent)"
        )

    for temperature in (0.38, 1.2, 0):
        person.slide(temperature=temperature)
        person.settle()
        time.sleep(0.1)
        e = np.exp((z - z.max()) / temperature) if temperature else (z == z.max()).astype(float)
        best = z.argmax()
        a, b = (f"{n:.0f}".replace("-", "−") for n in BINS[best])
        assert likely()[0] == f"{100 * e[best] / e.sum():.1f} %a {a}, b {b}"
        a, b = annealed_mean(z, temperature)
        told = person.run("document.querySelectorAll('.means li')[1].textContent")
        numbers = [int(n.strip(",").replace("−", "-")) for n in told.split()[-3::2]]
        assert numbers == pytest.approx([a, b], abs=0.51)
    before = likely()
    person.run("stage.focus()")
    person.press("ARROW_RIGHT", "ARROW_DOWN", "ARROW_DOWN")
    person.wait("document.querySelector('.place').textContent.includes('place 4, 7')")
    assert likely() != before
    person.press("ARROW_DOWN", "ARROW_DOWN", "ARROW_DOWN")  # no farther than the edge
    person.wait("document.querySelector('.place').textContent.includes('place 4, 8')")


UNDO = "document.getElementById('undo')"


def seen(person):
    """The coloured picture on show, (H, W, 4)."""
    person.settle()
    url = person.run(
        f"(() => {{ const i = {FIRST}, c = document.createElement('canvas'); c.width = 320;"
        "c.height = 240; c.getContext('2d').drawImage(i, 0, 0, 320, 240); return c.toDataURL(); })()"
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_a_colour_is_chosen_undone_and_saved(person, page):
    data = photo(20, (320, 320))
    person.give(("x.png", data), ("y.png", photo(21)))
    person.wait("document.querySelectorAll('#strip button').length === 2")
    person.settle()
    person.slide(**{"with": 1, "how": "beside"})
    before = seen(person)
    person.point(0.7, 0.3)
    person.wait("document.querySelectorAll('.belief .likely button').length === 10")
    assert person.run(f"!{UNDO}.getClientRects().length")
    person.settle()
    button = person.driver.find_elements("css selector", ".likely button")[4]
    told = button.text.replace("−", "-").split()
    color = float(told[-3].strip(",")), float(told[-1])
    button.click()
    person.wait("document.querySelectorAll('.dot').length === 2")  # in the pictures of both
    assert person.run("document.activeElement.title") == "Use this colour here"
    assert person.text("say").endswith(f"You chose a {told[-3]} b {told[-1]}.".replace("-", "−"))
    chosen = seen(person)
    assert (chosen != before).any()

    image = Image.open(io.BytesIO(data))
    colorizer, lightness = page.studio.colorizers["small"], lightness_of(np.asarray(image))
    u, v = (float(x) / 100 for x in person.run(DOT))
    assert (u, v) == pytest.approx((0.7, 0.3), abs=0.005)
    (logits,), (ab,) = colorizer.predict([lightness])
    ab = follow(ab, [(round(u, 4), round(v, 4), *color)], lightness, logits)
    person.click("save")
    saved_file = Image.open(saved(person, "x.color.png"))
    assert (np.asarray(saved_file) == paint(lightness, ab)).all()

    assert person.text("say") == "x.color.png is saved."

    person.driver.execute_script(  # it is the first's alone, and so are its beliefs
        "document.querySelectorAll('#strip button')[1].click();"
        "document.querySelector('.likely button').click()"
    )
    person.wait("!document.querySelector('.dot')")
    person.settle()
    person.run("document.querySelectorAll('#strip button')[0].click()")
    person.wait("document.querySelectorAll('.dot').length === 2")
    assert (seen(person) == chosen).all()
    person.run(f"{UNDO}.focus()")
    person.press("ENTER")
    person.wait("!document.querySelector('.dot')")
    assert (seen(person) == before).all()
    assert person.run("document.activeElement.id") == "stage"  # the button is not there any more


DOT = "((s) => [s.left, s.top].map(parseFloat))(document.querySelector('.dot').style)"


def test_any_colour_by_the_plane_and_by_the_keyboard(person):
    from selenium.webdriver import ActionChains, Keys

    person.give(("x.png", photo(22)))
    person.settle()
    before = seen(person)
    person.run("stage.focus()")
    person.press("ARROW_RIGHT")
    person.wait("document.querySelector('.own [name=a]')?.value")
    person.settle()
    plane = person.driver.find_element("css selector", ".plane canvas")
    person.run("arguments[0].scrollIntoView({ block: 'center' })", plane)
    x = (50 + 100) / 210 - 0.5, (110 - 60) / 230 - 0.5
    offset = [round(t * plane.size[side]) for t, side in zip(x, ("width", "height"), strict=True)]
    ActionChains(person.driver).move_to_element_with_offset(plane, *offset).click().perform()
    person.wait("document.querySelector('.dot')")
    told = person.run("document.querySelector('.place').textContent").replace("−", "-")
    a, b = (float(n.strip(",.")) for n in told.partition("You chose a ")[2].split(" b "))
    assert (a, b) == pytest.approx((50, 60), abs=1.5)
    by_plane = seen(person)
    person.run("document.querySelector('.own [name=a]').focus()")
    person.run("document.activeElement.select()")
    ActionChains(person.driver).send_keys("-30").send_keys(Keys.TAB).perform()
    person.run("document.activeElement.select()")
    ActionChains(person.driver).send_keys("-40").send_keys(Keys.ENTER).perform()
    person.wait("document.querySelector('.place').textContent.includes('You chose a −30, b −40')")
    assert person.run("document.querySelectorAll('.dot').length") == 1  # one place has one colour
    assert (seen(person) != by_plane).any()

    def undo(target):
        person.run(f"{target}.focus()")
        chain = ActionChains(person.driver).key_down(Keys.CONTROL)
        chain.send_keys("z").key_up(Keys.CONTROL).perform()

    undo("stage")
    person.wait("!document.querySelector('.place').textContent.includes('b −40')")
    assert (seen(person) == by_plane).all()
    person.click("clear")
    person.wait("!document.querySelector('.dot')")
    assert (seen(person) == before).all()
    assert person.run("document.activeElement.id") == "undo"  # the other button is disabled
    undo("stage")  # what was removed
    person.wait("document.querySelector('.dot')")
    undo("stage")
    person.wait("!document.querySelector('.dot')")
    assert (seen(person) == before).all()


def test_hovering_says_lab(person, page):
    data = photo(6, (320, 320))
    person.give(("x.png", data))
    person.settle()
    person.slide(**{"with": "nothing"})
    person.settle()
    person.point(0.25, 0.75, click=False)
    person.wait("document.getElementById('hover').textContent")
    colored = page.studio.colorizers["small"](Image.open(io.BytesIO(data)))
    lab = rgb_to_lab(np.asarray(colored)[238:243, 78:83]).reshape(-1, 3)
    told = person.text("hover").replace("−", "-").split()[1::2]
    assert (abs(lab - np.float32(told)).max(axis=1) < 0.6).any()


def test_the_colours_of_the_page_are_those_of_chapter_1(person):
    rgb = np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    lab = module(person, "color.js", f"{rgb.tolist()}.map(m.rgbToLab)")
    assert np.abs(lab - rgb_to_lab(rgb)).max() < 1e-3
    wide = np.random.default_rng(1).uniform((0, -90, -110), (100, 100, 100), (50, 3))
    made = module(person, "color.js", f"{wide.tolist()}.map(m.labToRgb)")
    assert np.abs(made - to_byte(lab_to_rgb(wide)).astype(int)).max() <= 1


def drag(person, start, end):
    """Press on the photo at u = start and let go at u = end."""
    from selenium.webdriver import ActionChains

    image = person.driver.find_element("css selector", "#second img")
    width = image.size["width"]
    chain = ActionChains(person.driver)
    chain.move_to_element_with_offset(image, round((start - 0.5) * width), 0).click_and_hold()
    chain.move_by_offset(round((end - start) * width / 2), 5)
    chain.move_by_offset(round((end - start) * width / 2), -5).release().perform()


def test_two_networks(person):
    person.give(("x.png", photo(7)))
    person.settle()
    person.slide(**{"with": 1, "how": "beside"})
    person.settle()
    person.wait(
        "document.querySelector('#second figcaption').textContent === 'tiny, same settings'"
    )
    boxes = person.run(
        "['first', 'second'].map((id) => document.querySelector(`#${id} img`)"
        ".getBoundingClientRect().toJSON())"
    )
    assert boxes[0]["right"] <= boxes[1]["left"] and boxes[0]["top"] == boxes[1]["top"]
    person.point(0.5, 0.5, "second")
    person.wait("document.querySelectorAll('.belief .likely li').length === 10")
    names = person.run("[...document.querySelectorAll('.belief h2')].map((h) => h.textContent)")
    assert names == ["What “small” believed here", "What “tiny” believed here"]
    person.slide(how="wipe")
    person.run("document.getElementById('wipe').focus()")
    person.press("HOME")
    assert person.run("getComputedStyle(document.querySelector('#first img')).clipPath") in (
        "inset(0px 0px 0px 0%)",
        "inset(0px)",
    )
    drag(person, 0.8, 0.3)
    assert float(person.run("document.getElementById('wipe').value")) == pytest.approx(30, abs=1)
    assert person.run("document.querySelectorAll('#strip button').length") == 1  # nothing dropped
    assert "place 4, 4" in person.run("document.querySelector('.place').textContent")
    person.slide(weights=1)  # then it is compared with something else
    assert person.run("document.getElementById('with').value") != "1"
    told = "document.querySelector('output[for=temperature]').value"
    assert person.run(f"[{told}, temperature.value]") == ["0.385", "0.385"]  # the file's own
    person.slide(weights=2)
    assert person.run("temperature.disabled")
    person.slide(**{"with": 0})
    assert person.run("!temperature.disabled")  # the other one's
    person.settle()
    buttons = "[...document.querySelectorAll('.belief')].map((e) => [...e.querySelectorAll('li')]"
    counts = buttons + ".filter((li) => li.getClientRects().length).length)"
    assert person.run(counts) == [1, 8]
    person.settle()


def test_three_broken_files(person):
    """Each is told in a sentence, and the others go on."""
    whole = photo(8)
    broken = [("text.png", b"no picture"), ("empty.jpg", b""), ("cut.png", whole[:60])]
    person.give(*broken[:2], ("good.png", whole), broken[2])
    person.wait("document.querySelectorAll('#problems li').length === 3")
    person.settle()
    told = person.run("[...document.querySelectorAll('#problems li')].map((li) => li.textContent)")
    assert [line.partition(":")[0] for line in told] == ["text.png", "empty.jpg", "cut.png"]
    assert not any("/" in line for line in told)
    assert person.run("document.querySelectorAll('#strip button').length") == 1
    log = person.driver.get_log("browser")  # the browser's own lines about the answers
    assert len(log) == 3 and all("400 (BAD REQUEST)" in entry["message"] for entry in log)


def test_no_answer(person):
    """It is told once, until there are answers again."""
    person.give(("x.png", photo(23)), ("y.png", b""))
    person.settle()
    person.driver.execute_script("window.real = fetch; window.fetch = async () => { throw 1; };")
    for strength in (0.4, 0.6, 0.8):
        person.slide(strength=strength)
        person.wait("stage.getAttribute('aria-busy') !== 'true'")
    lines = "[...document.querySelectorAll('#problems li')].map((li) => li.textContent)"
    told = person.run(lines)
    assert len(told) == 2 and told[1].startswith("x.png: no answer")
    person.driver.execute_script("window.fetch = window.real;")
    person.slide(strength=1.2)
    person.settle()
    assert person.run(lines) == told[:1]  # the other file is still missing
    assert "400 (BAD REQUEST)" in person.driver.get_log("browser")[0]["message"]


def test_24_megapixels(person):
    person.give(("large.jpg", photo(9, (6000, 4000), form="JPEG", quality=80)))
    person.wait("document.getElementById('first').dataset.scale", 30)
    time.sleep(0.6)  # the full picture is under way; a slider need not wait for it
    before, start = person.run(f"{FIRST}.src"), time.monotonic()
    person.slide(temperature=0.1)
    person.wait(f"{FIRST}.src !== '{before}'")
    assert time.monotonic() - start < 2
    person.wait("document.getElementById('first').dataset.scale === 'small'")
    time.sleep(0.6)  # under way again; a broken file does not end it
    person.give(("broken.png", b""))
    person.settle(60)
    assert "400 (BAD REQUEST)" in person.driver.get_log("browser")[0]["message"]
    assert person.run(f"[{FIRST}.naturalWidth, {FIRST}.naturalHeight]") == [6000, 4000]


def test_two_tabs_at_once(person, page):
    here = person.driver.current_window_handle
    person.driver.switch_to.new_window("tab")
    other = Colorist(person.driver, page.url)
    there = person.driver.current_window_handle
    other.give(("b.png", photo(11)), ("c.png", photo(12)))
    person.driver.switch_to.window(here)
    person.give(("a.png", photo(10)), ("d.png", photo(13)))
    for handle, name in ((here, "a"), (there, "b")):
        person.driver.switch_to.window(handle)
        person.settle()
        assert person.text("about").startswith(f"{name}.png")
        assert person.run("document.querySelectorAll('#strip button').length") == 2
        assert person.run("document.getElementById('problems').hidden")
    person.driver.close()  # which ends nothing
    person.driver.switch_to.window(here)
    person.slide(strength=0.5)
    person.settle()


def test_strangers(page, tmp_path):
    """A name that leads here, another site's form and script, and a frame."""
    (tmp_path / "evil.html").write_text(
        f"""<iframe src="{page.url}"></iframe><form method=post target=other
        action="{page.url}photos?name=x.png" enctype="text/plain"></form><iframe name=other></iframe>
        <script>document.forms[0].submit();
        fetch("{page.url}photos?name=y.png", {{ method: "POST", body: "x", mode: "no-cors" }});
        fetch("{page.url}").then((r) => r.text()).then((t) => window.stolen = t);</script>"""
    )
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    serve.log_message = None
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve))
        threading.Thread(target=site.serve_forever, daemon=True).start()
        stack.callback(site.shutdown)
        rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        driver = stack.enter_context(chromium(flags=[rules]))
        driver.get(f"http://evil.example:{page.port}/")
        assert "not the address of the page" in driver.page_source
        assert "token" not in driver.page_source
        driver.get(f"http://evil.example:{site.server_port}/evil.html")
        time.sleep(1)
        assert {("/photos?name=x.png", 403), ("/photos?name=y.png", 403)} <= page.answers
        assert driver.execute_script("return window.stolen") is None
        driver.switch_to.frame(0)
        assert "See it think" not in driver.page_source


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_contrast_and_width(page, width, scheme):
    with chromium(width, 800, media=[("prefers-color-scheme", scheme)]) as driver:
        person = Colorist(driver, page.url)
        checks = [lambda: person.run(CONTRAST), lambda: person.run(CUT_OFF)]
        assert [check() for check in checks] == [[], []]
        person.give(
            ("a photo with a long name of one word_" + 60 * "x" + ".png", photo(14)), ("n", b"")
        )
        person.settle()
        person.point(0.6, 0.5)
        person.wait("!document.getElementById('beliefs').hidden")
        sight = person.run(f"{FIRST}.getBoundingClientRect().toJSON()")
        assert sight["bottom"] > 150 and (width > 600 or sight["top"] >= 0)
        assert [check() for check in checks] == [[], []]
        person.run("document.querySelector('.likely button').click()")
        person.wait("document.querySelector('.dot')")
        assert [check() for check in checks] == [[], []]
        box = person.run(
            "(temperature.scrollIntoView({ block: 'nearest' }),"
            "document.querySelector('#second img').getBoundingClientRect().toJSON())"
        )
        assert width > 600 or 0 <= box["top"] < box["bottom"] < 400  # the photo stays in sight
        person.give(("narrow.png", photo(25, (30, 2000))))
        person.settle()
        assert person.run("document.querySelector('figcaption').clientHeight") < 30
        assert person.run("document.documentElement.scrollWidth") <= width


def test_keyboard_alone(person):
    """Every control is reached by Tab, has a name, and shows that it has the focus."""
    person.give(("x.png", photo(15)))
    person.settle()
    person.run("document.activeElement.blur()")
    reached = []
    for _ in range(25):
        person.press("TAB")
        name = person.run("document.activeElement.id || document.activeElement.title")
        if name in reached or not name:
            break
        reached.append(name)
        ring = "document.activeElement.matches('.unseen') ? 'solid' : getComputedStyle"
        assert person.run(f"{ring}(document.activeElement).outlineStyle") != "none"
    assert (
        reached
        == (
            "choose stage wipe remove x.png weights temperature strength size enlarge reset with how format "
            "save all"
        ).split()
    )
    unnamed = "[...document.querySelectorAll('input, select, button')].filter((e) => "
    assert person.run(unnamed + "!e.labels?.length && !e.ariaLabel && !e.textContent).length") == 0
    person.run("document.getElementById('temperature').focus()")
    before = person.run(f"{FIRST}.src")
    person.press("ARROW_RIGHT")
    person.wait(f"{FIRST}.src !== '{before}'")
    person.run("document.getElementById('remove').focus()")
    person.press("ENTER")
    assert person.run("document.activeElement.id") == "choose"
    assert person.run("desk.hidden && !empty.hidden")
