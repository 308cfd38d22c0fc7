"""A real Chromium without a window, a participant of the Turing test who sits before it, and
someone who has photos coloured.

Needs selenium (the extra `browser`), chromium and chromedriver (Debian: chromium-driver).
"""

import base64
import contextlib
import io
import json
import shutil
import tempfile
import time

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = """--headless=new --no-sandbox --disable-gpu --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-dev-shm-usage""".split()
EYE = 16  # the participant sees a picture as so many points a side

# Notes what both canvases hold whenever the pair appears, and when it appears and goes.
EYES = """
window.eyes = [];
document.addEventListener("DOMContentLoaded", () => {
  const pair = document.querySelector("#pair");
  if (!pair) return;  // another page
  const look = () => {
    const open = pair.classList.contains("shown");
    const last = eyes[eyes.length - 1];
    if (!open) { if (last && !last.gone) last.gone = performance.now(); return; }
    eyes.push({ at: performance.now(), html: document.documentElement.outerHTML,
      stored: (() => { try { return JSON.stringify(localStorage); } catch { return null; } })(),
      urls: [...document.querySelectorAll("#pair canvas")].map((c) => {
        const small = document.createElement("canvas");
        small.width = c.width; small.height = c.height;
        small.getContext("2d").drawImage(c, 0, 0);
        return small.toDataURL("image/png"); }) });
  };
  new MutationObserver(look).observe(pair, { attributes: true });
});
"""
HURRY = "{ const real = setTimeout; window.setTimeout = (f, ms) => real(f, ms / 20); }"
NO_STORAGE = """Object.defineProperty(window, "localStorage",
  { get() { throw new DOMException("refused", "SecurityError"); } });"""


# Elements that stick out of the window's width, or whose own text does not fit into them.
CUT_OFF = """[...document.querySelectorAll("main *")].filter((e) => {
  if (e.closest(".unseen") || !e.getClientRects().length) return false;
  const box = e.getBoundingClientRect();
  return box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5 ||
    (!e.matches("textarea, canvas, progress") && e.clientWidth &&
      e.scrollWidth > e.clientWidth + 1);
}).map((e) => e.outerHTML.slice(0, 100))"""

# Elements whose text, or whose edge if they can be pressed, has too little contrast (WCAG AA).
CONTRAST = """(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05); };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (parts(color)[3] !== 0) return color; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("main *")].filter((e) => {
    if (!e.getClientRects().length || e.closest(".unseen")) return false;
    const style = getComputedStyle(e);
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (text && ratio(style.color, behind(e)) < 4.5) return true;
    return e.matches("button:enabled, textarea") &&
      ratio(style.borderColor, behind(e.parentElement)) < 3;
  }).map((e) => e.outerHTML.slice(0, 100));
})()"""


