"""The page of mini_colorize.page: how long each slider takes, and how much memory photos take.

    python -m benchmarks.page

A server of its own is asked over HTTP as the page asks it, by one person, with `full`; the machine
should be idle. A time is from the request to the last byte of the small picture, the median of 31;
the size runs the network again, so each of its values is asked for once. Memory is the resident
set of the server (/proc: Linux only).
"""

import io
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from benchmarks.common import machine, picture

ROUNDS, PHOTOS = 31, 50
SERVE = "-m", "mini_colorize.page", "--no-browser", "--port", "0", "--device", "cpu"
PLAIN = {"kind": "colour", "scale": "small", "weights": 0, "enlarge": "guided", "strength": 1}
NINE = ";".join(
    f"{u},{v},{100 * u - 50},{100 * v - 50}" for u in (0.2, 0.4, 0.8) for v in (0.1, 0.6, 0.9)
)
CHANGES = {
    "temperature": {"temperature": np.linspace(0, 1.5, ROUNDS)},
    "strength": {"strength": np.linspace(0, 2, ROUNDS)},
    "enlargement": {"enlarge": ["bilinear", "guided"] * (ROUNDS // 2)},
    "a chosen colour, beside 9 others": {
        "hints": [f"{NINE};0.5,0.5,{a:.2f},50" for a in np.linspace(-50, 50, ROUNDS)]
    },
    "size, 64 to 512 (the network runs)": {"size": range(64, 513, 32)},
}


class Page:
    def __init__(self):
        command = [sys.executable, *SERVE]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]
        page = urllib.request.urlopen(self.url).read().decode()
        known = json.loads(re.search(r"data-settings='(.*)'>", page)[1])
        self.headers = {"X-Token": known["token"]}
        self.plain = {**PLAIN, **{k: known["weights"][0][k] for k in ("size", "temperature")}}

    def ask(self, path, data=None, **parameters):
        url = f"{self.url}{path}?{urlencode(parameters)}"
        request = urllib.request.Request(url, data, self.headers)
        return urllib.request.urlopen(request, timeout=600).read()

    def send(self, image, name):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        return json.loads(self.ask("photos", file.getvalue(), name=name))["key"]

    def timed(self, path, **changes):
        """The milliseconds that an answer takes."""
        start = time.perf_counter()
        self.ask(path, **{**self.plain, **changes})
        return 1000 * (time.perf_counter() - start)

    def look(self, key, **changes):
        return self.timed(f"pictures/{key}", **changes)

    def memory(self):
        """MiB: now, and the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [
            int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM")
        ]


def sliders(page):
    key = page.send(picture(3000, 2000), "sliders.jpg")
    page.look(key)
    print(f"{'median answer, ms':<40} {'median':>7} {'slowest':>8}")
    for name, change in CHANGES.items():
        ((what, values),) = change.items()
        times = [page.look(key, **{what: value}) for value in values]
        print(f"{name:<40} {statistics.median(times):>7.0f} {max(times):>8.0f}")
    times = [page.timed(f"beliefs/{key}", u=u, v=0.5) for u in np.linspace(0, 1, ROUNDS)]
    print(f"{'a pixel':<40} {statistics.median(times):>7.0f} {max(times):>8.0f}")
    print(f"{'the full picture, 6 megapixels':<40} {page.look(key, scale='full'):>7.0f}")


def memory(page):
    def tell(name):
        now, most = page.memory()
        print(f"{name:<40} {now:>7.0f} {most:>8.0f}")

    print(f"{'memory, MiB':<40} {'now':>7} {'peak':>8}")
    tell("before the first of them")
    image = np.asarray(picture(2048, 1536))
    for i in range(PHOTOS):
        key = page.send(Image.fromarray(np.roll(image, i, 1)), f"{i}.jpg")
        page.look(key)
        page.look(key, scale="full")
    tell(f"after {PHOTOS} photos of 3 megapixels")
    key = page.send(picture(6000, 4000), "large.jpg")
    page.look(key, scale="full")
    page.look(key, scale="full", kind="gray")
    page.ask(f"files/{key}", **page.plain, format="png")
    tell("after one of 24 megapixels, saved as PNG")


def main():
    print(machine())
    page = Page()
    try:
        memory(page)
        sliders(page)
    finally:
        page.process.terminate()
        page.process.wait()


if __name__ == "__main__":
    main()
