r"""The studio in a browser: `minidiffusion app`."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minidiffusion.cli.main import parse, use_threads

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class App:
    r"""The studio in a browser, on this machine only: prompts, grids, and everything that can be done with a picture.
    Ctrl-C ends it."""

    port: int = 7860
    """Where the browser finds it; 0 is any that is free."""
    folder: Path = Path("pictures")
    """Where the pictures are kept, and what the history shows. It is also where `minidiffusion imagine` writes."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder; or Stable Diffusion 1.5."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def app(arguments: Sequence[str]) -> None:
    options = parse(App, "app", arguments)
    # Gradio asks for these when it is imported: it reports to nobody, and writes nothing outside the folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = os.environ["MPLCONFIGDIR"] = str((options.folder / ".gradio").absolute())
    with listen(options.port) as listening:  # what is wrong is known before anything slow
        try:
            from minidiffusion.app import serve
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            raise ValueError('The studio needs Gradio: pip install "minidiffusion[app]".') from error
        from random import SystemRandom

        from minidiffusion.pipelines.text_to_image import TextToImage
        from minidiffusion.pretrained.weights import find_weights
        from minidiffusion.pipelines.token_to_image import TokenPipeline

        use_threads(options.threads)
        model = TextToImage.load(options.weights)
        has_tokens = (find_weights(options.weights) / "tokens.safetensors").is_file()
        writer = TokenPipeline.load(options.weights) if has_tokens else None
        studio = serve.studio(model, writer, options.weights, options.folder, SystemRandom())
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"The studio is at {address}; its pictures are in {options.folder}.", flush=True)
        serve.serve(studio, listening)


def listen(port: int) -> socket.socket:
    r"""A socket that only this machine reaches."""
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; valid are 0 to 65535.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(f"Port {port} cannot be used ({error.strerror}); choose another one with --port.") from error
