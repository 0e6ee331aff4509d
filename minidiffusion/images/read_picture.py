r"""A picture from a file or a URL. Both are untrusted input: everything about it has a limit.

    time      one limit for the whole download, however the server spends it: slow bytes, slow headers, redirects
    size      bytes over the wire, and pixels after decompression (a file of 100 kB can hold a terabyte of white)
    place     http and https only, at most MOST_REDIRECTS from one address to the next

The bytes stay in memory, so a failure leaves nothing behind. Proxies are not used.
"""

import http.client
import io
import socket
import threading
import time
import warnings
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from PIL import Image, ImageOps

from minidiffusion.errors import UserError

MOST_BYTES = 32 * 2**20
MOST_PIXELS = 64 * 10**6
MOST_REDIRECTS = 5
SECONDS = 20.0


def read_picture(source: str | Path, seconds: float = SECONDS) -> Image.Image:
    r"""The picture in a file or at an http(s) address, upright. Of an animation, the first frame.

    Raises UserError, with one sentence, for what is no picture, too large, or not there within `seconds`.
    """
    text = str(source)
    if text.lower().startswith(("http://", "https://")):
        return decode(download(text, seconds), text)
    if "://" in text and not Path(text).exists():
        raise UserError(f"{text:.200}: pictures come from files and from http or https addresses only.")
    try:
        with open(source, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"Cannot read {text:.200}: {error.strerror or error}.") from error
    except ValueError as error:  # a null byte in the name
        raise UserError(f"Cannot read {text!r:.200}: {error}.") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{text:.200} has more than {MOST_BYTES >> 20} MB.")
    return decode(data, text)


def decode(data: bytes, source: str) -> Image.Image:
    r"""The bytes as a picture; its size is looked at before its pixels are unpacked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's limit warns; ours, below, refuses
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                image.load()
                return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        raise UserError(f"{source:.200} has more than {MOST_PIXELS // 10**6} million pixels.") from None
    except Exception as error:  # a damaged file can raise nearly anything inside a decoder
        if isinstance(error, Image.UnidentifiedImageError) or not str(error):
            reason = "not a picture that Pillow can read"
        else:
            reason = f"not a whole picture ({error!s:.100})"
        raise UserError(f"{source:.200} is {reason}.") from error


def download(url: str, seconds: float = SECONDS) -> bytes:
    r"""What is at the address, after its redirects. Raises UserError as `read_picture` does."""
    deadline = time.monotonic() + seconds
    address = url
    for _ in range(MOST_REDIRECTS + 1):
        answer = fetch(address, deadline, seconds)
        if isinstance(answer, bytes):
            return answer
        address = answer
    raise UserError(f"{url:.200} redirects more than {MOST_REDIRECTS} times.")


def fetch(url: str, deadline: float, seconds: float) -> bytes | str:
    r"""One request: the bytes, or the address that it redirects to.

    A timeout on the socket limits the wait for the *next* bytes, which a server that drips resets for ever. So a clock
    beside it hangs up at the deadline, whatever is being waited for.
    """
    late = f"{url:.200} did not send the picture within {seconds:g} s."
    left = deadline - time.monotonic()
    if left <= 0:
        raise UserError(late)
    with closing(connection_to(url, left)) as connection:
        try:
            connection.connect()
            clock = threading.Timer(max(0.0, deadline - time.monotonic()), hang_up, [connection.sock])
            clock.daemon = True
            clock.start()
            try:
                answer = answer_of(connection, url)
            finally:
                clock.cancel()
                clock.join()
            problem = None
        except (OSError, http.client.HTTPException, ValueError) as error:
            answer, problem = b"", error
    if time.monotonic() >= deadline - 0.01:  # whatever it looks like: what was cut off can look whole
        raise UserError(late) from problem
    if isinstance(problem, OSError | http.client.HTTPException | UnicodeError):
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise UserError(f"Cannot read {url:.200}: {reason:.200}.") from problem
    if problem is not None:
        raise problem
    return answer


def connection_to(url: str, timeout: float) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url:.200} is not an address ({error}).") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url:.200} is not an http or https address.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, port, timeout=timeout)


def hang_up(connected: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        connected.shutdown(socket.SHUT_RDWR)


def answer_of(connection: http.client.HTTPConnection, url: str) -> bytes | str:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", target, headers={"User-Agent": "minidiffusion", "Accept": "image/*"})
    with connection.getresponse() as response:
        if response.status in (301, 302, 303, 307, 308) and (location := response.getheader("Location")):
            return urljoin(url, location)
        if response.status != 200:
            raise UserError(f"{url:.200} answers {response.status} {response.reason:.80}.")
        kind = response.headers.get_content_type()
        if kind.startswith("text/") or kind == "application/json":
            raise UserError(f"{url:.200} is {kind}, not a picture; is it the address of the page around it?")
        if response.length is not None and response.length > MOST_BYTES:
            raise UserError(f"{url:.200} has {response.length >> 20} MB; at most {MOST_BYTES >> 20} are read.")
        data = response.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{url:.200} has more than {MOST_BYTES >> 20} MB.")
        if response.length:  # the server, or the clock, hung up too early
            raise http.client.IncompleteRead(data, response.length)
        return data
