"""Who may ask for what. As if strangers had the address:

Host     must be an address of this machine; a stranger's name that leads here is refused
token    stands in the page, which no other site can read, and in each request for more
photos   of bounded bytes and pixels, and known by a hash of what is in them
names    of files are never made of a request; nothing is written to disk
errors   are one sentence, without paths
"""

import ipaddress
import re
import secrets
from pathlib import Path, PurePosixPath

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from ..bins import BINS
from ..colorizer import MAX_STRENGTH, check_temperature
from ..errors import UserError
from ..network import MULTIPLE
from .queue import Busy, Cancelled
from .studio import FORMATS, Gone, Settings

HERE = Path(__file__).parent
MAX_BYTES = 64 * 2**20  # of a photo's file
SIZES = 64, 512  # at which the network looks here, unless its weights recommend others
NOW, OPEN, SHOW, SAVE = range(4)  # how urgent work is
CANCELLED = 499  # nobody reads it
MAX_HINTS = 100  # of a photo
MAX_AB = 110  # of a hint

HOST = re.compile(r"(?P<name>localhost|[0-9.]+|\[[0-9a-f:]+\])(:(?P<port>[0-9]{1,5}))?")
MIME = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = sorted(path.name for path in HERE.iterdir() if path.suffix in MIME)  # all that is served
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RequestError(UserError):
    """A request that the page would not make. One line."""


def is_ours(said, bound, port):
    """Whether a request's Host, as it was said, is an address of ours.

    bound, port: where the server listens. If on all addresses, any number is taken, but no name:
    names can be made to lead here by whoever owns them.
    """
    parts, here = HOST.fullmatch(said.lower()), ipaddress.ip_address(bound)
    if parts is None or int(parts["port"] or 80) != port:
        return False
    if parts["name"] == "localhost":
        return here.is_loopback or here.is_unspecified
    try:
        return ipaddress.ip_address(parts["name"].strip("[]")) == here or here.is_unspecified
    except ValueError:
        return False


def has_token(app, said):
    return secrets.compare_digest(said.encode(), app.config["TOKEN"].encode())


def create_app(studio, queue, bound, port=None):
    """The page as a WSGI application. studio: a Studio. queue: a Queue.

    bound: the address that the server listens on. port: of it; app.config["PORT"] if it is not
    known yet.
    """
    app = Flask(__name__, static_folder=None, template_folder=str(HERE))
    token = secrets.token_urlsafe()
    app.config.update(MAX_CONTENT_LENGTH=MAX_BYTES, PORT=port, TOKEN=token)
    sizes = [colorizer.size for colorizer in studio.colorizers.values()]
    known = {
        "token": token,
        "weights": [
            {
                "name": name,
                "size": colorizer.size,
                "temperature": colorizer.temperature,
                "regression": colorizer.regression,
            }
            for name, colorizer in studio.colorizers.items()
        ],
        "bins": BINS.tolist(),
        "sizes": {
            "step": MULTIPLE,
            "least": min(SIZES[0], *sizes),
            "most": max(SIZES[1], *sizes),
        },
        "formats": FORMATS,
        "maxHints": MAX_HINTS,
        "maxAb": MAX_AB,
        "maxBytes": MAX_BYTES,
    }

    def work(urgency, function, *arguments):
        gone = request.environ.get("waitress.client_disconnected", lambda: False)
        return queue.do(urgency, lambda: function(*arguments), gone)

    def settings():
        given = request.args
        try:
            index = int(given["weights"])
            size, temperature = int(given["size"]), float(given["temperature"])
            strength, guided = float(given["strength"]), given["enlarge"] == "guided"
            check_temperature(temperature)
            if not (0 <= index < len(known["weights"]) and 0 <= strength <= MAX_STRENGTH):
                raise ValueError
            if size % MULTIPLE or not 0 < size <= known["sizes"]["most"]:
                raise ValueError
        except (KeyError, ValueError):
            raise RequestError("these settings cannot be used") from None
        name = known["weights"][index]["name"]
        return Settings(name, size, temperature, strength, guided, hints())

    def hints():
        given = request.args.get("hints", "").split(";", MAX_HINTS - 1)
        try:
            found = [tuple(map(float, hint.split(",", 4))) for hint in given if hint]
            for u, v, a, b in found:
                if not (0 <= u <= 1 and 0 <= v <= 1 and abs(a) <= MAX_AB and abs(b) <= MAX_AB):
                    raise ValueError
        except ValueError:
            raise RequestError("these colours cannot be used") from None
        return tuple(found)

    def chosen(name, among):
        if request.args.get(name) not in among:
            raise RequestError(f"there is no such {name}")
        return request.args[name]

    @app.before_request
    def check():
        if not is_ours(request.environ.get("HTTP_HOST", ""), bound, app.config["PORT"]):
            return {"error": "this is not the address of the page"}, 403
        said = request.headers.get("X-Token", "")
        if request.endpoint not in ("page", "part") and not has_token(app, said):
            return {"error": "this page is of an earlier start; load it again"}, 403
        return None

    @app.after_request
    def secure(response):
        response.headers.update(HEADERS)
        return response

    @app.get("/")
    def page():
        return render_template("page.html", settings=known)

    def part(name):
        return Response((HERE / name).read_bytes(), mimetype=MIME[Path(name).suffix])

    for name in FILES:
        app.add_url_rule(f"/{name}", "part", part, defaults={"name": name})

    @app.post("/photos")
    def photos():
        name = PurePosixPath(request.args.get("name", "").replace("\\", "/")).name[:200]
        key, photo = work(OPEN, studio.add, name or "photo", request.get_data(cache=False))
        width, height = photo.size
        notes = [note.removeprefix("the picture: ") for note in photo.notes]
        return {"key": key, "width": width, "height": height, "notes": notes}

    @app.get("/pictures/<key>")
    def pictures(key):
        kind = chosen("kind", ("colour", "gray", "photo"))
        full = chosen("scale", ("small", "full")) == "full"
        urgency = SHOW if full else NOW
        data, mime = work(urgency, studio.picture, key, settings(), kind, full)
        return Response(data, mimetype=mime)

    @app.get("/files/<key>")
    def files(key):
        data = work(SAVE, studio.file, key, settings(), chosen("format", FORMATS))
        return Response(data, mimetype="application/octet-stream")

    @app.get("/beliefs/<key>")
    def beliefs(key):
        try:
            u, v = float(request.args["u"]), float(request.args["v"])
            if not (0 <= u <= 1 and 0 <= v <= 1):
                raise ValueError
        except (KeyError, ValueError):
            raise RequestError("there is no such place") from None
        return work(NOW, studio.belief, key, settings(), u, v)

    @app.errorhandler(UserError)
    def refused(error):
        gone = isinstance(error, Gone)
        line = str(error).removeprefix("the picture: ")
        return {"error": line, "gone": gone}, 404 if gone else 400

    @app.errorhandler(HTTPException)
    def wrong(error):
        if error.code == 413:
            return {"error": f"too large: over {MAX_BYTES >> 20} MiB"}, 413
        return {"error": error.name.lower()}, error.code

    @app.errorhandler(Cancelled)
    def cancelled(error):
        return {"error": "nobody waits for it"}, CANCELLED

    @app.errorhandler(Busy)
    def busy(error):
        return {"error": "busy with other requests; try again"}, 503

    @app.errorhandler(MemoryError)
    def full_memory(error):
        return {"error": "too large for the memory of this computer"}, 507

    @app.errorhandler(Exception)
    def unforeseen(error):
        app.logger.error("an error of the program", exc_info=error)
        return {"error": "something went wrong; the terminal says more"}, 500

    return app
