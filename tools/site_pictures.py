"""Take the pictures of docs/site: the course's site in a browser, wide, searched, on a telephone.

make docs && python tools/site_pictures.py        needs selenium, Chromium, chromedriver
"""

import io
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

from browser import chromium  # noqa: E402

SITE, OUT = ROOT / "out" / "site", ROOT / "docs" / "site"
FLAGS = ["--hide-scrollbars", "--allow-file-access-from-files"]


def take(browser, name):
    time.sleep(2)
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    image.thumbnail((900, 900))
    image.quantize(128).save(OUT / f"{name}.png", optimize=True)
    print(OUT / f"{name}.png")


def main():
    OUT.mkdir(exist_ok=True)
    with chromium(1360, 860, flags=FLAGS) as browser:
        browser.get((SITE / "06-batchnorm.html").as_uri())
        take(browser, "wide")
        browser.get((SITE / "index.html").as_uri())
        time.sleep(2)
        browser.execute_script("document.querySelector('[for=__search]').click()")
        time.sleep(1)
        browser.find_element("css selector", "input.md-search__input").send_keys("adjoint")
        take(browser, "search")
    dark = [("prefers-color-scheme", "dark")]
    with chromium(500, 860, media=dark, flags=FLAGS) as browser:
        browser.get((SITE / "14-fast-on-a-gpu.html").as_uri())
        take(browser, "narrow")


if __name__ == "__main__":
    main()