def why_unavailable():
    """A line that says what is missing, or None."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed (pip install -e '.[browser]')"
    if not any(map(shutil.which, NAMES)):
        return "Chromium is not installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


def seeded(seed):
    """A script that makes the page draw this seed."""
    return f"crypto.getRandomValues = (a) => a.fill({seed});"


@contextlib.contextmanager
def chromium(width=1280, height=800, scripts=(), downloads=None, media=(), flags=()):
    """Yields a selenium driver with a profile of its own.

    scripts: run before those of any page. media: (feature, value) as in CSS media queries. flags:
    of Chromium, more than always.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, NAMES)))
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in [*FLAGS, *flags, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            cdp = driver.execute_cdp_cmd
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            cdp("Emulation.setDeviceMetricsOverride", size)
            features = [{"name": name, "value": value} for name, value in media]
            cdp("Emulation.setEmulatedMedia", {"features": features})
            for script in [EYES, *scripts]:
                cdp("Page.addScriptToEvaluateOnNewDocument", {"source": script})
            if downloads is not None:
                where = {"behavior": "allow", "downloadPath": str(downloads)}
                cdp("Browser.setDownloadBehavior", where)
            yield driver
        finally:
            driver.quit()


def requests(driver):
    """The addresses of all requests since the last call, but for those that stay in the browser."""
    messages = [json.loads(e["message"])["message"] for e in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [parameters["request"]["url"] for parameters in sent]
    return [url for url in urls if not url.startswith(("data:", "blob:", "chrome:"))]


class Person:
    """Sits before a page."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)

    def run(self, script, *args):
        return self.driver.execute_script(f"return {script}", *args)

    def text(self, name):
        return self.run(f"document.getElementById('{name}').textContent")

    def wait(self, script, seconds=10):
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"waited for {script}"
            time.sleep(0.005)

    def click(self, name):
        self.driver.find_element("id", name).click()

    def press(self, *keys):
        """Keys by the names of selenium.webdriver.Keys, to whatever has the focus."""
        from selenium.webdriver import ActionChains, Keys

        ActionChains(self.driver).send_keys(*(getattr(Keys, key) for key in keys)).perform()


class Participant(Person):
    """Sits before one page of the Turing test. page: from read_page, which stands in for knowing what is real."""

    def __init__(self, driver, path, page):
        self.page = page
        pairs = map(page.pair, range(len(page.jpegs)))
        self.known = np.stack([_small(image) for pair in pairs for image in pair])
        super().__init__(driver, path.resolve().as_uri())

    def stored(self):
        """What the page keeps of this participant."""
        return json.loads(self.run("Object.values(localStorage)[0]"))

    def come_back(self, text):
        """Reload the page with this text in the place of what it keeps."""
        self.run("localStorage.setItem(Object.keys(localStorage)[0], arguments[0])", text)
        self.driver.refresh()

    def screen(self):
        """The id of the section on show."""
        return self.run("[...document.querySelectorAll('section')].find((s) => !s.hidden).id")

    def begin(self):
        self.click("begin")
        self.wait("!document.getElementById('trial').hidden")

    def see(self):
        """Have the next pair shown. Returns (picture, side of the fake): 0 left, 1 right."""
        before = self.run("eyes.length")
        self.click("next")
        self.wait_for_question()
        assert self.run("eyes.length") == before + 1
        return self.judge()

    def wait_for_question(self):
        self.wait("document.getElementById('task').textContent.startsWith('Which')")

    def judge(self):
        """What was seen last, compared with the page's pairs."""
        seen = [_small(Image.open(io.BytesIO(_bytes(url)))) for url in self.run("eyes.at(-1).urls")]
        nearest = [int(((self.known - picture) ** 2).mean((1, 2, 3)).argmin()) for picture in seen]
        assert nearest[0] // 2 == nearest[1] // 2 and nearest[0] != nearest[1]
        return nearest[0] // 2, int(nearest[1] % 2)

    def answer(self, side):
        self.press(("ARROW_LEFT", "ARROW_RIGHT")[side])

    def take(self, choose, stop=None):
        """Go on to the end, or until `stop` pairs are answered. choose(fake) -> side.

        Returns [(picture, fake, chosen)].
        """
        log = []
        while (screen := self.screen()) != "done" and len(log) != stop:
            if screen == "welcome":
                self.begin()
            elif screen == "break":
                self.click("start")
            elif self.text("next") == "Next" and not self.run("document.all.next.hidden"):
                self.click("next")
            else:
                picture, fake = self.see()
                log.append((picture, fake, choose(fake)))
                self.answer(log[-1][2])
        return log

    def report(self):
        """The answers as the page would save them."""
        return json.loads(self.run("document.getElementById('text').value"))


class Colorist(Person):
    """Has photos coloured by the page of mini_colorize.page."""

    SHOWN = "document.getElementById('first').dataset.scale === 'full'"
    IDLE = (
        "document.getElementById('progress').hidden && stage.getAttribute('aria-busy') !== 'true'"
    )
    DROP = """window.dropped = (files, kind) => { const data = new DataTransfer();
      for (const [name, text] of files) data.items.add(new File(
        [Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true })); }"""

    def give(self, *photos, how="drop"):
        """Drop or paste files: (name, bytes). Returns at once."""
        self.run(self.DROP)
        files = [(name, base64.b64encode(data).decode()) for name, data in photos]
        self.run("dropped(...arguments)", files, how)

    def settle(self, seconds=20):
        """Until the full picture is there and nothing is under way."""
        time.sleep(0.05)
        self.wait(f"{self.IDLE} && {self.SHOWN}", seconds)

    def slide(self, **values):
        """Set controls by their ids, as a hand would."""
        for name, value in values.items():
            self.run(
                "(() => { const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                "e.dispatchEvent(new Event('input', { bubbles: true })); })()",
                name,
                str(value),
            )

    def point(self, u, v, pane="first", click=True):
        """Move to a place of the picture, 0..1, and click."""
        from selenium.webdriver import ActionChains

        image = self.driver.find_element("css selector", f"#{pane} img")
        self.run("arguments[0].scrollIntoView({ block: 'center' })", image)
        width, height = image.size["width"], image.size["height"]
        move = ActionChains(self.driver).move_to_element_with_offset(
            image, round((u - 0.5) * width), round((v - 0.5) * height)
        )
        (move.click() if click else move).perform()


def _small(image):
    small = image.convert("RGB").resize((EYE, EYE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _bytes(url):
    return base64.b64decode(url.partition(",")[2])
