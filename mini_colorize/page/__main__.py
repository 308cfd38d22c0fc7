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

import errno
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


def neighbour(everywhere):
    """This machine's own address in its network. Nothing is sent. everywhere: "0.0.0.0" or "::"."""
    if everywhere == "::":
        family, nobody = socket.AF_INET6, "2001:db8::1"  # RFC 3849
    else:
        family, nobody = socket.AF_INET, "192.0.2.1"  # RFC 5737
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((nobody, 9))
            return probe.getsockname()[0]
        except OSError:
            return "<address of this machine>"


def in_url(address):
    return f"[{address}]" if ":" in address else address


def new_server(app, address, port):
    """A waitress server that is bound and does not run yet. Raises StartError."""
    from waitress import create_server
    from waitress.channel import HTTPChannel
    from waitress.parser import HTTPRequestParser

    from .queue import MOST
    from .server import MAX_BYTES, has_token, is_ours

    class Parser(HTTPRequestParser):
        def parse_header(self, header_plus):
            """Of a request that will be refused, what follows its head is not kept."""
            super().parse_header(header_plus)
            host, token = (self.headers.get(name, "") for name in ("HOST", "X_TOKEN"))
            known = is_ours(host, address, app.config["PORT"]) and has_token(app, token)
            if self.body_rcv is not None and not known:
                self.body_rcv.buf.append = lambda data: None

    class Channel(HTTPChannel):
        parser_class = Parser

    logging.getLogger("waitress").setLevel(logging.ERROR)
    in_memory = 2**40  # bytes: what is larger, waitress would put into files
    where = f"{in_url(address)}:{port}"
    try:
        server = create_server(
            app,
            listen=where,
            ident=None,
            threads=MOST + 8,  # most of them wait for the queue
            connection_limit=200,
            channel_timeout=20,  # seconds without a byte, but while it works
            cleanup_interval=5,
            max_request_body_size=MAX_BYTES,
            inbuf_overflow=in_memory,
            outbuf_overflow=in_memory,
            channel_request_lookahead=1,  # so that it notices who does not wait any more
        )
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "; --port chooses another" if taken else ""
        raise StartError(f"{where}: {error.strerror}{hint}") from None
    server.channel_class = Channel
    return server


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
        print(f"From other machines: http://{in_url(neighbour(address))}:{port}/")
        address = "127.0.0.1" if address == "0.0.0.0" else "::1"
    url = f"http://{in_url(address)}:{port}/"
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
