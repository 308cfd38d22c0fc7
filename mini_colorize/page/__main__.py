"""A page on your own machine: drop photos, see them coloured, see what the network believed.

    python -m mini_colorize.page
    python -m mini_colorize.page --weights full runs/first
    python -m mini_colorize.page --host 0.0.0.0 --no-browser

The sliders answer at once on a small picture, and the full one follows. Click a place of the photo,
and the page shows the 313 probabilities that the network gave it. Choose another colour for it, and
what is like it follows. But for such colours, what is saved is what infer.py would write with the
same settings.

No cloud: nothing leaves the machine, and nothing is written to disk but what you save. The page
answers this machine alone, unless --host says otherwise: then whoever is in the same network and
has the address can use it, a phone for example. Closing the page ends nothing; Ctrl-C ends all.
"""

import logging
import socket
import sys
import threading
import webbrowser
from pathlib import Path

from .. import command
from ..errors import UserError

PROG = "python -m mini_colorize.page"
PORT = 8313


class StartError(UserError):
    """The page cannot be opened. One line."""


def parse(argv):
    p = command.new_parser(PROG, __doc__)
    told = command.OPTIONS["weights"]["help"].removesuffix(" (full)")
    command.add_options(
        p,
        "weights",
        nargs="+",
        default=["full", "tiny"],
        help=f"one or several to choose from and to compare: {told} (full tiny)",
    )
    p.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen; 0.0.0.0 is every network that this machine is in (127.0.0.1)",
    )
    command.add_numbers(p, {"--port N": f"0 is any that is free ({PORT})"})
    p.set_defaults(port=PORT)
    p.add_argument("--no-browser", action="store_true", help="only say the address")
    command.add_options(p, "device")
    args = p.parse_args(argv)
    if not 0 <= args.port < 2**16:
        p.error("--port must be 0 to 65535")
    return args


def load(names, device):
    """The networks by the names that the page has for them. Returns name -> Colorizer."""
    from ..colorizer import Colorizer

    colorizers = {}
    for given in names:
        colorizer = Colorizer.load(given, device)
        name = Path(given).name or given
        while name in colorizers:  # runs/first/weights.npz and runs/second/weights.npz
            name += "'"
        colorizers[name] = colorizer
    return colorizers


def address_of(host):
    """The numbers of --host. Raises StartError."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError):
        raise StartError(f"--host {host}: no such address") from None


def neighbour():
    """This machine's own address in its network, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of nobody (RFC 5737)
            return probe.getsockname()[0]
        except OSError:
            return None


def new_server(app, address, port):
    """A waitress server that is bound and does not run yet. Raises StartError."""
    from waitress import create_server

    from .server import MAX_BYTES

    logging.getLogger("waitress").setLevel(logging.ERROR)
    in_memory = 2**40  # bytes: what is larger, waitress would put into files
    where = f"[{address}]" if ":" in address else address
    try:
        return create_server(
            app,
            listen=f"{where}:{port}",
            ident=None,
            threads=8,
            connection_limit=24,
            max_request_body_size=MAX_BYTES,
            inbuf_overflow=in_memory,
            outbuf_overflow=in_memory,
            channel_request_lookahead=1,  # so that it notices who does not wait any more
        )
    except OSError as error:
        line = f"{where}:{port}: {error.strerror}; --port chooses another"
        raise StartError(line) from None


def serve(args):
    try:
        from .queue import Queue
        from .server import create_app
    except ModuleNotFoundError as error:
        if error.name not in ("flask", "waitress"):
            raise
        raise StartError("needs Flask and waitress: pip install 'mini_colorize[page]'") from None
    from .studio import Studio

    queue = Queue()
    address = address_of(args.host)
    studio = Studio(load(args.weights, args.device), queue.let_pass)
    app = create_app(studio, queue, address)
    server = new_server(app, address, args.port)
    app.config["PORT"] = port = int(server.effective_port)
    if address in ("0.0.0.0", "::"):
        print(f"From other machines: http://{neighbour() or '<address of this machine>'}:{port}/")
        address = "127.0.0.1" if address == "0.0.0.0" else "::1"
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}/"
    print(f"The page: {url} (Ctrl-C ends it)", flush=True)
    # In a thread: Ctrl-C then ends the work, too, and does not wait for it.
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    if not args.no_browser:
        webbrowser.open(url)
    while thread.is_alive():
        thread.join(1)


def main(argv=None):
    args = parse(sys.argv[1:] if argv is None else argv)
    return command.attempt("page", lambda: serve(args), stopped="the page is closed")


if __name__ == "__main__":
    command.run_program(main)
