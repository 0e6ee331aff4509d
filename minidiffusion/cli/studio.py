r"""`minidiffusion app`: the studio in a browser."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minidiffusion.errors import UserError

from .options import CommandError, Weights, check_between, parse

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class App(Weights):
    r"""The studio in a browser, on this machine only: prompts, grids, and everything that can be done with a picture.
    Ctrl-C ends it."""

    port: int = 7860
    """Where the browser finds it; 0 is any that is free."""
    folder: Path = Path("pictures")
    """Where the pictures are kept, and what the history shows. It is also where `minidiffusion imagine` writes."""


def app(arguments: Sequence[str]) -> None:
    options = parse(App, "app", arguments)
    # Gradio asks for these when it is imported: it reports to nobody, and writes nothing outside the folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = os.environ["MPLCONFIGDIR"] = str((options.folder / ".gradio").absolute())
    with listen(options.port) as listening:  # what is wrong is known before anything slow
        try:
            from minidiffusion.app.server import serve, studio
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise UserError('The studio needs Gradio; where the repository is: pip install -e ".[app]"') from error
        from random import SystemRandom

        from minidiffusion.pretrained.weights import find_weights

        model = options.load()
        has_tokens = (find_weights(options.weights) / "tokens.safetensors").is_file()
        tokens = options.load(by_tokens=True) if has_tokens else None
        application = studio(model, tokens, options.weights, options.folder, SystemRandom())
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"The studio is at {address}; its pictures are in {options.folder}.", flush=True)
        serve(application, listening)


def listen(port: int) -> socket.socket:
    r"""A socket that only this machine reaches."""
    check_between("port", port, 0, 65535)
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise CommandError(f"Port {port} cannot be used ({error.strerror}); choose another one with --port.") from error
