"""Take the README's pictures of the page. Needs what `make test-browser` needs.

    python tools/page_pictures.py

docs/page.jpg, wide; docs/page-narrow.jpg, as on a phone, with a chosen colour; docs/page-pixel.jpg,
what the network believed of one place. The photos are those of examples/, the browser is Chromium.
"""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

from browser import Colorist, chromium, why_unavailable  # noqa: E402

from mini_colorize.command import attempt, new_parser  # noqa: E402
from mini_colorize.files.disk import atomic_write  # noqa: E402

PHOTOS = "tulips", "cat", "meadow", "photographer", "sea"
PLACE = 0.42, 0.62  # of the first photo: a tulip
FAIR, PINK = (0.7, 0.45), (50, -10)  # another one, and what it could be
FLAGS = ["--hide-scrollbars"]
JPEG = {"format": "JPEG", "quality": 85, "optimize": True}


def take(driver, path, selector=None):
    """What is on the screen, or all of one element, as a JPEG."""
    clip = {}
    if selector:
        script = "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
        box = driver.execute_script(
            f"{script} return [r.x, r.y + scrollY, r.width, r.height]", selector
        )
        names = zip(("x", "y", "width", "height"), box, strict=True)
        clip = {"clip": {**dict(names), "scale": 1}, "captureBeyondViewport": True}
    data = driver.execute_cdp_cmd("Page.captureScreenshot", clip)["data"]
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    with atomic_write(path) as file:
        image.save(file, **JPEG)
    print(f"{path}: {image.width} x {image.height}, {path.stat().st_size >> 10} KB")


def pictures(url):
    photos = [(f"{name}.jpg", (ROOT / "examples" / f"{name}.jpg").read_bytes()) for name in PHOTOS]
    with chromium(1280, 900, flags=FLAGS) as driver:
        person = Colorist(driver, url)
        person.give(*photos)
        person.settle(60)
        take(driver, ROOT / "docs" / "page.jpg")
        person.slide(**{"with": "nothing"})
        person.point(*PLACE)
        person.settle()
        take(driver, ROOT / "docs" / "page-pixel.jpg", ".belief")
    dark = [("prefers-color-scheme", "dark")]
    with chromium(400, 860, media=dark, flags=FLAGS) as driver:
        person = Colorist(driver, url)
        person.give(*photos)
        person.settle(60)
        person.slide(wipe=25)
        person.point(*FAIR)
        person.wait("document.querySelector('.own')")
        person.run(
            "([...document.querySelectorAll('.own input')].forEach("
            "(input, i) => { input.value = arguments[0][i]; }),"
            "document.querySelector('.own button').click())",
            PINK,
        )
        person.wait("document.querySelector('.dot')")
        person.settle()
        person.run("(document.activeElement.blur(), scrollTo(0, 0))")
        take(driver, ROOT / "docs" / "page-narrow.jpg")


def main(argv=None):
    new_parser("page_pictures.py", __doc__).parse_args(argv)

    def work():
        if why_unavailable():
            raise OSError(why_unavailable())
        serve = [sys.executable, "-m", "mini_colorize.page", "--no-browser", "--port", "0"]
        with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
            try:
                pictures(re.search(r"http://\S+", server.stdout.readline())[0])
            finally:
                server.terminate()

    return attempt("page_pictures.py", work)


if __name__ == "__main__":
    sys.exit(main())
