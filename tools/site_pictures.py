"""Take the pictures of docs/site: the course's site in a browser, wide, searched, on a telephone.

make docs && python tools/site_pictures.py        needs selenium, Chromium, chromedriver
"""

import io
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parent.parent
SITE, OUT = ROOT / "out" / "site", ROOT / "docs" / "site"
DARK = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}


def driver(width):
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    ):
        options.add_argument(flag)
    options.add_argument(f"--window-size={width},1000")
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))


def take(browser, name):
    time.sleep(2)
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    image.thumbnail((900, 900))
    image.quantize(128).save(OUT / f"{name}.png", optimize=True)
    print(OUT / f"{name}.png")


def main():
    OUT.mkdir(exist_ok=True)
    browser = driver(1360)
    browser.get((SITE / "06-batchnorm.html").as_uri())
    take(browser, "wide")
    browser.get((SITE / "index.html").as_uri())
    time.sleep(2)
    browser.execute_script("document.querySelector('[for=__search]').click()")
    time.sleep(1)
    browser.find_element(By.CSS_SELECTOR, "input.md-search__input").send_keys("adjoint")
    take(browser, "search")
    browser.quit()
    browser = driver(500)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", DARK)
    browser.get((SITE / "14-fast-on-a-gpu.html").as_uri())
    take(browser, "narrow")
    browser.quit()


if __name__ == "__main__":
    main()
